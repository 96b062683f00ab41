"""Save the fit of one trial: poses, report, residuals and figure, in a folder that is written atomically."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gait.body.body import Body
from gait.body.joint_status import JointStatus, body_part_status
from gait.body.skeleton import NUM_BODY_JOINTS
from gait.capture.pose_formats import parse_trial_path, trial_name
from gait.cohort.cohort_file import Subject
from gait.cohort.fit_settings import FitSettings
from gait.cohort.trial_folder import TrialOutcome
from gait.exporting import export_where_possible
from gait.files.atomic_write import atomic_directory
from gait.files.package_versions import package_versions
from gait.fitting.fit_report import FitReport, build_fit_report, format_frame_runs
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.subject_fit import SubjectFit, TrialFit
from gait.kinematics.event_sources import with_recorded_events
from gait.kinematics.walking import ActivityInterval, activity_intervals, find_activity
from gait.motion.pose_npz import write_npz
from gait.motion.trial_paths import FIT_FIGURE_FILE, REPORT_FILE, RESIDUALS_FILE, SEGMENT_PREFIX
from gait.parallel import spare_core
from gait.report.fit_figure import FitFigureData, draw_fit_figure
from gait.report.unobserved_text import describe_unobserved
from gait.text import pluralize
from gait.viewing.offscreen_renderer import RenderingUnavailableError
from gait.viewing.png import png_bytes


def save_trial(
    folder: Path,
    fit: SubjectFit,
    trial: TrialFit,
    subject: Subject,
    settings: FitSettings,
    notes: tuple[str, ...],
    inputs: dict[str, Any],
) -> TrialOutcome:
    """Save one trial of a subject's fit in a folder, which is created or replaced; an error leaves it unchanged.

    The report also has ``notes``, sentences that no code reads back, and ``inputs``, the inputs of the fit.

    Raises:
        GaitError: the disk is full or not writable.
    """
    report, name = build_fit_report(fit, trial), trial.recording.path.stem
    provenance = {
        **common_provenance(trial.recording.path, subject, trial.body, settings, inputs),
        "rate_hz": trial.recording.rate_hz,
        "notes": [*trial.recording.notes, *notes, *_shape_notes(fit)],
        "same_shape_as": [other.recording.path.stem for other in fit.trials_with_shape_of(trial)],
        "layout": fit.layout.source,
        "weights": asdict(ResidualScales()),
        "marker_layout_file": None if subject.marker_layout_file is None else str(subject.marker_layout_file),
    }
    warning = ""
    figure = None
    if settings.figures:
        figure = spare_core.call(_draw_png, _figure_data(f"{subject.name} / {name}", report, trial))
    with atomic_directory(folder) as partial:
        partial.mkdir(parents=True)
        _write_poses(partial, trial)
        content = json.dumps({**report.as_dict(), **provenance}, indent=1, allow_nan=False)
        (partial / REPORT_FILE).write_text(content + "\n", encoding="utf-8")
        _write_residuals(partial, trial)
        problems = export_where_possible(settings.export_as, partial, folder.name)
        if figure is not None:
            try:
                (partial / FIT_FIGURE_FILE).write_bytes(figure.result())
            except RenderingUnavailableError as error:
                warning = str(error)
    return TrialOutcome(subject.name, name, "fitted", "\n".join(filter(None, [warning, problems])), report)


def common_provenance(
    path: Path, subject: Subject, body: Body, settings: FitSettings, inputs: dict[str, Any]
) -> dict[str, Any]:
    """Return what made the results of a trial, for its report: recording or poses, body model, settings, versions."""
    return {
        "subject": subject.name,
        "trial": trial_name(path),
        "inputs": inputs,
        "recording_sha256": inputs["recordings"].get(parse_trial_path(path).file.name),
        "model_file": body.name,
        "model_sha256": body.sha256,
        "randomness": "none: the same inputs give the same poses on the same device",
        "arguments": {each.name: str(getattr(settings, each.name)) for each in fields(settings)},
        "versions": package_versions("torch", "numpy", "scipy", "ezc3d"),
    }


def _shape_notes(fit: SubjectFit) -> tuple[str, ...]:
    if len(fit.shape_groups) == 1:
        return ()
    groups = f"{len(fit.shape_groups)} groups, each with its own shape"
    return (f"The trials of this subject differ in body size and were fitted in {groups}.",)


def _write_poses(folder: Path, trial: TrialFit) -> None:
    sequences = trial.pose_sequences
    for number, sequence in enumerate(sequences, start=1):
        segment = folder if len(sequences) == 1 else folder / f"{SEGMENT_PREFIX}{number}"
        segment.mkdir(exist_ok=True)
        write_npz(segment, with_recorded_events(sequence, trial.recording))


def _write_residuals(folder: Path, trial: TrialFit) -> None:
    """Write ``labels`` (M,), ``residual_mm`` (T, M; NaN if not visible), ``observed_m`` and ``virtual_m`` (T, M, 3)."""
    np.savez_compressed(
        folder / RESIDUALS_FILE,
        labels=np.array(trial.labels),
        residual_mm=(trial.residual_m * 1e3).astype(np.float32),
        observed_m=trial.observed_m.astype(np.float32),
        virtual_m=trial.virtual_m.astype(np.float32),
    )


def _gap_summary(report: FitReport) -> tuple[str, ...]:
    """Return one line about segments and filled gaps, or nothing if there are none."""
    texts = []
    if len(report.segments) > 1 or report.excluded_frames:
        texts.append(f"{pluralize(len(report.segments), 'segment')}: frames {format_frame_runs(report.segments)}")
    if report.gap_filled_frames:
        texts.append(f"gaps filled: frames {format_frame_runs(report.gap_filled_frames)}")
    return ("; ".join(texts),) if texts else ()


def _activity(trial: TrialFit) -> list[ActivityInterval]:
    """Return what the subject does in each segment of a trial, in frames of the recording."""
    return [
        replace(interval, first=segment.start + interval.first, end=segment.start + interval.end)
        for segment in trial.valid_frames.segments
        for interval in activity_intervals(find_activity(trial.joints_m[segment], trial.recording.rate_hz))
    ]


def _draw_png(data: FitFigureData) -> bytes:
    return png_bytes(draw_fit_figure(data))


def _figure_data(title: str, report: FitReport, trial: TrialFit) -> FitFigureData:
    """Return what the fit figure shows: residuals per marker and frame, and the body in three frames."""
    body, fitted = trial.body, np.flatnonzero(np.isfinite(trial.residual_m).any(axis=1))
    frames = fitted[np.unique(np.linspace(0, len(fitted) - 1, 5).round().astype(int)[1:-1])]
    inputs = (trial.poses[frames], trial.betas, trial.translation_m[frames])
    with torch.inference_mode():
        posed = body(*(torch.as_tensor(values, dtype=body.dtype, device=body.device) for values in inputs))
    residual_mm = report.residual_mm
    return FitFigureData(
        residual_mm=trial.residual_m * 1e3,
        labels=trial.labels,
        rate_hz=trial.recording.rate_hz,
        frames=frames.tolist(),
        vertices_m=posed.vertices.cpu().numpy(),
        faces=body.faces.cpu().numpy(),
        observed_m=trial.observed_m[frames],
        virtual_m=trial.virtual_m[frames],
        title_lines=(
            title,
            f"mean residual {residual_mm['mean']:.1f} mm, worst frame {residual_mm['max_frame_mean']:.1f} mm, "
            f"worst markers {', '.join(report.worst_markers[:3])}; stature {report.stature_m:.2f} m",
            *_gap_summary(report),
            *(f"not known: {text}" for text in filter(None, (describe_unobserved(report),))),
        ),
        first_frame=trial.recording.first_frame,
        activity=_activity(trial),
        observed_skin=observed_skin(body, trial.joint_status[frames]),
    )


def observed_skin(body: Body, joint_status: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """Return how far the skin is observed, (T, V), from the status of the joints (T, 22): 0 not, 0.5 inferred, 1.

    None if all of it is observed.
    """
    if (joint_status == JointStatus.OBSERVED).all():
        return None
    moves_with = np.eye(NUM_BODY_JOINTS)[list(body.nearest_body_joints)]  # (J, 22)
    weights = body.weights.double().cpu().numpy() @ moves_with
    return np.asarray(body_part_status(joint_status) / JointStatus.OBSERVED @ weights.T)
