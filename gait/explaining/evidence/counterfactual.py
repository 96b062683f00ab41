"""A counterfactual: the smallest change of a subject's walk after which the network decides otherwise, in degrees."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from gait.arrays import Vector
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import Joint
from gait.errors import GaitError
from gait.explaining.evidence.blind_spots import find_blind_spots
from gait.explaining.evidence.changed_walk import ChangedWalk, WalkChanger
from gait.explaining.evidence.control_motion import MIN_CONTROLS, ControlMotion
from gait.explaining.evidence.cycle_motion import MIRROR_SIGNS, cycles_of_sides, fit_cycle_motion, harmonics
from gait.explaining.evidence.explained_walk import ExplainedWalk
from gait.explaining.evidence.finding import Counterfactual, CounterfactualWalk, CurveChange
from gait.explaining.evidence.motion_windows import motion_windows
from gait.explaining.evidence.smallest_change import MAX_SDS, Change, Judged, find_change, find_position
from gait.explaining.prepare_trial import prepare_trial
from gait.explaining.trained_network import TrainedNetwork
from gait.kinematics.gait_events import SIDES, GaitEvents
from gait.kinematics.joint_angles import compute_joint_angles
from gait.kinematics.strides import PERCENT, stride_curves
from gait.learning.metrics import THRESHOLD
from gait.learning.trainer import window_logits
from gait.motion.dataset import Trial

DECISION_MARGIN = 1.0
"""Logit units beyond the boundary of the decision to which the smallest change goes: on the boundary itself, the errors
of a measurement would decide. Walks that were fitted again from exact virtual markers had other logits by 0.6 (SD)."""
MIN_STATED_DEG = 0.5
MIN_FOLLOWING_DEG = 3.0
"""Changes that keep the feet on the floor are stated from so many degrees on."""
_STEP = 0.1
_LEGS = [Joint[f"{side}_{name}"] for side in ("LEFT", "RIGHT") for name in ("HIP", "KNEE", "ANKLE")]
_BATCH_SIZE = 64


@dataclass(frozen=True, eq=False)
class JudgedWalk:
    """A changed walk, and what the network makes of it by a fresh forward pass."""

    walk: ChangedWalk
    trial: Trial  # of the changed poses
    logit: float  # mean over windows
    probability: float  # P(sick), mean over windows
    motions: Vector  # (22, 3, C) by how much they differ from the trial's, radians


class WalkJudge:
    """Changes the poses of one trial, and lets the network judge them as if they were a trial of its own."""

    def __init__(self, trained: TrainedNetwork, trial: Trial, sequence: PoseSequence, spread_rad: Vector):
        """Prepare a trial; ``spread_rad`` (22, 3) is that of ``WalkChanger``.

        Raises:
            GaitError: as in ``WalkChanger`` and ``cycles_of_sides``.
        """
        assert trained.reference.rotations is not None
        self._trained, self._trial = trained, trial
        self.reference = trained.reference.rotations.double().numpy()
        per_frame = sequence.rate_hz / trial.rate_hz
        events = _scale_events(trial.events, per_frame)
        cycles = cycles_of_sides(events, sequence.num_frames)
        self.changer = WalkChanger(sequence, events, cycles, self.reference, spread_rad)
        self.motions, _ = fit_cycle_motion(trial, self.reference)  # (22, 3, C) of the trial

    def judge(self, change: Vector) -> JudgedWalk:
        """Return the walk after a change (22, 3, C), and the network's decision on it.

        Raises:
            GaitError: the changed walk has no window.
        """
        walk = self.changer.change(change)
        trial = prepare_trial(
            self._trial.folder, walk.sequence, self._trained, keep_standing=self._trial.activity is None
        )
        logits = window_logits(self._trained.network, self._trained.windows_of(trial), _BATCH_SIZE).double()
        motions = fit_cycle_motion(trial, self.reference)[0] - self.motions
        return JudgedWalk(walk, trial, float(logits.mean()), float(torch.sigmoid(logits).mean()), motions)


def find_counterfactual(explained: ExplainedWalk) -> Counterfactual:
    """Return what would change the network's decision on a walk; where there is no plausible change, the reason."""
    probability, controls = explained.probability, explained.controls.motion
    if explained.trained.reference.rotations is None:
        return Counterfactual(probability, None, None, "A counterfactual needs a network of --input rotations.")
    if controls is None:
        return Counterfactual(
            probability, None, None, f"A counterfactual needs the walks of at least {MIN_CONTROLS} controls."
        )
    try:
        return _Search(explained, controls).run()
    except GaitError as error:
        return Counterfactual(probability, None, None, f"No counterfactual: {error}")


class _Search:
    """The search for a counterfactual of one walk."""

    def __init__(self, explained: ExplainedWalk, controls: ControlMotion):
        self._explained, self._controls = explained, controls
        trained, trial = explained.trained, explained.walk.trial
        self._judge = WalkJudge(trained, trial, explained.sequence, controls.spread)
        self._windows = motion_windows(trained, trial)
        self._left_out = {*trained.left_out_joints, *trained.input.unobserved_joints(trial)}
        self._mean = controls.at_speed(explained.walk.dimensionless_speed)
        self._curves, self._errors = explained.walk.mean_curves(), explained.walk.mean_errors()
        self._down = 1.0 if explained.probability >= THRESHOLD else -1.0

    def run(self) -> Counterfactual:
        boundary_logit = -self._down * DECISION_MARGIN
        median = self._explained.controls.median_logit if self._down > 0 else math.nan
        target = min(boundary_logit, median) if math.isfinite(median) else boundary_logit
        change = find_change(
            self._windows,
            self._mean - self._judge.motions,
            self._controls.covariance,
            target,
            self._logit_of,
            left_out=self._left_out,
            within_limits=self._judge.changer.within_limits,
        )
        boundary = self._walk_at(change, find_position(change, boundary_logit, self._logit_of))
        reached = self._walk_at(change, find_position(change, target, self._logit_of)) if target == median else None
        return Counterfactual(
            self._explained.probability,
            boundary,
            reached,
            self._reason(change, boundary, reached),
            find_blind_spots(self._windows, self._left_out, self._judge.changer.within_limits),
        )

    def _logit_of(self, change: Vector) -> Judged:
        judged = self._judge.judge(change)
        return Judged(judged.logit, judged.motions, not judged.walk.beyond_limits)

    def _walk_at(self, change: Change, position: float) -> CounterfactualWalk | None:
        """Return the walk at a position of the change, or farther, where the mean probability decides otherwise."""
        last = float(len(change.steps))
        while math.isfinite(position):
            judged = self._judge.judge(change.up_to(position))
            if (judged.probability < THRESHOLD) == (self._down > 0):
                return self._describe(change, position, judged)
            if position >= last:
                break
            position = min(position + _STEP, last)
        return None

    def _describe(self, change: Change, position: float, judged: JudgedWalk) -> CounterfactualWalk:
        curves = self._changed_curves(judged)
        sought = [step.motion for number, step in enumerate(change.steps) if position > number]
        changes = [self._curve_change(motion.joint, motion.axis, curves) for motion in sought]
        changes = [each for each in changes if abs(each.change_deg) >= MIN_STATED_DEG] or changes[:1]
        follows = [
            replace(self._curve_change(joint, axis, curves), follows=True)
            for joint in _LEGS
            for axis in range(3)
            if joint not in self._left_out and (joint, axis) not in {(motion.joint, motion.axis) for motion in sought}
        ]
        follows = [each for each in follows if abs(each.change_deg) >= MIN_FOLLOWING_DEG]
        return CounterfactualWalk(
            probability=judged.probability,
            changes=(*changes, *sorted(follows, key=lambda each: -abs(each.change_deg))),
            sequence=judged.walk.sequence,
            curves_deg=curves,
            foot_slide_mm=judged.walk.slide_mm,
            within_limits=not judged.walk.beyond_limits,
        )

    def _changed_curves(self, judged: JudgedWalk) -> dict[tuple[str, str], Vector]:
        """Return the mean curves (101,) of the changed walk over the strides of the trial, by (curve, side)."""
        own = self._explained.walk.analysis.curves
        angles = compute_joint_angles(judged.walk.sequence).degrees
        changed = replace(stride_curves(own.strides, angles), excluded=own.excluded)
        curves = {key: changed.mean(*key) for key in changed.curves}
        functions = harmonics(np.linspace(0, 1, len(PERCENT)))
        for motion in self._explained.motions:
            key = (motion.curves[0], motion.side)
            if motion.axis is not None and key in self._curves and key not in curves:  # of the network's input
                sign = MIRROR_SIGNS[motion.axis] if motion.side == "right" else 1.0
                curves[key] = self._curves[key] + sign * np.degrees(
                    functions @ judged.motions[motion.joint, motion.axis]
                )
        return {key: mean for key, mean in curves.items() if np.isfinite(mean).any()}

    def _curve_change(self, joint: Joint, axis: int, curves: Mapping[tuple[str, str], Vector]) -> CurveChange:
        """Return the change of a motion where it is largest, by its joint angle, or else in the network's input."""
        explained = self._explained
        motion = next(each for each in explained.motions if (each.joint, each.axis) == (joint, axis))
        key = (motion.curves[0], motion.side)
        before, after = self._curves.get(key), curves.get(key)
        if before is None or after is None:
            raise GaitError(f"{motion.name} has no curve over the gait cycle in this trial.")
        percent = int(np.nanargmax(np.abs(after - before)))
        norm, sd = (
            float(each[key[0]][percent]) if key[0] in each else math.nan
            for each in (explained.bands.mean_deg, explained.bands.sd_deg)
        )
        error = float(self._errors[key][percent]) if key in self._errors else math.nan
        phases = explained.phases[motion.side]
        phase = next(each.name for each in phases if each.first_percent <= percent <= each.last_percent)
        return CurveChange(
            joint, axis, motion.name, motion.angle, motion.side, phase, percent, float(before[percent]),
            float(after[percent]), norm, sd, error,
        )  # fmt: skip

    def _reason(self, change: Change, boundary: CounterfactualWalk | None, median: CounterfactualWalk | None) -> str:
        if boundary is not None and (median is not None or self._down < 0):
            return ""
        farthest = change.logits.min() if self._down > 0 else change.logits.max()
        names = {(each.joint, each.axis): each.name for each in self._explained.motions}
        changed = ", ".join(names[step.motion.joint, step.motion.axis] for step in change.steps)
        if not change.steps:
            return "No plausible change of a joint moves the logit towards the other decision."
        far = "as far as the controls' mean" if self._down > 0 else f"by {MAX_SDS:g} SD of the controls"
        what = (
            "the decision stays" if boundary is None
            else f"that isn't the controls' median, {self._explained.controls.median_logit:.1f}"
        )  # fmt: skip
        return (
            f"Changing the {len(change.steps)} motions with the largest effect ({changed}) {far} takes the logit from "
            f"{change.logits[0]:.1f} to {farthest:.1f}: {what}."
        )


def _scale_events(events: GaitEvents, per_frame: float) -> GaitEvents:
    return GaitEvents(
        {side: np.asarray(events.initial_contacts[side]) * per_frame for side in SIDES},
        {side: np.asarray(events.foot_offs[side]) * per_frame for side in SIDES},
    )
