"""A walk as a gait laboratory and as a network see it: curves over the gait cycle of joint angles and of the input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gait.arrays import Vector
from gait.body.joint_status import explainable
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import BODY_JOINTS, Joint
from gait.explaining.evidence.motions import input_curve, side_of
from gait.explaining.trained_network import TrainedNetwork
from gait.kinematics.angle_errors import AngleErrors
from gait.kinematics.curve_errors import TrialErrors, mean_curve_errors
from gait.kinematics.gait_events import SIDES
from gait.kinematics.strides import Stride, stride_curves
from gait.kinematics.trial_analysis import TrialAnalysis, analyse_trial
from gait.motion.dataset import Trial

Curves = Mapping[tuple[str, str], Vector]
"""By name of the curve and side."""


@dataclass(frozen=True, eq=False)
class MeasuredWalk:
    """A trial with its gait analysis, whose curves include the network's own input."""

    trial: Trial  # at the network's frame rate
    analysis: TrialAnalysis  # at the rate of the recording

    @property
    def dimensionless_speed(self) -> float:
        """That of the trial's parameters; NaN if unknown."""
        return self.analysis.parameters.dimensionless_speed

    def strides(self, side: str) -> tuple[Stride, ...]:
        """Return the strides of a side that count in means."""
        curves = self.analysis.curves
        return tuple(stride for stride, used in zip(curves.strides[side], curves.used(side), strict=True) if used)

    def mean_curves(self) -> dict[tuple[str, str], Vector]:
        """Return the mean curves (101,) of the strides that count, degrees; those that none observes are absent."""
        return self.analysis.curves.means()

    def mean_errors(self) -> dict[tuple[str, str], Vector]:
        """Return the standard errors (101,) of the mean curves, degrees.

        They add what the fit does not know and, of two or more strides, SD / √n of the strides. A curve is absent if
        neither is known.
        """
        curves = self.analysis.curves
        of_fit = mean_curve_errors([TrialErrors(curves, self.analysis.angle_errors)])
        found = {}
        for key in curves.curves:
            count = np.isfinite(curves.used_curves(*key)).sum(axis=0)
            of_strides = np.where(count > 1, curves.sd(*key) / np.sqrt(np.maximum(count, 1)), np.nan)
            if key in of_fit:
                found[key] = np.hypot(of_fit[key], np.nan_to_num(of_strides))
            elif np.isfinite(of_strides).any():
                found[key] = of_strides
        return found


def measure_walk(trained: TrainedNetwork, trial: Trial, sequence: PoseSequence, *, errors: bool = True) -> MeasuredWalk:
    """Analyse a trial, whose poses at the rate of the recording are ``sequence``; errors of angles if requested."""
    analysis = analyse_trial(sequence, subject=trial.subject_id, trial=trial.trial_name, with_errors=errors)
    return with_input(trained, trial, sequence, analysis)


def with_input(
    trained: TrainedNetwork, trial: Trial, sequence: PoseSequence, analysis: TrialAnalysis, *, own_input: bool = True
) -> MeasuredWalk:
    """Return a trial with its analysis, to which the curves of the network's own input are added if requested."""
    own = _input_degrees(trained, trial, sequence) if own_input else {}
    if not own:
        return MeasuredWalk(trial, analysis)
    angles = {**analysis.angles_deg, **own}
    curves = stride_curves(analysis.curves.strides, angles)
    of_angles = analysis.angle_errors
    if of_angles is not None:
        of_angles = replace(of_angles, parts={**of_angles.parts, **_input_errors(trained, sequence, of_angles)})
    return MeasuredWalk(trial, replace(analysis, angles_deg=angles, curves=curves, angle_errors=of_angles))


def _input_degrees(trained: TrainedNetwork, trial: Trial, sequence: PoseSequence) -> dict[tuple[str, str], Vector]:
    """Return the network's input (T,) in degrees, at the rate of the sequence; the right side's mirrored to the left.

    Joints in the middle of the body have curves of both sides: those of the right side are the mirrored ones. Empty if
    the input is in no degrees.
    """
    kind = trained.input
    if kind.to_degrees is None:
        return {}
    times = np.arange(sequence.num_frames) * (trained.rate_hz / sequence.rate_hz)
    times = times[times <= len(trial.joints_m) - 1]
    rotations = trained.reference.rotations
    values = kind.relative(
        kind.samples(trial, times.astype(np.float64)), None if rotations is None else rotations.double().numpy()
    )
    degrees = np.full((sequence.num_frames, *values.shape[1:]), np.nan)
    degrees[: len(times)] = kind.to_degrees(values)
    if sequence.joint_status is not None:
        degrees[~explainable(kind.observed(sequence.joint_status))] = np.nan
    return {
        (input_curve(joint, axis), side): degrees[:, joint, axis] * (kind.mirror_signs[axis] if side == "right" else 1)
        for joint in BODY_JOINTS
        for side in _sides(joint)
        for axis in range(3)
    }


def _input_errors(
    trained: TrainedNetwork, sequence: PoseSequence, errors: AngleErrors
) -> dict[tuple[str, str], NDArray[np.float32]]:
    """Return the errors of the input's rotations, as ``AngleErrors.parts`` has them; empty if it has no rotations."""
    error, world = sequence.rotation_error, sequence.world_rotations
    against = trained.input.rotates_against
    if error is None or world is None or not against:
        return {}
    count = len(next(iter(errors.parts.values())))
    nodes = np.minimum(np.arange(count) * errors.spacing, sequence.num_frames - 1)
    own = error.of_frames(nodes).reshape(count, len(BODY_JOINTS), 3, -1)
    world = np.asarray(world[nodes], dtype=np.float64)
    found: dict[tuple[str, str], NDArray[np.float32]] = {}
    for joint in BODY_JOINTS:
        other = against[joint]
        if other is None:
            total = world[:, joint] @ own[:, joint]
        else:  # a small rotation of the joint in the axes of the other one
            total = np.swapaxes(world[:, other], 1, 2) @ (world[:, joint] @ own[:, joint]) - own[:, other]
        for side in _sides(joint):
            found |= {
                (input_curve(joint, axis), side): np.degrees(total[:, axis]).astype(np.float32) for axis in range(3)
            }
    return found


def _sides(joint: Joint) -> tuple[str, ...]:
    """Return whose cycles a joint's curves are over: both if it is in the middle of the body."""
    return (side_of(joint),) if joint.name.startswith(("LEFT_", "RIGHT_")) else SIDES
