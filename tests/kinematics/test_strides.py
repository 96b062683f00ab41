"""Strides cut by events, and curves over them, against slow definitions."""

import math
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest

from gait.body.joint_status import JointStatus
from gait.body.skeleton import Joint
from gait.kinematics.gait_events import GaitEvents
from gait.kinematics.strides import (
    PERCENT,
    Stride,
    StrideCurves,
    band_depth,
    find_phases,
    find_trial_strides,
    pool_curves,
    sample_stride,
    stride_curves,
)
from tests.helpers.motion_cases import stick_figure

RATE_HZ = 100.0


def events(left=((10.5, 110.25, 212.0), (71.0, 172.0)), right=((61.5, 161.0), (22.0, 121.5))) -> GaitEvents:
    contacts, offs = ({s: np.array(e[k]) for s, e in (("left", left), ("right", right))} for k in (0, 1))
    return GaitEvents(contacts, offs)


def straight(frames=300) -> np.ndarray:
    return stick_figure(frames)


def test_find_trial_strides_cuts_at_contacts_with_their_phases() -> None:
    found = find_trial_strides(events(), straight(), RATE_HZ, trial="walk1")
    first, second = found["left"]
    times = (first.start, first.opposite_foot_off, first.opposite_contact, first.foot_off, first.end)
    assert times == (10.5, 22.0, 61.5, 71.0, 110.25)
    assert first.percent(first.foot_off) == pytest.approx(100 * 60.5 / 99.75)
    assert first.frames == slice(11, 111)
    assert second.name == "walk1, left stride 2"
    (right,) = found["right"]
    assert (right.opposite_foot_off, right.opposite_contact, right.foot_off) == (71.0, 110.25, 121.5)


def test_find_trial_strides_needs_each_event_between_two_contacts() -> None:
    lacking = events(left=((10.5, 212.0), (71.0, 172.0)))  # a contact between the two foot offs was not found
    assert find_trial_strides(lacking, straight(), RATE_HZ)["left"] == ()
    unknown = events(left=((10.5, 110.25), ()), right=((), ()))
    (stride,) = find_trial_strides(unknown, straight(), RATE_HZ)["left"]
    assert all(math.isnan(time) for time in (stride.foot_off, stride.opposite_contact, stride.opposite_foot_off))
    pause = events(left=((10.5, 411.0), ()), right=((), ()))
    assert find_trial_strides(pause, straight(500), RATE_HZ)["left"] == ()


def test_find_trial_strides_counts_kinematic_events_of_observed_feet_alone() -> None:
    status = np.full((300, 22), JointStatus.OBSERVED, np.uint8)
    status[60:63, Joint.RIGHT_ANKLE] = JointStatus.NOT_OBSERVED
    status[70:73, Joint.LEFT_FOOT] = JointStatus.NOT_OBSERVED
    (first, second) = find_trial_strides(events(), straight(), RATE_HZ, joint_status=status)["left"]
    assert math.isnan(first.opposite_contact)
    assert math.isnan(first.foot_off)
    assert (first.opposite_foot_off, second.opposite_contact) == (22.0, 161.0)
    status[110, Joint.LEFT_ANKLE] = JointStatus.NOT_OBSERVED
    assert find_trial_strides(events(), straight(), RATE_HZ, joint_status=status)["left"] == ()
    marked = replace(events(), contact_sources={"left": ("laboratory",) * 3, "right": ("force plate", "kinematics")})
    first, _ = find_trial_strides(marked, straight(), RATE_HZ, joint_status=status)["left"]
    assert (first.end, first.opposite_contact) == (110.25, 61.5)


def test_find_trial_strides_keeps_to_walks() -> None:
    inside = find_trial_strides(events(), straight(), RATE_HZ, [slice(10, 112)])
    assert [(stride.start, stride.number) for stride in inside["left"]] == [(10.5, 1)]
    assert not find_trial_strides(events(), straight(), RATE_HZ, [slice(11, 300)])["left"][:-1]
    assert not any(find_trial_strides(events(), straight(), RATE_HZ, []).values())


def test_turns_and_stairs_count_in_no_mean() -> None:
    joints = straight()
    assert abs(find_trial_strides(events(), joints, RATE_HZ)["left"][0].turn_deg) < 1
    turn = np.radians(np.clip(np.arange(300) - 110, 0, 60))
    turned = np.empty_like(joints)
    for t, angle in enumerate(turn):  # to the left, about the vertical
        R = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        turned[t] = joints[t] @ R.T
    climbing = joints + np.clip(np.arange(300) - 110, 0, 60)[:, None, None] * [0, 0.005, 0]
    for moved, reason, value in ((turned, "turn", 60), (climbing, "rise", 0.3)):
        strides = find_trial_strides(events(), moved, RATE_HZ)
        curves = stride_curves(strides, {("knee_flexion", "left"): np.arange(300.0)})
        (excluded,) = [each for each in curves.excluded if each.stride.side == "left"]
        assert (excluded.reason, excluded.stride.number) == (reason, 2)
        assert excluded.value == pytest.approx(value, rel=0.05)
        assert curves.used("left").tolist() == [True, False]
        np.testing.assert_array_equal(curves.mean("knee_flexion", "left"), curves.curves["knee_flexion", "left"][0])
    assert find_trial_strides(events(), turned, RATE_HZ)["left"][1].turn_deg > 0


def test_find_phases_against_definition() -> None:
    begins, ends = np.array([1.0, 5.0, 6.0, 9.0]), np.array([0.5, 3.0, 8.0, 8.5])
    assert find_phases(begins, ends) == [(1.0, 3.0), (6.0, 8.0)]
    assert find_phases(begins, np.array([])) == []


def test_sample_stride_interpolates_and_keeps_gaps() -> None:
    values = np.stack([np.arange(50.0), np.where(np.arange(50) == 20, np.nan, 1.0)], axis=1)
    found = sample_stride(values, Stride("left", 1, 10.25, 40.75, RATE_HZ))
    np.testing.assert_allclose(found[:, 0], 10.25 + 30.5 * PERCENT / 100)
    gap = (found[:, 0] > 19) & (found[:, 0] < 21)
    np.testing.assert_array_equal(np.isnan(found[:, 1]), gap)


def curves_of(values, seconds=None, trial="") -> StrideCurves:
    """Return curves of one angle of left strides, from values (n, 101)."""
    lengths = np.full(len(values), 100.0) if seconds is None else np.asarray(seconds) * RATE_HZ
    starts = np.concatenate([[0], np.cumsum(lengths)])
    strides = tuple(
        Stride("left", k + 1, float(a), float(b), RATE_HZ, trial=trial) for k, (a, b) in enumerate(pairwise(starts))
    )
    curves = {("knee_flexion", "left"): np.asarray(values, dtype=np.float64)}
    return pool_curves([StrideCurves({"left": strides, "right": ()}, curves)])


def test_outlier_strides_are_named() -> None:
    rng = np.random.default_rng(0)
    values = 30 * np.sin(PERCENT / 16) + rng.normal(0, 1.0, (9, 1))
    assert curves_of(values).excluded == ()
    shifted = values.copy()
    shifted[4] = np.roll(values[4], 8)  # as by a contact found too late
    (found,) = curves_of(shifted).excluded
    assert (found.stride.number, found.reason) == (5, "knee_flexion")
    expected = np.sqrt(np.mean((shifted[4] - np.median(shifted, axis=0)) ** 2))
    assert found.value == pytest.approx(expected)
    assert found.limit < found.value
    (late,) = curves_of(values, [1.0] * 8 + [1.9]).excluded
    assert (late.stride.number, late.reason, late.value) == (9, "stride_time", pytest.approx(1.9))
    assert curves_of(shifted[2:6]).excluded == ()  # of four strides, none can be called an outlier


def test_outliers_ignore_what_is_not_observed() -> None:
    values = np.full((8, 101), np.nan)
    assert curves_of(values).excluded == ()
    values[:, :50] = np.random.default_rng(1).normal(0, 0.5, (8, 1))
    values[3, :50] += 40
    curves = curves_of(values)
    assert [each.stride.number for each in curves.excluded] == [4]
    assert np.isnan(curves.mean("knee_flexion", "left")[50:]).all()
    assert np.isfinite(curves.sd("knee_flexion", "left")[:50]).all()


def test_pool_curves_keeps_each_trial_apart() -> None:
    first, second = curves_of(np.zeros((2, 101)), trial="a"), curves_of(np.ones((3, 101)), trial="b")
    pooled = pool_curves([first, second])
    assert [stride.name for stride in pooled.strides["left"]][1:3] == ["a, left stride 2", "b, left stride 1"]
    np.testing.assert_allclose(pooled.mean("knee_flexion", "left"), 0.6)
    other = StrideCurves({"left": first.strides["left"], "right": ()}, {})
    assert np.isnan(pool_curves([other, second]).curves["knee_flexion", "left"][:2]).all()


def test_band_depth_against_definition() -> None:
    curves = np.random.default_rng(2).normal(size=(6, 40))
    expected = np.zeros(6)
    for k, curve in enumerate(curves):
        for a, b in combinations(range(6), 2):
            low, high = np.minimum(curves[a], curves[b]), np.maximum(curves[a], curves[b])
            expected[k] += ((low <= curve) & (curve <= high)).mean()
    np.testing.assert_allclose(band_depth(curves), expected / math.comb(6, 2))


def test_representative_stride_is_the_deepest() -> None:
    values = np.array([0.0, 5.0, 1.0, -4.0, 0.4])[:, None] + np.sin(PERCENT / 10)
    stride = curves_of(values).representative("left")
    assert stride is not None
    assert stride.number == 5
    assert curves_of(np.empty((0, 101))).representative("left") is None
