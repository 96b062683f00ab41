"""Where the windows of a trial begin: every few frames, or at initial contacts, so that all have the same phase."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gait.arrays import Vector, true_runs
from gait.body.joint_status import JointStatus
from gait.body.skeleton import Joint
from gait.kinematics.gait_events import SIDES
from gait.kinematics.strides import Stride, find_trial_strides
from gait.kinematics.walking import Activity
from gait.motion.dataset import Trial

FRAMES, CYCLES = "frames", "cycles"
PLACEMENTS = (FRAMES, CYCLES)
"""``frames``: windows begin every ``stride`` frames of a walk. ``cycles``: at initial contacts, in time that has
``CYCLE_SAMPLES`` samples in the stride with which the window begins; windows that begin with the right foot are
mirrored."""

CYCLE_SAMPLES = 100
TRAINING_SHIFTS = (-3, 0, 3)
"""In training, windows of ``cycles`` begin so many samples after an initial contact: events are not exact either."""

MIN_INNER = 2
"""Trials of ``cycles`` with fewer windows than these away from the ends of a walk keep those at its ends, too."""


def window_duration(window_length: int, rate_hz: float, windows: str) -> str:
    """Return the duration of a window with its unit, within a sentence: "1.28 s" or "1.28 strides"."""
    if windows == CYCLES:
        return f"{window_length / CYCLE_SAMPLES:.2f} strides"
    return f"{window_length / rate_hz:.2f} s"


@dataclass(frozen=True, eq=False)
class WindowPlacement:
    """The windows of one trial, in temporal order; each is a row of samples that lies within one walk."""

    starts: NDArray[np.int64]  # (n,) first sample of each window
    mirrored: NDArray[np.bool_]  # (n,) whether the window is a mirror image
    times: Vector  # (S,) time of each sample in frames; within a window they are evenly spaced
    frames_per_sample: float = 1.0  # median of all windows
    reason: str | None = None  # one line if there is no window, although the trial's poses are complete

    @property
    def first_frames(self) -> NDArray[np.int64]:
        """The nearest frame of the trial to each window's first sample, (n,)."""
        return np.rint(self.times[self.starts]).astype(np.int64)

    def num_frames(self, window_length: int) -> int:
        """Return the number of frames that a window covers; 1 or more."""
        return max(1, round(window_length * self.frames_per_sample))


def place_windows(
    trial: Trial,
    window_length: int,
    stride: int = 1,
    windows: str = FRAMES,
    *,
    left_out: Collection[Joint] = (),
    min_observed: float = 0.0,
    training: bool = False,
) -> WindowPlacement:
    """Return the windows of a trial, of ``window_length`` samples each.

    Windows are omitted in which a joint that is not left out is observed or inferred in a smaller fraction of the
    frames than ``min_observed``. ``stride`` is of ``frames``. ``training`` is of ``cycles``: windows near the ends of a
    walk are included, and ``TRAINING_SHIFTS`` applied.
    """
    if windows == FRAMES:
        starts = window_starts(trial, window_length, stride, left_out, min_observed)
        reason = trial.reason_without_window(window_length)
        times = np.arange(len(trial.joints_m), dtype=np.float64)
        return WindowPlacement(starts, np.zeros(len(starts), dtype=bool), times, reason=reason)
    placed = _place_cycles(trial, window_length, training)
    kept = _observed(trial, placed.first_frames, placed.num_frames(window_length), left_out, min_observed)
    return replace(placed, starts=placed.starts[kept], mirrored=placed.mirrored[kept])


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


@dataclass(frozen=True)
class _Cycle:
    """The windows around one initial contact."""

    contact: float  # frame
    mirrored: bool
    frames_per_sample: float
    shifts: tuple[int, ...]  # in ascending order, of those that lie within the walk
    is_inner: bool  # whether a contact precedes stride and window, and another follows

    def times(self, window_length: int) -> Vector:
        """Return the times (S,) of the samples of all its windows, in frames."""
        samples = np.arange(self.shifts[0], self.shifts[-1] + window_length)
        return np.asarray(self.contact + samples * self.frames_per_sample, dtype=np.float64)


def _place_cycles(trial: Trial, window_length: int, training: bool) -> WindowPlacement:
    """Return the windows of ``cycles``; they do not depend on what the trial holds before and after the walk.

    A window is scaled by the stride with which it begins. Unless in training, a contact precedes both, and another
    follows, as the first and the last step of a walk between two stands are not at its pace, and those of another walk
    may not be. A trial with fewer than ``MIN_INNER`` such windows gives all that it has, whose mean is worth more.
    """
    none = WindowPlacement(np.empty(0, np.int64), np.empty(0, bool), np.empty(0))
    if not trial.walks:
        return replace(none, reason=trial.reason_without_window(window_length))
    strides = find_trial_strides(trial.events, trial.joints_m, trial.rate_hz, trial.walks)
    whole = sorted((each for side in SIDES for each in strides[side]), key=lambda stride: stride.start)
    if not whole:
        return _without(none, f"{trial.trial_id}: no stride from initial contact to initial contact within a walk")
    shifts = TRAINING_SHIFTS if training else (0,)
    cycles = [cycle for stride in whole if (cycle := _cycle(trial, stride, window_length, shifts)).shifts]
    if not cycles:
        return _without(
            none,
            f"{trial.trial_id}: no walk goes on for a window of {window_length} hundredths of a stride after an "
            "initial contact",
        )
    if not training:
        inner = [cycle for cycle in cycles if cycle.is_inner]
        cycles = inner if len(inner) >= MIN_INNER else cycles
    times = [cycle.times(window_length) for cycle in cycles]
    ends = np.cumsum([len(each) for each in times])
    return WindowPlacement(
        starts=np.concatenate(
            [
                end - len(each) + np.subtract(cycle.shifts, cycle.shifts[0])
                for cycle, each, end in zip(cycles, times, ends, strict=True)
            ]
        ),
        mirrored=np.array([cycle.mirrored for cycle in cycles for _ in cycle.shifts]),
        times=np.concatenate(times),
        frames_per_sample=float(np.median([cycle.frames_per_sample for cycle in cycles])),
    )


def _cycle(trial: Trial, stride: Stride, window_length: int, shifts: Sequence[int]) -> _Cycle:
    """Return the windows that begin at or around the contact with which a stride begins."""
    (walk,) = (walk for walk in trial.walks if walk.start <= stride.start < walk.stop)
    frames_per_sample = (stride.end - stride.start) / CYCLE_SAMPLES

    def time(sample: int) -> float:
        return stride.start + sample * frames_per_sample

    last = window_length - 1
    fitting = [shift for shift in shifts if walk.start <= time(shift) and time(shift + last) <= walk.stop - 1]
    steps = _steps_around(trial, walk)
    contacts = [c for side in SIDES for c in trial.events.initial_contacts[side] if steps.start <= c < steps.stop]
    is_inner = min(contacts) < stride.start and max(stride.end, time(last)) < max(contacts)
    return _Cycle(stride.start, stride.side == "right", frames_per_sample, tuple(sorted(fitting)), is_inner)


def _steps_around(trial: Trial, walk: slice) -> slice:
    """Return the frames of a walk with its first and last step."""
    if trial.activity is None:
        return walk
    steps = true_runs(np.isin(trial.activity, (Activity.WALKING, Activity.STARTING)))
    return next(run for run in steps if run.start <= walk.start < run.stop)


def _without(placement: WindowPlacement, why: str) -> WindowPlacement:
    return replace(placement, reason=f"{why}; excluded, shorter windows or --windows {FRAMES} may keep it.")
