"""Where windows begin: at initial contacts of either foot, in time that has 100 samples per stride."""

from dataclasses import replace

import numpy as np
import pytest

from gait.body.skeleton import Joint
from gait.kinematics.gait_events import SIDES
from gait.kinematics.walking import Activity, find_activity
from gait.motion.read_dataset import read_dataset
from gait.motion.window_placement import TRAINING_SHIFTS, place_windows
from tests.helpers.motion_cases import make_trial, stand_walk_stand, status_without, stick_figure, write_trial

STRIDE_FRAMES = 100 / 0.9
LENGTH = 64


def test_windows_of_cycles_begin_at_initial_contacts():
    trial = make_trial(stick_figure(400))
    placed = place_windows(trial, LENGTH, windows="cycles")
    assert placed.frames_per_sample == pytest.approx(STRIDE_FRAMES / 100, abs=0.01)
    contacts = sorted((contact, side == "right") for side in SIDES for contact in trial.events.initial_contacts[side])
    expected = [(c, right) for c, right in contacts if c + (LENGTH - 1) * placed.frames_per_sample <= 399]
    assert len(expected) >= 4
    assert {right for _, right in expected} == {False, True}
    np.testing.assert_allclose(placed.first_frames, [c for c, _ in expected], atol=1)
    assert placed.mirrored.tolist() == [right for _, right in expected]
    assert placed.num_frames(LENGTH) == round(LENGTH * placed.frames_per_sample)
    times = placed.times(400)
    assert times[0] == 0
    assert 399 - placed.frames_per_sample < times[-1] <= 399


def test_training_windows_begin_around_each_contact():
    trial = make_trial(stick_figure(400))
    one, shifted = (place_windows(trial, LENGTH, windows="cycles", shifts=s) for s in ((0,), TRAINING_SHIFTS))
    around = {
        (start + shift, right) for start, right in zip(one.starts, one.mirrored, strict=True) for shift in (-3, 3)
    }
    found = {*zip(shifted.starts.tolist(), shifted.mirrored.tolist(), strict=True)}
    assert {*zip(one.starts.tolist(), one.mirrored.tolist(), strict=True)} <= found
    assert len(found & around) >= 2 * len(one.starts) - 2  # one may end after the trial
    assert (np.diff(shifted.starts) >= 0).all()


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
