"""Fit the trials of one subject and save each; a trial that cannot be fitted does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gait.body.body import Body
from gait.body.constraints_file import AngleBounds, read_constraints
from gait.body.marker_layout import MarkerLayout, marker_kind
from gait.body.marker_placement import place_markers
from gait.body.model_file import load_body
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import NUM_BODY_JOINTS
from gait.body.vposer import VPoser, load_vposer
from gait.capture.marker_names import canonical_marker, sanitize_marker_name
from gait.capture.read_recording import read_recording
from gait.capture.recording import Recording
from gait.cohort.cohort_file import Subject
from gait.cohort.fit_inputs import OLD_NAMES, fit_fingerprint
from gait.cohort.fit_settings import FitSettings, find_model, subject_folder
from gait.cohort.trial_folder import (
    TrialResult,
    add_json_frames,
    is_finished,
    trial_folder,
    write_trial,
)
from gait.cohort.trial_outcome import TrialOutcome
from gait.errors import GaitError, error_message
from gait.files.atomic_write import remove_stale_temporaries
from gait.files.fingerprint import changed_inputs
from gait.files.folder_lock import cleanup, folder_lock
from gait.files.package_versions import package_versions
from gait.fitting.fit_report import FitReport, build_fit_report, format_frame_runs
from gait.fitting.marker_quality.fit_with_qc import CheckedSubjectFit, UnusableRecordingError, fit_with_qc
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.subject_fit import InsufficientMarkersError, SubjectFit, TrialFit, check_shared_labels
from gait.motion.pose_files import find_pose_folders
from gait.motion.trial_paths import read_fit_report
from gait.parallel.task_queue import LockedError
from gait.report.fit_figure import draw_fit_figure
from gait.viewing.offscreen_renderer import RenderingUnavailableError
from gait.viewing.png import png_bytes


def fit_subject(subject: Subject, settings: FitSettings) -> Iterator[TrialOutcome]:
    """Fit all trials of one subject with a common body shape; yield one outcome per trial, in order, once it is saved.

    A finished trial is skipped if its inputs are unchanged. Its recording still contributes to the common shape.

    Raises:
        LockedError: another run is fitting this subject; no outcome was yielded.
    """
    results_folder = subject_folder(settings.save_folder, subject)
    folders = {path: trial_folder(settings.save_folder, subject, path) for path in subject.trials}
    inputs = fit_fingerprint(
        subject, settings.expected_model_path(subject.model_file), settings.vposer, settings.repair
    )

    def find_finished() -> dict[Path, TrialOutcome]:
        if settings.overwrite:
            return {}
        reports = {path: _read_finished_report(folder, inputs) for path, folder in folders.items()}
        return {
            path: TrialOutcome(subject.name, path.stem, "already finished", report=report)
            for path, report in reports.items()
            if report is not None
        }

    outcomes = find_finished()
    if len(outcomes) == len(folders) and all(is_finished(folder, settings.pose_format) for folder in folders.values()):
        cleanup(results_folder)
        yield from outcomes.values()  # without a lock: the folder may be read-only
        return
    try:
        with folder_lock(results_folder, "fitting this subject") as locked:
            if locked:
                remove_stale_temporaries(results_folder)
            yield from _fit_unfinished(subject, settings, folders, inputs, find_finished())
    except LockedError:
        raise
    except GaitError as error:
        for path in subject.trials:
            yield TrialOutcome(subject.name, path.stem, "failed", str(error))


def _fit_unfinished(
    subject: Subject,
    settings: FitSettings,
    folders: Mapping[Path, Path],
    inputs: dict[str, Any],
    outcomes: dict[Path, TrialOutcome],
) -> Iterator[TrialOutcome]:
    """Fit the trials that have no outcome yet; the subject's folder must be locked."""

    def record_failure(path: Path, error: Exception) -> TrialOutcome:
        message = error_message(error, subject.name, "the fit", "use fewer --workers, or shorter recordings")
        if folders[path].exists():
            message = (
                f"{message.rstrip('.')}; {folders[path]} still has the results of an earlier run with other inputs."
            )
        return outcomes.setdefault(path, TrialOutcome(subject.name, path.stem, "failed", message))

    result: tuple[_FittedSubject, dict[Path, TrialFit]] | None = None
    if len(outcomes) < len(folders):
        try:
            result = _fit_recordings(subject, settings, record_failure)
        except Exception as error:  # no error of one subject may stop the cohort
            for path in subject.trials:
                record_failure(path, error)
    for path, folder in folders.items():
        try:
            if path not in outcomes and result is not None:
                fitted, fits = result
                outcomes[path] = _save_trial(subject, path, settings, folder, fitted, fits[path], inputs)
            elif outcomes[path].state != "failed" and not is_finished(folder, settings.pose_format):
                add_json_frames(folder)
        except Exception as error:
            outcomes.pop(path, None)
            record_failure(path, error)
        yield outcomes[path]


def _read_finished_report(folder: Path, inputs: dict[str, Any]) -> FitReport | None:
    """Return the report of a finished trial; None if it is not finished or its inputs have changed."""
    if not is_finished(folder, "npz"):
        return None
    try:
        content = read_fit_report(folder)
        report = FitReport.from_dict(content)
    except GaitError:
        return None
    complete = len(report.segments) == len(find_pose_folders(folder))
    return report if complete and not changed_inputs(content.get("inputs"), inputs, OLD_NAMES) else None


@dataclass(frozen=True)
class _FittedSubject:
    """Fit of all trials of a subject, and what it was made with."""

    body: Body
    layout: MarkerLayout
    checked: CheckedSubjectFit
    notes: tuple[str, ...]

    @property
    def fit(self) -> SubjectFit:
        return self.checked.fit


def _fit_recordings(
    subject: Subject, settings: FitSettings, record_failure: Callable[[Path, Exception], object]
) -> tuple[_FittedSubject, dict[Path, TrialFit]]:
    """Fit all usable recordings together; call ``record_failure`` for each of the others."""
    model_path = find_model(settings, subject.model_file)
    body = _load_body(model_path, model_path.stat().st_mtime_ns, subject.constrained_model, settings.device)
    recordings: dict[Path, Recording] = {}
    for path in subject.trials:
        try:
            recordings[path] = read_recording(path, subject_index=subject.subject_index)
        except (GaitError, OSError) as error:
            record_failure(path, error)
    if not recordings:
        raise GaitError(f"{subject.name}: none of its recordings can be read.")
    layout, bounds, notes = _choose_layout(subject, body, list(recordings.values()))
    for path, recording in list(recordings.items()):
        try:
            check_shared_labels(recording, layout)
        except GaitError as error:
            record_failure(path, error)
            del recordings[path]
    if not recordings:
        raise GaitError(f"{subject.name}: none of its recordings has markers of the layout.")
    whole = body.num_joints >= NUM_BODY_JOINTS  # a learned prior is defined for the whole body only
    vposer = _load_vposer(settings.vposer, settings.device) if whole else None
    if vposer is not None:
        notes += (f"Learned pose prior: {vposer.name}.",)
    checked = None
    while checked is None:
        try:
            checked = fit_with_qc(
                list(recordings.values()), body, layout, repair=settings.repair, bounds=bounds, vposer=vposer
            )
        except (InsufficientMarkersError, UnusableRecordingError) as error:
            path = next(path for path, recording in recordings.items() if recording is error.recording)
            record_failure(path, error)
            del recordings[path]
            if not recordings:
                raise
    return _FittedSubject(body, layout, checked, notes), dict(zip(recordings, checked.fit.trials, strict=True))


@lru_cache(maxsize=2)
def _load_body(path: Path, _mtime_ns: int, constrained: bool, device: str) -> Body:
    return load_body(path, constrained=constrained, device=device)


@lru_cache(maxsize=1)
def _load_vposer(folder: Path, device: str) -> VPoser | None:
    """Return the learned pose prior, or None if the user has not installed one."""
    if not any(folder.rglob("*.ckpt")):
        return None
    return load_vposer(folder, device=device, dtype=torch.float64)


def _choose_layout(
    subject: Subject, body: Body, recordings: Sequence[Recording]
) -> tuple[MarkerLayout, AngleBounds | None, tuple[str, ...]]:
    if subject.marker_layout_file is None:
        return _default_layout(body), None, ()
    constraints = read_constraints(subject.marker_layout_file, body)
    labels = dict.fromkeys(label for recording in recordings for label in recording.labels)
    notes = tuple(f"{subject.marker_layout_file.name}: {name} is not used yet." for name in constraints.unused)
    if not constraints.mesh_known:
        notes += (
            f"{subject.marker_layout_file.name} does not state its mesh; the mesh of {body.name} with "
            f"{len(body.faces)} triangles was assumed.",
        )
    if not constraints.layouts:  # joint limits only
        return _default_layout(body), constraints.angle_bounds, notes
    layouts = tuple(_canonicalize_layout(layout, subject.marker_layout_file) for layout in constraints.layouts)
    return replace(constraints, layouts=layouts).layout_for(labels), constraints.angle_bounds, notes


@lru_cache(maxsize=2)
def _default_layout(body: Body) -> MarkerLayout:
    return place_markers(body)


def _canonicalize_layout(layout: MarkerLayout, file: Path) -> MarkerLayout:
    """Return a layout with the marker names that ``read_recording`` gives (LASI for LASIS, upper case)."""
    names = tuple(canonical_marker(label) or sanitize_marker_name(label) for label in layout.labels)
    duplicate = next((name for name in names if names.count(name) > 1), None)
    if duplicate is not None:
        labels = [label for label, name in zip(layout.labels, names, strict=True) if name == duplicate]
        raise GaitError(f"{file}: {' and '.join(labels)} are the same marker {duplicate}; remove one.")
    return replace(layout, labels=names, kinds=tuple(marker_kind(name) for name in names))


def _save_trial(
    subject: Subject,
    path: Path,
    settings: FitSettings,
    folder: Path,
    fitted: _FittedSubject,
    fit: TrialFit,
    inputs: dict[str, Any],
) -> TrialOutcome:
    body = fitted.body
    betas = torch.as_tensor(fit.betas, dtype=body.dtype, device=body.device)
    with torch.inference_mode():
        height = body.rest_body(betas)[0][0, :, 1]
    report = build_fit_report(
        fitted.fit,
        fit,
        fitted.layout.labels,
        float(height.max() - height.min()),
        fitted.checked.marker_errors_of(fit),
    )
    sequences = tuple(_pose_sequence(body, fit, segment) for segment in fit.valid_frames.segments)
    provenance = {
        "subject": subject.name,
        "trial": path.stem,
        "inputs": inputs,
        "recording_sha256": inputs["recordings"].get(path.name),
        "rate_hz": fit.recording.rate_hz,
        "notes": [*fit.recording.notes, *fitted.notes, *_shape_notes(fitted.fit)],
        "same_shape_as": _trials_of_same_shape(fitted.fit, fit),
        "layout": fitted.layout.source,
        "model_file": body.name,
        "model_sha256": body.sha256,
        "weights": asdict(ResidualScales()),
        "marker_layout_file": None if subject.marker_layout_file is None else str(subject.marker_layout_file),
        "randomness": "none: the same inputs give the same poses on the same device",
        "arguments": {name: str(getattr(settings, name)) for name in settings.__dataclass_fields__},
        "versions": package_versions("torch", "numpy", "scipy", "ezc3d"),
    }
    figure, warning = None, ""
    if settings.figures:
        try:
            figure = _draw_figure(subject, path, body, report, fit)
        except RenderingUnavailableError as error:
            warning = str(error)
    write_trial(folder, TrialResult(sequences, report, fit, provenance), settings.pose_format, figure)
    return TrialOutcome(subject.name, path.stem, "fitted", warning, report)


def _pose_sequence(body: Body, fit: TrialFit, segment: slice) -> PoseSequence:
    """Return the poses of one segment of a fitted trial."""
    num_visible = np.isfinite(fit.residual_m[segment]).sum(axis=1)
    return PoseSequence(
        poses=fit.poses[segment],
        betas=fit.betas.astype(np.float32),
        translation_m=fit.translation_m[segment].astype(np.float32),
        joints_m=fit.joints_m[segment, :NUM_BODY_JOINTS].astype(np.float32),
        rate_hz=fit.recording.rate_hz,
        model_file=body.name,
        model_sha256=body.sha256,
        gender=body.gender,
        model_type=body.model_type,
        constrained=body.constrained_tree is not None,
        joint_sigma_m=fit.uncertainty.sigma_m[segment, :NUM_BODY_JOINTS],
        gap_filled=fit.valid_frames.gap_filled[segment],
        first_frame=fit.recording.first_frame + segment.start,
        extra={"num_visible_markers": num_visible.astype(np.int16)},  # (T,)
    )


def _shape_notes(subject_fit: SubjectFit) -> tuple[str, ...]:
    if len(subject_fit.shape_groups) == 1:
        return ()
    return (
        "The trials of this subject differ in body size and were fitted in "
        f"{len(subject_fit.shape_groups)} groups, each with its own shape.",
    )


def _trials_of_same_shape(subject_fit: SubjectFit, fit: TrialFit) -> list[str]:
    """Return the names of the trials with the shape of ``fit``: all, unless the subject has grown between trials."""
    index = next(k for k, other in enumerate(subject_fit.trials) if other is fit)
    group = next(group for group in subject_fit.shape_groups if index in group)
    return [subject_fit.trials[k].recording.path.stem for k in group]


def _gap_summary(report: FitReport) -> tuple[str, ...]:
    """Return one line about segments and filled gaps, or nothing if there are none."""
    texts = []
    if len(report.segments) > 1 or report.excluded_frames:
        count = len(report.segments)
        texts.append(f"{count} segment{'s' * (count > 1)}: frames {format_frame_runs(report.segments)}")
    if report.gap_filled_frames:
        texts.append(f"gaps filled: frames {format_frame_runs(report.gap_filled_frames)}")
    return ("; ".join(texts),) if texts else ()


def _draw_figure(subject: Subject, path: Path, body: Body, report: FitReport, fit: TrialFit) -> bytes:
    """Return the fit figure as PNG: residuals per marker and frame, and the body in three frames."""
    fitted = np.flatnonzero(np.isfinite(fit.residual_m).any(axis=1))
    frames = fitted[np.unique(np.linspace(0, len(fitted) - 1, 5).round().astype(int)[1:-1])]

    def tensor(values: np.ndarray[Any, Any]) -> torch.Tensor:
        return torch.as_tensor(values, dtype=body.dtype, device=body.device)

    with torch.inference_mode():
        posed = body(tensor(fit.poses[frames]), tensor(fit.betas), tensor(fit.translation_m[frames]))
    columns = [fit.recording.labels.index(label) for label in fit.labels]
    residual_mm = report.residual_mm
    figure = draw_fit_figure(
        residual_mm=fit.residual_m * 1e3,
        labels=fit.labels,
        rate_hz=fit.recording.rate_hz,
        frames=frames.tolist(),
        vertices_m=posed.vertices.cpu().numpy(),
        faces=body.faces.cpu().numpy(),
        observed_m=fit.recording.positions_m[frames][:, columns],
        virtual_m=fit.virtual_m[frames],
        title_lines=(
            f"{subject.name} / {path.stem}",
            f"mean residual {residual_mm['mean']:.1f} mm, worst frame {residual_mm['max_frame_mean']:.1f} mm, "
            f"worst markers {', '.join(report.worst_markers[:3])}; stature {report.stature_m:.2f} m",
            *_gap_summary(report),
        ),
        first_frame=fit.recording.first_frame,
    )
    return png_bytes(figure)
