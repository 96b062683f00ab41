"""Fit the trials of one subject and save each; a trial that cannot be fitted does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from gait.body.body import Body
from gait.body.constraints_file import AngleBounds, read_constraints
from gait.body.marker_layout import MarkerLayout, marker_kind
from gait.body.skeleton import NUM_BODY_JOINTS
from gait.body.vposer import VPoser, load_vposer
from gait.capture.marker_names import canonical_marker, sanitize_marker_name
from gait.capture.pose_formats import pose_format, trial_name
from gait.capture.read_recording import read_recording
from gait.capture.recording import Recording
from gait.capture.sandboxed_reader import start_reader
from gait.cohort.cohort_file import Subject
from gait.cohort.finished_trials import find_finished, find_finished_subject
from gait.cohort.fit_inputs import fit_fingerprint
from gait.cohort.fit_settings import FitSettings, find_model, subject_folder
from gait.cohort.model_cache import load_model
from gait.cohort.pose_trial import save_pose_trial
from gait.cohort.save_trial import save_trial
from gait.cohort.trial_folder import TrialOutcome, add_exports, is_finished, trial_folder
from gait.errors import GaitError, error_message
from gait.files.atomic_write import remove_stale_temporaries
from gait.files.folder_lock import LockedError, cleanup, folder_lock
from gait.fitting.fit_recordings import fit_recordings
from gait.fitting.subject_fit import FitOptions, SubjectFit, UnusableRecordingError
from gait.parallel import spare_core
from gait.report.fit_figure import draw_small_figure


def fit_subject(
    subject: Subject, settings: FitSettings, read: Mapping[Path, Recording] | None = None
) -> Iterator[TrialOutcome]:
    """Fit all trials of one subject with a common body shape; yield one outcome per trial, in order, once it is saved.

    ``read`` has those of its recordings that are already read.

    A finished trial is skipped if its inputs are unchanged. Its recording still contributes to the common shape.

    Raises:
        LockedError: another run is fitting this subject; no outcome was yielded.
    """
    results_folder = subject_folder(settings.save_folder, subject)
    folders = {path: trial_folder(settings.save_folder, subject, path) for path in subject.trials}
    if outcomes := find_finished_subject(subject, settings):
        cleanup(results_folder)
        yield from outcomes  # without a lock: the folder may be read-only
        return
    inputs = fit_fingerprint(subject, settings)
    try:
        with folder_lock(results_folder, "fitting this subject") as locked:
            if locked:
                remove_stale_temporaries(results_folder)
            finished = find_finished(subject, settings, inputs)
            if settings.figures and spare_core.start(draw_small_figure):
                torch.set_num_threads(torch.get_num_threads() - 1)
            yield from _fit_unfinished(subject, settings, folders, inputs, finished, read or {})
    except LockedError:
        raise
    except GaitError as error:
        for path in subject.trials:
            yield TrialOutcome(subject.name, trial_name(path), "failed", str(error))


def _fit_unfinished(
    subject: Subject,
    settings: FitSettings,
    folders: Mapping[Path, Path],
    inputs: dict[str, Any],
    outcomes: dict[Path, TrialOutcome],
    read: Mapping[Path, Recording],
) -> Iterator[TrialOutcome]:
    """Fit the trials that have no outcome yet; the subject's folder must be locked."""

    def record_failure(path: Path, error: Exception) -> TrialOutcome:
        message = error_message(error, subject.name, "the fit", "use fewer --workers, or shorter recordings")
        if folders[path].exists():
            kept = f"{folders[path]} still has the results of an earlier run with other inputs"
            message = f"{message.rstrip('.')}; {kept}."
        return outcomes.setdefault(path, TrialOutcome(subject.name, trial_name(path), "failed", message))

    fitted: tuple[SubjectFit, list[Path], tuple[str, ...]] | None = None
    recordings = [path for path in subject.trials if pose_format(path) is None]
    if any(path not in outcomes for path in recordings):
        try:
            fitted = _fit_usable_recordings(subject, recordings, settings, read, record_failure)
        except Exception as error:  # no error of one subject may stop the cohort
            for path in recordings:
                record_failure(path, error)
    for path, folder in folders.items():
        try:
            if path not in outcomes and path not in recordings:
                outcomes[path] = save_pose_trial(folder, path, subject, settings, inputs)
            elif path not in outcomes and fitted is not None:
                fit, paths, notes = fitted
                trial = fit.trials[paths.index(path)]
                outcomes[path] = save_trial(folder, fit, trial, subject, settings, notes, inputs)
            elif outcomes[path].state != "failed" and not is_finished(folder, settings.export_as):
                outcomes[path] = replace(outcomes[path], message=add_exports(folder, settings.export_as))
        except Exception as error:
            outcomes.pop(path, None)
            record_failure(path, error)
        yield outcomes[path]


def _fit_usable_recordings(
    subject: Subject,
    paths: Sequence[Path],
    settings: FitSettings,
    read: Mapping[Path, Recording],
    record_failure: Callable[[Path, Exception], object],
) -> tuple[SubjectFit, list[Path], tuple[str, ...]]:
    """Fit all usable recordings together; return the fit, their paths, and notes for the reports.

    ``record_failure`` is called for each recording that cannot be used.
    """
    model_path = find_model(settings, subject.model_file)
    if not read.keys() >= set(paths):
        start_reader()  # meanwhile the model is loaded
    body = load_model(model_path, settings.device, constrained=subject.constrained_model)
    recordings: dict[Path, Recording] = {}
    for path in paths:
        try:
            recordings[path] = read.get(path) or read_recording(path, subject_index=subject.subject_index)
        except (GaitError, OSError) as error:
            record_failure(path, error)
    layout, bounds, notes = _choose_layout(subject, body, list(recordings.values()))
    whole = body.num_joints >= NUM_BODY_JOINTS  # a learned prior is defined for the whole body only
    vposer = _load_vposer(settings.vposer, settings.device) if whole else None
    if vposer is not None:
        notes += (f"Learned pose prior: {vposer.name}.",)
    options = FitOptions(bounds=bounds, vposer=vposer)
    while recordings:
        try:
            fit = fit_recordings(list(recordings.values()), body, layout, repair=settings.repair, options=options)
            return fit, list(recordings), notes
        except UnusableRecordingError as error:
            path = next(path for path, recording in recordings.items() if recording is error.recording)
            record_failure(path, error)
            del recordings[path]
    raise GaitError(f"{subject.name}: none of its recordings can be fitted.")


@lru_cache(maxsize=1)
def _load_vposer(folder: Path, device: str) -> VPoser | None:
    """Return the learned pose prior, or None if the user has not installed one."""
    if not any(folder.rglob("*.ckpt")):
        return None
    return load_vposer(folder, device=device, dtype=torch.float64)


def _choose_layout(
    subject: Subject, body: Body, recordings: Sequence[Recording]
) -> tuple[MarkerLayout | None, AngleBounds | None, tuple[str, ...]]:
    """Return the layout (None: the default one), joint limits, and notes for the reports."""
    if subject.marker_layout_file is None:
        return None, None, ()
    constraints = read_constraints(subject.marker_layout_file, body)
    labels = dict.fromkeys(label for recording in recordings for label in recording.labels)
    notes = tuple(f"{subject.marker_layout_file.name}: {name} is not used yet." for name in constraints.unused)
    if not constraints.mesh_known:
        assumed = f"the mesh of {body.name} with {len(body.faces)} triangles was assumed"
        notes += (f"{subject.marker_layout_file.name} does not state its mesh; {assumed}.",)
    if not constraints.layouts:  # joint limits only
        return None, constraints.angle_bounds, notes
    layouts = tuple(_canonicalize_layout(layout, subject.marker_layout_file) for layout in constraints.layouts)
    return replace(constraints, layouts=layouts).layout_for(labels), constraints.angle_bounds, notes


def _canonicalize_layout(layout: MarkerLayout, file: Path) -> MarkerLayout:
    """Return a layout with the marker names that ``read_recording`` gives (LASI for LASIS, upper case)."""
    names = tuple(canonical_marker(label) or sanitize_marker_name(label) for label in layout.labels)
    duplicate = next((name for name in names if names.count(name) > 1), None)
    if duplicate is not None:
        labels = [label for label, name in zip(layout.labels, names, strict=True) if name == duplicate]
        raise GaitError(f"{file}: {' and '.join(labels)} are the same marker {duplicate}; remove one.")
    return replace(layout, labels=names, kinds=tuple(marker_kind(name) for name in names))
