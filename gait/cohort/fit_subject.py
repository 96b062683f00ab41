"""Fit a person of a cohort, or one after the other; a gait that cannot be fitted never stops the rest."""

from __future__ import annotations

import time
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
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import NUM_BODY_JOINTS
from gait.body.vposer import VPoser, load_vposer
from gait.capture.marker_names import canonical_marker, own_marker
from gait.capture.read_recording import read_recording
from gait.capture.recording import Recording
from gait.cohort.cohort_file import Subject
from gait.cohort.fit_inputs import fit_inputs
from gait.cohort.fit_settings import FitSettings, model_path, person_folder
from gait.cohort.trial_folder import (
    TrialResult,
    add_json_frames,
    gait_folder,
    is_finished,
    read_report,
    write_gait,
)
from gait.cohort.trial_outcome import TrialOutcome
from gait.error_message import failure_line
from gait.errors import GaitError
from gait.files.atomic_write import clear_left_over
from gait.files.folder_lock import folder_lock, tidy
from gait.files.package_versions import versions_of
from gait.fitting.fit_report import FitReport, fit_report, frame_list
from gait.fitting.marker_quality.fit_with_qc import CheckedSubjectFit, UnusableRecordingError, fit_checked
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.subject_fit import InsufficientMarkersError, SubjectFit, TrialFit, check_labels
from gait.motion.pose_files import pose_folders
from gait.parallel.task_queue import LOOK_AGAIN_S, LockedError
from gait.report.fit_figure import fit_picture
from gait.viewing.offscreen_renderer import RenderingUnavailableError
from gait.viewing.png import png_bytes


def fit_cohort(subjects: Sequence[Subject], settings: FitSettings) -> Iterator[TrialOutcome]:
    """Fit all gaits of all subjects in this process and write each to its folder.

    Yields one outcome a gait, as soon as it is known; a person's gaits come together. Persons that another run is
    fitting come last.
    """
    waiting = list(subjects)
    while waiting:
        taken = []
        for subject in waiting:
            try:
                yield from fit_subject(subject, settings)
            except LockedError:
                taken.append(subject)
        waiting = taken
        if waiting:
            time.sleep(LOOK_AGAIN_S)


def fit_subject(subject: Subject, settings: FitSettings) -> Iterator[TrialOutcome]:
    """Fit one person. All recordings take part, also those finished before: they share one body.

    A gait finished before is left alone while everything that it was made from is the same. Yields the outcomes in the
    order of the gaits, each once it is on the disk.

    Raises:
        TakenError: another run is fitting this person; nothing was yielded.
    """
    place = person_folder(settings.save_folder, subject)
    folders = {path: gait_folder(settings.save_folder, subject, path) for path in subject.gaits}
    inputs = fit_inputs(subject, settings.model_file(subject.model_file), settings.vposer, settings.repair)

    def finished_before() -> dict[Path, TrialOutcome]:
        if settings.overwrite:
            return {}
        reports = {path: _finished_report(folder, inputs) for path, folder in folders.items()}
        return {
            path: TrialOutcome(subject.name, path.stem, "finished before", report=report)
            for path, report in reports.items()
            if report is not None
        }

    outcomes = finished_before()
    if len(outcomes) == len(folders) and all(is_finished(folder, settings.pose_format) for folder in folders.values()):
        tidy(place)
        yield from outcomes.values()  # nothing to write, so a folder that is read-only does
        return
    try:
        with folder_lock(place, "fitting this person") as held:
            if held:
                clear_left_over(place)
            yield from _fit_rest(subject, settings, folders, inputs, finished_before())
    except LockedError:
        raise
    except GaitError as error:
        for path in subject.gaits:
            yield TrialOutcome(subject.name, path.stem, "failed", str(error))


def _fit_rest(
    subject: Subject,
    settings: FitSettings,
    folders: Mapping[Path, Path],
    inputs: dict[str, Any],
    outcomes: dict[Path, TrialOutcome],
) -> Iterator[TrialOutcome]:
    """Outcomes of a person whose lock is held; what is in ``outcomes`` is not fitted again."""

    def failed(path: Path, error: Exception) -> TrialOutcome:
        line = failure_line(error, subject.name, "the fit", "use fewer --workers, or shorter recordings")
        if folders[path].exists():
            line = f"{line.rstrip('.')}; {folders[path]} still has an earlier run's results, of other input."
        return outcomes.setdefault(path, TrialOutcome(subject.name, path.stem, "failed", line))

    fitted: tuple[_Person, dict[Path, TrialFit]] | None = None
    if len(outcomes) < len(folders):
        try:
            fitted = _fitted(subject, settings, failed)
        except Exception as error:  # whatever it is, the cohort goes on
            for path in subject.gaits:
                failed(path, error)
    for path, folder in folders.items():
        try:
            if path not in outcomes and fitted is not None:
                person, fits = fitted
                outcomes[path] = _kept(subject, path, settings, folder, person, fits[path], inputs)
            elif outcomes[path].state != "failed" and not is_finished(folder, settings.pose_format):
                add_json_frames(folder)
        except Exception as error:
            outcomes.pop(path, None)
            failed(path, error)
        yield outcomes[path]


def _finished_report(folder: Path, inputs: dict[str, Any]) -> FitReport | None:
    """The report of a gait that was finished before from the same input; None if it is to be fitted."""
    if not is_finished(folder, "npz"):
        return None
    try:
        content = read_report(folder)
        report = FitReport.from_dict(content)
    except GaitError:
        return None
    same = content.get("inputs") == inputs and len(report.parts) == len(pose_folders(folder))
    return report if same else None


@dataclass(frozen=True)
class _Person:
    body: Body
    layout: MarkerLayout
    checked: CheckedSubjectFit
    notes: tuple[str, ...]

    @property
    def fit(self) -> SubjectFit:
        return self.checked.person


def _fitted(
    subject: Subject, settings: FitSettings, failed: Callable[[Path, Exception], object]
) -> tuple[_Person, dict[Path, TrialFit]]:
    model = model_path(settings, subject.model_file)
    body = _body(model, model.stat().st_mtime_ns, subject.constrained_model, settings.device)
    number = None if subject.person_number is None else str(subject.person_number)
    recordings: dict[Path, Recording] = {}
    for path in subject.gaits:
        try:
            recordings[path] = read_recording(path, subject=number)
        except (GaitError, OSError) as error:
            failed(path, error)
    if not recordings:
        raise GaitError(f"{subject.name}: none of its recordings can be read.")
    layout, bounds, notes = _layout(subject, body, list(recordings.values()))
    for path, recording in list(recordings.items()):
        try:
            check_labels(recording, layout)
        except GaitError as error:
            failed(path, error)
            del recordings[path]
    if not recordings:
        raise GaitError(f"{subject.name}: none of its recordings has markers that the layout knows.")
    whole = body.num_joints >= NUM_BODY_JOINTS  # a learned prior knows whole bodies only
    vposer = _vposer(settings.vposer, settings.device) if whole else None
    if vposer is not None:
        notes += (f"Learned pose prior: {vposer.name}.",)
    checked = None
    while checked is None:
        try:
            checked = fit_checked(
                list(recordings.values()), body, layout, repair=settings.repair, bounds=bounds, vposer=vposer
            )
        except (InsufficientMarkersError, UnusableRecordingError) as error:
            path = next(path for path, recording in recordings.items() if recording is error.recording)
            failed(path, error)
            del recordings[path]
            if not recordings:
                raise
    return _Person(body, layout, checked, notes), dict(zip(recordings, checked.person.gaits, strict=True))


@lru_cache(maxsize=2)
def _body(path: Path, _mtime_ns: int, constrained: bool, device: str) -> Body:
    return load_body(path, constrained=constrained, device=device)


@lru_cache(maxsize=1)
def _vposer(folder: Path, device: str) -> VPoser | None:
    """The learned pose prior, if the user has dropped one in."""
    if not any(folder.rglob("*.ckpt")):
        return None
    return load_vposer(folder, device=device, dtype=torch.float64)


def _layout(
    subject: Subject, body: Body, recordings: Sequence[Recording]
) -> tuple[MarkerLayout, AngleBounds | None, tuple[str, ...]]:
    if subject.constraint_file is None:
        return _placed_layout(body), None, ()
    constraints = read_constraints(subject.constraint_file, body)
    labels = dict.fromkeys(label for recording in recordings for label in recording.labels)
    notes = tuple(f"{subject.constraint_file.name}: {name} is not used yet." for name in constraints.unused)
    if not constraints.mesh_known:
        notes += (
            f"{subject.constraint_file.name} does not say what mesh it was made on; it was taken for that of "
            f"{body.name}, {len(body.faces)} triangles.",
        )
    if not constraints.layouts:  # angles alone: markers are placed on the body
        return _placed_layout(body), constraints.angle_bounds, notes
    layouts = tuple(_named_as_recordings(layout, subject.constraint_file) for layout in constraints.layouts)
    return replace(constraints, layouts=layouts).layout_for(labels), constraints.angle_bounds, notes


@lru_cache(maxsize=2)
def _placed_layout(body: Body) -> MarkerLayout:
    return plug_in_gait_layout(body)


def _named_as_recordings(layout: MarkerLayout, file: Path) -> MarkerLayout:
    """A layout under the names that recordings are read with (LASI for LASIS, capitals)."""
    names = tuple(canonical_marker(label) or own_marker(label) for label in layout.labels)
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        both = [label for label, name in zip(layout.labels, names, strict=True) if name == double]
        raise GaitError(f"{file}: {' and '.join(both)} are both the marker {double}; leave one out.")
    return replace(layout, labels=names, kinds=tuple(marker_kind(name) for name in names))


def _kept(
    subject: Subject,
    path: Path,
    settings: FitSettings,
    folder: Path,
    person: _Person,
    fit: TrialFit,
    inputs: dict[str, Any],
) -> TrialOutcome:
    body = person.body
    betas = torch.as_tensor(fit.betas, dtype=body.dtype, device=body.device)
    with torch.inference_mode():
        height = body.shaped(betas)[0][0, :, 1]
    report = fit_report(
        person.fit,
        fit,
        person.layout.labels,
        float(height.max() - height.min()),
        person.checked.faults_of(fit),
    )
    sequences = tuple(_sequence(body, fit, part) for part in fit.held.parts)
    origin = {
        "subject": subject.name,
        "gait": path.stem,
        "inputs": inputs,
        "recording_sha256": inputs["recordings"].get(path.name),
        "rate_hz": fit.recording.rate_hz,
        "notes": [*fit.recording.notes, *person.notes, *_visit_notes(person.fit, fit)],
        "same_shape_as": _same_visit(subject, person.fit, fit),
        "layout": person.layout.source,
        "model_file": body.name,
        "model_sha256": body.sha256,
        "weights": asdict(ResidualScales()),
        "constraint_file": None if subject.constraint_file is None else str(subject.constraint_file),
        "randomness": "none: the same input gives the same poses on the same device",
        "arguments": {name: str(getattr(settings, name)) for name in settings.__dataclass_fields__},
        "versions": versions_of("torch", "numpy", "scipy", "ezc3d"),
    }
    picture, line = None, ""
    if settings.pictures:
        try:
            picture = _picture(subject, path, body, report, fit)
        except RenderingUnavailableError as error:
            line = str(error)
    write_gait(folder, TrialResult(sequences, report, fit, origin), settings.pose_format, picture)
    return TrialOutcome(subject.name, path.stem, "fitted", line, report)


def _sequence(body: Body, fit: TrialFit, part: slice) -> PoseSequence:
    """Some frames of a fitted recording."""
    seen = np.isfinite(fit.residual_m[part]).sum(axis=1)
    return PoseSequence(
        poses=fit.poses[part],
        betas=fit.betas.astype(np.float32),
        translation_m=fit.translation_m[part].astype(np.float32),
        joints_m=fit.joints_m[part, :NUM_BODY_JOINTS].astype(np.float32),
        rate_hz=fit.recording.rate_hz,
        model_file=body.name,
        model_sha256=body.sha256,
        gender=body.gender,
        model_type=body.model_type,
        constrained=body.hinges is not None,
        joints_sigma_m=fit.confidence.sigma_m[part, :NUM_BODY_JOINTS],
        bridged=fit.held.bridged[part],
        first_frame=fit.recording.first_frame + part.start,
        extra={"markers_seen": seen.astype(np.int16)},  # (T,) how many held each frame
    )


def _visit_notes(person: SubjectFit, fit: TrialFit) -> tuple[str, ...]:
    if len(person.visits) == 1:
        return ()
    return (
        f"This person's recordings differ in body size and were fitted as {len(person.visits)} visits, each with a "
        "shape of its own.",
    )


def _same_visit(subject: Subject, person: SubjectFit, fit: TrialFit) -> list[str]:
    """Gaits of the same person that share this one's shape: all, unless the person grew between visits."""
    own = next(r for r, other in enumerate(person.gaits) if other is fit)
    visit = next(visit for visit in person.visits if own in visit)
    return [person.gaits[r].recording.path.stem for r in visit]


def _interruptions(report: FitReport) -> tuple[str, ...]:
    """A line about the frames that no markers held, if there are any."""
    said = []
    if len(report.parts) > 1 or report.left_out_frames:
        said.append(f"{len(report.parts)} part{'s' * (len(report.parts) > 1)}: frames {frame_list(report.parts)}")
    if report.bridged_frames:
        said.append(f"bridged: frames {frame_list(report.bridged_frames)}")
    return ("; ".join(said),) if said else ()


def _picture(subject: Subject, path: Path, body: Body, report: FitReport, fit: TrialFit) -> bytes:
    """PNG of residuals by marker and frame beside three frames of the body."""
    seen = np.flatnonzero(np.isfinite(fit.residual_m).any(axis=1))
    frames = seen[np.unique(np.linspace(0, len(seen) - 1, 5).round().astype(int)[1:-1])]

    def tensor(values: np.ndarray[Any, Any]) -> torch.Tensor:
        return torch.as_tensor(values, dtype=body.dtype, device=body.device)

    with torch.inference_mode():
        posed = body(tensor(fit.poses[frames]), tensor(fit.betas), tensor(fit.translation_m[frames]))
    columns = [fit.recording.labels.index(label) for label in fit.labels]
    mean = report.residual_mm
    picture = fit_picture(
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
            f"mean residual {mean['mean']:.1f} mm, worst frame {mean['max_frame_mean']:.1f} mm, worst markers "
            f"{', '.join(report.worst_markers[:3])}; stature {report.stature_m:.2f} m",
            *_interruptions(report),
        ),
        first_frame=fit.recording.first_frame,
    )
    return png_bytes(picture)
