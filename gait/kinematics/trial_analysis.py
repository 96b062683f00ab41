"""What a laboratory reads of a trial and of a subject: events, angles, strides, curves, parameters, and their quality.

``analyse_trial`` and ``analyse_subject`` compose the modules of this package. Pages, tables and exporters read their
results.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gait.arrays import Vector
from gait.body.joint_status import JointStatus, body_part_status, unobserved_joints
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import BODY_JOINTS, Joint
from gait.errors import GaitError
from gait.kinematics.angle_errors import AngleErrors, compute_angle_errors
from gait.kinematics.curve_errors import TrialErrors, mean_curve_errors
from gait.kinematics.event_sources import choose_events
from gait.kinematics.gait_events import SIDES, GaitEvents
from gait.kinematics.joint_angles import compute_joint_angles
from gait.kinematics.repeatability import Repeatability, repeatability
from gait.kinematics.spatiotemporal import GaitParameters, pool_parameters, sequence_parameters
from gait.kinematics.strides import ExcludedStride, StrideCurves, find_trial_strides, pool_curves, stride_curves
from gait.kinematics.symmetry import CurveSymmetry, ParameterSymmetry, curve_symmetry, parameter_symmetry
from gait.kinematics.walking import find_activity, walking_intervals


@dataclass(frozen=True)
class TrialQuality:
    """How far the results of a trial follow from its recording."""

    num_frames: int
    seconds: float
    walking_fraction: float  # of the frames
    gap_filled_fraction: float  # of the frames; NaN if unknown
    residual_mean_mm: float  # of the fit: distance between recorded and fitted markers; NaN if unknown
    observed_fraction: Mapping[Joint, float]  # of the frames, of the body part that moves with each joint; 1 if unknown
    unobserved: tuple[Joint, ...]  # joints that the trial does not observe
    num_strides: Mapping[str, int]  # by side, turns and outliers included
    unobserved_angles: tuple[tuple[str, str], ...]  # (name, side) of the angles that no stride observes


@dataclass(frozen=True, eq=False)
class TrialAnalysis:
    """The gait analysis of one trial, or of one segment of a split trial."""

    subject: str
    trial: str
    rate_hz: float
    first_frame: int  # number of frame 0 in the recording
    activity: NDArray[np.uint8]  # (T,) an ``Activity`` per frame
    events: GaitEvents
    angles_deg: Mapping[tuple[str, str], Vector]  # (name, side) -> (T,) degrees; NaN where not observed
    curves: StrideCurves
    parameters: GaitParameters
    quality: TrialQuality
    angle_errors: AngleErrors | None = None  # of the fit; None if unknown, not requested, or without a stride


@dataclass(frozen=True, eq=False)
class SubjectAnalysis:
    """The gait analysis of one subject over all trials of one session."""

    subject: str
    trials: tuple[TrialAnalysis, ...]  # the strides that count in their means are those of ``curves``
    curves: StrideCurves  # of all strides of all trials
    parameters: GaitParameters  # of the same strides
    curve_symmetry: tuple[CurveSymmetry, ...]
    parameter_symmetry: tuple[ParameterSymmetry, ...]
    repeatability: tuple[Repeatability, ...]
    mean_errors_deg: Mapping[
        tuple[str, str], Vector
    ]  # (name, side) -> (101,) standard error of the mean curve; if known


def analyse_trial(
    sequence: PoseSequence,
    *,
    subject: str,
    trial: str,
    events: GaitEvents | None = None,
    residual_mean_mm: float = math.nan,
    with_errors: bool = True,
) -> TrialAnalysis:
    """Return the gait analysis of a trial; ``events`` replace those of ``choose_events``.

    What is not observed is NaN. A trial without a whole stride has curves and parameters of no strides.
    """
    joints, rate_hz = sequence.joints_m, sequence.rate_hz
    activity = find_activity(joints, rate_hz)
    if events is None:
        events = choose_events(sequence)
    walks, status = walking_intervals(activity), sequence.joint_status
    strides = find_trial_strides(events, joints, rate_hz, walks, joint_status=status, trial=trial)
    angles = compute_joint_angles(sequence).degrees
    curves = stride_curves(strides, angles)
    parameters = sequence_parameters(sequence, events, strides, {side: curves.used(side) for side in SIDES})
    missing = tuple(key for key, curve in angles.items() if not np.isfinite(curve).any())
    quality = replace(_quality(sequence, activity, residual_mean_mm), unobserved_angles=missing)
    quality = replace(quality, num_strides={side: len(strides[side]) for side in SIDES})
    return TrialAnalysis(
        subject=subject,
        trial=trial,
        rate_hz=rate_hz,
        first_frame=sequence.first_frame,
        activity=activity,
        events=events,
        angles_deg=angles,
        curves=curves,
        parameters=parameters,
        quality=quality,
        angle_errors=compute_angle_errors(sequence) if with_errors and any(strides.values()) else None,
    )


def analyse_subject(trials: Iterable[TrialAnalysis]) -> SubjectAnalysis:
    """Return the gait analysis of a subject from that of its trials; outlier strides are sought among all strides.

    Raises:
        GaitError: there is no trial, or they are of several subjects, or two have the same name.
    """
    trials = tuple(trials)
    subjects = sorted({trial.subject for trial in trials})
    if len(subjects) != 1:
        found = ", ".join(subjects) if subjects else "no trial"
        raise GaitError(f"The trials of one subject are needed, there is {found}; analyse each subject on its own.")
    names = [trial.trial for trial in trials]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise GaitError(f"{subjects[0]}: two trials are called {', '.join(twice)}; give each its own name.")
    curves = pool_curves([trial.curves for trial in trials])
    parameters = pool_parameters([t.parameters for t in trials], {side: curves.used(side) for side in SIDES})
    trials = tuple(_with_excluded(trial, curves.excluded) for trial in trials)
    return SubjectAnalysis(
        subject=subjects[0],
        trials=trials,
        curves=curves,
        parameters=parameters,
        curve_symmetry=curve_symmetry(curves),
        parameter_symmetry=parameter_symmetry(parameters),
        repeatability=repeatability(curves),
        mean_errors_deg=mean_curve_errors([TrialErrors(trial.curves, trial.angle_errors) for trial in trials]),
    )


def _with_excluded(trial: TrialAnalysis, excluded: Iterable[ExcludedStride]) -> TrialAnalysis:
    """Return the trial with the turns and outliers that were found among all strides of its subject."""
    curves = replace(trial.curves, excluded=tuple(each for each in excluded if each.stride.trial == trial.trial))
    parameters = replace(trial.parameters, used={side: curves.used(side) for side in SIDES})
    return replace(trial, curves=curves, parameters=parameters)


def _quality(sequence: PoseSequence, activity: NDArray[np.uint8], residual_mean_mm: float) -> TrialQuality:
    status = sequence.joint_status
    observed = np.ones(len(BODY_JOINTS))
    if status is not None:
        observed = (body_part_status(status) > JointStatus.NOT_OBSERVED).mean(axis=0)
    return TrialQuality(
        num_frames=sequence.num_frames,
        seconds=sequence.num_frames / sequence.rate_hz,
        walking_fraction=sum(walk.stop - walk.start for walk in walking_intervals(activity)) / sequence.num_frames,
        gap_filled_fraction=math.nan if sequence.gap_filled is None else float(sequence.gap_filled.mean()),
        residual_mean_mm=residual_mean_mm,
        observed_fraction={joint: float(observed[joint]) for joint in BODY_JOINTS},
        unobserved=unobserved_joints(status),
        num_strides={},
        unobserved_angles=(),
    )
