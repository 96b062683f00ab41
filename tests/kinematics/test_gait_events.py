"""Gait events from joints, against those of synthetic trials and those marked by laboratories."""

import importlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gait.body.skeleton import Joint
from gait.kinematics.gait_events import SIDES, GaitEvents, detect_gait_events, progression_directions, sole_paths
from gait.synthetic import PATHOLOGY_NAMES, SyntheticTrial, make_trial
from tests.helpers.paths import REPOSITORY
from tests.helpers.synthetic_cases import body, on_treadmill, synthetic_trial

RATE_HZ = 100.0
END = 30  # frames at each end whose swing or stance is incomplete

pytestmark = pytest.mark.usefixtures("one_thread")


def errors(found: NDArray[np.float64], true: list[float], num_frames: int) -> NDArray[np.float64]:
    """Return found events minus the nearest true one; fail if an event is missed or has no counterpart."""
    true_frames = np.array(true)
    nearest = true_frames[abs(found[:, None] - true_frames).argmin(axis=1)] if len(found) else np.empty(0)
    assert len(np.unique(nearest)) == len(found), "two found events for one true event"
    inside = true_frames[(true_frames > END) & (true_frames < num_frames - END)]
    assert np.isin(inside, nearest).all(), f"missed: {np.setdiff1d(inside, nearest)}"
    return found - nearest


def event_errors(events: GaitEvents, trial: SyntheticTrial) -> dict[str, NDArray[np.float64]]:
    """Return errors in frames, of both sides, by label of the event."""
    result = {}
    for label, found in (("Foot Strike", events.initial_contacts), ("Foot Off", events.foot_offs)):
        by_side = []
        for side in SIDES:
            true = [e.time_s * RATE_HZ for e in trial.events if (e.label, e.side) == (label, side)]
            by_side.append(errors(found[side], true, trial.ground_truth.num_frames))
        result[label] = np.concatenate(by_side)
    return result


@pytest.mark.parametrize("name", [None, *PATHOLOGY_NAMES])
@pytest.mark.parametrize("with_soles", [True, False])
def test_detect_gait_events_finds_synthetic_events(name: str | None, with_soles: bool) -> None:
    trial = synthetic_trial(name)
    soles = sole_paths(trial.ground_truth) if with_soles else None
    events = detect_gait_events(trial.ground_truth.joints_m, RATE_HZ, soles_m=soles)
    for found in event_errors(events, trial).values():
        assert len(found) >= 5
        assert abs(found.mean()) <= 1.8  # frames of 10 ms; a painful leg lands softly
        assert abs(found).max() <= 4.5


def test_detect_gait_events_are_between_frames() -> None:
    """Of every second and third frame of a trial the same events are found."""
    trial = synthetic_trial()
    joints = trial.ground_truth.joints_m
    events = detect_gait_events(joints, RATE_HZ)
    for step in (2, 3):
        fewer = detect_gait_events(joints[::step], RATE_HZ / step)
        for side in SIDES:
            for all_frames, found in (
                (events.initial_contacts[side], fewer.initial_contacts[side]),
                (events.foot_offs[side], fewer.foot_offs[side]),
            ):
                assert abs(all_frames[:, None] - step * found).min(axis=0).max() <= 0.5


@pytest.mark.parametrize("rate_hz", [25.0, 50.0, 250.0])
def test_detect_gait_events_at_other_rates_with_noise(rate_hz: float) -> None:
    """With white noise of 1 mm on every joint, more than in a fit."""
    trial = synthetic_trial()
    at_rate = make_trial(body(), trial.subject, seconds=4.5, seed=trial.seed, rate_hz=rate_hz).ground_truth.joints_m
    noisy = at_rate + np.random.default_rng(0).normal(0, 0.001, at_rate.shape)
    events = detect_gait_events(noisy, rate_hz)
    in_centiseconds = GaitEvents(
        *(
            {side: frames * RATE_HZ / rate_hz for side, frames in by_side.items()}
            for by_side in (events.initial_contacts, events.foot_offs)
        )
    )
    for found in event_errors(in_centiseconds, trial).values():
        assert len(found) >= 5
        assert abs(found.mean()) <= 3
        assert abs(found).max() <= 6


def on_circle(trial: SyntheticTrial, radius_m: float) -> NDArray[np.floating]:
    """Map a straight path to a circle."""
    c, s = np.cos(trial.heading_rad), np.sin(trial.heading_rad)
    x, y, z = np.moveaxis(trial.ground_truth.joints_m, -1, 0)
    forward, left = s * x + c * z, c * x - s * z
    angle = forward / radius_m
    return np.stack([radius_m - (radius_m - left) * np.cos(angle), y, (radius_m - left) * np.sin(angle)], axis=-1)


@pytest.mark.parametrize("name", [None, "parkinsonian", "crouch"])
def test_detect_gait_events_on_treadmill_and_on_circle(name: str | None) -> None:
    trial = synthetic_trial(name)
    for joints in (on_treadmill(trial.ground_truth.joints_m), on_circle(trial, 1.5)):
        for found in event_errors(detect_gait_events(joints, RATE_HZ), trial).values():
            assert len(found) >= 5
            assert abs(found).max() <= 7


def test_detect_gait_events_is_invariant_to_heading() -> None:
    joints = synthetic_trial().ground_truth.joints_m
    events = detect_gait_events(joints, RATE_HZ)
    for angle in np.linspace(0, 2 * np.pi, 7):
        c, s = np.cos(angle), np.sin(angle)
        rotated = detect_gait_events(joints @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]), RATE_HZ)
        for side in SIDES:
            np.testing.assert_allclose(rotated.initial_contacts[side], events.initial_contacts[side], atol=0.3)
            np.testing.assert_allclose(rotated.foot_offs[side], events.foot_offs[side], atol=0.3)


def test_detect_gait_events_at_half_speed() -> None:
    joints = synthetic_trial("stiff_knee").ground_truth.joints_m
    slow = np.repeat(joints, 2, axis=0)
    slow[1:-1:2] = (joints[:-1] + joints[1:]) / 2
    for side in SIDES:
        contacts, slow_contacts = (detect_gait_events(j, RATE_HZ).initial_contacts[side] for j in (joints, slow))
        assert abs(slow_contacts - 2 * contacts).max() <= 6


def test_detect_gait_events_finds_none_in_standing() -> None:
    """With one second of standing before and after walking, and 1 mm of noise."""
    trial = synthetic_trial()
    joints = trial.ground_truth.joints_m
    stands = np.concatenate([np.repeat(joints[:1], 100, axis=0), joints, np.repeat(joints[-1:], 100, axis=0)])
    stands = stands + np.random.default_rng(0).normal(0, 0.001, stands.shape)
    contacts = detect_gait_events(stands, RATE_HZ).initial_contacts
    for side in SIDES:
        assert ((contacts[side] > 90) & (contacts[side] < 110 + len(joints))).all()
        assert len(contacts[side]) >= 3
    for few in (1, 2, 100):
        events = detect_gait_events(stands[:few], RATE_HZ)
        assert not any(len(events.initial_contacts[side]) or len(events.foot_offs[side]) for side in SIDES)


def test_progression_directions_follow_a_turn() -> None:
    trial = synthetic_trial()
    joints = on_circle(trial, 1.5)
    forward = progression_directions(joints, RATE_HZ)
    assert np.linalg.norm(forward, axis=1) == pytest.approx(1)
    x, z = joints[:, Joint.PELVIS, 0] - 1.5, joints[:, Joint.PELVIS, 2]
    tangent = np.stack([z, 0 * x, -x], axis=1) / np.hypot(x, z)[:, None]
    middle = slice(60, -60)
    assert np.degrees(np.arccos((forward * tangent).sum(axis=1)[middle])).max() < 8


@pytest.mark.slow
@pytest.mark.captures
def test_detect_gait_events_agrees_with_laboratories(captures: Path) -> None:
    """On recorded trials of controls and patients; laboratories that mark by eye are accurate to a few frames."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(REPOSITORY / "benchmarks")
        subjects = importlib.import_module("recorded_trials").recorded_subjects(captures)
        trials = importlib.import_module("fit_recorded_trials").fit_trials(subjects, captures, body())
    found: dict[str, list[float]] = {"Foot Strike": [], "Foot Off": []}
    for trial in trials:
        recording = trial.trial_fit.recording
        (sequence,) = trial.trial_fit.pose_sequences
        events = detect_gait_events(sequence.joints_m, recording.rate_hz, soles_m=sole_paths(sequence))
        for label, by_side in (("Foot Strike", events.initial_contacts), ("Foot Off", events.foot_offs)):
            for side in SIDES:
                true = np.array([e.time_s for e in recording.events if (e.label, e.side) == (label, side)])
                true = true * recording.rate_hz - (sequence.first_frame - 1)
                inside = true[(true > END) & (true < sequence.num_frames - END)]
                found[label] += [by_side[side][abs(by_side[side] - frame).argmin()] - frame for frame in inside]
    for label, off in found.items():
        assert len(off) >= 25, label
        assert abs(np.mean(off)) <= 0.8, label
        assert np.abs(off).mean() <= 1.5, label
        assert np.abs(off).max() <= 6, label
