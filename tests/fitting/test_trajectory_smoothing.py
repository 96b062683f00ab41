"""What frames borrow from their neighbours: the smoother against a dense solution, and gaps in walks that are known."""

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, Slerp

from gait.body.marker_placement import plug_in_gait_layout
from gait.body.rotations import axis_angle_to_matrix
from gait.body.skeleton import Joint
from gait.fitting.joint_parametrization import Pose
from gait.fitting.reduced_body import marker_skin
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.subject_fit import fit_person
from gait.fitting.trajectory_smoothing import between_frames, cubic_spline, smooth_course, whittaker
from gait.synthetic import MarkerErrors
from tests.helpers.fitting_cases import random_body, random_layout, random_pose, recorded, short_walk, unseen_where

WEIGHTS = ResidualScales()
SMALL_ERRORS = MarkerErrors(placement_m=0.003, technical_along_m=0.0, noise_m=0.0005, gap_share=0.0)
ARM = ("SHO", "UPA", "ELB", "FRM", "WRA", "WRB", "FIN")


# --- the smoother ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stiffness", [0.0, 0.3, 1e4])
@pytest.mark.parametrize("frames", [3, 4, 5, 40])
def test_whittaker_equals_a_dense_solution(frames, stiffness):
    rng = np.random.default_rng(frames)
    values, weight = rng.normal(size=(frames, 2)), rng.uniform(0.1, 3, frames)
    D = np.zeros((frames - 2, frames))
    for t in range(frames - 2):
        D[t, t : t + 3] = 1, -2, 1
    expected = np.linalg.solve(np.diag(weight) + stiffness * D.T @ D, weight[:, None] * values)
    np.testing.assert_allclose(whittaker(values, weight, stiffness), expected, atol=1e-8)


@pytest.mark.parametrize("frames", [1, 2])
def test_whittaker_leaves_what_has_no_course(frames):
    values = np.arange(2.0 * frames).reshape(frames, 2)
    smoothed = whittaker(values, np.ones(frames), 9.0)
    assert smoothed is not values
    np.testing.assert_array_equal(smoothed, values)


def test_whittaker_draws_a_straight_line_through_a_gap():
    values, weight = np.arange(20.0)[:, None] * [1.0, -2.0], np.ones(20)
    wrong = values.copy()
    wrong[7:13] = 99.0
    weight[7:13] = 0.0
    np.testing.assert_allclose(whittaker(wrong, weight, 50.0), values, atol=1e-8)


def nodding(times_s, share_of_turn=0.4):
    """A pose that moves all joints about one axis smoothly, some of them past a half turn."""
    axis = torch.tensor(np.random.default_rng(0).normal(size=(22, 3)))
    axis /= axis.norm(dim=-1, keepdim=True)
    angle = (
        torch.linspace(0.0, 3.5, 22)[:, None]
        + share_of_turn * torch.sin(2 * np.pi * torch.tensor(times_s))[:, None, None]
    )
    rotations = axis_angle_to_matrix(angle.double() * axis)
    place = torch.stack([torch.tensor(times_s), torch.zeros(len(times_s)), torch.zeros(len(times_s))], -1).double()
    return Pose(rotations, place)


def angle_between(a, b):
    """(T, J) radians."""
    return Rotation.from_matrix((a @ b.mT).reshape(-1, 3, 3).numpy()).magnitude().reshape(a.shape[:2])


@pytest.mark.parametrize("rate_hz", [50.0, 100.0, 250.0])
def test_a_course_well_known_is_kept_and_noise_little_known_is_smoothed(rate_hz):
    truth = nodding(np.arange(0, 1.5, 1 / rate_hz))
    T = truth.frames
    well = torch.full((T, 23), 1e6, dtype=torch.float64)
    kept = smooth_course(truth, well, rate_hz, WEIGHTS)
    assert angle_between(kept.rotations, truth.rotations).max() < 1e-3
    noise = 0.03 * torch.randn(T, 22, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    noisy = Pose(axis_angle_to_matrix(noise) @ truth.rotations, truth.translation)
    little = torch.full((T, 23), 1 / WEIGHTS.smooth_rad**2, dtype=torch.float64)
    smoothed = smooth_course(noisy, little, rate_hz, WEIGHTS)
    before, after = (angle_between(x.rotations, truth.rotations).mean() for x in (noisy, smoothed))
    assert after < 0.9 * before
    assert np.isfinite(smoothed.rotations.numpy()).all()
    np.testing.assert_allclose(
        smoothed.rotations @ smoothed.rotations.mT, np.eye(3)[None, None].repeat(T, 0).repeat(22, 1), atol=1e-9
    )


def test_a_joint_that_nothing_sees_is_bridged_and_the_others_are_not_moved():
    truth = nodding(np.arange(0, 1.0, 0.01))
    wrong, known = truth.rotations.clone(), torch.full((100, 23), 1e6, dtype=torch.float64)
    gap = slice(40, 52)
    wrong[gap, 5] = axis_angle_to_matrix(torch.tensor([0.0, 2.0, 0.0]).double())
    known[gap, 5] = 0.0
    course = smooth_course(Pose(wrong, truth.translation), known, 100.0, WEIGHTS)
    apart = angle_between(course.rotations, truth.rotations)
    assert apart[gap, 5].max() < 0.05
    assert apart.max() < 0.05


# --- between frames --------------------------------------------------------------------------------------------------


def test_between_frames_is_slerp_and_a_straight_line():
    frames = np.array([0, 8, 20])
    truth = nodding(frames / 100)
    pose = between_frames(truth, frames, 25, None)
    np.testing.assert_allclose(pose.rotations[frames], truth.rotations, atol=1e-9)
    at = np.arange(21)
    for j in (0, 9, 21):
        expected = Slerp(frames, Rotation.from_matrix(truth.rotations[:, j].numpy()))(at).as_matrix()
        np.testing.assert_allclose(pose.rotations[:21, j], expected, atol=2e-3)
    for c in range(3):
        straight = np.interp(at, frames, truth.translation[:, c].numpy())
        np.testing.assert_allclose(pose.translation[:21, c], straight, atol=1e-12)
    np.testing.assert_allclose(pose.rotations[21:], truth.rotations[[2] * 4], atol=1e-9)  # beyond the last: as there


def test_between_frames_with_one_frame_alone():
    truth = nodding([0.3])
    pose = between_frames(truth, np.array([4]), 9, None)
    np.testing.assert_allclose(pose.rotations, truth.rotations.expand(9, -1, -1, -1), atol=1e-9)
    np.testing.assert_allclose(pose.translation, truth.translation.expand(9, -1), atol=1e-12)


def test_between_frames_of_a_hinge_tree_stays_on_its_hinges(tmp_path):
    body = random_body(tmp_path, hinges=True)
    skin = marker_skin(body, random_layout(body, 6))
    ends = random_pose(body, skin, 2, spread=0.4)
    pose = between_frames(ends, np.array([0, 10]), 11, skin.hinges)
    np.testing.assert_allclose(pose.angles[5], ends.angles.mean(dim=0), atol=1e-12)
    hinged = skin.hinges.hinged
    expected = skin.hinges.rotations(pose.angles)[:, hinged]
    np.testing.assert_allclose(pose.rotations[:, hinged], expected, atol=1e-12)


# --- gaps in walks ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def layout(open_body):
    return plug_in_gait_layout(open_body)


@pytest.fixture(scope="module")
def walk(open_body):
    return short_walk(open_body, seed=4)


@pytest.fixture(scope="module")
def recording(open_body, layout, walk):
    return recorded(open_body, walk, layout, SMALL_ERRORS)


@pytest.fixture(scope="module")
def full(recording, open_body, layout):
    return fit_person([recording], open_body, layout).gaits[0]


def fit_without(recording, body, layout, frames, labels=None):
    """Fitted with these markers (all by default) lost in these frames."""
    hidden = np.zeros(recording.visible.shape, dtype=bool)
    hidden[frames] = [labels is None or label in labels for label in recording.labels]
    return fit_person([unseen_where(recording, hidden)], body, layout).gaits[0]


def speed(joints_m):
    """Largest step of any joint from frame to frame, metres."""
    return np.linalg.norm(np.diff(joints_m, axis=0), axis=-1).max(axis=0)


def test_the_full_fit_is_near_the_truth(full, walk):
    assert np.linalg.norm(full.joints_m - walk.truth.joints_m, axis=-1).mean() < 0.008


@pytest.mark.parametrize("side", ["L", "R"])
def test_an_arm_lost_for_a_third_of_a_second_swings_on(recording, open_body, layout, full, walk, side):
    frames = slice(45, 75)
    fit = fit_without(recording, open_body, layout, frames, [side + name for name in ARM])
    name = {"L": "LEFT", "R": "RIGHT"}[side]
    arm = [Joint[f"{name}_{part}"] for part in ("COLLAR", "SHOULDER", "ELBOW", "WRIST")]
    rest = [joint for joint in range(22) if joint not in arm]
    apart = np.linalg.norm(fit.joints_m - full.joints_m, axis=-1)
    assert apart[frames][:, arm].max() < 0.04
    assert apart[frames][:, arm].mean() < 0.012
    assert apart[:, rest].max() < 0.01
    true = np.linalg.norm(fit.joints_m - walk.truth.joints_m, axis=-1)
    assert true[frames][:, arm].mean() < 0.02
    assert (speed(fit.joints_m) < 1.2 * speed(full.joints_m) + 0.005).all(), "no jump into the gap or out of it"


def test_a_body_lost_for_a_tenth_of_a_second_walks_on(recording, open_body, layout, full, walk):
    frames = slice(50, 60)
    fit = fit_without(recording, open_body, layout, frames)
    assert np.isnan(fit.residual_m[frames]).all()
    true = np.linalg.norm(fit.joints_m - walk.truth.joints_m, axis=-1)
    assert true[frames].mean() < 0.025
    assert true[frames].max() < 0.08
    assert (speed(fit.joints_m) < 1.5 * speed(full.joints_m) + 0.01).all()


@pytest.mark.parametrize("frames", [slice(0, 10), slice(110, 120)], ids=["beginning", "end"])
def test_markers_lost_at_an_end(recording, open_body, layout, full, frames):
    """Nothing to bridge to: the body goes on as it went, or at least stays, and does not jump."""
    fit = fit_without(recording, open_body, layout, frames)
    assert np.isfinite(fit.joints_m).all()
    assert np.linalg.norm(fit.joints_m - full.joints_m, axis=-1).max() < 0.3
    assert (speed(fit.joints_m) < 2 * speed(full.joints_m) + 0.01).all()


def test_one_marker_that_comes_and_goes_does_not_shake_the_body(recording, open_body, layout, full):
    """A knee's marker seen in every other frame alone."""
    fit = fit_without(recording, open_body, layout, slice(1, None, 2), ["LKNE"])
    shaking = np.linalg.norm(np.diff(fit.joints_m - full.joints_m, axis=0), axis=-1)
    assert shaking[:, Joint.LEFT_KNEE].mean() < 0.003


@pytest.mark.parametrize("knots", [[0, 3, 6, 9, 12], [0, 1, 5, 7], [2, 4, 9, 10, 15, 16]])
def test_cubic_spline_is_scipys(knots):
    knots = np.array(knots)
    values = np.random.default_rng(0).normal(size=(len(knots), 3))
    at = np.arange(knots[0], knots[-1] + 1)
    left = (np.searchsorted(knots, at, side="right") - 1).clip(max=len(knots) - 2)
    share = ((at - knots[left]) / np.diff(knots)[left])[:, None]
    expected = CubicSpline(knots, values, bc_type="natural")(at)
    np.testing.assert_allclose(cubic_spline(knots, values, left, share), expected, atol=1e-12)
