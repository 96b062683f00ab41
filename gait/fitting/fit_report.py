"""The fit report: accuracy and problems of the fit of one trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from gait.arrays import Vector, true_runs
from gait.body.joint_status import MIN_OBSERVED_FRACTION, JointStatus
from gait.body.segments import SEGMENTS
from gait.body.skeleton import BODY_JOINTS
from gait.errors import GaitError
from gait.fitting.marker_quality.marker_error import MarkerError
from gait.fitting.observed_joints import markers_on_segments

if TYPE_CHECKING:  # reports are read and shown without loading torch
    from gait.fitting.subject_fit import SubjectFit, TrialFit

NUM_WORST_MARKERS = 5

_OLD_KEYS = {
    "faults": "marker_errors",
    "offset_mm": "placement_offset_mm",
    "observed": "data_fraction",
    "unobserved_joints": "undetermined_joints",
    "parts": "segments",
    "bridged_frames": "gap_filled_frames",
    "left_out_frames": "excluded_frames",
}
"""Keys of older report files, which are still read."""


@dataclass(frozen=True)
class FitReport:
    """Residuals, placement offsets, joint uncertainty and marker errors of one fitted trial."""

    residual_mm: dict[str, float | None]  # mean, rms, p95, max over visible markers; max_frame_mean: worst frame
    # label -> mean_mm, visible (fraction), placement_offset_mm, kind; of technical markers of other names also segment
    # and rigidity_mm, the RMS distance from the place in the segment's frame
    markers: dict[str, dict[str, Any]]
    worst_markers: tuple[str, ...]  # by mean residual, worst first
    missing_markers: tuple[str, ...]  # of the layout, but not in the recording or never visible
    unused_labels: tuple[str, ...]  # of the recording, but not in the layout
    frames: int  # number of frames of the recording
    frames_per_second: float  # speed of the pose stage
    betas: tuple[float, ...]
    stature_m: float  # of the fitted body in T-pose
    placement_offset_mm: dict[str, float | None]  # mean over the markers of each kind
    marker_errors: tuple[MarkerError, ...]
    # name -> over the frames of all segments: sigma_mm (mean of ``JointUncertainty.sigma_m``), worst_mm (its maximum),
    # data_fraction (mean fraction of the rotation that the markers determine), and the fractions of the frames in which
    # the joint is observed (observed_fraction), inferred (inferred_fraction) and not observed (not_observed_fraction)
    joints: dict[str, dict[str, float]]
    undetermined_joints: tuple[str, ...]  # joints that markers do not observe in most frames
    # [first, last] frame, in the frame numbers of the recording: of each segment with poses, of each filled gap, and of
    # each run of frames without poses, where the markers do not determine the body
    segments: tuple[list[int], ...]
    gap_filled_frames: tuple[list[int], ...]
    excluded_frames: tuple[list[int], ...]
    warnings: tuple[str, ...] = ()  # of the recording: what was lost, guessed or overruled when it was read
    # tracks of other names that take no part: label, reason, and with which segment they are most rigid (or None)
    rejected_tracks: tuple[dict[str, Any], ...] = ()
    solver: str = "torch"  # of the poses: "native" is the compiled one (``gait.fitting.solver``)
    segments_without_markers: tuple[str, ...] = ()  # of ``gait.body.segments``: no marker lies on them in any frame

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> FitReport:
        """Build a report from the content of a report file, also of an old one; further keys are ignored.

        Raises:
            GaitError: a key is missing.
        """
        content = _with_new_keys(content)
        absent = [field for field in fields(cls) if field.name not in content]
        missing = [field.name for field in absent if field.default is MISSING]
        if missing:
            raise GaitError(f"the fit report lacks {', '.join(missing)}; fit this trial again with --overwrite.")
        kept: dict[str, Any] = {name: content[name] for name in cls.__dataclass_fields__ if name in content}
        kept |= {name: tuple(value) for name, value in kept.items() if isinstance(value, list)}
        try:
            kept["marker_errors"] = tuple(MarkerError.from_dict(error) for error in kept["marker_errors"])
        except (TypeError, AttributeError, KeyError) as error:
            raise GaitError(f"marker_errors in the fit report is damaged ({error!r}).") from error
        return cls(**kept)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for a JSON file."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**values, "marker_errors": [error.as_dict() for error in self.marker_errors]}


def build_fit_report(subject_fit: SubjectFit, trial: TrialFit) -> FitReport:
    """Summarize the fit of one trial of a subject."""
    error_mm = trial.residual_m * 1e3
    visible = np.isfinite(error_mm)
    mean = {
        label: float(error_mm[visible[:, m], m].mean()) for m, label in enumerate(trial.labels) if visible[:, m].any()
    }
    offset = {
        label: float(np.linalg.norm(move) * 1e3) for label, move in zip(trial.labels, trial.offset_m, strict=True)
    }
    joints = _describe_joints(trial)
    visible_markers = [m for m, label in enumerate(trial.labels) if label in mean]
    has_marker = markers_on_segments(trial.skinning_weights[visible_markers]).sum(axis=0) > 0

    def frame_numbers(runs: Sequence[slice]) -> tuple[list[int], ...]:
        first = trial.recording.first_frame
        return tuple([first + run.start, first + run.stop - 1] for run in runs)

    fitted, kind = list(mean), dict(zip(trial.labels, trial.layout.kinds, strict=True))
    unfitted = [label for label in trial.recording.labels if label not in trial.labels]
    offsets = {
        which: [offset[label] for label in fitted if kind[label] == which] for which in ("anatomical", "technical")
    }
    return FitReport(
        residual_mm=_describe_residuals(error_mm),
        markers=_describe_markers(subject_fit, trial, mean, offset),
        worst_markers=tuple(sorted(fitted, key=lambda label: -mean[label])[:NUM_WORST_MARKERS]),
        missing_markers=tuple(label for label in subject_fit.layout.labels if label not in fitted),
        unused_labels=tuple(dict.fromkeys((*unfitted, *trial.recording.unused_labels))),
        frames=trial.recording.num_frames,
        frames_per_second=round(trial.recording.num_frames / trial.seconds, 1),
        solver=trial.solver,
        betas=tuple(round(float(b), 5) for b in trial.betas),
        stature_m=round(trial.stature_m, 4),
        placement_offset_mm={which: _rounded(np.mean(each)) if each else None for which, each in offsets.items()},
        marker_errors=trial.marker_errors,
        warnings=trial.recording.warnings,
        joints=joints,
        segments=frame_numbers(trial.valid_frames.segments),
        gap_filled_frames=frame_numbers(true_runs(trial.valid_frames.gap_filled)),
        excluded_frames=frame_numbers(trial.valid_frames.excluded),
        rejected_tracks=_describe_rejected_tracks(subject_fit, trial),
        undetermined_joints=tuple(
            name for name, joint in joints.items() if joint["observed_fraction"] < MIN_OBSERVED_FRACTION
        ),
        segments_without_markers=tuple(SEGMENTS[s] for s in np.flatnonzero(~has_marker)),
    )


def _describe_residuals(error_mm: Vector) -> dict[str, float | None]:
    """Return statistics of the residuals (T, M), NaN where a marker is not visible."""
    visible = np.isfinite(error_mm)
    values, frame_mean = error_mm[visible], np.nanmean(error_mm[visible.any(axis=1)], axis=1)
    return {
        "mean": _rounded(values.mean()),
        "rms": _rounded(np.sqrt((values**2).mean())),
        "p95": _rounded(np.quantile(values, 0.95)),
        "max": _rounded(values.max()),
        "max_frame_mean": _rounded(frame_mean.max()),
    }


def _describe_markers(
    subject_fit: SubjectFit, trial: TrialFit, mean_mm: Mapping[str, float], offset_mm: Mapping[str, float]
) -> dict[str, dict[str, Any]]:
    """Return the entry of each marker; ``mean_mm`` lacks those that are never visible."""
    visible = np.isfinite(trial.residual_m).mean(axis=0)
    markers: dict[str, dict[str, Any]] = {
        label: {
            "mean_mm": _rounded(mean_mm[label]) if label in mean_mm else None,
            "visible": round(float(visible[m]), 4),
            "placement_offset_mm": _rounded(offset_mm[label]),
            "kind": trial.layout.kinds[m],
        }
        for m, label in enumerate(trial.labels)
    }
    for marker in subject_fit.technical:
        if marker.label in markers:
            markers[marker.label] |= {"segment": marker.segment, "rigidity_mm": _rounded(1e3 * marker.rigidity_m)}
    return markers


def _describe_joints(trial: TrialFit) -> dict[str, dict[str, float]]:
    """Return the entry of each joint: its uncertainty and status in the valid frames."""
    kept = np.concatenate([np.arange(segment.start, segment.stop) for segment in trial.valid_frames.segments])
    sigma_mm = trial.uncertainty.sigma_m[kept] * 1e3
    data_fraction = trial.uncertainty.data_fraction[kept].mean(axis=0)
    status = trial.joint_status[kept]
    return {
        joint.name.lower(): {
            "sigma_mm": _rounded(sigma_mm[:, j].mean()),
            "worst_mm": _rounded(sigma_mm[:, j].max()),
            "data_fraction": round(float(data_fraction[j]), 3),
            **{
                f"{value.name.lower()}_fraction": round(float((status[:, j] == value).mean()), 3)
                for value in reversed(JointStatus)
            },
        }
        for j, joint in enumerate(BODY_JOINTS)
    }


def _describe_rejected_tracks(subject_fit: SubjectFit, trial: TrialFit) -> tuple[dict[str, Any], ...]:
    return tuple(
        {
            "label": track.label,
            "reason": track.reason,
            "segment": track.segment,
            "rigidity_mm": None if track.rigidity_m is None else _rounded(1e3 * track.rigidity_m),
        }
        for track in subject_fit.rejected_tracks
        if track.label in trial.recording.labels
    )


def format_frame_runs(frames: Sequence[Sequence[int]]) -> str:
    """Format runs of frames, given by their first and last frame: ``1-40, 52``."""
    return ", ".join(f"{first}-{last}" if last > first else f"{first}" for first, last in frames)


def _with_new_keys(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a report file with present keys and values."""

    def rename(values: dict[str, Any]) -> dict[str, Any]:
        return {_OLD_KEYS.get(key, key): value for key, value in values.items()}

    content = rename(content)
    for key in ("markers", "joints"):
        if isinstance(content.get(key), dict):
            content[key] = {name: rename(one) if isinstance(one, dict) else one for name, one in content[key].items()}
    return content


def _rounded(value: float | np.floating[Any]) -> float:
    return round(float(value), 3)
