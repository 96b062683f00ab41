"""The moving body as binary glTF 2.0, which Blender, three.js and most other graphics tools open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gait.body.joint_status import unobserved_joints
from gait.body.open_body import OPEN_BODY
from gait.exporting.exporter import Exporter, FittedTrial
from gait.exporting.glb_encoding import INDICES, VERTICES, GlbBuffer
from gait.version import VERSION

if TYPE_CHECKING:  # it imports torch
    from gait.exporting.skinned_body import SkinnedBody

_WEIGHTS_PER_SET = 4
_SKIN_COLOUR = (0.72, 0.72, 0.75, 1.0)


def write_gltf(trial: FittedTrial, path: Path) -> None:
    """Write a skinned and animated mesh in metres, y up, which faces +z at rest; time 0 is the first frame.

    A vertex has as many sets of four weights as it needs. ``asset.extras`` says which body is drawn, and what is not
    observed.

    Raises:
        NotExportableError: the poses hold no joint rotations.
    """
    from gait.exporting.skinned_body import continuous_quaternions, make_skinned_body  # imports torch

    body, buffer = make_skinned_body(trial.sequence), GlbBuffer()
    K, times = len(body.names), np.arange(trial.sequence.num_frames) / trial.sequence.rate_hz
    attributes = {
        "POSITION": buffer.add(body.vertices_m.astype(np.float32), target=VERTICES, bounds=True),
        "NORMAL": buffer.add(_vertex_normals(body.vertices_m, body.faces).astype(np.float32), target=VERTICES),
    }
    for number, (joints, weights) in enumerate(_weight_sets(body.weights)):
        attributes[f"JOINTS_{number}"] = buffer.add(joints, target=VERTICES)
        attributes[f"WEIGHTS_{number}"] = buffer.add(weights, target=VERTICES)
    index_type = np.uint16 if len(body.vertices_m) < np.iinfo(np.uint16).max else np.uint32
    indices = buffer.add(body.faces.astype(index_type).reshape(-1), target=INDICES)
    inverse_bind = np.tile(np.eye(4), (K, 1, 1))
    inverse_bind[:, :3, 3] = -body.joints_m
    skin = {"joints": list(range(K)), "skeleton": 0, "inverseBindMatrices": buffer.add(inverse_bind.astype(np.float32))}
    clock = buffer.add(times.astype(np.float32), bounds=True)
    rotations = continuous_quaternions(body.rotations)
    outputs = [("translation", 0, body.root_m)]
    outputs += [("rotation", joint, rotations[:, joint]) for joint in range(K)]
    animation = {
        "name": trial.name,
        "samplers": [{"input": clock, "output": buffer.add(values.astype(np.float32))} for _, _, values in outputs],
        "channels": [
            {"sampler": number, "target": {"node": joint, "path": part}}
            for number, (part, joint, _) in enumerate(outputs)
        ],
    }
    content = {
        "asset": {"version": "2.0", "generator": f"gait-suite {VERSION}", "extras": _extras(trial, body)},
        "scene": 0,
        "scenes": [{"name": trial.name, "nodes": [0, K]}],
        "nodes": [*_joint_nodes(body.names, body.parents, body.joints_m), {"name": "body", "mesh": 0, "skin": 0}],
        "meshes": [{"name": "body", "primitives": [{"attributes": attributes, "indices": indices, "material": 0}]}],
        "materials": [
            {
                "name": "skin",
                "pbrMetallicRoughness": {
                    "baseColorFactor": _SKIN_COLOUR,
                    "metallicFactor": 0.0,
                    "roughnessFactor": 0.8,
                },
            }
        ],
        "skins": [skin],
        "animations": [animation],
    }
    path.write_bytes(buffer.encode(content))


def _extras(trial: FittedTrial, body: SkinnedBody) -> dict[str, Any]:
    """Return what a reader of the file should know: whose body it is, the recording's frames, what is not observed."""
    sequence = trial.sequence
    note = "The body is the fitted one."
    if body.retargeted:
        note = (
            "The fitted body may not be passed on: this is the open body with the same joint rotations and the lengths "
            "of the subject's bones."
        )
    return {
        "body": OPEN_BODY,
        "fitted_body": sequence.model_file,
        "note": note,
        "largest_bone_length_error_mm": round(1e3 * body.bone_error_m, 2),
        "rate_hz": sequence.rate_hz,
        "first_frame": sequence.first_frame,
        "joints_not_observed": [joint.name.lower() for joint in unobserved_joints(sequence.joint_status)],
    }


def _joint_nodes(
    names: tuple[str, ...], parents: tuple[int, ...], joints_m: NDArray[np.float64]
) -> list[dict[str, Any]]:
    """Return one node per joint, at rest: its offset from the parent, and its children."""
    nodes = []
    for joint, (name, parent) in enumerate(zip(names, parents, strict=True)):
        offset = joints_m[joint] - (joints_m[parent] if parent >= 0 else 0)
        children = [child for child, above in enumerate(parents) if above == joint]
        nodes.append({"name": name, "translation": offset.tolist(), **({"children": children} if children else {})})
    return nodes


def _weight_sets(weights: NDArray[np.float64]) -> list[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Return joints (V, 4) and weights (V, 4) of each set, the largest weights first; unused places are zero."""
    count = -(-int((weights > 0).sum(axis=1).max()) // _WEIGHTS_PER_SET) * _WEIGHTS_PER_SET
    order = np.argsort(-weights, axis=1, kind="stable")[:, :count]
    order = np.pad(order, ((0, 0), (0, count - order.shape[1])))
    ranked = np.take_along_axis(weights, order, axis=1)
    joints = np.where(ranked > 0, order, 0).astype(np.uint8)
    sets = [slice(start, start + _WEIGHTS_PER_SET) for start in range(0, count, _WEIGHTS_PER_SET)]
    return [(joints[:, chosen], ranked[:, chosen].astype(np.float32)) for chosen in sets]


def _vertex_normals(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean normal (V, 3) of the faces around each vertex, weighted by their areas."""
    corners = vertices[faces]
    of_faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], of_faces)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.where(length > 0, normals / np.maximum(length, 1e-30), [0.0, 1.0, 0.0])


EXPORTER = Exporter("gltf", "the moving body as binary glTF 2.0, skinned and animated", ".glb", write_gltf)
