"""The bodies of a page: one skin with its weights for all of them, and per body its shape and its motion.

The page draws the open body only; ``gait.exporting.skinned_body`` says which fits are retargeted to it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait.body.body import Body
from gait.exporting.skinned_body import SkinnedBody, continuous_quaternions
from gait.report.walk_page.array_store import ArrayStore, Reference

_SKIN_SLOTS, _INFLUENCE_SLOTS = 8, 12  # per vertex; multiples of 4


def skin_data(
    body: Body, skinned: SkinnedBody, influences: NDArray[np.floating] | None, store: ArrayStore
) -> dict[str, Any]:
    """Return what all bodies of the page share.

    ``influences`` (V, 22) are the weights of ``gait.explaining.vertex_attribution`` by which attribution colours the
    first body; None: it has no colours.
    """
    joints, weights = sparse_weights(skinned.weights, _SKIN_SLOTS)
    index_type = np.uint16 if body.num_vertices <= np.iinfo(np.uint16).max else np.uint32
    faces: NDArray[np.integer] = skinned.faces.astype(index_type)
    rows: dict[str, Any] = {
        "parents": list(skinned.parents),
        "body_joints": list(body.nearest_body_joints),
        "faces": store.add(faces, delta=True),
        "joints": store.add(joints),
        "weights": {**store.add(weights), "scale": 1 / 65535},
    }
    if influences is not None:
        joints, weights = sparse_weights(influences, _INFLUENCE_SLOTS)
        rows["influence_joints"], rows["influence_weights"] = (
            store.add(joints),
            {**store.add((weights >> 8).astype(np.uint8)), "scale": 1 / 255},
        )
    return rows


def motion_data(
    skinned: SkinnedBody,
    store: ArrayStore,
    root_m: NDArray[np.floating] | None = None,
    frames: NDArray[np.integer] | None = None,
    yaw_rad: NDArray[np.floating] | None = None,
) -> dict[str, Any]:
    """Return the shape and the motion of one body.

    Args:
        skinned: the body, with all its joints.
        store: takes the arrays.
        root_m: (T, 3) where the root joint is in each frame of the page; that of ``skinned`` if None.
        frames: (T,) which of the body's own frames is shown in each frame of the page; None: the same.
        yaw_rad: (T,) rotation of the body about the vertical axis through its root; None: none.
    """
    quaternions = continuous_quaternions(skinned.rotations)
    bends = np.flatnonzero((np.abs(quaternions[..., :3]) > 0).any(axis=(0, 2)))
    rows: dict[str, Any] = {
        "vertices_m": store.add_values(skinned.vertices_m),
        "joints_m": store.add_values(skinned.joints_m),
        "moving_joints": bends.tolist(),
        "rotations": {
            **store.add(np.rint(quaternions[:, bends] * 32767).astype(np.int16), delta=True), "scale": 1 / 32767,
        },
        "root_m": _per_axis(skinned.root_m if root_m is None else root_m, store),
    }  # fmt: skip
    if frames is not None:
        rows["frames"] = store.add(frames.astype(np.uint32), delta=True)
    if yaw_rad is not None:
        rows["yaw_rad"] = store.add_values(yaw_rad)
    return rows


def sparse_weights(weights: NDArray[np.floating], slots: int) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Return the columns (slots, V) and weights (slots, V) of the largest weights of each row of (V, K).

    The weights of a vertex sum to 65535; unused slots are zero.
    """
    order = np.argsort(-weights, axis=1, kind="stable")[:, :slots]
    order = np.pad(order, ((0, 0), (0, slots - order.shape[1])))
    largest = np.take_along_axis(weights, order, axis=1)
    largest[:, weights.shape[1] :] = 0
    integers = np.rint(largest / largest.sum(axis=1, keepdims=True) * 65535).astype(np.int64)
    integers[:, 0] += 65535 - integers.sum(axis=1)
    columns = np.where(integers > 0, order, 0)
    return columns.T.astype(np.uint8), integers.T.astype(np.uint16)


def _per_axis(points_m: NDArray[np.floating], store: ArrayStore) -> list[Reference]:
    """Store points (T, 3) axis by axis, each with its own step: a walk is long in one direction only."""
    return [store.add_values(points_m[:, axis], delta=True) for axis in range(3)]
