"""Where windows begin: at initial contacts of either foot, in time that has 100 samples per stride."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gait.body.skeleton import Joint
from gait.kinematics.gait_events import SIDES
from gait.kinematics.walking import Activity, find_activity
from gait.motion.read_dataset import read_dataset
from gait.motion.resampling import sample_at
from gait.motion.window_placement import TRAINING_SHIFTS, place_windows
from gait.motion.windows import WindowDataset
from tests.helpers.motion_cases import make_trial, stand_walk_stand, status_without, stick_figure, write_trial

STRIDE_FRAMES = 100 / 0.9
LENGTH = 64


def test_windows_of_cycles_begin_at_initial_contacts_between_others():
    trial = make_trial(stick_figure(400))
    placed = place_windows(trial, LENGTH, windows="cycles")
    assert placed.frames_per_sample == pytest.approx(STRIDE_FRAMES / 100, abs=0.01)
    contacts = sorted((contact, side == "right") for side in SIDES for contact in trial.events.initial_contacts[side])
    expected = contacts[1:-3]  # the last stride ends with the last contact
    assert len(expected) >= 3
    assert {right for _, right in expected} == {False, True}
    np.testing.assert_array_equal(placed.times[placed.starts], [c for c, _ in expected])
    np.testing.assert_allclose(placed.first_frames, [c for c, _ in expected], atol=0.5)
    assert placed.mirrored.tolist() == [right for _, right in expected]
    assert placed.num_frames(LENGTH) == round(LENGTH * placed.frames_per_sample)


@pytest.mark.parametrize(("frames", "inner", "windows"), [(170, 0, [0]), (280, 1, [0, 1, 2]), (330, 2, [1, 2])])
def test_walks_with_fewer_than_two_windows_between_contacts_give_all(frames: int, inner: int, windows: list[int]):
    trial = make_trial(stick_figure(frames))
    contacts = np.sort(np.concatenate([*trial.events.initial_contacts.values()]))
    placed = place_windows(trial, 100, windows="cycles")
    begins = placed.times[placed.starts]
    np.testing.assert_array_equal(begins, contacts[windows])
    between = (begins > contacts[0]) & (begins + 100 * placed.frames_per_sample + 1 < contacts[-1])
    assert between.sum() == inner


def test_each_window_is_scaled_by_its_own_stride():
    joints = stick_figure(400)
    # the second half of the walk is slower
    time = np.concatenate([np.arange(200), np.arange(200, 399.5, 0.8)])
    trial = make_trial(sample_at(joints, time).astype(np.float32))
    placed = place_windows(trial, 101, windows="cycles")
    contacts = {side: np.asarray(trial.events.initial_contacts[side]) for side in SIDES}
    steps = []
    for start, mirrored in zip(placed.starts, placed.mirrored, strict=True):
        times = placed.times[start : start + 101]
        own = contacts[SIDES[int(mirrored)]]
        assert times[100] == pytest.approx(own[own > times[0]][0])
        np.testing.assert_allclose(np.diff(times), times[1] - times[0])
        steps.append(times[1] - times[0])
    assert max(steps) > 1.15 * min(steps)


@pytest.mark.parametrize("length", [LENGTH, 128])
@pytest.mark.parametrize("frames", [580, 600, 620])
@pytest.mark.parametrize(("before", "after"), [(200, 0), (0, 150), (333, 150)])
def test_windows_of_cycles_do_not_depend_on_standing_beside_the_walk(before: int, after: int, frames: int, length: int):
    joints = stick_figure(frames)
    alone, between = (
        replace(make_trial(each), activity=find_activity(each, 100.0))
        for each in (joints, stand_walk_stand(joints, before, after).astype(np.float32))
    )
    assert not alone.activity.any()
    assert between.activity.any()
    expected, found = (WindowDataset([each], length, input="bones", windows="cycles") for each in (alone, between))
    every = torch.arange(len(expected))
    assert len(found) == len(expected) >= 5
    assert (found.sample_times(every) - before - expected.sample_times(every)).abs().max() < 0.1
    assert (found.values(every) - expected.values(every)).abs().max() < 0.01


def test_training_windows_begin_around_each_contact():
    trial = make_trial(stick_figure(400))
    inner, every = (place_windows(trial, LENGTH, windows="cycles", training=training) for training in (False, True))
    contacts = sorted((contact, side == "right") for side in SIDES for contact in trial.events.initial_contacts[side])
    strides = [(start, right, end - start) for (start, right), (end, _) in zip(contacts, contacts[2:], strict=False)]
    expected = [(c + shift * stride / 100, right) for c, right, stride in strides for shift in TRAINING_SHIFTS]
    assert len(expected) > 3 * len(inner.starts)
    np.testing.assert_allclose(every.times[every.starts], [time for time, _ in expected])
    assert every.mirrored.tolist() == [right for _, right in expected]
    assert len(every.times) == len(strides) * (LENGTH + 6)  # windows at one contact share samples


def test_windows_of_cycles_lie_within_walks():
    joints = stand_walk_stand(stick_figure(500), 200, 200).astype(np.float32)
    trial = make_trial(joints)
    walking = find_activity(joints, 100.0)
    trial = replace(trial, activity=walking)
    placed = place_windows(trial, LENGTH, windows="cycles")
    (walk,) = trial.walks
    assert len(placed.starts)
    assert (placed.first_frames >= walk.start).all()
    assert (placed.first_frames + placed.num_frames(LENGTH) <= walk.stop + 1).all()


def test_walks_on_a_treadmill_have_cycles():
    assert len(place_windows(make_trial(stick_figure(300, speed=0)), LENGTH, windows="cycles").starts)


def test_trials_without_contacts_are_named():
    placed = place_windows(make_trial(stick_figure(60), "P07"), LENGTH, windows="cycles")
    assert not len(placed.starts)
    assert placed.reason.startswith("healthy/P07/walk1: no stride")
    assert "--windows frames" in placed.reason
    standing = replace(make_trial(stick_figure(200), "P07"), activity=np.full(200, Activity.STANDING, np.uint8))
    assert "no walking in it" in place_windows(standing, LENGTH, windows="cycles").reason
    long = place_windows(make_trial(stick_figure(260), "P07"), 220, windows="cycles")
    assert "no walk goes on for a window of 220" in long.reason


def test_windows_that_observe_too_little_are_omitted():
    status = status_without(400, [Joint.HEAD], slice(0, 200))
    trial = make_trial(stick_figure(400), joint_status=status)
    every, observed = (place_windows(trial, LENGTH, windows="cycles", min_observed=m) for m in (0.0, 0.5))
    assert 0 < len(observed.starts) < len(every.starts)
    assert len(place_windows(trial, LENGTH, windows="cycles", min_observed=0.5, left_out=[Joint.HEAD]).starts) == len(
        every.starts
    )


def test_dataset_leaves_out_trials_without_windows(tmp_path):
    write_trial(tmp_path, "healthy/H1/walk1", stick_figure(400))
    write_trial(tmp_path, "healthy/H1/short", stick_figure(70))
    write_trial(tmp_path, "sick/S1/walk1", stick_figure(400, speed=0.7))
    dataset = read_dataset(tmp_path, min_frames=LENGTH, windows="cycles")
    assert [trial.trial_id for trial in dataset.trials] == ["healthy/H1/walk1", "sick/S1/walk1"]
    assert any("healthy/H1/short: no stride" in line for line in dataset.problems)
    assert len(read_dataset(tmp_path, min_frames=LENGTH).trials) == 3
