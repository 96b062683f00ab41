"""Importance on the skin: both ways against slow and obvious ones, on bodies of several families."""

import numpy as np
import pytest
import torch

from gait.body.body import Body
from gait.body.model_file import load_body
from gait.body.skeleton import BODY_JOINTS, NUM_BODY_JOINTS, Joint, joint_rows, mirrored
from gait.explaining.vertex_attribution import joint_weights, nearest_joint_weights, on_vertices, skinning_weights
from tests.helpers.paths import OPEN_BODY


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body(OPEN_BODY)


def vertices_near(body: Body, joint: Joint) -> np.ndarray:
    return np.argsort(np.linalg.norm((body.v_template - body.joint_template[joint]).numpy(), axis=1))[:20]


def test_skinning_weights_are_folded_on_the_nearest_body_joint_above(body: Body) -> None:
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
def test_bodies_of_other_families_give_their_rows_to_the_same_joints(body: Body, joints: int) -> None:
    rows = joint_rows(joints)
    named = {row: joint for joint, row in rows.items()}
    weights = torch.eye(joints)  # a vertex a joint
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


def test_published_weights_fall_from_the_nearest_vertex_to_the_farthest(body: Body) -> None:
    weights = nearest_joint_weights(body)
    vertices, joints = body.v_template.numpy().astype(float), body.joint_template.numpy().astype(float)
    owners: dict[int, list[tuple[int, float]]] = {joint: [] for joint in range(NUM_BODY_JOINTS)}
    for vertex, place in enumerate(vertices):
        distances = [float(np.sqrt(((place - joints[joint]) ** 2).sum())) for joint in range(NUM_BODY_JOINTS)]
        nearest = distances.index(min(distances))
        owners[nearest].append((vertex, distances[nearest]))
    for joint, own in owners.items():
        least, most = min(d for _, d in own), max(d for _, d in own)
        for vertex, distance in own[::7]:
            expected = np.zeros(NUM_BODY_JOINTS)
            expected[joint] = 1 - (distance - least) / (most - least)
            np.testing.assert_allclose(weights[vertex], expected, atol=1e-5)


def test_values_go_to_the_vertices_of_their_joint(body: Body) -> None:
    values = np.zeros(NUM_BODY_JOINTS)
    values[Joint.LEFT_KNEE] = 2.0
    for weights in (skinning_weights(body), nearest_joint_weights(body)):
        skin = on_vertices(values, weights)
        assert skin.shape == (body.num_vertices,)
        assert skin.dtype == np.float32
        assert skin.max() <= 2.0 + 1e-6
        assert skin[vertices_near(body, Joint.LEFT_KNEE)].mean() > 0.5
        assert skin[vertices_near(body, mirrored(Joint.LEFT_KNEE))].max() == 0
        assert skin[vertices_near(body, Joint.HEAD)].max() == 0


def test_frames_without_explanation_have_none_on_the_skin_either(body: Body) -> None:
    values = np.random.default_rng(0).normal(size=(3, NUM_BODY_JOINTS))
    values[1] = np.nan
    weights = skinning_weights(body)
    skin = on_vertices(values, weights)
    assert skin.shape == (3, body.num_vertices)
    assert np.isnan(skin[1]).all()
    np.testing.assert_allclose(skin[2], on_vertices(values[2], weights))
    assert np.isfinite(skin[[0, 2]]).all()


def test_skinning_is_smooth_where_the_published_way_jumps(body: Body) -> None:
    """By the squared steps of importance along the edges of the skin, where neighbouring joints differ little."""
    values = np.linspace(-1, 1, NUM_BODY_JOINTS)
    corners = body.faces.numpy()
    steps = [
        np.square(np.diff(on_vertices(values, weights)[corners], axis=1)).mean()
        for weights in (skinning_weights(body), nearest_joint_weights(body))
    ]
    assert steps[0] < 0.5 * steps[1]


def test_weights_centred_on_joints_share_each_segment_between_its_ends(body: Body) -> None:
    weights, plain = joint_weights(body), skinning_weights(body)
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


def test_the_shank_is_the_knees_above_and_the_ankles_below(body: Body) -> None:
    weights = joint_weights(body)
    knee, ankle = (body.joint_template[joint].numpy() for joint in (Joint.LEFT_KNEE, Joint.LEFT_ANKLE))
    along = ((body.v_template.numpy() - knee) @ (ankle - knee)) / float((ankle - knee) @ (ankle - knee))
    shank = skinning_weights(body)[:, Joint.LEFT_KNEE] > 0.99
    above, below = shank & (along < 0.3), shank & (along > 0.7)
    assert above.sum() > 20
    assert below.sum() > 20
    assert weights[above, Joint.LEFT_KNEE].min() > 0.6
    assert weights[below, Joint.LEFT_ANKLE].min() > 0.6


def test_another_shape_has_its_own_weights(body: Body) -> None:
    tall = np.array([3.0, -2.0], np.float32)
    assert np.abs(joint_weights(body, tall) - joint_weights(body)).max() > 1e-3
    np.testing.assert_array_equal(joint_weights(body, np.zeros(3, np.float32)), joint_weights(body))
