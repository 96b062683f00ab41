"""Fit one body to all trials of one subject: calibrate shape and marker offsets once, then fit every frame.

``fit_recordings`` does this without the errors in the marker data.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait.arrays import true_runs
from gait.body.anatomy import Anatomy, anatomy_shapedirs, read_anatomy
from gait.body.body import Body
from gait.body.constraints_file import AngleBounds
from gait.body.marker_layout import MarkerLayout
from gait.body.pose_prior import PosePrior, default_pose_prior
from gait.body.pose_sequence import PoseSequence
from gait.body.rotation_error import AnatomyError, RotationError
from gait.body.rotations import matrix_to_axis_angle
from gait.body.skeleton import NUM_BODY_JOINTS
from gait.body.vposer import VPoser
from gait.capture.recording import Recording
from gait.errors import GaitError
from gait.fitting.calibration import (
    CalibrationProblem,
    MarkerOffsets,
    ShapeCalibration,
    betas_for_size,
    calibrate,
    offset_precision,
)
from gait.fitting.frame_batches import FrameBatches, frame_batches, one_thread
from gait.fitting.joint_parametrization import Pose, to_model_pose
from gait.fitting.joint_uncertainty import UNCONSTRAINED_RAD, JointUncertainty, estimate_joint_uncertainty
from gait.fitting.marker_kinematics import SubjectModel
from gait.fitting.marker_quality.marker_error import MarkerError
from gait.fitting.objective_terms import JointPrior, build_joint_prior
from gait.fitting.observed_joints import observed_joints
from gait.fitting.offset_covariance import CalibrationErrors, calibration_errors
from gait.fitting.orientation_error import reduce_errors
from gait.fitting.pose_trajectory import fit_pose_trajectory
from gait.fitting.posture_and_vposer import recentre_prior
from gait.fitting.reduced_body import ReducedBody, reduce_body
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.rigid_initialization import MIN_MARKERS_PER_FRAME, align_rigidly
from gait.fitting.solver.frame_data import ObservedMarkers
from gait.fitting.solver.pose_solver import PoseSolver, SolverKind
from gait.fitting.valid_frames import ValidFrames, frames_determined_by_markers, split_at_gaps
from gait.fitting.weak_frames import find_weak_frames, solve_weak_frames

CALIBRATION_FRAMES = 36
"""Number of frames, over all trials of a subject, from which shape and marker offsets are solved."""
INITIAL_OFFSET_SPREAD_M = 0.05
"""Spread of a trial's marker offsets around the subject's in the first solve; large, to reveal reattached markers."""
MIN_VISIBLE_FRACTION = 2 / 3
"""A technical marker that is visible in a smaller fraction of these frames may never be so together with the markers of
anatomical landmarks that would show its place: it is solved again, together with those of unknown names."""
GROWTH_THRESHOLD = 0.04
"""Trials in which the subject's size differs by more than this fraction have separate shapes."""


@dataclass(frozen=True)
class FitOptions:
    """Assumptions of a fit about a body, besides its markers."""

    scales: ResidualScales = field(default_factory=ResidualScales)
    prior: PosePrior = field(default_factory=default_pose_prior)  # pose prior and range of motion
    bounds: AngleBounds | None = None  # limits of single pose parameters, instead of those of the prior
    vposer: VPoser | None = None  # learned pose prior, used once the poses are close to the solution


@dataclass(frozen=True)
class TrialFit:
    """The fit of one trial."""

    recording: Recording
    body: Body
    layout: MarkerLayout  # of the M markers that were fitted
    betas: NDArray[np.float64]  # (B,) shape of the subject
    offset_m: NDArray[np.float64]  # (M, 3) offset of each marker from the layout, rest axes
    poses: NDArray[np.float32]  # (T, P) pose parameters of the body model, radians
    rotations: NDArray[np.float64]  # (T, J, 3, 3) of the fitted joints, relative to the parent
    translation_m: NDArray[np.float64]  # (T, 3)
    joints_m: NDArray[np.float64]  # (T, J, 3)
    virtual_m: NDArray[np.float64]  # (T, M, 3) virtual markers
    residual_m: NDArray[np.float64]  # (T, M) distance to the observed markers; NaN where not visible or not valid
    uncertainty: JointUncertainty  # expected error of each joint
    valid_frames: ValidFrames  # frames with a usable pose, filled gaps, and segments
    seconds: float  # spent on the poses of this trial
    solver: SolverKind  # which solved them
    marker_errors: tuple[MarkerError, ...] = ()  # found by ``fit_recordings``

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels (M,) of the markers that were fitted."""
        return self.layout.labels

    @cached_property
    def columns(self) -> list[int]:
        """Index of each fitted marker (M,) among those of the recording."""
        return [self.recording.labels.index(label) for label in self.labels]

    @property
    def observed_m(self) -> NDArray[np.float64]:
        """Observed positions (T, M, 3) of the fitted markers; NaN where not visible."""
        return self.recording.positions_m[:, self.columns]

    def pose(self, reduced_body: ReducedBody) -> Pose:
        """Return the poses of all frames as the solver has them."""
        like = reduced_body.marker_template
        angles = None
        if reduced_body.hinges is not None:
            hinge_angles = torch.as_tensor(self.poses).to(like)[:, reduced_body.hinges.pose_index]
            has = torch.stack([reduced_body.hinges.hinged, reduced_body.hinges.double], dim=-1)
            angles = torch.where(has, hinge_angles, torch.zeros_like(hinge_angles))
        return Pose(torch.as_tensor(self.rotations).to(like), torch.as_tensor(self.translation_m).to(like), angles)

    @property
    def stature_m(self) -> float:
        """Height of the body in T-pose, metres."""
        return self.body.stature_m(self.betas)

    @cached_property
    def reduced_body(self) -> ReducedBody:
        """The body reduced to the fitted markers."""
        return reduce_body(self.body, self.layout)

    @cached_property
    def skinning_weights(self) -> NDArray[np.float64]:
        """Skinning weights (M, J) of the fitted markers."""
        return self.reduced_body.skinning_weights.cpu().numpy()

    @cached_property
    def joint_status(self) -> NDArray[np.uint8]:
        """The ``JointStatus`` of each body joint in each frame, (T, 22)."""
        return observed_joints(
            self.uncertainty,
            self.skinning_weights,
            self.body.parents,
            self.virtual_m,
            self.joints_m,
            self.residual_m,
            self.valid_frames.gap_filled,
            self.layout.kinds,
        )

    @property
    def pose_sequences(self) -> tuple[PoseSequence, ...]:
        """The poses, one sequence for each segment between long gaps."""
        return tuple(self._pose_sequence(segment) for segment in self.valid_frames.segments)

    @cached_property
    def anatomy(self) -> Anatomy | None:
        """Joints and landmarks of the body at rest, with the places of the fitted markers."""
        anatomy = read_anatomy(self.body, self.betas)
        if anatomy is None:
            return None
        places = SubjectModel(
            self.reduced_body, *(torch.as_tensor(each) for each in (self.betas, self.offset_m))
        ).rest_markers
        return anatomy.with_markers(dict(zip(self.labels, places.cpu().numpy(), strict=True)))

    @cached_property
    def rotation_error(self) -> RotationError | None:
        """Expected errors of the orientations of the body joints in all frames, and of joints and landmarks at rest."""
        with one_thread():
            return self._reduced_rotation_error()

    def _reduced_rotation_error(self) -> RotationError | None:
        errors = self.uncertainty.orientation
        if errors is None:
            return None
        directions, anatomy_error = anatomy_shapedirs(self.body), None
        if directions is not None and self.anatomy is not None:
            B, L = len(self.betas), errors.parameters.shape[1]
            shape, offsets = errors.parameters[:B], errors.parameters[B:].reshape(-1, 3, L)
            joints_m, landmarks_m = (each @ shape for each in directions)
            fitted_m = np.full_like(landmarks_m, np.nan)
            marker_directions = self.reduced_body.marker_shapedirs.float().cpu().numpy()  # (M, 3, B)
            for m, label in enumerate(self.labels):
                if label in self.anatomy.landmarks:
                    fitted_m[self.anatomy.landmarks.index(label)] = marker_directions[m] @ shape + offsets[m]
            anatomy_error = AnatomyError(joints_m, landmarks_m, fitted_m)
        residual_m, rate_hz = self.virtual_m - self.observed_m, self.recording.rate_hz
        return reduce_errors(errors, residual_m, rate_hz, UNCONSTRAINED_RAD, self.anatomy, anatomy_error)

    def _pose_sequence(self, segment: slice) -> PoseSequence:
        body, num_visible = self.body, np.isfinite(self.residual_m[segment]).sum(axis=1)
        return PoseSequence(
            poses=self.poses[segment],
            betas=self.betas.astype(np.float32),
            translation_m=self.translation_m[segment].astype(np.float32),
            joints_m=self.joints_m[segment, :NUM_BODY_JOINTS].astype(np.float32),
            rate_hz=self.recording.rate_hz,
            model_file=body.name,
            model_sha256=body.sha256,
            gender=body.gender,
            model_type=body.model_type,
            constrained=body.constrained_tree is not None,
            joint_sigma_m=self.uncertainty.sigma_m[segment, :NUM_BODY_JOINTS],
            joint_status=self.joint_status[segment],
            gap_filled=self.valid_frames.gap_filled[segment],
            first_frame=self.recording.first_frame + segment.start,
            body_rotations=None
            if body.constrained_tree is None or body.num_joints < NUM_BODY_JOINTS
            else matrix_to_axis_angle(torch.as_tensor(self.rotations[segment])).numpy().astype(np.float32),
            anatomy=self.anatomy,
            rotation_error=self.rotation_error and self.rotation_error.select(segment),
            extra={"num_visible_markers": num_visible.astype(np.int16)},  # (T,)
        )


RejectionReason = Literal["few frames", "no movement", "not rigid", "off the skin", "not rigid in the fit"]


@dataclass(frozen=True)
class TechnicalMarker:
    """A track of a name that no marker set has, which moves with a segment of the body."""

    label: str
    segment: str  # "left shank"
    rigidity_m: float  # RMS distance from its mean place in the segment's frame


@dataclass(frozen=True)
class RejectedTrack:
    """A track that takes no part in the fit."""

    label: str
    reason: RejectionReason
    segment: str | None = None  # with which the track is most rigid
    rigidity_m: float | None = None


@dataclass(frozen=True)
class SubjectFit:
    """The fit of all trials of one subject."""

    layout: MarkerLayout  # also with markers that no recording has
    trials: tuple[TrialFit, ...]  # in the order of the recordings
    shape_groups: tuple[tuple[int, ...], ...]  # trials with a common shape; more than one group if the subject grew
    seconds: float  # spent on shape and marker offsets
    technical: tuple[TechnicalMarker, ...] = ()  # tracks of other names that take part in the fit
    rejected_tracks: tuple[RejectedTrack, ...] = ()  # and those that do not

    def trials_with_shape_of(self, trial: TrialFit) -> list[TrialFit]:
        """Return the trials with the shape of ``trial``: all, unless the subject has grown between trials."""
        groups = [[self.trials[k] for k in group] for group in self.shape_groups]
        return next(group for group in groups if any(other is trial for other in group))


class UnusableRecordingError(GaitError):
    """A recording cannot be fitted; the subject's other trials can be fitted without it."""

    def __init__(self, recording: Recording, reason: str):
        super().__init__(f"{recording.path}: {reason}.")
        self.recording, self.reason = recording, reason


def fit_shape_and_poses(
    recordings: Sequence[Recording],
    body: Body,
    layout: MarkerLayout,
    options: FitOptions | None = None,
    start: SubjectFit | None = None,
) -> SubjectFit:
    """Fit shape and marker offsets to the recordings of one subject, then a pose to every frame.

    Children grow: trials in which the size of the subject is clearly different get separate shapes. Arguments and
    errors are those of ``fit_recordings``; markers of the layout that no recording has are ignored. With a fit of the
    same trials to some of the markers, ``start``, the calibration starts from its solution.
    """
    options = options or FitOptions()
    scales, all_markers = options.scales, layout
    for recording in recordings:
        check_shared_labels(recording, layout)
    recorded = {label for recording in recordings for label in recording.labels}
    layout = layout.select([label for label in layout.labels if label in recorded])
    began = time.perf_counter()
    with torch.inference_mode(), frame_batches(body.device) as batches:
        reduced_body = reduce_body(body, layout)
        joint_prior = build_joint_prior(
            options.prior, scales, bounds=options.bounds, body=body, hinges=reduced_body.hinges
        )
        observations = [
            observed_markers(recording, layout.labels, reduced_body.marker_template) for recording in recordings
        ]
        chosen = select_calibration_frames([o.visible.cpu().numpy() for o in observations], CALIBRATION_FRAMES)
        calibration_markers = [
            o[torch.as_tensor(rows, device=o.visible.device)] for o, rows in zip(observations, chosen, strict=True)
        ]
        mean_subject = SubjectModel.mean(reduced_body)
        if start is None:
            sizes = [
                _relative_size(mean_subject, joint_prior, frames, recording)
                for frames, recording in zip(calibration_markers, recordings, strict=True)
            ]
            shape_groups = group_by_size(sizes)
        else:
            shape_groups = start.shape_groups
        calibrations = []
        for group in shape_groups:
            group_frames = [calibration_markers[r] for r in group]
            if start is None:
                begin = _rough_calibration(
                    mean_subject, group_frames, float(np.mean([sizes[r] for r in group])), joint_prior, scales
                )
            else:
                begin = _earlier_calibration(reduced_body, [start.trials[r] for r in group], [chosen[r] for r in group])
            path = recordings[group[0]].path
            calibrations.append(_calibrate_group(reduced_body, group_frames, begin, layout, joint_prior, scales, path))
        calibration_s = time.perf_counter() - began
        trials = []
        for r, (recording, observation) in enumerate(zip(recordings, observations, strict=True)):
            g = next(g for g, group in enumerate(shape_groups) if r in group)
            rows = [i for i, label in enumerate(layout.labels) if label in recording.labels]
            index = torch.as_tensor(rows, device=reduced_body.marker_template.device)
            calibrated, errors = calibrations[g]
            k = shape_groups[g].index(r)
            frames = len(calibration_markers[r].visible)
            before = sum(len(calibration_markers[other].visible) for other in shape_groups[g][:k])
            trials.append(
                _fit_trial(
                    body,
                    layout,
                    recording,
                    SubjectModel(
                        reduced_body.select(index), calibrated.betas, calibrated.marker_offsets.trials[k, index]
                    ),
                    ObservedMarkers(observation.markers[:, index], observation.visible[:, index]),
                    errors[k].select(reduced_body.num_betas, index),
                    recentre_prior(joint_prior, calibrated.pose.rotations[before : before + frames]),
                    options,
                    batches,
                )
            )
    return SubjectFit(all_markers, tuple(trials), shape_groups, calibration_s)


def group_by_size(sizes: Sequence[float]) -> tuple[tuple[int, ...], ...]:
    """Group trials by the size of the subject: a relative gap above ``GROWTH_THRESHOLD`` separates two groups."""
    order = sorted(range(len(sizes)), key=lambda r: sizes[r])
    groups = [[order[0]]]
    for r in order[1:]:
        if sizes[r] > sizes[groups[-1][-1]] * (1 + GROWTH_THRESHOLD):
            groups.append([])
        groups[-1].append(r)
    return tuple(sorted(tuple(sorted(group)) for group in groups))


def _relative_size(
    mean_subject: SubjectModel, prior: JointPrior, frames: ObservedMarkers, recording: Recording
) -> float:
    """Return the size of the subject relative to the mean body, mainly from the trunk markers."""
    _, size, determined = align_rigidly(mean_subject, prior.mean, frames)
    if not bool(determined.any()):
        raise UnusableRecordingError(recording, "no frame has four visible markers that are not on one line")
    return float(size[determined].median())


@dataclass(frozen=True)
class _CalibrationStart:
    """Where the calibration of a group of trials starts."""

    betas: Tensor  # (B,)
    pose: Pose  # of the calibration frames of all trials
    offsets: MarkerOffsets | None  # None: zero, and each trial's are solved on their own first


def _rough_calibration(
    mean_subject: SubjectModel,
    frames: Sequence[ObservedMarkers],
    size: float,
    prior: JointPrior,
    scales: ResidualScales,
) -> _CalibrationStart:
    """Return the most likely body of a size in poses that fit its markers."""
    reduced_body = mean_subject.reduced_body
    prior = _calibration_prior(prior, scales)
    observation = _join_frames(frames)
    subject = SubjectModel(reduced_body, betas_for_size(reduced_body, size), mean_subject.offset)
    start, _, _ = align_rigidly(subject, prior.mean, observation)
    pose = PoseSolver(subject, prior, scales).solve(start, observation).pose
    return _CalibrationStart(subject.betas, pose, None)


def _earlier_calibration(
    reduced_body: ReducedBody, trials: Sequence[TrialFit], rows: Sequence[NDArray[np.int64]]
) -> _CalibrationStart:
    """Return the solution of an earlier fit in some rows of its trials; the offsets of further markers are zero."""
    like = reduced_body.marker_template
    pose = Pose.concatenate(
        [
            trial.pose(reduced_body)[torch.as_tensor(index, device=like.device)]
            for trial, index in zip(trials, rows, strict=True)
        ]
    )
    known = np.full((len(trials), reduced_body.num_markers, 3), np.nan)
    for each, trial in zip(known, trials, strict=True):
        column = {label: m for m, label in enumerate(trial.labels)}
        for m, label in enumerate(reduced_body.labels):
            if label in column:
                each[m] = trial.offset_m[column[label]]
    number = np.isfinite(known).sum(axis=0).clip(1)
    common = np.nansum(known, axis=0) / number
    offsets = np.where(np.isfinite(known), known, common)
    return _CalibrationStart(
        torch.as_tensor(trials[0].betas).to(like),
        pose,
        MarkerOffsets(torch.as_tensor(common).to(like), torch.as_tensor(offsets).to(like)),
    )


def _calibrate_group(
    reduced_body: ReducedBody,
    frames: Sequence[ObservedMarkers],
    start: _CalibrationStart,
    layout: MarkerLayout,
    prior: JointPrior,
    scales: ResidualScales,
    path: Path,
) -> tuple[ShapeCalibration, list[CalibrationErrors]]:
    """Solve shape and marker offsets of a group of trials; return them and the errors in each trial."""
    precision = offset_precision(reduced_body, layout.kinds, scales)
    observed = [m for m, label in enumerate(layout.labels) if label in layout.solved]
    trial_index = torch.as_tensor(
        np.repeat(np.arange(len(frames)), [len(f.visible) for f in frames]), device=reduced_body.marker_template.device
    )
    problem = CalibrationProblem(
        reduced_body,
        _join_frames(frames),
        trial_index,
        _calibration_prior(prior, scales),
        layout.kinds,
        precision,
        scales,
    )
    try:
        betas, pose, offsets, linearization = start.betas, start.pose, start.offsets, None
        if offsets is None:
            uncoupled = replace(scales, same_session_m=INITIAL_OFFSET_SPREAD_M, replaced_m=INITIAL_OFFSET_SPREAD_M)
            separate = calibrate(replace(problem, scales=uncoupled), betas, pose, tolerance=1e-2, damping=1e-3)
            betas, pose, offsets = separate.betas, separate.pose, separate.marker_offsets
            linearization = separate.linearization
        elif layout.solved:  # the markers of known places decide on the shape, the others follow
            rare = problem.observation.visible.double().mean(dim=0) < MIN_VISIBLE_FRACTION
            followers = [m in observed or (kind == "technical" and rare[m]) for m, kind in enumerate(layout.kinds)]
            problem = replace(problem, places=torch.tensor(followers, device=betas.device).nonzero()[:, 0])
        # couples the offsets that turned out to agree
        coupled = calibrate(problem, betas, pose, start=offsets, linearization=linearization)
        return coupled, calibration_errors(problem, coupled, observed)
    except torch.linalg.LinAlgError as error:
        message = f"{path}: the markers do not determine a body ({error}); are positions and labels right?"
        raise GaitError(message) from error


def _calibration_prior(prior: JointPrior, scales: ResidualScales) -> JointPrior:
    return replace(prior, precision=scales.calibration_pose_prior * prior.precision)


def _join_frames(frames: Sequence[ObservedMarkers]) -> ObservedMarkers:
    return ObservedMarkers(torch.cat([f.markers for f in frames]), torch.cat([f.visible for f in frames]))


def check_shared_labels(recording: Recording, layout: MarkerLayout) -> None:
    """Raise UnusableRecordingError, with both sets of labels, if a recording shares too few markers with a layout."""
    shared = set(recording.labels) & set(layout.labels)
    if len(shared) < layout.min_shared_markers:
        raise UnusableRecordingError(
            recording,
            f"{len(shared)} of its markers are in the layout ({layout.source}), but {layout.min_shared_markers} are "
            f"needed. The recording has {_join_labels(recording.labels)}, the layout {_join_labels(layout.labels)}. "
            "Give a marker_layout_file with the markers of this laboratory",
        )


def select_calibration_frames(visible_by_trial: Sequence[NDArray[np.bool_]], count: int) -> list[NDArray[np.int64]]:
    """Select about ``count`` frames for calibration, at least one of each trial with visible markers (T, M).

    They are spread over the trial and have many visible markers, and each marker is visible in some of them.
    """
    per_recording = max(1, count // len(visible_by_trial))
    chosen = []
    for visible in visible_by_trial:
        number = visible.sum(axis=1)
        enough = number[number >= MIN_MARKERS_PER_FRAME]
        good = np.flatnonzero(number >= max(np.quantile(enough, 0.3) if len(enough) else 0, MIN_MARKERS_PER_FRAME))
        good = good if len(good) else np.arange(len(visible))
        selected = set(good[np.unique(np.linspace(0, len(good) - 1, per_recording).round().astype(int))].tolist())
        for m in range(visible.shape[1]):
            visible_rows = np.flatnonzero(visible[:, m])
            if len(visible_rows) and not visible[sorted(selected), m].any():
                best = visible_rows[np.argsort(-number[visible_rows], kind="stable")]
                selected.update(best[np.linspace(0, len(best) // 2, 3).astype(int)].tolist())
        chosen.append(np.array(sorted(selected)))
    return chosen


def _fit_trial(
    body: Body,
    layout: MarkerLayout,
    recording: Recording,
    subject: SubjectModel,
    observation: ObservedMarkers,
    calibration: CalibrationErrors,
    prior: JointPrior,
    options: FitOptions,
    batches: FrameBatches,
) -> TrialFit:
    """Fit the poses of one trial; ``calibration`` are the errors of the subject's shape and marker offsets."""
    began = time.perf_counter()
    scales, rate = options.scales, recording.rate_hz
    solver = PoseSolver(subject, prior, scales)
    pose, determined = fit_pose_trajectory(solver, observation, rate, options.vposer, batches)

    def pose_rows(rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        parameters = to_model_pose(body, pose[rows], subject.reduced_body.hinges)
        return *solver.markers_and_joints(pose[rows]), parameters.float()

    virtual, joints, poses = map(torch.cat, zip(*batches.map(recording.num_frames, pose_rows), strict=True))
    uncertainty = estimate_joint_uncertainty(subject, pose, observation, prior, scales, calibration, rate, batches)
    valid_frames = split_at_gaps(frames_determined_by_markers(determined, uncertainty.sigma_single_frame_m), rate)
    weak = valid_frames.kept & (valid_frames.gap_filled | find_weak_frames(uncertainty.sigma_single_frame_m))
    if weak.any():
        pose, radius_m, turned_rad = solve_weak_frames(subject, pose, weak, observation, prior, scales, rate)
        uncertainty = uncertainty.with_neighbours(radius_m, turned_rad, rate)
        for run in true_runs(weak):
            virtual[run], joints[run], poses[run] = pose_rows(run)
    seconds = time.perf_counter() - began
    used = observation.visible & torch.as_tensor(valid_frames.valid, device=virtual.device)[:, None]
    residual = (virtual - observation.markers).norm(dim=-1)
    residual = torch.where(used, residual, torch.full_like(residual, torch.nan))
    return TrialFit(
        recording=recording,
        body=body,
        layout=layout.select(subject.reduced_body.labels),
        betas=subject.betas.cpu().numpy(),
        offset_m=subject.offset.cpu().numpy(),
        poses=poses.cpu().numpy(),
        rotations=pose.rotations.cpu().numpy(),
        translation_m=pose.translation.cpu().numpy(),
        joints_m=joints.cpu().numpy(),
        virtual_m=virtual.cpu().numpy(),
        residual_m=residual.cpu().numpy(),
        uncertainty=uncertainty,
        valid_frames=valid_frames,
        seconds=seconds,
        solver=solver.kind,
    )


def observed_markers(recording: Recording, labels: Sequence[str], like: Tensor) -> ObservedMarkers:
    """Return the M markers of a recording with the given labels; those that it lacks are not visible."""
    column = {label: i for i, label in enumerate(recording.labels)}
    markers = np.zeros((recording.num_frames, len(labels), 3))
    visible = np.zeros(markers.shape[:2], dtype=bool)
    for m, label in enumerate(labels):
        if label in column:
            visible[:, m] = recording.visible[:, column[label]]
            markers[:, m] = np.where(visible[:, m, None], recording.positions_m[:, column[label]], 0.0)
    return ObservedMarkers(torch.as_tensor(markers).to(like), torch.as_tensor(visible, device=like.device))


def _join_labels(labels: Sequence[str], max_labels: int = 60) -> str:
    text = ", ".join(labels[:max_labels]) or "none"
    return f"{text} and {len(labels) - max_labels} more" if len(labels) > max_labels else text
