"""What a training leaves out because markers do not observe it: joints of all trials, or the trials that lack them.

A network that sees a joint in some trials and the pose prior's guess in others can learn which laboratory a trial is
from. So every trial gives the same joints.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gait.body.skeleton import BODY_JOINTS, Joint, contralateral_joint
from gait.motion.dataset import Trial
from gait.motion.inputs import INPUTS, PUBLISHED
from gait.motion.window_placement import FRAMES, place_windows

REQUIRED_JOINTS = (Joint.PELVIS, Joint.LEFT_HIP, Joint.RIGHT_HIP)
"""The joints without which there is no common frame."""

AUTO, KEEP = "auto", "keep"
_MAX_TRIALS: Mapping[str, float] = {AUTO: 0.1, "leave_out_joint": 0.0, "leave_out_trial": 1.0}
RULES = (*_MAX_TRIALS, KEEP)
"""Rules: joints are left out, the one that most trials lack first, until at most this fraction of the trials lacks one
of the others; these trials are left out. ``keep`` leaves nothing out."""


@dataclass(frozen=True)
class LeftOut:
    """The joints and trials that are left out of a dataset, and why."""

    joints: tuple[Joint, ...] = ()  # of all trials
    trials: tuple[str, ...] = ()  # their ids
    subjects: tuple[str, ...] = ()  # ids of those that have no other trial
    num_lacking: Mapping[Joint, int] = field(default_factory=dict)  # trials that do not observe a joint, if there are
    num_trials: int = 0  # of the dataset
    num_windows: Mapping[str, int] = field(default_factory=dict)  # trial -> its windows that are left out, if there are
    windows_sha256: str = ""  # of the windows of these trials that are not; "" without such trials

    def select(self, trials: Sequence[Trial]) -> list[Trial]:
        """Return the trials that are not left out."""
        return [trial for trial in trials if trial.trial_id not in self.trials]


def choose_left_out(
    trials: Sequence[Trial], rule: str = AUTO, *, mirror: bool = False, input: str = PUBLISHED
) -> LeftOut:
    """Return what one of ``RULES`` leaves out of a dataset; the labels do not matter to it.

    A trial lacks a joint if markers observe it, or what the input takes of it, in less than half of its frames. With
    mirrored windows, each joint takes the place of its contralateral joint, so both are left out. Trials that lack
    pelvis or hips, without which there is no common frame, are always left out unless all is kept.
    """
    unobserved = {trial.trial_id: INPUTS[input].unobserved_joints(trial) for trial in trials}
    lacking = {joint: {name for name, joints in unobserved.items() if joint in joints} for joint in BODY_JOINTS}
    counts = {joint: len(ids) for joint, ids in lacking.items() if ids}
    if rule == KEEP or not counts:
        return LeftOut(num_lacking=counts, num_trials=len(trials))
    unusable = {trial_id for joint in REQUIRED_JOINTS for trial_id in lacking[joint]}
    joints: set[Joint] = set()
    while len(few := _lacking_any(lacking, joints) - unusable) > _MAX_TRIALS[rule] * len(trials):
        worst = max(lacking.keys() - joints, key=lambda joint: (len(lacking[joint] - unusable), -joint))
        joints |= {worst, contralateral_joint(worst)} if mirror else {worst}
    left_out = tuple(trial.trial_id for trial in trials if trial.trial_id in few | unusable)
    rest = {trial.subject_id for trial in trials if trial.trial_id not in left_out}
    subjects = sorted({trial.subject_id for trial in trials} - rest)
    return LeftOut(tuple(sorted(joints)), left_out, tuple(subjects), counts, len(trials))


def leave_out_windows(
    left_out: LeftOut,
    trials: Sequence[Trial],
    window_length: int,
    stride: int,
    min_observed: float,
    windows: str = FRAMES,
) -> LeftOut:
    """Add the windows that ``place_windows`` omits from the trials that are not left out."""
    digest, num_windows = hashlib.sha256(), {}
    for trial in left_out.select(trials):
        every = place_windows(trial, window_length, stride, windows).starts
        kept = place_windows(
            trial, window_length, stride, windows, left_out=left_out.joints, min_observed=min_observed
        ).starts
        if len(kept) < len(every):
            num_windows[trial.trial_id] = len(every) - len(kept)
            digest.update(trial.trial_id.encode() + kept.tobytes())
    return replace(left_out, num_windows=num_windows, windows_sha256=digest.hexdigest() if num_windows else "")


def _lacking_any(lacking: Mapping[Joint, set[str]], except_for: Collection[Joint]) -> set[str]:
    """Return the trials that lack any joint, except for some joints."""
    return set().union(*(ids for joint, ids in lacking.items() if joint not in except_for))
