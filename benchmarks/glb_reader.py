"""Read a skinned and animated GLB file with pygltflib, and compute its skin from the file alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pygltflib
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

_TYPES = {5121: "<u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_SHAPES = {"SCALAR": (), "VEC3": (3,), "VEC4": (4,), "MAT4": (4, 4)}


@dataclass(frozen=True, eq=False)
class SkinnedScene:
    """One skinned mesh with K joints and one animation of T frames."""

    gltf: pygltflib.GLTF2
    vertices: NDArray[np.float64]  # (V, 3) at rest
    faces: NDArray[np.int64]  # (F, 3)
    joints: NDArray[np.int64]  # (V, S) rows among the K joints
    weights: NDArray[np.float64]  # (V, S)
    times_s: NDArray[np.float64]  # (T,)

    def joint_transforms(self, frame: int) -> NDArray[np.float64]:
        """Return the matrices (K, 4, 4) of the joints in the world, by the animation."""
        animated: dict[tuple[int, str], NDArray[np.float64]] = {}
        (animation,) = self.gltf.animations
        for channel in animation.channels:
            sampler = animation.samplers[channel.sampler]
            animated[channel.target.node, channel.target.path] = _values(self.gltf, sampler.output)[frame]
        transforms: dict[int, NDArray[np.float64]] = {}

        def visit(node: int, above: NDArray[np.float64]) -> None:
            local = np.eye(4)
            local[:3, 3] = animated.get((node, "translation"), self.gltf.nodes[node].translation)
            local[:3, :3] = Rotation.from_quat(animated[node, "rotation"]).as_matrix()
            transforms[node] = above @ local
            for child in self.gltf.nodes[node].children:
                visit(child, transforms[node])

        (skin,) = self.gltf.skins
        visit(skin.skeleton, np.eye(4))
        return np.stack([transforms[joint] for joint in skin.joints])

    def skin(self, frame: int) -> NDArray[np.float64]:
        """Return the skin (V, 3) in a frame: each vertex is moved by the weighted transforms of its joints."""
        inverse_bind = _values(self.gltf, self.gltf.skins[0].inverseBindMatrices).swapaxes(1, 2)
        moved = self.joint_transforms(frame) @ inverse_bind
        blended = (self.weights[..., None, None] * moved[self.joints]).sum(axis=1)
        return (blended @ np.pad(self.vertices, ((0, 0), (0, 1)), constant_values=1)[..., None])[:, :3, 0]


def read_scene(path: Path) -> SkinnedScene:
    """Read a GLB file of one mesh."""
    gltf = pygltflib.GLTF2().load(str(path))
    (primitive,) = gltf.meshes[0].primitives
    attributes = vars(primitive.attributes)
    joints, weights = (
        np.concatenate([_values(gltf, attributes[f"{kind}_{number}"]) for number in _sets(attributes)], axis=1)
        for kind in ("JOINTS", "WEIGHTS")
    )
    return SkinnedScene(
        gltf,
        _values(gltf, primitive.attributes.POSITION),
        _values(gltf, primitive.indices).astype(int).reshape(-1, 3),
        joints.astype(int),
        weights,
        _values(gltf, gltf.animations[0].samplers[0].input),
    )


def _sets(attributes: dict[str, Any]) -> list[int]:
    return [number for number in range(4) if attributes.get(f"JOINTS_{number}") is not None]


def _values(gltf: pygltflib.GLTF2, index: int) -> NDArray[np.float64]:
    """Return the numbers of an accessor; matrices (n, 4, 4) have their columns first."""
    found = gltf.accessors[index]
    view, kind, shape = gltf.bufferViews[found.bufferView], _TYPES[found.componentType], _SHAPES[found.type]
    count = found.count * int(np.prod(shape))
    values = np.frombuffer(gltf.binary_blob(), kind, count, view.byteOffset)
    return values.reshape(found.count, *shape).astype(np.float64)
