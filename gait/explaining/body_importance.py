"""Importance of joints on the skin: what each vertex of a body is coloured by.

Two ways, both from the body itself and kept nowhere, so that another body cannot get the weights of this one: by
skinning weights, which blend smoothly and end where a segment does; and as published, by the nearest joint.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gait.body.body import Body
from gait.body.skeleton import NUM_BODY_JOINTS, joint_rows

Weights = NDArray[np.float64]


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
