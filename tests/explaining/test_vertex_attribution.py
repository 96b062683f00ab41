"""Attribution on the vertices against slow versions, for body models of several families."""

import numpy as np
import pytest
import torch

from gait.body.body import Body
from gait.body.model_file import load_body
from gait.body.skeleton import BODY_JOINTS, NUM_BODY_JOINTS, Joint, contralateral_joint, joint_indices
from gait.explaining.vertex_attribution import (
    influence_for,
    joint_influence,
    observed_weight,
    segment_influence,
    skinning_weights,
    to_vertices,
)
from tests.helpers.explanation_cases import random_attribution
from tests.helpers.paths import OPEN_BODY


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body(OPEN_BODY)


def vertices_near(body: Body, joint: Joint) -> np.ndarray:
    return np.argsort(np.linalg.norm((body.v_template - body.joint_template[joint]).numpy(), axis=1))[:20]


def test_skinning_weights_merge_into_the_nearest_ancestor(body: Body) -> None:
    weights = skinning_weights(body)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    slow = np.zeros_like(weights)
    for vertex in range(0, body.num_vertices, 97):
        for joint in Joint:
            owner = joint
            while owner >= NUM_BODY_JOINTS:
                owner = Joint(body.parents[owner])
            slow[vertex, owner] += float(body.weights[vertex, joint])
        np.testing.assert_allclose(weights[vertex], slow[vertex], atol=1e-7)
    for finger, above in ((Joint.LEFT_INDEX3, Joint.LEFT_WRIST), (Joint.RIGHT_TOE1_2, Joint.RIGHT_FOOT)):
        assert np.all(weights[vertices_near(body, finger)].argmax(axis=1) == above)
    assert np.all(weights[vertices_near(body, Joint.JAW)].argmax(axis=1) == Joint.HEAD)


@pytest.mark.parametrize("joints", [24, 52, 55])
def test_skinning_weights_of_other_body_families(body: Body, joints: int) -> None:
    rows = joint_indices(joints)
    named = {row: joint for joint, row in rows.items()}
    weights = torch.eye(joints)  # one vertex per joint
    parents = [body.parents[named[row]] if row in named else int(Joint.LEFT_WRIST) for row in range(joints)]
    parents = [-1 if p < 0 else rows.get(Joint(p), 0) for p in parents]
    other = Body(
        "other.npz", "", torch.zeros(joints, 3), torch.zeros(joints, 3, 1), None, weights, torch.zeros(joints, 3),
        torch.zeros(joints, 3, 1), tuple(parents), torch.zeros(1, 3, dtype=torch.int64), (),
    )  # fmt: skip
    found = skinning_weights(other)
    for joint in BODY_JOINTS:
        assert found[rows[joint], joint] == 1
    np.testing.assert_array_equal(found.sum(axis=1), 1)
    if joints > 24:
        assert found[rows[Joint.LEFT_THUMB2], Joint.LEFT_WRIST] == 1


def test_to_vertices_maps_to_the_vertices_of_the_joint(body: Body) -> None:
    values = np.zeros(NUM_BODY_JOINTS)
    values[Joint.LEFT_KNEE] = 2.0
    for weights in (skinning_weights(body), joint_influence(body), segment_influence(body)):
        skin = to_vertices(values, weights)
        assert skin.shape == (body.num_vertices,)
        assert skin.dtype == np.float32
        assert skin.max() <= 2.0 + 1e-6
        assert skin[vertices_near(body, Joint.LEFT_KNEE)].mean() > 0.5
        assert skin[vertices_near(body, contralateral_joint(Joint.LEFT_KNEE))].max() == 0
        assert skin[vertices_near(body, Joint.HEAD)].max() == 0


def test_to_vertices_keeps_nan_frames(body: Body) -> None:
    values = np.random.default_rng(0).normal(size=(3, NUM_BODY_JOINTS))
    values[1] = np.nan
    weights = skinning_weights(body)
    skin = to_vertices(values, weights)
    assert skin.shape == (3, body.num_vertices)
    assert np.isnan(skin[1]).all()
    np.testing.assert_allclose(skin[2], to_vertices(values[2], weights))
    assert np.isfinite(skin[[0, 2]]).all()


def test_skinning_weights_are_smoother_than_nearest_joint_weights(body: Body) -> None:
    """Compare the squared differences along mesh edges, for values that differ little between neighbouring joints."""
    values = np.linspace(-1, 1, NUM_BODY_JOINTS)
    corners = body.faces.numpy()
    distance = torch.cdist(body.v_template, body.joint_template[:NUM_BODY_JOINTS])
    nearest = np.eye(NUM_BODY_JOINTS)[distance.argmin(dim=1).numpy()]
    steps = [
        np.square(np.diff(to_vertices(values, weights)[corners], axis=1)).mean()
        for weights in (skinning_weights(body), nearest)
    ]
    assert steps[0] < 0.5 * steps[1]


def test_joint_influence_divides_a_segment_between_its_ends(body: Body) -> None:
    weights, plain = joint_influence(body), skinning_weights(body)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    vertices, joints = body.v_template.numpy().astype(float), body.joint_template.numpy().astype(float)
    ends = {joint: [joint] + [other for other in BODY_JOINTS if body.parents[other] == joint] for joint in BODY_JOINTS}
    for vertex in range(0, body.num_vertices, 311):
        slow = np.zeros(NUM_BODY_JOINTS)
        for joint in BODY_JOINTS:
            near = {
                end: 1 / max(float(np.linalg.norm(vertices[vertex] - joints[end])), 0.01) ** 2 for end in ends[joint]
            }
            for end, nearness in near.items():
                slow[end] += plain[vertex, joint] * nearness / sum(near.values())
        np.testing.assert_allclose(weights[vertex], slow, atol=1e-9)


def test_joint_influence_on_the_shank(body: Body) -> None:
    weights = joint_influence(body)
    knee, ankle = (body.joint_template[joint].numpy() for joint in (Joint.LEFT_KNEE, Joint.LEFT_ANKLE))
    along = ((body.v_template.numpy() - knee) @ (ankle - knee)) / float((ankle - knee) @ (ankle - knee))
    shank = skinning_weights(body)[:, Joint.LEFT_KNEE] > 0.99
    above, below = shank & (along < 0.3), shank & (along > 0.7)
    assert above.sum() > 20
    assert below.sum() > 20
    assert weights[above, Joint.LEFT_KNEE].min() > 0.6
    assert weights[below, Joint.LEFT_ANKLE].min() > 0.6


def test_joint_influence_depends_on_betas(body: Body) -> None:
    tall = np.array([3.0, -2.0], np.float32)
    assert np.abs(joint_influence(body, tall) - joint_influence(body)).max() > 1e-3
    np.testing.assert_array_equal(joint_influence(body, np.zeros(3, np.float32)), joint_influence(body))


def test_to_vertices_shares_the_weight_of_joints_without_value(body):
    weights = joint_influence(body)
    values = np.arange(1.0, NUM_BODY_JOINTS + 1)
    values[[Joint.LEFT_ELBOW, Joint.LEFT_WRIST]] = np.nan
    skin = to_vertices(values, weights)
    missing = weights[:, [Joint.LEFT_ELBOW, Joint.LEFT_WRIST]].sum(axis=1)
    np.testing.assert_array_equal(np.isnan(skin), missing >= 0.5)
    for vertex in np.flatnonzero(missing < 0.5)[::97]:
        own = np.isfinite(values)
        assert skin[vertex] == pytest.approx(np.average(values[own], weights=weights[vertex, own]), rel=1e-5)


def test_observed_weight_is_that_of_parts_between_observed_joints(body):
    status, skinning = np.full(NUM_BODY_JOINTS, 2, np.uint8), skinning_weights(body)
    np.testing.assert_allclose(observed_weight(status, skinning), 1, atol=1e-6)
    status[[Joint.LEFT_ANKLE, Joint.LEFT_FOOT]] = 0
    expected = 1 - skinning[:, [Joint.LEFT_KNEE, Joint.LEFT_ANKLE, Joint.LEFT_FOOT]].sum(axis=1)
    np.testing.assert_allclose(observed_weight(status, skinning), expected, atol=1e-6)


def test_bones_are_shown_on_the_segments_that_end_at_their_joints(body: Body) -> None:
    plain, weights = skinning_weights(body), segment_influence(body)
    for moves_with, ends_at in (("LEFT_HIP", "LEFT_KNEE"), ("RIGHT_KNEE", "RIGHT_ANKLE"), ("LEFT_ELBOW", "LEFT_WRIST")):
        own = plain[:, Joint[moves_with]] > 0.99  # the middle of the segment
        assert own.any()
        np.testing.assert_allclose(weights[own, Joint[ends_at]], 1, atol=0.02)
    hand = plain[:, Joint.LEFT_WRIST] > 0.99
    np.testing.assert_allclose(weights[hand, Joint.LEFT_WRIST], 1, atol=0.02)
    for kind, expected in (("bones", weights), ("rotations", joint_influence(body))):
        np.testing.assert_array_equal(influence_for(random_attribution(input=kind), body), expected)
