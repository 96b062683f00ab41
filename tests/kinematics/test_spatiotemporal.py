"""Spatio-temporal parameters of steps whose places and times are known."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from gait.body.joint_status import JointStatus
from gait.body.model_file import load_body
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import NUM_BODY_JOINTS, Joint
from gait.kinematics.gait_events import SIDES, GaitEvents
from gait.kinematics.spatiotemporal import (
    PARAMETER_NAMES,
    FootPath,
    GaitParameters,
    belt_velocity_m_s,
    clinical_leg_length_m,
    pool_parameters,
    scale_factor,
    stride_parameters,
)
from gait.kinematics.strides import find_trial_strides
from gait.kinematics.trial_analysis import analyse_trial
from gait.kinematics.walking import leg_length_m
from gait.synthetic import SyntheticTrial, make_pathology, make_subject, make_trial
from tests.helpers.motion_cases import stick_figure
from tests.helpers.paths import OPEN_BODY

pytestmark = pytest.mark.usefixtures("one_thread")

RATE_HZ = 100.0
CONTACTS = {"left": [20.0, 120.0, 222.0], "right": [72.0, 170.0]}
OFFS = {"left": [80.0, 182.0], "right": [32.0, 131.0]}
PLACES = {
    "left": [(0.1, 0.0), (0.1, 1.2), (0.1, 2.5)],
    "right": [(-0.02, 0.55), (-0.05, 1.85)],
}  # x to the left, z ahead


def events() -> GaitEvents:
    return GaitEvents(*({side: np.array(e[side]) for side in SIDES} for e in (CONTACTS, OFFS)))


def foot_path(side: str, frames: int = 240) -> np.ndarray:
    """Return the path of a heel that rests at its places from contact to foot off."""
    times, places = [], []
    for contact, place in zip(CONTACTS[side], PLACES[side], strict=True):
        off = next((off for off in OFFS[side] if off > contact), frames)
        times += [contact, off]
        places += [place, place]
    x, z = (np.interp(np.arange(frames), times, [place[k] for place in places]) for k in (0, 1))
    return np.stack([x, np.full(frames, 0.05), z], axis=1)


def parameters(turn_rad: float = 0.0) -> dict[tuple[str, str], np.ndarray]:
    R = np.array([[math.cos(turn_rad), 0, math.sin(turn_rad)], [0, 1, 0], [-math.sin(turn_rad), 0, math.cos(turn_rad)]])
    strides = find_trial_strides(events(), stick_figure(240), RATE_HZ)
    return stride_parameters({side: FootPath(foot_path(side) @ R.T) for side in SIDES}, events(), strides)


@pytest.mark.parametrize("turn_rad", [0.0, 2.0])
def test_stride_parameters_follow_from_places_and_times(turn_rad: float) -> None:
    found = parameters(turn_rad)
    expected = {
        "stride_length": [1.2, 1.3],
        "stride_time": [1.0, 1.02],
        "walking_speed": [1.2, 1.3 / 1.02],
        "cadence": [120, 120 / 1.02],
        "step_length": [0.65, 0.65],
        "step_time": [0.48, 0.52],
        "step_width": [0.12, 0.15],
        "stance_time": [0.6, 0.62],
        "swing_time": [0.4, 0.4],
        "single_support_time": [0.4, 0.39],
        "double_support_time": [0.2, 0.23],
        "opposite_foot_off": [12, 11 / 1.02],
        "opposite_contact": [52, 50 / 1.02],
        "stance": [60, 62 / 1.02],
        "first_double_support": [12, 11 / 1.02],
        "second_double_support": [8, 12 / 1.02],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found[name, "left"], values, rtol=1e-9, err_msg=name)
    for side in SIDES:
        shares = [
            found[name, side] for name in ("first_double_support", "single_support", "second_double_support", "swing")
        ]
        np.testing.assert_allclose(np.sum(shares, axis=0), 100)
        np.testing.assert_allclose(found["first_double_support", side] + found["second_double_support", side],
                                   found["double_support", side])  # fmt: skip
        assert np.isnan(found["foot_clearance", side]).all()
    along = np.array([0.03, 1.3]) / math.hypot(0.03, 1.3) * [-1, 1]  # of the right stride
    np.testing.assert_allclose(found["step_length", "right"], [np.array([-0.15, 0.65]) @ along])
    np.testing.assert_allclose(found["step_width", "right"], [np.array([0.12, 0.65]) @ [along[1], -along[0]]])
    assert set(found) == {(name, side) for name in PARAMETER_NAMES for side in SIDES}


def test_stride_parameters_of_crossing_feet_have_a_negative_width() -> None:
    strides = find_trial_strides(events(), stick_figure(240), RATE_HZ)
    feet = {side: FootPath(foot_path(side) * [-1, 1, 1]) for side in SIDES}
    assert (stride_parameters(feet, events(), strides)["step_width", "left"] < 0).all()


def test_stride_parameters_without_a_foot() -> None:
    strides = find_trial_strides(events(), stick_figure(240), RATE_HZ)
    feet = {"left": FootPath(foot_path("left")), "right": FootPath(np.full((240, 3), np.nan))}
    found = stride_parameters(feet, events(), strides)
    np.testing.assert_allclose(found["stride_length", "left"], [1.2, 1.3])
    assert np.isnan(found["step_length", "left"]).all()
    assert np.isnan(found["walking_speed", "right"]).all()
    partly = foot_path("left")
    partly[40:45] = np.nan
    found = stride_parameters({**feet, "left": FootPath(partly)}, events(), strides)
    np.testing.assert_allclose(found["stride_length", "left"], [1.2, 1.3])


def test_gait_parameters_are_means_of_the_strides_that_count() -> None:
    values = {("stride_length", "left"): np.array([1.0, np.nan, 1.2, 9.0]), ("stride_length", "right"): np.array([1.4])}
    used = {"left": np.array([True, True, True, False]), "right": np.array([True])}
    found = GaitParameters(0.9, values, used)
    assert found.count("stride_length", "left") == 2
    assert found.mean("stride_length", "left") == pytest.approx(1.1)
    assert found.sd("stride_length", "left") == pytest.approx(np.std([1.0, 1.2], ddof=1))
    assert found.mean("stride_length", "both") == pytest.approx(1.2)
    assert found.mean("stride_length", "left", scaled=True) == pytest.approx(1.1 / 0.9)
    assert math.isnan(found.sd("stride_length", "right"))
    assert math.isnan(replace(found, leg_length_m=math.nan).mean("stride_length", "left", scaled=True))
    pooled = pool_parameters([found, replace(found, leg_length_m=math.nan)], {s: np.tile(used[s], 2) for s in SIDES})
    assert pooled.count("stride_length", "both") == 6
    assert pooled.leg_length_m == 0.9


def test_scale_factor_of_hof() -> None:
    leg_m = 0.8
    assert scale_factor("m/s", leg_m) == pytest.approx(1 / math.sqrt(9.81 * leg_m))
    assert scale_factor("steps/min", leg_m) == pytest.approx(math.sqrt(leg_m / 9.81) / 60)
    assert scale_factor("s", leg_m) * scale_factor("m/s", leg_m) == pytest.approx(scale_factor("m", leg_m))
    assert scale_factor("%", leg_m) == 1


@cache
def trial(pathology: str | None = None) -> SyntheticTrial:
    body = load_body(OPEN_BODY)
    return make_trial(body, make_subject(body, 6, adult=True), make_pathology(pathology) if pathology else None, seed=3)


def on_treadmill(sequence: PoseSequence, belt_m_s: np.ndarray) -> PoseSequence:
    drift = (np.arange(sequence.num_frames)[:, None] / sequence.rate_hz * belt_m_s).astype(np.float32)
    moved = sequence.joints_m + drift[:, None]
    return replace(sequence, joints_m=moved, translation_m=sequence.translation_m + drift)


@pytest.mark.parametrize("pathology", [None, "antalgic", "parkinsonian"])
def test_parameters_of_synthetic_walks_and_treadmills(pathology: str | None) -> None:
    truth, pattern = trial(pathology).ground_truth, trial(pathology).pattern
    found = analyse_trial(truth, subject="P", trial="walk").parameters
    assert found.belt_m_s == 0
    for side, leg in (("left", pattern.left), ("right", pattern.right)):
        assert found.mean("stride_length", side) == pytest.approx(pattern.stride_length_m, rel=0.02)
        assert found.mean("walking_speed", side) == pytest.approx(
            pattern.stride_length_m / pattern.stride_time_s, rel=0.03
        )
        assert found.mean("foot_clearance", side) == pytest.approx(leg.clearance_m, abs=0.012)
    step = pattern.right_step_fraction * pattern.stride_length_m
    assert found.mean("step_length", "right") == pytest.approx(step, abs=0.03)
    pelvis = truth.joints_m[:, Joint.PELVIS]
    velocity = (pelvis[-1] - pelvis[0]) * [1, 0, 1] / (truth.num_frames - 1) * truth.rate_hz
    belt = analyse_trial(on_treadmill(truth, -velocity), subject="P", trial="belt").parameters
    assert belt.belt_m_s == pytest.approx(np.linalg.norm(velocity), rel=0.02)
    for name in ("walking_speed", "stride_length", "step_length"):
        assert belt.mean(name, "both") == pytest.approx(found.mean(name, "both"), rel=0.02)
    assert belt.mean("step_width", "both") == pytest.approx(found.mean("step_width", "both"), abs=0.01)


def test_parameters_of_a_foot_that_is_not_observed_are_nan() -> None:
    truth = trial().ground_truth
    status = np.full((truth.num_frames, NUM_BODY_JOINTS), JointStatus.OBSERVED, np.uint8)
    status[:, Joint.RIGHT_FOOT] = JointStatus.NOT_OBSERVED
    found = analyse_trial(replace(truth, joint_status=status), subject="P", trial="walk").parameters
    assert math.isnan(found.mean("foot_clearance", "right"))
    assert math.isnan(found.mean("stance", "right"))
    assert found.mean("foot_clearance", "left") > 0
    status[:, Joint.RIGHT_ANKLE] = JointStatus.NOT_OBSERVED
    found = analyse_trial(replace(truth, joint_status=status), subject="P", trial="walk").parameters
    assert found.count("stride_length", "right") == 0
    assert found.mean("stride_length", "left") == pytest.approx(trial().pattern.stride_length_m, rel=0.02)
    assert math.isnan(found.mean("step_width", "left"))


def test_leg_length_is_that_of_the_clinic() -> None:
    truth = trial().ground_truth
    assert 1.05 < clinical_leg_length_m(truth) / leg_length_m(truth.joints_m.astype(np.float64)) < 1.15
    assert math.isnan(clinical_leg_length_m(replace(truth, anatomy=None)))


def test_belt_velocity_of_a_trial_without_stance() -> None:
    none = GaitEvents({side: np.array([]) for side in SIDES}, {side: np.array([]) for side in SIDES})
    assert not belt_velocity_m_s({side: foot_path(side) for side in SIDES}, none, RATE_HZ).any()
