"""Heel strikes and toe offs from joints, against walkers whose events are known and what laboratories marked."""

import importlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gait.body.body import Body
from gait.body.model_file import load_body
from gait.body.skeleton import Joint
from gait.kinematics.gait_events import SIDES, GaitEvents, gait_events, headings, heel_strikes
from gait.synthetic import DISORDER_NAMES, Walk, disorder, make_person, make_walk
from tests.helpers.paths import REPOSITORY

RATE_HZ = 100.0
END = 30  # frames at an end whose swing or stance is not shown whole

pytestmark = pytest.mark.usefixtures("one_thread")


@cache
def body() -> Body:
    return load_body(REPOSITORY / "data" / "SUPR" / "open_neutral.npz")


@cache
def walked(name: str | None = None, seed: int = 2) -> Walk:
    what = disorder(name) if name else None
    return make_walk(body(), make_person(body(), seed, adult=True), what, seconds=4.5, seed=seed)


def errors(found: NDArray[np.int64], true: list[float], frames: int) -> NDArray[np.float64]:
    """Of found events against the nearest true one; fails where one is missing, or found that is none."""
    true_frames = np.array(true)
    nearest = true_frames[abs(found[:, None] - true_frames).argmin(axis=1)] if len(found) else np.empty(0)
    assert len(np.unique(nearest)) == len(found), "two events for one"
    inside = true_frames[(true_frames > END) & (true_frames < frames - END)]
    assert np.isin(inside, nearest).all(), f"missed: {np.setdiff1d(inside, nearest)}"
    return found - nearest


def compared(events: GaitEvents, walk: Walk) -> dict[str, NDArray[np.float64]]:
    """Errors in frames by label, both sides."""
    result = {}
    for label, found in (("Foot Strike", events.heel_strikes), ("Foot Off", events.toe_offs)):
        by_side = []
        for side in SIDES:
            true = [e.time_s * RATE_HZ for e in walk.events if (e.label, e.side) == (label, side)]
            by_side.append(errors(found[side], true, walk.truth.frames))
        result[label] = np.concatenate(by_side)
    return result


@pytest.mark.parametrize("name", [None, *DISORDER_NAMES])
def test_events_are_those_of_the_walk(name: str | None) -> None:
    walk = walked(name)
    for found in compared(gait_events(walk.truth.joints_m, RATE_HZ), walk).values():
        assert len(found) >= 5
        assert abs(found.mean()) <= 3
        assert abs(found).max() <= 6


@pytest.mark.parametrize("rate_hz", [25.0, 50.0, 250.0])
def test_other_rates_and_noise_find_the_same_events(rate_hz: float) -> None:
    """Noise of 1 mm from frame to frame on every joint, more than a fit leaves."""
    walk = walked()
    at_rate = make_walk(body(), walk.person, seconds=4.5, seed=walk.seed, rate_hz=rate_hz).truth.joints_m
    noisy = at_rate + np.random.default_rng(0).normal(0, 0.001, at_rate.shape)
    events = gait_events(noisy, rate_hz)
    in_centiseconds = GaitEvents(
        *(
            {side: np.round(frames * RATE_HZ / rate_hz).astype(np.int64) for side, frames in by_side.items()}
            for by_side in (events.heel_strikes, events.toe_offs)
        )
    )
    for found in compared(in_centiseconds, walk).values():
        assert len(found) >= 5
        assert abs(found.mean()) <= 3
        assert abs(found).max() <= 6


def on_a_treadmill(joints: NDArray[np.floating]) -> NDArray[np.floating]:
    """The even part of the way taken off: who walks stays where the belt lets them."""
    pelvis = joints[:, Joint.PELVIS]
    even = np.linspace(0, 1, len(joints))[:, None] * (pelvis[-1] - pelvis[0]) * [1, 0, 1]
    return joints - even[:, None]


def round_a_circle(walk: Walk, radius_m: float) -> NDArray[np.floating]:
    """The same steps on a circle: what was the way ahead becomes an arc."""
    c, s = np.cos(walk.heading_rad), np.sin(walk.heading_rad)
    x, y, z = np.moveaxis(walk.truth.joints_m, -1, 0)
    ahead, left = s * x + c * z, c * x - s * z
    turned = ahead / radius_m
    return np.stack([radius_m - (radius_m - left) * np.cos(turned), y, (radius_m - left) * np.sin(turned)], axis=-1)


@pytest.mark.parametrize("name", [None, "parkinsonian", "crouch"])
def test_on_a_treadmill_and_in_a_turn_they_are_the_same(name: str | None) -> None:
    walk = walked(name)
    for joints in (on_a_treadmill(walk.truth.joints_m), round_a_circle(walk, 1.5)):
        for found in compared(gait_events(joints, RATE_HZ), walk).values():
            assert len(found) >= 5
            assert abs(found).max() <= 7


def test_the_direction_of_the_walk_does_not_matter() -> None:
    joints = walked().truth.joints_m
    events = gait_events(joints, RATE_HZ)
    for angle in np.linspace(0, 2 * np.pi, 7):
        c, s = np.cos(angle), np.sin(angle)
        turned = gait_events(joints @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]), RATE_HZ)
        for side in SIDES:
            assert turned.heel_strikes[side].tolist() == events.heel_strikes[side].tolist()
            assert turned.toe_offs[side].tolist() == events.toe_offs[side].tolist()


def test_twice_as_slow_is_twice_as_late() -> None:
    joints = walked("stiff_knee").truth.joints_m
    slow = np.repeat(joints, 2, axis=0)
    slow[1:-1:2] = (joints[:-1] + joints[1:]) / 2
    for side in SIDES:
        strikes, slow_strikes = heel_strikes(joints, RATE_HZ)[side], heel_strikes(slow, RATE_HZ)[side]
        assert abs(slow_strikes - 2 * strikes).max() <= 6


def test_nobody_steps_while_standing() -> None:
    """A second of standing before the first frame and after the last, with a millimetre of noise."""
    walk = walked()
    joints = walk.truth.joints_m
    stands = np.concatenate([np.repeat(joints[:1], 100, axis=0), joints, np.repeat(joints[-1:], 100, axis=0)])
    stands = stands + np.random.default_rng(0).normal(0, 0.001, stands.shape)
    strikes = heel_strikes(stands, RATE_HZ)
    for side in SIDES:
        assert ((strikes[side] > 90) & (strikes[side] < 110 + len(joints))).all()
        assert len(strikes[side]) >= 3
    for few in (1, 2, 100):
        events = gait_events(stands[:few], RATE_HZ)
        assert not any(len(events.heel_strikes[side]) or len(events.toe_offs[side]) for side in SIDES)


def test_headings_follow_a_turn() -> None:
    walk = walked()
    joints = round_a_circle(walk, 1.5)
    ahead = headings(joints, RATE_HZ)
    assert np.linalg.norm(ahead, axis=1) == pytest.approx(1)
    x, z = joints[:, Joint.PELVIS, 0] - 1.5, joints[:, Joint.PELVIS, 2]
    tangent = np.stack([z, 0 * x, -x], axis=1) / np.hypot(x, z)[:, None]
    middle = slice(60, -60)
    assert np.degrees(np.arccos((ahead * tangent).sum(axis=1)[middle])).max() < 8


@pytest.mark.slow
@pytest.mark.captures
def test_events_are_those_that_laboratories_marked(captures: Path) -> None:
    """Real walks of healthy and ill people; the laboratories' own events are right within a few frames."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(REPOSITORY / "benchmarks")
        walks = importlib.import_module("real_fits").fit_walks(
            importlib.import_module("real_walks").recorded_persons(captures), captures, body()
        )
    found: dict[str, list[float]] = {"Foot Strike": [], "Foot Off": []}
    for walk in walks:
        recording, events = walk.gait.recording, gait_events(walk.gait.joints_m, walk.gait.recording.rate_hz)
        for label, by_side in (("Foot Strike", events.heel_strikes), ("Foot Off", events.toe_offs)):
            for side in SIDES:
                true = np.array([e.time_s for e in recording.events if (e.label, e.side) == (label, side)])
                true = (true - recording.start_s) * recording.rate_hz
                inside = true[(true > END) & (true < recording.frames - END)]
                found[label] += [by_side[side][abs(by_side[side] - frame).argmin()] - frame for frame in inside]
    for label, off in found.items():
        assert len(off) >= 25, label
        assert abs(np.mean(off)) <= 2, label
        assert np.abs(off).max() <= 6, label
