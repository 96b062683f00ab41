"""Walking, standing, turning on the spot and sitting, of stick figures, synthetic walks and real recordings."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from gait.body.model_file import load_body
from gait.body.skeleton import Joint
from gait.capture.read_recording import read_recording
from gait.fitting.fit_recordings import fit_recordings
from gait.kinematics.walking import (
    Activity,
    activity_intervals,
    find_activity,
    format_interruptions,
    walking_intervals,
)
from gait.synthetic import make_subject, make_trial
from gait.synthetic.standing import add_standing
from tests.helpers.motion_cases import rot_y, stick_figure
from tests.helpers.paths import OPEN_BODY

RATE_HZ = 100.0
pytestmark = pytest.mark.usefixtures("one_thread")


@cache
def walk(speed_m_s: float = 1.2, steps_per_minute: float = 110.0, seconds: float = 4.0) -> NDArray[np.float64]:
    """Return the joints (T, 22, 3) of a synthetic walk."""
    body = load_body(OPEN_BODY)
    stride_s = 120 / steps_per_minute
    subject = make_subject(body, 4, adult=True).with_pace(speed_m_s * stride_s, stride_s)
    return make_trial(body, subject, seconds=seconds, seed=1).ground_truth.joints_m.astype(np.float64)


def stand(frames: int, like: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return joints in the pose ``like`` (22, 3) that sway by some millimetres, the feet still."""
    sway = np.cumsum(np.random.default_rng(0).normal(size=(frames, 3)), axis=0)
    sway = 0.006 * gaussian_filter1d(sway / np.abs(sway).max(), 15, axis=0) * [1, 0, 1]
    height = np.clip((like[:, 1] - like[:, 1].min()) / np.ptp(like[:, 1]) - 0.05, 0, 1)
    return like + sway[:, None] * height[:, None]


def names(joints: NDArray[np.float64], rate_hz: float = RATE_HZ) -> list[str]:
    return [interval.activity.name for interval in activity_intervals(find_activity(joints, rate_hz))]


@pytest.mark.parametrize(("speed", "cadence"), [(0.2, 40), (0.2, 60), (0.2, 110), (0.25, 140), (0.5, 60), (1.3, 115)])
def test_find_activity_keeps_every_frame_of_slow_and_shuffling_walks(speed: float, cadence: float) -> None:
    joints = walk(speed, cadence, 6.0)
    on_treadmill = joints - (joints[:, :1] - joints[:1, :1]) * [1, 0, 1]
    noisy = joints + np.random.default_rng(1).normal(0, 0.003, joints.shape)
    for case in (joints, on_treadmill, noisy, joints[::2], joints[137:411]):
        assert names(case, RATE_HZ / 2 if len(case) == len(joints[::2]) else RATE_HZ) == ["WALKING"]


@pytest.mark.parametrize("radius_m", [0.7, 2.0])
def test_find_activity_keeps_a_walk_on_a_curve(radius_m: float) -> None:
    joints = walk()
    path = joints[:, Joint.PELVIS] * [1, 0, 1]
    ahead = (path[-1] - path[0]) / np.linalg.norm(path[-1] - path[0])
    along = (path - path[0]) @ ahead
    relative = (joints - path[:, None]) @ rot_y(np.arctan2(ahead[2], ahead[0])).T  # ahead becomes +x
    angle = along / radius_m
    turned = np.stack([frame @ rot_y(-turn).T for frame, turn in zip(relative, angle, strict=True)])
    curve = radius_m * np.stack([np.sin(angle), 0 * angle, 1 - np.cos(angle)], axis=1)
    assert names(turned + curve[:, None]) == ["WALKING"]


def test_find_activity_finds_standing_before_and_after_a_walk() -> None:
    body = load_body(OPEN_BODY)
    trial = make_trial(body, make_subject(body, 4, adult=True), seconds=4.0, seed=1)
    joints = add_standing(trial, body, 3.0, 2.0).ground_truth.joints_m
    activity = find_activity(joints, RATE_HZ)
    found = activity_intervals(activity)
    assert [each.activity.name for each in found] == ["STANDING", "STARTING", "WALKING", "STARTING", "STANDING"]
    assert 300 <= found[1].first <= 340
    assert len(joints) - 240 <= found[4].first <= len(joints) - 200
    assert all(30 < each.end - each.first < 100 for each in (found[1], found[3]))  # one step
    assert re.fullmatch(r"standing 5\.\d s, starting or stopping 1\.\d s", format_interruptions(activity, RATE_HZ))
    assert walking_intervals(activity) == (slice(found[2].first, found[2].end),)


def test_find_activity_finds_several_walks() -> None:
    joints = np.concatenate([walk(), stand(250, walk()[-1]), walk() + walk()[-1, :1] - walk()[0, :1]])
    assert names(joints) == ["WALKING", "STARTING", "STANDING", "STARTING", "WALKING"]


@pytest.mark.parametrize("degrees", [-180, 180])
def test_find_activity_finds_turning_on_the_spot_with_steps(degrees: float) -> None:
    joints = walk()
    stepping = joints - (joints[:, :1] - joints[:1, :1]) * [1, 0, 1]  # in place
    centre = stepping[0, Joint.PELVIS] * [1, 0, 1]
    angles = np.radians(np.linspace(0, degrees, len(joints)))
    turn = np.stack([(frame - centre) @ rot_y(a).T for frame, a in zip(stepping, angles, strict=True)]) + centre
    before = joints + (turn[0, :1] - joints[-1, :1]) * [1, 0, 1]
    walking, _, turning = activity_intervals(find_activity(np.concatenate([before, turn]), RATE_HZ))
    assert [walking.activity, turning.activity] == [Activity.WALKING, Activity.TURNING]
    assert abs(turning.first - len(before)) <= 30


def test_find_activity_finds_sitting_down() -> None:
    joints = walk()
    legs = [Joint[f"{side}_{part}"] for side in ("LEFT", "RIGHT") for part in ("KNEE", "ANKLE", "FOOT")]
    above = [joint for joint in range(joints.shape[1]) if joint not in legs]
    down = 0.42 * np.linalg.norm(joints[-1, Joint.LEFT_HIP] - joints[-1, Joint.LEFT_ANKLE])
    sitting = np.repeat(joints[-1:], 320, axis=0)
    sitting[:, above, 1] -= down * np.clip(np.arange(320) / 120, 0, 1)[:, None]
    assert names(np.concatenate([joints, sitting])) == ["WALKING", "STARTING", "STANDING", "SITTING"]


def test_find_activity_of_two_corrections_of_the_stance_is_standing() -> None:
    joints = stand(500, stick_figure(1)[0])
    for side, begin in (("LEFT", 200), ("RIGHT", 260)):
        shift = np.clip((np.arange(500) - begin) / 30, 0, 1)[:, None, None] * [0.12, 0, 0]
        joints[:, [Joint[f"{side}_{part}"] for part in ("KNEE", "ANKLE", "FOOT")]] += shift
    assert names(joints) == ["STANDING"]


def test_find_activity_of_one_frame_is_standing() -> None:
    assert names(walk()[:1]) == ["STANDING"]
    assert activity_intervals(np.empty(0, np.uint8)) == ()


@pytest.mark.captures
def test_find_activity_keeps_every_frame_of_a_recorded_walk_on_a_treadmill(captures: Path) -> None:
    (trial,) = fit_recordings(
        [read_recording(captures / "formats" / "treadmill_events.c3d")], load_body(OPEN_BODY)
    ).trials
    assert names(trial.joints_m, trial.recording.rate_hz) == ["WALKING"]


@pytest.mark.captures
def test_find_activity_finds_standing_around_a_recorded_walk(captures: Path) -> None:
    path = captures.parent / "inputs" / "stand_walk_stand.c3d"
    if not path.is_file():
        pytest.skip("no inputs: ../shared/inputs is missing")
    (trial,) = fit_recordings([read_recording(path)], load_body(OPEN_BODY)).trials
    (walk,) = walking_intervals(find_activity(trial.joints_m, RATE_HZ))
    assert 395 <= walk.start <= 440
    assert 760 <= walk.stop <= 832
