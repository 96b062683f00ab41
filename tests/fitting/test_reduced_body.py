"""Test the reduced body against the forward pass of the full body."""

import numpy as np
import pytest
import torch

from gait.body.marker_layout import MarkerLayout
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.body.rotations import PoseFeature
from gait.fitting.joint_parametrization import to_model_pose
from gait.fitting.marker_kinematics import SubjectModel, compute_marker_kinematics
from gait.fitting.reduced_body import reduce_body
from tests.helpers.body_files import python2_npy, random_model
from tests.helpers.fitting_cases import (
    OPEN_BODY,
    pose_of,
    random_body,
    random_layout,
    random_pose,
    random_pose_parameters,
    random_subject,
    short_trial,
    true_pose,
)

BENDING_M = 0.0025
"""Bound for the effect of the bending of one triangle during walking on a marker 9 mm above the skin of the mean body;
measured: 1.6 mm at the ankle, 0.13 mm on average."""
SHAPE_M = 0.006
"""Bound for the further effect of the shape, which rotates the triangle; it is constant, so marker offsets absorb it.
Measured over five shapes: 3.7 mm at most."""


@pytest.fixture(scope="module")
def open_body():
    return load_body(OPEN_BODY, dtype=torch.float64)


@pytest.fixture(scope="module")
def trial(open_body):
    return short_trial(open_body, seed=5)


def subject_of(reduced_body, betas):
    return SubjectModel(
        reduced_body,
        torch.as_tensor(betas).double(),
        reduced_body.marker_template.new_zeros(reduced_body.num_markers, 3),
    )


def reference_markers(body, layout, out):
    """Compute the virtual markers one by one, on the posed triangle along its unit normal."""
    markers = np.zeros((len(out.vertices), layout.num_markers, 3))
    for t, vertices in enumerate(out.vertices.numpy()):
        for m in range(layout.num_markers):
            a, b, c = vertices[body.faces[layout.face[m]].numpy()]
            normal = np.cross(b - a, c - a)
            point = layout.barycentric[m] @ np.stack([a, b, c])
            markers[t, m] = point + layout.height_above_skin_m[m] * normal / np.linalg.norm(normal)
    return markers


def vertex_layout(body, count=25, seed=0):
    """Return a layout of markers on corners of triangles, without height above the skin."""
    layout = random_layout(body, count, seed)
    corner = np.eye(3)[np.random.default_rng(seed).integers(3, size=count)]
    return MarkerLayout(layout.labels, layout.face, corner, np.zeros(count), layout.kinds, layout.source), corner


@pytest.mark.parametrize("feature", [None, *PoseFeature])
@pytest.mark.parametrize("hinges", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_markers_on_vertices_equal_the_posed_vertices(tmp_path, hinges, feature, seed):
    body = random_body(tmp_path, hinges=hinges, feature=feature, seed=seed)
    layout, corner = vertex_layout(body, seed=seed)
    reduced_body = reduce_body(body, layout)
    parameters, translation = random_pose_parameters(body, 4, seed)
    betas = torch.randn(6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    out = body(parameters, betas, translation)
    kinematics = compute_marker_kinematics(
        subject_of(reduced_body, betas), pose_of(body, reduced_body, parameters, translation)
    )
    vertex = body.faces.numpy()[layout.face, corner.argmax(axis=1)]
    np.testing.assert_allclose(kinematics.markers, out.vertices[:, vertex], atol=1e-9)
    np.testing.assert_allclose(kinematics.joints, out.joints[:, :22], atol=1e-9)
    np.testing.assert_allclose(kinematics.world, out.rotations[:, :22], atol=1e-9)


def test_markers_on_vertices_of_a_hand(tmp_path):
    """All joints of a body with fewer than 22 joints are fitted."""
    model = random_model(num_joints=16)
    model["weights"] = np.where(model["weights"] < 0.02, 0, model["weights"])
    model["weights"] /= model["weights"].sum(axis=1, keepdims=True)
    path = tmp_path / "hand.npy"
    path.write_bytes(python2_npy(model))
    body = load_body(path, dtype=torch.float64)
    layout, corner = vertex_layout(body)
    parameters, translation = random_pose_parameters(body, 2)
    reduced_body = reduce_body(body, layout)
    kinematics = compute_marker_kinematics(
        subject_of(reduced_body, torch.zeros(50)), pose_of(body, reduced_body, parameters, translation)
    )
    vertex = body.faces.numpy()[layout.face, corner.argmax(axis=1)]
    out = body(parameters, torch.zeros(50, dtype=torch.float64), translation)
    np.testing.assert_allclose(kinematics.markers, out.vertices[:, vertex], atol=1e-9)


def marker_distance_m(body, layout, reduced_body, truth, betas):
    """Return the distance (T, M) between markers of the reduced and of the full body in some frames of a trial."""
    pose = true_pose(body, reduced_body, truth)[slice(0, None, 6)]
    betas = torch.as_tensor(betas).double()
    out = body(to_model_pose(body, pose, reduced_body.hinges), betas, pose.translation)
    kinematics = compute_marker_kinematics(subject_of(reduced_body, betas), pose)
    np.testing.assert_allclose(kinematics.joints, out.joints[:, :22], atol=1e-9)
    return np.linalg.norm(kinematics.markers.numpy() - reference_markers(body, layout, out), axis=-1)


def test_markers_of_a_walking_body_equal_those_of_the_mesh_up_to_triangle_bending(open_body, trial):
    layout = plug_in_gait_layout(open_body)
    reduced_body = reduce_body(open_body, layout)
    distance = marker_distance_m(open_body, layout, reduced_body, trial.ground_truth, np.zeros(50))
    assert distance.max() < BENDING_M
    assert distance.mean() < BENDING_M / 10
    shaped = marker_distance_m(open_body, layout, reduced_body, trial.ground_truth, trial.ground_truth.betas)
    assert shaped.max() < SHAPE_M
    assert np.ptp(shaped, axis=0).max() < BENDING_M, "the effect of the shape is constant"


def test_markers_at_rest_equal_those_of_the_mesh(open_body):
    layout = plug_in_gait_layout(open_body)
    reduced_body = reduce_body(open_body, layout)
    parameters, translation = (
        torch.zeros(1, open_body.num_pose, dtype=torch.float64),
        torch.zeros(1, 3, dtype=torch.float64),
    )
    betas = torch.zeros(50, dtype=torch.float64)
    kinematics = compute_marker_kinematics(
        subject_of(reduced_body, betas), pose_of(open_body, reduced_body, parameters, translation)
    )
    mesh = reference_markers(open_body, layout, open_body(parameters, betas))
    np.testing.assert_allclose(kinematics.markers, mesh, atol=1e-4)  # skinning weights below 1e-4 are ignored


def test_offsets_rotate_with_the_skin(tmp_path):
    """An offset is rotated by the skinning-weighted mean rotation of the joints."""
    body = random_body(tmp_path)
    layout = random_layout(body, 8)
    subject = random_subject(body, layout)
    pose = random_pose(body, subject.reduced_body, 3)
    bare = compute_marker_kinematics(
        SubjectModel(subject.reduced_body, subject.betas, torch.zeros_like(subject.offset)), pose
    )
    kinematics = compute_marker_kinematics(subject, pose)
    reduced_body = subject.reduced_body
    for t in range(3):
        for m in range(8):
            skin = zip(reduced_body.skin_joints[m].tolist(), reduced_body.skin_joint_weights[m].tolist(), strict=True)
            rotated = sum(weight * kinematics.world[t, j] @ subject.offset[m] for j, weight in skin)
            np.testing.assert_allclose(kinematics.markers[t, m] - bare.markers[t, m], rotated, atol=1e-12)


def test_offsets_per_frame(tmp_path):
    body = random_body(tmp_path)
    subject = random_subject(body, random_layout(body, 8))
    pose = random_pose(body, subject.reduced_body, 3)
    offset = torch.randn(3, 8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 0.03
    together = compute_marker_kinematics(SubjectModel(subject.reduced_body, subject.betas, offset), pose).markers
    for t in range(3):
        alone = compute_marker_kinematics(
            SubjectModel(subject.reduced_body, subject.betas, offset[t]), pose[slice(t, t + 1)]
        ).markers
        np.testing.assert_allclose(together[t], alone[0], atol=1e-12)


def test_select_keeps_the_markers_unchanged(tmp_path):
    body = random_body(tmp_path)
    subject = random_subject(body, random_layout(body, 10))
    rows = torch.tensor([7, 2, 3])
    pose = random_pose(body, subject.reduced_body, 2)
    fewer = SubjectModel(subject.reduced_body.select(rows), subject.betas, subject.offset[rows])
    assert fewer.reduced_body.labels == ("M7", "M2", "M3")
    expected = compute_marker_kinematics(subject, pose).markers[:, rows]
    np.testing.assert_allclose(compute_marker_kinematics(fewer, pose).markers, expected, atol=1e-12)


@pytest.mark.parametrize("hinges", [False, True])
def test_full_parameters_reproduce_reduced_pose(tmp_path, hinges):
    """Reduced parameters convert to full pose parameters with the same joint rotations."""
    body = random_body(tmp_path, hinges=hinges)
    reduced_body = reduce_body(body, random_layout(body, 6))
    parameters, translation = random_pose_parameters(body, 5, spread=0.5)
    pose = pose_of(body, reduced_body, parameters, translation)
    np.testing.assert_allclose(to_model_pose(body, pose, reduced_body.hinges), parameters, atol=1e-9)
