"""Importance of joints on the skin: what each vertex of a body is coloured by.

All from the body itself and kept nowhere, so that another body cannot get the weights of this one: by skinning weights,
which blend smoothly, as they are or centred on the joints; and as published, by the nearest joint.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from gait.body.body import Body
from gait.body.skeleton import NUM_BODY_JOINTS, joint_rows

Weights = NDArray[np.float64]

_LEAST_DISTANCE_M = 0.01  # within it a vertex is the joint's own


def skinning_weights(body: Body) -> Weights:
    """(V, 22) how much each vertex moves with each body joint; rows sum to 1.

    Joints that networks do not see, those of fingers, toes and face, count for the nearest body joint above them: a
    hand for its wrist.
    """
    weights = body.weights.double().cpu().numpy()
    rows = {row: int(joint) for joint, row in joint_rows(body.num_joints).items() if joint < NUM_BODY_JOINTS}
    folded = np.zeros((len(weights), NUM_BODY_JOINTS))
    for joint in range(body.num_joints):
        above = joint
        while above not in rows:
            above = body.parents[above]
        folded[:, rows[above]] += weights[:, joint]
    return folded


def joint_weights(body: Body, betas: NDArray[np.floating] | None = None) -> Weights:
    """(V, 22) skinning weights centred on the joints; rows sum to 1.

    A vertex of the shank moves with the knee alone, but the knee's importance belongs around the knee and the ankle's
    around the ankle. So what a vertex has of a segment is shared between the joints at the segment's ends, by the
    inverse square of its distance from them at rest.

    Args:
        body: whose skin it is.
        betas: shape of the person; the mean body if None.
    """
    like = body.v_template
    shape = torch.zeros(1) if betas is None else torch.as_tensor(betas)[: body.num_betas]
    with torch.inference_mode():
        vertices, joints = (part[0].double().cpu().numpy() for part in body.shaped(shape.to(like)))
    joint_of_row = {row: int(joint) for joint, row in joint_rows(body.num_joints).items() if joint < NUM_BODY_JOINTS}
    weights = skinning_weights(body)
    shares = np.zeros_like(weights)
    for row, joint in joint_of_row.items():
        ends = [row, *(below for below in joint_of_row if body.parents[below] == row)]
        distance = np.linalg.norm(vertices[:, None] - joints[ends], axis=2)
        nearness = 1 / np.maximum(distance, _LEAST_DISTANCE_M) ** 2
        shares[:, [joint_of_row[end] for end in ends]] += (
            weights[:, [joint]] * nearness / nearness.sum(axis=1, keepdims=True)
        )
    return shares


def nearest_joint_weights(body: Body) -> Weights:
    """(V, 22) as published: each vertex has one weight, that of the joint nearest to it in the mean body at rest.

    Of each joint's vertices the nearest one has 1 and the farthest 0, by distance in between. Importance by these is
    that joint's, faded; zero, "nothing", where the weight is.
    """
    vertices = body.v_template.double().cpu().numpy()
    by_joint = joint_rows(body.num_joints)
    rows = [row for joint, row in by_joint.items() if joint < NUM_BODY_JOINTS]
    joints = body.joint_template.double().cpu().numpy()[rows]
    distances = np.linalg.norm(vertices[:, None] - joints, axis=2)
    nearest = distances.argmin(axis=1)
    weights = np.zeros_like(distances)
    for joint in range(NUM_BODY_JOINTS):
        own = np.flatnonzero(nearest == joint)
        if len(own):
            from_joint = distances[own, joint]
            extent = max(float(np.ptp(from_joint)), 1e-7)
            weights[own, joint] = 1 - (from_joint - from_joint.min()) / extent
    return weights


def on_vertices(values: NDArray[np.floating], weights: Weights) -> NDArray[np.float32]:
    """Importance (22,) or (T, 22) of joints as that of vertices, (V,) or (T, V); frames that are NaN stay NaN.

    Args:
        values: NaN in whole frames alone.
        weights: (V, 22) by one of the two ways above.
    """
    return (np.asarray(values, np.float64) @ weights.T).astype(np.float32)
