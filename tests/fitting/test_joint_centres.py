"""Joint centres in place of markers: as cameras without markers estimate them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gait.body.joint_status import JointStatus
from gait.body.marker_layout import MarkerLayout
from gait.body.skeleton import BODY_JOINTS, Joint
from gait.capture.recording import Recording
from gait.fitting.calibration import offset_precision
from gait.fitting.marker_kinematics import SubjectModel, compute_marker_kinematics, pose_jacobian, shape_jacobian
from gait.fitting.objective_terms import build_joint_prior, marker_scales
from gait.fitting.reduced_body import reduce_body
from gait.fitting.reference_normal_equations import normal_equations
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.solver.batched_normal_equations import BatchedNormalEquations
from gait.fitting.solver.frame_data import ObservedMarkers
from gait.fitting.subject_fit import FitOptions, fit_shape_and_poses
from tests.helpers.fitting_cases import random_body, random_layout, random_pose, random_subject, short_trial

COCO = [
    Joint[f"{side}_{name}"]
    for name in ("SHOULDER", "ELBOW", "WRIST", "HIP", "KNEE", "ANKLE")
    for side in ("LEFT", "RIGHT")
]
NOISE_M = 0.015


def centres(joints):
    """Return a layout of joint centres, labelled with the joints' names."""
    count = len(joints)
    return MarkerLayout(
        labels=tuple(joint.name for joint in joints),
        face=np.zeros(count, dtype=np.int64),
        barycentric=np.full((count, 3), 1 / 3),
        height_above_skin_m=np.zeros(count),
        kinds=("joint_centre",) * count,
        source="a test",
        joints={joint.name: joint for joint in joints},
    )


@pytest.mark.parametrize("hinges", [False, True])
def test_reduce_body_puts_joint_centres_at_the_joints(tmp_path, hinges):
    body = random_body(tmp_path, hinges=hinges)
    reduced = reduce_body(body, centres(BODY_JOINTS))
    generator = torch.Generator().manual_seed(1)
    betas = torch.randn(body.num_betas, generator=generator, dtype=torch.float64)
    subject = SubjectModel(reduced, betas, torch.zeros(len(BODY_JOINTS), 3, dtype=torch.float64))
    kinematics = compute_marker_kinematics(subject, random_pose(body, reduced, 3))
    torch.testing.assert_close(kinematics.markers, kinematics.joints, atol=1e-12, rtol=0)


def test_joint_centre_jacobians_equal_finite_differences_of_the_shape(tmp_path):
    body = random_body(tmp_path)
    reduced = reduce_body(body, centres(COCO))
    pose = random_pose(body, reduced, 2)
    offset = torch.full((len(COCO), 3), 0.02, dtype=torch.float64)
    betas = torch.zeros(body.num_betas, dtype=torch.float64)
    kinematics = compute_marker_kinematics(SubjectModel(reduced, betas, offset), pose)
    exact = shape_jacobian(SubjectModel(reduced, betas, offset), kinematics)
    step = 1e-6
    for k in range(body.num_betas):
        moved = betas.clone()
        moved[k] += step
        after = compute_marker_kinematics(SubjectModel(reduced, moved, offset), pose).markers
        torch.testing.assert_close((after - kinematics.markers) / step, exact[..., k], atol=1e-6, rtol=1e-5)
    by_pose = pose_jacobian(SubjectModel(reduced, betas, offset), kinematics).unflatten(1, (len(COCO), 3))
    knee, hip = COCO.index(Joint.LEFT_KNEE), int(Joint.LEFT_HIP)
    own = by_pose[:, knee, :, 3 * Joint.LEFT_KNEE : 3 * Joint.LEFT_KNEE + 3]
    assert float(own.abs().max()) == 0  # the knee's own rotation does not move it
    assert float(by_pose[:, knee, :, 3 * hip : 3 * hip + 3].abs().max()) > 0.01


def test_solver_equals_reference_with_markers_and_joint_centres(tmp_path):
    """The larger error of joint centres counts alike in both forms of the normal equations."""
    body = random_body(tmp_path)
    skin, points = random_layout(body, count=8), centres(COCO)
    layout = MarkerLayout(
        labels=(*skin.labels, *points.labels),
        face=np.concatenate([skin.face, points.face]),
        barycentric=np.concatenate([skin.barycentric, points.barycentric]),
        height_above_skin_m=np.concatenate([skin.height_above_skin_m, points.height_above_skin_m]),
        kinds=(*skin.kinds, *points.kinds),
        source="a test",
        joints=points.joints,
    )
    scales = ResidualScales()
    subject = random_subject(body, layout)
    sigma, robust = marker_scales(subject.reduced_body, scales)
    assert sigma.tolist() == [scales.marker_m] * 8 + [scales.joint_centre_m] * 12
    assert robust.tolist() == [scales.marker_robust_m] * 8 + [scales.joint_centre_robust_m] * 12
    pose = random_pose(body, subject.reduced_body, 4, spread=0.3)
    observed = compute_marker_kinematics(subject, pose).markers
    observed = observed + 0.02 * torch.randn(
        observed.shape, generator=torch.Generator().manual_seed(2), dtype=observed.dtype
    )
    observation = ObservedMarkers(observed, torch.ones(observed.shape[:2], dtype=torch.bool))
    prior = build_joint_prior(FitOptions().prior, scales, bounds=None, body=body, hinges=None)
    slow = normal_equations(subject, pose, observation, prior, scales)
    fast = BatchedNormalEquations(subject, prior, scales, torch.float64)
    data = fast.frame_data(observation)
    torch.testing.assert_close(fast.linearize(fast.to_internal(pose, data), data).cost, slow.cost)


def test_offset_precision_is_wider_for_hips(open_body):
    layout = centres([Joint.LEFT_HIP, Joint.LEFT_KNEE])
    scales = ResidualScales()
    precision = offset_precision(reduce_body(open_body, layout), layout.kinds, scales)
    expected = [scales.hip_centre_offset_m, scales.joint_centre_offset_m]
    torch.testing.assert_close(precision, torch.stack([torch.eye(3).double() / sigma**2 for sigma in expected]))


@pytest.fixture(scope="module")
def keypoints(open_body):
    """A trial, and the fit of its joints as COCO names them, with noise and a gap."""
    truth = short_trial(open_body).ground_truth
    rng = np.random.default_rng(1)
    positions = truth.joints_m[:, COCO] + rng.normal(0, NOISE_M / np.sqrt(3), (truth.num_frames, len(COCO), 3))
    visible = np.ones(positions.shape[:2], dtype=bool)
    visible[40:70, COCO.index(Joint.RIGHT_WRIST)] = False
    positions[~visible] = np.nan
    labels = tuple(joint.name for joint in COCO)
    recording = Recording(Path("walk.trc"), labels, positions, visible, truth.rate_hz)
    return truth, fit_shape_and_poses([recording], open_body, centres(COCO)).trials[0]


def test_fit_of_joint_centres_is_within_their_noise(keypoints):
    truth, trial = keypoints
    error = np.linalg.norm(trial.joints_m - truth.joints_m, axis=-1)
    assert error[:, COCO].mean() < 1.1 * NOISE_M
    assert error[:, COCO].mean(axis=0).max() < 2 * NOISE_M


def test_fit_of_joint_centres_does_not_claim_the_feet(keypoints):
    (sequence,) = keypoints[1].pose_sequences
    assert (sequence.joint_status[:, [Joint.LEFT_FOOT, Joint.RIGHT_FOOT]] == JointStatus.NOT_OBSERVED).all()
    known = sequence.joint_status[:, [Joint.LEFT_KNEE, Joint.PELVIS]]
    assert (known != JointStatus.NOT_OBSERVED).all()
    assert (sequence.joint_status[:, [Joint.SPINE1, Joint.SPINE2, Joint.SPINE3]] < JointStatus.OBSERVED).all()
