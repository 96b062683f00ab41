"""Attribution of joints mapped to the vertices of a body, for colouring its surface.

The mapping is computed from the body itself and not stored, so that it cannot be applied to another body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gait.body.joint_status import JointStatus, body_part_status
from gait.body.skeleton import NUM_BODY_JOINTS, joint_indices
from gait.explaining.attribution import TrialAttribution
from gait.motion.inputs import INPUTS

if TYPE_CHECKING:  # it imports torch
    from gait.body.body import Body

Weights = NDArray[np.float64]

_MIN_DISTANCE_M = 0.01  # smaller distances of a vertex from a joint count as this


def skinning_weights(body: Body) -> Weights:
    """Return the skinning weights of the body joints, (V, 22); rows sum to 1.

    Weights of joints that are not network input (fingers, toes, face) are added to those of their nearest ancestor that
    is: a finger's to the wrist's.
    """
    weights = body.weights.double().cpu().numpy()
    rows = {row: int(joint) for joint, row in joint_indices(body.num_joints).items() if joint < NUM_BODY_JOINTS}
    merged = np.zeros((len(weights), NUM_BODY_JOINTS))
    for joint in range(body.num_joints):
        ancestor = joint
        while ancestor not in rows:
            ancestor = body.parents[ancestor]
        merged[:, rows[ancestor]] += weights[:, joint]
    return merged


def joint_influence(body: Body, betas: NDArray[np.floating] | None = None) -> Weights:
    """Return weights of the body joints that are centred on the joints, (V, 22); rows sum to 1.

    A vertex of the shank moves only with the knee, but the attribution of the ankle should also appear on the shank
    near the ankle. So a vertex's skinning weight for a segment is divided between the joints at the segment's ends, in
    proportion to the inverse square of its distance from them in the rest pose. Without betas, the shape is the mean.
    """
    vertices, joints = _rest_shape(body, betas)
    joint_of_row = {row: int(joint) for joint, row in joint_indices(body.num_joints).items() if joint < NUM_BODY_JOINTS}
    weights = skinning_weights(body)
    influence = np.zeros_like(weights)
    for row, joint in joint_of_row.items():
        ends = [row, *(child for child in joint_of_row if body.parents[child] == row)]
        distance = np.linalg.norm(vertices[:, None] - joints[ends], axis=2)
        nearness = 1 / np.maximum(distance, _MIN_DISTANCE_M) ** 2
        influence[:, [joint_of_row[end] for end in ends]] += (
            weights[:, [joint]] * nearness / nearness.sum(axis=1, keepdims=True)
        )
    return influence


def segment_influence(body: Body, betas: NDArray[np.floating] | None = None) -> Weights:
    """Return weights of the segments that end at each body joint, (V, 22); rows sum to 1.

    A vertex of the thigh moves with the hip; its segment ends at the knee. Of several segments that begin at one joint,
    such as the pelvis, the nearer ones have more, as in ``joint_influence``. What moves with the last joint of a limb
    belongs to the segment that ends there.
    """
    vertices, joints = _rest_shape(body, betas)
    joint_of_row = {row: int(joint) for joint, row in joint_indices(body.num_joints).items() if joint < NUM_BODY_JOINTS}
    weights = skinning_weights(body)
    influence = np.zeros_like(weights)
    for row, joint in joint_of_row.items():
        ends = [child for child in joint_of_row if body.parents[child] == row] or [row]
        distance = np.linalg.norm(vertices[:, None] - joints[ends], axis=2)
        nearness = 1 / np.maximum(distance, _MIN_DISTANCE_M) ** 2
        influence[:, [joint_of_row[end] for end in ends]] += (
            weights[:, [joint]] * nearness / nearness.sum(axis=1, keepdims=True)
        )
    return influence


def influence_for(attribution: TrialAttribution, body: Body, betas: NDArray[np.floating] | None = None) -> Weights:
    """Return the weights (V, 22) by which an attribution colours a body: around joints, or along segments."""
    along_segments = INPUTS[attribution.input].of_segments
    return (segment_influence if along_segments else joint_influence)(body, betas)


def _rest_shape(body: Body, betas: NDArray[np.floating] | None) -> tuple[Weights, Weights]:
    """Return the vertices (V, 3) and joints (J, 3) at rest, in metres."""
    like = body.v_template
    import torch  # takes seconds; colours of vertices do without it

    shape = torch.zeros(1) if betas is None else torch.as_tensor(betas)[: body.num_betas]
    with torch.inference_mode():
        vertices, joints = (part[0].double().cpu().numpy() for part in body.rest_body(shape.to(like)))
    return vertices, joints


def to_vertices(values: NDArray[np.floating], weights: Weights) -> NDArray[np.float32]:
    """Map attribution of joints, (22,) or (T, 22), to vertices, (V,) or (T, V), by weights (V, 22).

    A vertex is NaN if joints of NaN have most of its weight; otherwise the others share it.
    """
    values = np.asarray(values, np.float64)
    known = np.isfinite(values)
    skin = np.where(known, values, 0.0) @ weights.T
    if not known.all():
        share = np.where(known.all(axis=-1, keepdims=True), 1.0, known @ weights.T)
        skin = np.where(share > 0.5, skin / np.maximum(share, 0.5), np.nan)
    return skin.astype(np.float32)


def observed_weight(status: NDArray[np.uint8], skinning: Weights) -> NDArray[np.float32]:
    """Return the weight of observed parts of the body at each vertex, (V,), 0 to 1.

    ``status`` is the ``JointStatus`` (22,) in a frame, ``skinning`` (V, 22) the weights of ``skinning_weights``.
    """
    return (skinning @ (body_part_status(status) > JointStatus.NOT_OBSERVED)).astype(np.float32)
