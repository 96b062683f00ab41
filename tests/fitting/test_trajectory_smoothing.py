"""Test the smoother against a dense solution, and gaps in synthetic trials."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation, Slerp

from gait.body.rotations import axis_angle_to_matrix
from gait.body.skeleton import Joint
from gait.fitting.joint_parametrization import Pose
from gait.fitting.reduced_body import reduce_body
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.subject_fit import fit_shape_and_poses
from gait.fitting.trajectory_smoothing import (
    interpolate_poses,
    smooth_trajectory,
    whittaker_smooth,
)
from gait.synthetic import MeasurementErrors
from tests.helpers.fitting_cases import hide_samples, random_body, random_layout, random_pose, record_trial, short_trial

SCALES = ResidualScales()
SMALL_ERRORS = MeasurementErrors(placement_m=0.003, technical_along_m=0.0, noise_m=0.0005, gap_fraction=0.0)
ARM = ("SHO", "UPA", "ELB", "FRM", "WRA", "WRB", "FIN")


# --- the smoother ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stiffness", [0.0, 0.3, 1e4])
@pytest.mark.parametrize("frames", [3, 4, 5, 40])
def test_whittaker_smooth_equals_the_dense_solution(frames, stiffness):
    rng = np.random.default_rng(frames)
    values, weight = rng.normal(size=(frames, 2)), rng.uniform(0.1, 3, frames)
    D = np.zeros((frames - 2, frames))
    for t in range(frames - 2):
        D[t, t : t + 3] = 1, -2, 1
    expected = np.linalg.solve(np.diag(weight) + stiffness * D.T @ D, weight[:, None] * values)
    np.testing.assert_allclose(whittaker_smooth(values, weight, stiffness), expected, atol=1e-8)


@pytest.mark.parametrize("frames", [1, 2])
def test_whittaker_smooth_copies_one_or_two_frames(frames):
    values = np.arange(2.0 * frames).reshape(frames, 2)
    smoothed = whittaker_smooth(values, np.ones(frames), 9.0)
    assert smoothed is not values
    np.testing.assert_array_equal(smoothed, values)


def test_whittaker_smooth_fills_a_gap_linearly():
    values, weight = np.arange(20.0)[:, None] * [1.0, -2.0], np.ones(20)
    wrong = values.copy()
    wrong[7:13] = 99.0
    weight[7:13] = 0.0
    np.testing.assert_allclose(whittaker_smooth(wrong, weight, 50.0), values, atol=1e-8)


def nodding(times_s, amplitude_rad=0.4):
    """Return poses that rotate each joint smoothly about one axis, some of them beyond 180°."""
    axis = torch.tensor(np.random.default_rng(0).normal(size=(22, 3)))
    axis /= axis.norm(dim=-1, keepdim=True)
    angle = (
        torch.linspace(0.0, 3.5, 22)[:, None]
        + amplitude_rad * torch.sin(2 * np.pi * torch.tensor(times_s))[:, None, None]
    )
    rotations = axis_angle_to_matrix(angle.double() * axis)
    translation = torch.stack(
        [torch.tensor(times_s), torch.zeros(len(times_s)), torch.zeros(len(times_s))], -1
    ).double()
    return Pose(rotations, translation)


def angle_between(a, b):
    """Return the angle between rotations (T, J), radians."""
    return Rotation.from_matrix((a @ b.mT).reshape(-1, 3, 3).numpy()).magnitude().reshape(a.shape[:2])


@pytest.mark.parametrize("rate_hz", [50.0, 100.0, 250.0])
def test_smooth_trajectory_keeps_certain_and_smooths_uncertain_poses(rate_hz):
    truth = nodding(np.arange(0, 1.5, 1 / rate_hz))
    T = truth.num_frames
    well = torch.full((T, 23), 1e6, dtype=torch.float64)
    kept = smooth_trajectory(truth, well, rate_hz, SCALES)
    assert angle_between(kept.rotations, truth.rotations).max() < 1e-3
    noise = 0.03 * torch.randn(T, 22, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    noisy = Pose(axis_angle_to_matrix(noise) @ truth.rotations, truth.translation)
    little = torch.full((T, 23), 1 / SCALES.smooth_rad**2, dtype=torch.float64)
    smoothed = smooth_trajectory(noisy, little, rate_hz, SCALES)
    before, after = (angle_between(x.rotations, truth.rotations).mean() for x in (noisy, smoothed))
    assert after < 0.9 * before
    assert np.isfinite(smoothed.rotations.numpy()).all()
    np.testing.assert_allclose(
        smoothed.rotations @ smoothed.rotations.mT, np.eye(3)[None, None].repeat(T, 0).repeat(22, 1), atol=1e-9
    )


def test_smooth_trajectory_keeps_gait_of_joints_with_little_information():
    truth = nodding(np.arange(0, 1.5, 0.01))  # 1 Hz
    little = torch.full((truth.num_frames, 23), 0.01 / SCALES.smooth_rad**2, dtype=torch.float64)
    smoothed = smooth_trajectory(truth, little, 100.0, SCALES)
    assert angle_between(smoothed.rotations, truth.rotations)[20:-20].max() < np.radians(0.1)


def test_smooth_trajectory_fills_the_gap_of_one_joint_alone():
    truth = nodding(np.arange(0, 1.0, 0.01))
    wrong, information = truth.rotations.clone(), torch.full((100, 23), 1e6, dtype=torch.float64)
    gap = slice(40, 52)
    wrong[gap, 5] = axis_angle_to_matrix(torch.tensor([0.0, 2.0, 0.0]).double())
    information[gap, 5] = 0.0
    trajectory = smooth_trajectory(Pose(wrong, truth.translation), information, 100.0, SCALES)
    distance = angle_between(trajectory.rotations, truth.rotations)
    assert distance[gap, 5].max() < 0.05
    assert distance.max() < 0.05


# --- interpolation ---------------------------------------------------------------------------------------------------


def test_interpolate_poses_is_close_to_slerp_and_linear_in_translation():
    frames = np.array([0, 8, 20])
    truth = nodding(frames / 100)
    pose = interpolate_poses(truth, frames, 25, None)
    np.testing.assert_allclose(pose.rotations[frames], truth.rotations, atol=1e-9)
    at = np.arange(21)
    for j in (0, 9, 21):
        expected = Slerp(frames, Rotation.from_matrix(truth.rotations[:, j].numpy()))(at).as_matrix()
        np.testing.assert_allclose(pose.rotations[:21, j], expected, atol=2e-3)
    for c in range(3):
        straight = np.interp(at, frames, truth.translation[:, c].numpy())
        np.testing.assert_allclose(pose.translation[:21, c], straight, atol=1e-12)
    np.testing.assert_allclose(
        pose.rotations[21:], truth.rotations[[2] * 4], atol=1e-9
    )  # after the last frame: its pose


def test_interpolate_poses_from_one_frame():
    truth = nodding([0.3])
    pose = interpolate_poses(truth, np.array([4]), 9, None)
    np.testing.assert_allclose(pose.rotations, truth.rotations.expand(9, -1, -1, -1), atol=1e-9)
    np.testing.assert_allclose(pose.translation, truth.translation.expand(9, -1), atol=1e-12)


def test_interpolate_poses_keeps_hinge_joints_on_their_hinges(tmp_path):
    body = random_body(tmp_path, hinges=True)
    reduced_body = reduce_body(body, random_layout(body, 6))
    ends = random_pose(body, reduced_body, 2, spread=0.4)
    pose = interpolate_poses(ends, np.array([0, 10]), 11, reduced_body.hinges)
    np.testing.assert_allclose(pose.angles[5], ends.angles.mean(dim=0), atol=1e-12)
    hinged = reduced_body.hinges.hinged
    expected = reduced_body.hinges.rotations(pose.angles)[:, hinged]
    np.testing.assert_allclose(pose.rotations[:, hinged], expected, atol=1e-12)


# --- gaps in trials --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trial(open_body):
    return short_trial(open_body, seed=4)


@pytest.fixture(scope="module")
def recording(open_body, layout, trial):
    return record_trial(open_body, trial, layout, SMALL_ERRORS)


@pytest.fixture(scope="module")
def full(recording, open_body, layout):
    return fit_shape_and_poses([recording], open_body, layout).trials[0]


def fit_without(recording, body, layout, frames, labels=None):
    """Fit without these markers (all by default) in these frames."""
    hidden = np.zeros(recording.visible.shape, dtype=bool)
    hidden[frames] = [labels is None or label in labels for label in recording.labels]
    return fit_shape_and_poses([hide_samples(recording, hidden)], body, layout).trials[0]


def speed(joints_m):
    """Return the largest step of each joint between frames, metres."""
    return np.linalg.norm(np.diff(joints_m, axis=0), axis=-1).max(axis=0)


def test_fit_without_gaps_is_close_to_the_truth(full, trial):
    assert np.linalg.norm(full.joints_m - trial.ground_truth.joints_m, axis=-1).mean() < 0.008


@pytest.mark.parametrize("side", ["L", "R"])
def test_arm_without_markers_for_a_third_of_a_second_continues_to_swing(
    recording, open_body, layout, full, trial, side
):
    frames = slice(45, 75)
    fit = fit_without(recording, open_body, layout, frames, [side + name for name in ARM])
    name = {"L": "LEFT", "R": "RIGHT"}[side]
    arm = [Joint[f"{name}_{part}"] for part in ("COLLAR", "SHOULDER", "ELBOW", "WRIST")]
    rest = [joint for joint in range(22) if joint not in arm]
    distance = np.linalg.norm(fit.joints_m - full.joints_m, axis=-1)
    assert distance[frames][:, arm].max() < 0.04
    assert distance[frames][:, arm].mean() < 0.012
    assert distance[:, rest].max() < 0.01
    true = np.linalg.norm(fit.joints_m - trial.ground_truth.joints_m, axis=-1)
    assert true[frames][:, arm].mean() < 0.02
    assert (speed(fit.joints_m) < 1.2 * speed(full.joints_m) + 0.005).all(), "no jump into the gap or out of it"


def test_body_without_markers_for_a_tenth_of_a_second_continues_to_walk(recording, open_body, layout, full, trial):
    frames = slice(50, 60)
    fit = fit_without(recording, open_body, layout, frames)
    assert np.isnan(fit.residual_m[frames]).all()
    true = np.linalg.norm(fit.joints_m - trial.ground_truth.joints_m, axis=-1)
    assert true[frames].mean() < 0.025
    assert true[frames].max() < 0.08
    assert (speed(fit.joints_m) < 1.5 * speed(full.joints_m) + 0.01).all()


@pytest.mark.parametrize("frames", [slice(0, 10), slice(110, 120)], ids=["beginning", "end"])
def test_markers_lost_at_the_beginning_or_end(recording, open_body, layout, full, frames):
    """Without frames on one side, the body continues or at least stays, and does not jump."""
    fit = fit_without(recording, open_body, layout, frames)
    assert np.isfinite(fit.joints_m).all()
    assert np.linalg.norm(fit.joints_m - full.joints_m, axis=-1).max() < 0.3
    assert (speed(fit.joints_m) < 2 * speed(full.joints_m) + 0.01).all()


def test_intermittent_marker_does_not_cause_jitter(recording, open_body, layout, full):
    """A knee marker is visible only in every second frame."""
    fit = fit_without(recording, open_body, layout, slice(1, None, 2), ["LKNE"])
    jitter = np.linalg.norm(np.diff(fit.joints_m - full.joints_m, axis=0), axis=-1)
    assert jitter[:, Joint.LEFT_KNEE].mean() < 0.003
