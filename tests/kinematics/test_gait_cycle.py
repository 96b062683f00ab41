"""Importance and joint motion over the gait cycle, against walkers whose steps are known and slow averages."""

import math
from functools import cache

import numpy as np
import pytest

from gait.body.model_file import load_body
from gait.body.skeleton import NUM_BODY_JOINTS, Joint
from gait.kinematics.gait_cycle import PERCENT, four_phases, gait_cycles, on_own_cycle
from gait.kinematics.gait_events import gait_events, strides
from gait.kinematics.joint_angles import joint_angles
from gait.motion.common_frame import MIRROR_ORDER
from gait.synthetic import Walk, make_person, make_walk
from tests.helpers.motion_cases import stick_walker
from tests.helpers.paths import OPEN_BODY

RATE_HZ = 100.0

pytestmark = pytest.mark.usefixtures("one_thread")


@cache
def walk() -> Walk:
    body = load_body(OPEN_BODY)
    return make_walk(body, make_person(body, 4, adult=True), None, seconds=5.0, seed=4)


def joints() -> np.ndarray:
    return walk().truth.joints_m


def phase_of(side: str) -> np.ndarray:
    """(T,) percent of the cycle of a foot, NaN outside its whole strides."""
    found = np.full(len(joints()), np.nan)
    for stride in strides(gait_events(joints(), RATE_HZ).heel_strikes[side], RATE_HZ):
        length = stride.stop - stride.start
        found[stride.start : stride.stop + 1] = 100 * np.arange(length + 1) / length
    return found


@pytest.mark.parametrize("side", ["left", "right"])
def test_importance_that_follows_the_cycle_comes_back_as_that_of_the_cycle(side: str) -> None:
    phase = np.nan_to_num(phase_of(side))
    values = np.zeros((len(phase), NUM_BODY_JOINTS))
    values[:, Joint.LEFT_KNEE] = np.where(phase < 100, phase, 0)  # the sawtooth's fall is between two frames
    values[:, Joint.HEAD] = np.cos(2 * np.pi * phase / 100)
    cycle = gait_cycles(values, joints(), RATE_HZ)[side]
    assert cycle.side == side
    assert cycle.cycles == len(strides(gait_events(joints(), RATE_HZ).heel_strikes[side], RATE_HZ)) >= 3
    np.testing.assert_allclose(cycle.importance[1:-2, Joint.LEFT_KNEE], PERCENT[1:-2], atol=1e-6)
    np.testing.assert_allclose(cycle.importance[:, Joint.HEAD], np.cos(2 * np.pi * PERCENT / 100), atol=2e-3)
    assert np.all(cycle.importance[:, Joint.NECK] == 0)


@pytest.mark.parametrize("side", ["left", "right"])
def test_motion_is_the_mean_of_the_strides(side: str) -> None:
    cycle = gait_cycles(np.ones((len(joints()), NUM_BODY_JOINTS)), joints(), RATE_HZ)[side]
    events, angles = gait_events(joints(), RATE_HZ), joint_angles(joints(), RATE_HZ)
    for found, course in ((cycle.hip_deg, angles.hip[side]), (cycle.knee_deg, angles.knee[side])):
        slow = [
            np.interp(np.linspace(s.start, s.stop, 101), np.arange(len(course)), course)
            for s in strides(events.heel_strikes[side], RATE_HZ)
        ]
        np.testing.assert_allclose(found, np.mean(slow, axis=0), atol=1e-9)
    assert cycle.ankle_deg.mean() == pytest.approx(0, abs=1e-9)
    pattern = walk().pattern.left if side == "left" else walk().pattern.right
    assert cycle.toe_off_percent == pytest.approx(100 * pattern.stance_share, abs=6)
    assert cycle.other_strike_percent == pytest.approx(50, abs=4)
    assert PERCENT[cycle.knee_deg.argmax()] == pytest.approx(72, abs=6)  # peak knee flexion in swing
    assert 45 < np.ptp(cycle.knee_deg) < 80


def test_frames_without_explanation_are_left_out_frame_by_frame() -> None:
    values = np.random.default_rng(0).normal(size=(len(joints()), NUM_BODY_JOINTS))
    first, second = strides(gait_events(joints(), RATE_HZ).heel_strikes["left"], RATE_HZ)[:2]
    values[: first.start + 20] = np.nan  # the first stride lacks its beginning
    values[second.stop + 1 :] = np.nan  # all others are not covered
    cycle = gait_cycles(values, joints(), RATE_HZ)["left"]
    assert cycle.cycles == 2
    for percent in PERCENT:
        samples = []
        for stride in (first, second):
            moment = stride.start + percent / 100 * (stride.stop - stride.start)
            low, share = math.floor(moment), moment - math.floor(moment)
            sample = values[low] if share == 0 else values[low] * (1 - share) + values[low + 1] * share
            if np.isfinite(sample).all():
                samples.append(sample)
        assert samples
        np.testing.assert_allclose(cycle.importance[percent], np.mean(samples, axis=0), atol=1e-9)


def test_nobody_who_stands_has_a_cycle_and_no_warning_is_raised(recwarn: pytest.WarningsRecorder) -> None:
    still = np.repeat(stick_walker(1), 200, axis=0)
    for cycle in gait_cycles(np.ones((200, NUM_BODY_JOINTS)), still, RATE_HZ).values():
        assert cycle.cycles == 0
        assert np.isnan(cycle.importance).all()
        assert np.isnan(cycle.knee_deg).all()
        assert math.isnan(cycle.toe_off_percent)
    assert not recwarn.list


def test_a_recording_that_no_window_covers_has_no_cycle() -> None:
    values = np.full((len(joints()), NUM_BODY_JOINTS), np.nan)
    assert gait_cycles(values, joints(), RATE_HZ)["right"].cycles == 0


def test_each_joint_on_the_cycle_of_its_side() -> None:
    values = np.random.default_rng(1).normal(size=(len(joints()), NUM_BODY_JOINTS))
    cycles = gait_cycles(values, joints(), RATE_HZ)
    own = on_own_cycle({side: cycle.importance for side, cycle in cycles.items()})
    for joint, side in ((Joint.LEFT_KNEE, "left"), (Joint.RIGHT_KNEE, "right"), (Joint.HEAD, "left")):
        np.testing.assert_array_equal(own[:, joint], cycles[side].importance[:, joint])


def test_the_mirror_image_exchanges_the_cycles() -> None:
    values = np.random.default_rng(2).normal(size=(len(joints()), NUM_BODY_JOINTS))
    cycles = gait_cycles(values, joints(), RATE_HZ)
    order = list(MIRROR_ORDER)
    other = gait_cycles(values[:, order], (joints() * [1, 1, -1])[:, order], RATE_HZ)
    np.testing.assert_allclose(other["right"].importance, cycles["left"].importance[:, order], atol=1e-9)
    np.testing.assert_allclose(other["left"].knee_deg, cycles["right"].knee_deg, atol=1e-6)


@pytest.mark.parametrize("side", ["left", "right"])
def test_four_phases_are_those_of_one_stride_of_the_leg_that_matters_more(side: str) -> None:
    values = np.full((len(joints()), NUM_BODY_JOINTS), 0.1)
    values[:, Joint[f"{side.upper()}_ANKLE"]] = -0.5
    phases = four_phases(values, joints(), RATE_HZ)
    names = [f"{side} foot strikes", f"{side} mid-stance", f"{side} foot leaves", f"{side} mid-swing"]
    assert [phase.name for phase in phases] == names
    events = gait_events(joints(), RATE_HZ)
    strike, stance, off, swing = (phase.frame for phase in phases)
    assert strike in events.heel_strikes[side]
    assert off in events.toe_offs[side]
    assert strike < stance < off < swing < min(events.heel_strikes[side][events.heel_strikes[side] > strike])
    ankle = joints()[:, Joint[f"{side.upper()}_ANKLE"], 1]
    assert ankle[stance] < ankle[swing]


def test_phases_are_of_explained_strides_and_else_evenly_spaced() -> None:
    values = np.ones((len(joints()), NUM_BODY_JOINTS))
    first, second = strides(gait_events(joints(), RATE_HZ).heel_strikes["left"], RATE_HZ)[:2]
    values[: second.start] = np.nan
    values[second.stop + 1 :] = np.nan
    values[:, Joint.LEFT_KNEE] *= 3
    assert four_phases(values, joints(), RATE_HZ)[0].frame == second.start
    values[first.stop + 30 :] = np.nan  # no whole stride is left
    spread = four_phases(values, joints(), RATE_HZ)
    assert [phase.name for phase in spread] == [""] * 4
    assert all(np.isfinite(values[phase.frame]).all() for phase in spread)
    assert four_phases(np.full_like(values, np.nan), joints(), RATE_HZ) == ()
