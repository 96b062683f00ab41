"""Where the windows of a trial begin: every few frames, or at initial contacts, so that all have the same phase."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gait.arrays import Vector
from gait.body.joint_status import JointStatus
from gait.body.skeleton import Joint
from gait.kinematics.gait_events import SIDES
from gait.kinematics.strides import find_trial_strides
from gait.motion.dataset import Trial

FRAMES, CYCLES = "frames", "cycles"
PLACEMENTS = (FRAMES, CYCLES)
"""``frames``: windows begin every ``stride`` frames of a walk. ``cycles``: at initial contacts, in time that has
``CYCLE_SAMPLES`` samples per stride of the trial; windows that begin with the right foot are mirrored."""

CYCLE_SAMPLES = 100
TRAINING_SHIFTS = (-3, 0, 3)
"""In training, each window of a cycle begins so many samples after an initial contact: events are not exact either."""


def window_duration(window_length: int, rate_hz: float, windows: str) -> str:
    """Return the duration of a window with its unit, within a sentence: "1.28 s" or "1.28 strides"."""
    if windows == CYCLES:
        return f"{window_length / CYCLE_SAMPLES:.2f} strides"
    return f"{window_length / rate_hz:.2f} s"


@dataclass(frozen=True, eq=False)
class WindowPlacement:
    """The windows of one trial, in temporal order; each lies within one walk."""

    starts: NDArray[np.int64]  # (n,) first sample of each window
    mirrored: NDArray[np.bool_]  # (n,) whether the window is a mirror image
    frames_per_sample: float = 1.0  # the samples of a trial begin at its first frame
    reason: str | None = None  # one line if there is no window, although the trial's poses are complete

    @property
    def first_frames(self) -> NDArray[np.int64]:
        """The nearest frame of the trial to each window's first sample, (n,)."""
        return np.rint(self.starts * self.frames_per_sample).astype(np.int64)

    def num_frames(self, window_length: int) -> int:
        """Return the number of frames that a window covers; 1 or more."""
        return max(1, round(window_length * self.frames_per_sample))

    def times(self, num_frames: int) -> Vector:
        """Return the time in frames of each sample (S,) of a trial."""
        samples = int((num_frames - 1) / self.frames_per_sample + 1e-9) + 1
        return np.asarray(np.arange(samples) * self.frames_per_sample, dtype=np.float64)


def place_windows(
    trial: Trial,
    window_length: int,
    stride: int = 1,
    windows: str = FRAMES,
    *,
    left_out: Collection[Joint] = (),
    min_observed: float = 0.0,
    shifts: Sequence[int] = (0,),
) -> WindowPlacement:
    """Return the windows of a trial, of ``window_length`` samples each.

    Windows are omitted in which a joint that is not left out is observed or inferred in a smaller fraction of the
    frames than ``min_observed``. ``stride`` is of ``frames``; ``shifts`` are of ``cycles``, samples from an initial
    contact to the begin of a window.
    """
    if windows == FRAMES:
        starts = window_starts(trial, window_length, stride, left_out, min_observed)
        reason = trial.reason_without_window(window_length)
        return WindowPlacement(starts, np.zeros(len(starts), dtype=bool), reason=reason)
    placed = _place_cycles(trial, window_length, shifts)
    kept = _observed(trial, placed.first_frames, placed.num_frames(window_length), left_out, min_observed)
    return WindowPlacement(placed.starts[kept], placed.mirrored[kept], placed.frames_per_sample, placed.reason)


def window_starts(
    trial: Trial, window_length: int, stride: int, left_out: Collection[Joint] = (), min_observed: float = 0.0
) -> NDArray[np.int64]:
    """Return the first frames of a trial's windows that begin every few frames; arguments as in ``place_windows``."""
    starts = [np.arange(walk.start, walk.stop - window_length + 1, stride) for walk in trial.walks]
    first = np.concatenate([np.empty(0, np.int64), *starts])
    return first[_observed(trial, first, window_length, left_out, min_observed)]


def observed_fraction(
    joint_status: NDArray[np.uint8], first_frames: NDArray[np.int64], window_length: int
) -> NDArray[np.float64]:
    """Return the fraction of the frames of windows (N,) in which each joint is observed or inferred, (N, 22)."""
    known = np.pad(joint_status > JointStatus.NOT_OBSERVED, ((1, 0), (0, 0))).cumsum(axis=0)
    ends = np.minimum(first_frames + window_length, len(joint_status))
    return (known[ends] - known[first_frames]) / window_length


def _observed(
    trial: Trial,
    first_frames: NDArray[np.int64],
    num_frames: int,
    left_out: Collection[Joint],
    min_observed: float,
) -> NDArray[np.bool_]:
    """Return which windows (n,) observe enough of all joints that are not left out."""
    if min_observed == 0 or trial.joint_status is None:
        return np.ones(len(first_frames), dtype=bool)
    fraction = observed_fraction(trial.joint_status, first_frames, num_frames)
    fraction[:, list(left_out)] = 1
    return np.asarray((fraction >= min_observed).all(axis=1))


def _place_cycles(trial: Trial, window_length: int, shifts: Sequence[int]) -> WindowPlacement:
    contacts = {
        side: [c for c in trial.events.initial_contacts[side] if trial.walking[round(float(c))]] for side in SIDES
    }
    strides = find_trial_strides(trial.events, trial.joints_m, trial.rate_hz, trial.walks)
    whole = [stride.end - stride.start for side in SIDES for stride in strides[side]]
    none = WindowPlacement(np.empty(0, np.int64), np.empty(0, bool))
    if not trial.walks:
        return replace(none, reason=trial.reason_without_window(window_length))
    if not whole:
        return _without(none, f"{trial.trial_id}: no stride from initial contact to initial contact within a walk")
    frames_per_sample = float(np.median(whole)) / CYCLE_SAMPLES
    found = []
    for mirrored, side in enumerate(SIDES):
        for contact in contacts[side]:
            (walk,) = (walk for walk in trial.walks if walk.start <= round(float(contact)) < walk.stop)
            for shift in shifts:
                start = round(float(contact) / frames_per_sample) + shift
                end = (start + window_length - 1) * frames_per_sample
                if start * frames_per_sample >= walk.start and end <= walk.stop - 1:
                    found.append((start, bool(mirrored)))
    if not found:
        return _without(
            none,
            f"{trial.trial_id}: no walk goes on for a window of {window_length} hundredths of a stride after an "
            "initial contact",
        )
    found.sort()
    return WindowPlacement(
        np.array([start for start, _ in found], np.int64), np.array([m for _, m in found]), frames_per_sample
    )


def _without(placement: WindowPlacement, why: str) -> WindowPlacement:
    return replace(placement, reason=f"{why}; excluded, shorter windows or --windows {FRAMES} may keep it.")
