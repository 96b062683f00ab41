"""Mean gait cycles against slow averages, on synthetic trials with known steps."""

import math
from functools import cache

import numpy as np
import pytest

from gait.body.model_file import load_body
from gait.body.skeleton import MIRROR_ORDER, NUM_BODY_JOINTS, Joint
from gait.kinematics.gait_cycle import PERCENT, average_gait_cycles, combine_ipsilateral_cycles, select_gait_phases
from gait.kinematics.gait_events import detect_gait_events, nearest_frames
from gait.kinematics.segment_angles import compute_segment_angles
from gait.kinematics.strides import Stride, find_trial_strides
from gait.synthetic import SyntheticTrial, make_subject, make_trial
from tests.helpers.motion_cases import stick_figure
from tests.helpers.paths import OPEN_BODY

RATE_HZ = 100.0

pytestmark = pytest.mark.usefixtures("one_thread")


@cache
def synthetic_trial() -> SyntheticTrial:
    body = load_body(OPEN_BODY)
    return make_trial(body, make_subject(body, 4, adult=True), None, seconds=5.0, seed=4)


def joints() -> np.ndarray:
    return synthetic_trial().ground_truth.joints_m


@cache
def strides(side: str) -> tuple[Stride, ...]:
    return find_trial_strides(detect_gait_events(joints(), RATE_HZ), joints(), RATE_HZ)[side]


def cycle_percent(side: str) -> np.ndarray:
    """Return the percentage of a side's gait cycle per frame, (T,), NaN outside complete strides."""
    percent = np.full(len(joints()), np.nan)
    for stride in strides(side):
        frames = np.arange(math.ceil(stride.start), math.floor(stride.end) + 1)
        percent[frames] = 100 * (frames - stride.start) / (stride.end - stride.start)
    return percent


@pytest.mark.parametrize("side", ["left", "right"])
def test_average_gait_cycles_recovers_values_that_follow_the_cycle(side: str) -> None:
    percent = np.nan_to_num(cycle_percent(side))
    values = np.zeros((len(percent), NUM_BODY_JOINTS))
    values[:, Joint.LEFT_KNEE] = np.where(percent < 100, percent, 0)  # the sawtooth's fall is between two frames
    values[:, Joint.HEAD] = np.cos(2 * np.pi * percent / 100)
    cycle = average_gait_cycles(values, joints(), RATE_HZ)[side]
    assert cycle.side == side
    assert cycle.num_cycles == len(strides(side)) >= 3
    np.testing.assert_allclose(cycle.values[1:-2, Joint.LEFT_KNEE], PERCENT[1:-2], atol=1e-6)
    np.testing.assert_allclose(cycle.values[:, Joint.HEAD], np.cos(2 * np.pi * PERCENT / 100), atol=2e-3)
    assert np.all(cycle.values[:, Joint.NECK] == 0)


@pytest.mark.parametrize("side", ["left", "right"])
def test_average_gait_cycles_averages_joint_angles(side: str) -> None:
    cycle = average_gait_cycles(np.ones((len(joints()), NUM_BODY_JOINTS)), joints(), RATE_HZ)[side]
    angles = compute_segment_angles(joints(), RATE_HZ)
    for found, curve in ((cycle.hip_deg, angles.hip[side]), (cycle.knee_deg, angles.knee[side])):
        slow = [np.interp(np.linspace(s.start, s.end, 101), np.arange(len(curve)), curve) for s in strides(side)]
        np.testing.assert_allclose(found, np.mean(slow, axis=0), atol=1e-9)
    assert cycle.ankle_deg.mean() == pytest.approx(0, abs=1e-9)
    pattern = synthetic_trial().pattern.left if side == "left" else synthetic_trial().pattern.right
    assert cycle.foot_off_percent == pytest.approx(100 * pattern.stance_fraction, abs=6)
    assert cycle.contralateral_contact_percent == pytest.approx(50, abs=4)
    assert PERCENT[cycle.knee_deg.argmax()] == pytest.approx(72, abs=6)  # peak knee flexion in swing
    assert 45 < np.ptp(cycle.knee_deg) < 80


def test_average_gait_cycles_ignores_frames_without_attribution() -> None:
    values = np.random.default_rng(0).normal(size=(len(joints()), NUM_BODY_JOINTS))
    first, second = strides("left")[:2]
    values[: round(first.start) + 20] = np.nan  # the first stride lacks its beginning
    values[math.ceil(second.end) + 1 :] = np.nan  # all others are not covered
    cycle = average_gait_cycles(values, joints(), RATE_HZ)["left"]
    assert cycle.num_cycles == 2
    for percent in PERCENT:
        samples = []
        for stride in (first, second):
            time = stride.start + percent / 100 * (stride.end - stride.start)
            low, t = math.floor(time), time - math.floor(time)
            sample = values[low] if t == 0 else values[low] * (1 - t) + values[low + 1] * t
            if np.isfinite(sample).all():
                samples.append(sample)
        assert samples
        np.testing.assert_allclose(cycle.values[percent], np.mean(samples, axis=0), atol=1e-9)


def test_average_gait_cycles_in_standing(recwarn: pytest.WarningsRecorder) -> None:
    still = np.repeat(stick_figure(1), 200, axis=0)
    for cycle in average_gait_cycles(np.ones((200, NUM_BODY_JOINTS)), still, RATE_HZ).values():
        assert cycle.num_cycles == 0
        assert np.isnan(cycle.values).all()
        assert np.isnan(cycle.knee_deg).all()
        assert math.isnan(cycle.foot_off_percent)
    assert not recwarn.list


def test_average_gait_cycles_without_attribution() -> None:
    values = np.full((len(joints()), NUM_BODY_JOINTS), np.nan)
    assert average_gait_cycles(values, joints(), RATE_HZ)["right"].num_cycles == 0


def test_combine_ipsilateral_cycles() -> None:
    values = np.random.default_rng(1).normal(size=(len(joints()), NUM_BODY_JOINTS))
    cycles = average_gait_cycles(values, joints(), RATE_HZ)
    own = combine_ipsilateral_cycles({side: cycle.values for side, cycle in cycles.items()})
    for joint, side in ((Joint.LEFT_KNEE, "left"), (Joint.RIGHT_KNEE, "right"), (Joint.HEAD, "left")):
        np.testing.assert_array_equal(own[:, joint], cycles[side].values[:, joint])


def test_average_gait_cycles_of_mirror_image() -> None:
    values = np.random.default_rng(2).normal(size=(len(joints()), NUM_BODY_JOINTS))
    cycles = average_gait_cycles(values, joints(), RATE_HZ)
    order = list(MIRROR_ORDER)
    other = average_gait_cycles(values[:, order], (joints() * [1, 1, -1])[:, order], RATE_HZ)
    np.testing.assert_allclose(other["right"].values, cycles["left"].values[:, order], atol=1e-9)
    np.testing.assert_allclose(other["left"].knee_deg, cycles["right"].knee_deg, atol=1e-6)


@pytest.mark.parametrize("side", ["left", "right"])
def test_select_gait_phases_uses_the_leg_with_larger_attribution(side: str) -> None:
    values = np.full((len(joints()), NUM_BODY_JOINTS), 0.1)
    values[:, Joint[f"{side.upper()}_ANKLE"]] = -0.5
    phases = select_gait_phases(values, joints(), RATE_HZ)
    names = [f"{side} initial contact", f"{side} mid-stance", f"{side} foot off", f"{side} mid-swing"]
    assert [phase.name for phase in phases] == names
    events = detect_gait_events(joints(), RATE_HZ)
    contact, stance, off, swing = (phase.frame for phase in phases)
    assert contact in nearest_frames(events.initial_contacts[side])
    assert off in nearest_frames(events.foot_offs[side])
    contacts = events.initial_contacts[side]
    assert contact < stance < off < swing < min(contacts[contacts > contact])
    ankle = joints()[:, Joint[f"{side.upper()}_ANKLE"], 1]
    assert ankle[stance] < ankle[swing]


def test_select_gait_phases_uses_explained_strides_or_even_spacing() -> None:
    values = np.ones((len(joints()), NUM_BODY_JOINTS))
    first, second = strides("left")[:2]
    values[: round(second.start)] = np.nan
    values[round(second.end) + 1 :] = np.nan
    values[:, Joint.LEFT_KNEE] *= 3
    assert select_gait_phases(values, joints(), RATE_HZ)[0].frame == round(second.start)
    values[round(first.end) + 30 :] = np.nan  # no whole stride is left
    spread = select_gait_phases(values, joints(), RATE_HZ)
    assert [phase.name for phase in spread] == [""] * 4
    assert all(np.isfinite(values[phase.frame]).all() for phase in spread)
    assert select_gait_phases(np.full_like(values, np.nan), joints(), RATE_HZ) == ()
