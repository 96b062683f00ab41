"""Fit every person of a cohort, one after the other; a gait that cannot be fitted never stops the rest."""

from __future__ import annotations

import io
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

import gait
from gait.body.body import Body
from gait.body.constraints_file import AngleBounds, read_constraints
from gait.body.marker_layout import MarkerLayout, marker_kind
from gait.body.model_file import load_body
from gait.body.placement import plug_in_gait_layout
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import NUM_BODY_JOINTS
from gait.body.vposer import VPoser, load_vposer
from gait.capture.cohort_file import Subject
from gait.capture.labels import canonical_marker, own_marker
from gait.capture.reading import read_recording
from gait.capture.recording import Recording
from gait.cohort.fit_inputs import fit_inputs
from gait.cohort.gait_folder import (
    GaitResult,
    PoseFormat,
    add_json_frames,
    gait_folder,
    is_finished,
    read_report,
    write_gait,
)
from gait.errors import GaitError
from gait.fitting.fit_report import FitReport, fit_report
from gait.fitting.person_fit import GaitFit, NoBodyError, PersonFit, check_labels, fit_person
from gait.fitting.weights import FitWeights
from gait.viewing.fit_picture import fit_picture
from gait.viewing.offscreen import NoDrawingError


@dataclass(frozen=True)
class FitSettings:
    """How a cohort is fitted, and where from and to."""

    model_folder: Path  # holds SUPR/ and, if the user has it, VPoser/
    save_folder: Path
    device: str = "cpu"
    overwrite: bool = False
    pose_format: PoseFormat = "npz"
    pictures: bool = True


@dataclass(frozen=True)
class GaitOutcome:
    """What became of one gait."""

    subject: str
    gait: str
    state: Literal["fitted", "finished before", "failed"]
    line: str = ""  # what went wrong, or what the user should know
    report: FitReport | None = None


def fit_cohort(subjects: Sequence[Subject], settings: FitSettings) -> Iterator[GaitOutcome]:
    """Fit all gaits of all subjects and write each to its folder.

    Yields one outcome a gait, as soon as it is known; a person's gaits come together.
    """
    for subject in subjects:
        yield from fit_subject(subject, settings)


def check_device(device: str) -> None:
    """Refuse a device that this computer has not, listing those that it has."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    there = ["cpu", *(["cuda"] if count else []), *(f"cuda:{k}" for k in range(count))]
    if device not in there:
        raise GaitError(f"--device {device}: there is no such device here; there is {', '.join(there)}.")


def fit_subject(subject: Subject, settings: FitSettings) -> list[GaitOutcome]:
    """Fit one person. All recordings take part, also those finished before: they share one body.

    A gait finished before is left alone while everything that it was made from is the same.
    """
    inputs = fit_inputs(
        subject, _model_file(settings.model_folder, subject.model_file), settings.model_folder / "VPoser"
    )
    folders = {path: gait_folder(settings.save_folder, subject, path) for path in subject.gaits}
    outcomes: dict[Path, GaitOutcome] = {}

    def failed(path: Path, error: GaitError) -> None:
        outcomes.setdefault(path, GaitOutcome(subject.name, path.stem, "failed", str(error)))

    for path, folder in folders.items():
        if not settings.overwrite:
            try:
                report = _finished_report(folder, inputs, settings.pose_format)
            except GaitError as error:
                failed(path, error)
            else:
                if report is not None:
                    outcomes[path] = GaitOutcome(subject.name, path.stem, "finished before", report=report)
    if len(outcomes) < len(folders):
        try:
            person, fits = _fitted(subject, settings, failed)
            for path in subject.gaits:
                if path not in outcomes:
                    try:
                        outcomes[path] = _kept(subject, path, settings, folders[path], person, fits[path], inputs)
                    except GaitError as error:
                        failed(path, error)
        except GaitError as error:
            for path in subject.gaits:
                failed(path, error)
        except (RuntimeError, ValueError, ArithmeticError, MemoryError, OSError) as error:  # LinAlgError is one of them
            broke = GaitError(
                f"{subject.name}: the fit broke off ({type(error).__name__}: {error}); please report this."
            )
            for path in subject.gaits:
                failed(path, broke)
    return [outcomes[path] for path in subject.gaits]


def _finished_report(folder: Path, inputs: dict[str, Any], pose_format: PoseFormat) -> FitReport | None:
    """The report of a gait that was finished before from the same input; None if it is to be fitted."""
    if not is_finished(folder, "npz"):
        return None
    try:
        content = read_report(folder)
        report = FitReport.from_dict(content)
    except GaitError:
        return None
    if content.get("inputs") != inputs:
        return None
    if not is_finished(folder, pose_format):
        add_json_frames(folder)
    return report


@dataclass(frozen=True)
class _Person:
    body: Body
    layout: MarkerLayout
    fit: PersonFit
    notes: tuple[str, ...]


def _fitted(
    subject: Subject, settings: FitSettings, failed: Callable[[Path, GaitError], None]
) -> tuple[_Person, dict[Path, GaitFit]]:
    body = _body(model_path(settings.model_folder, subject.model_file), subject.constrained_model, settings.device)
    recordings: dict[Path, Recording] = {}
    for path in subject.gaits:
        try:
            recordings[path] = read_recording(path)
        except GaitError as error:
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
    vposer = _vposer(settings.model_folder / "VPoser", settings.device) if whole else None
    if vposer is not None:
        notes += (f"Learned pose prior: {vposer.name}.",)
    fit = None
    while fit is None:
        try:
            fit = fit_person(list(recordings.values()), body, layout, bounds=bounds, vposer=vposer)
        except NoBodyError as error:
            path = next(path for path, recording in recordings.items() if recording is error.recording)
            failed(path, error)
            del recordings[path]
            if not recordings:
                raise
    return _Person(body, layout, fit, notes), dict(zip(recordings, fit.gaits, strict=True))


def _model_file(model_folder: Path, model_file: str) -> Path:
    return model_folder / "SUPR" / model_file


def model_path(model_folder: Path, model_file: str) -> Path:
    """The body model's file; a GaitError that lists those there if it is not among them."""
    path = _model_file(model_folder, model_file)
    if not path.is_file():
        folder = path.parent
        there = sorted(p.name for p in folder.glob("*.np[yz]")) if folder.is_dir() else []
        listed = f"it has {', '.join(there)}" if there else "it has no body model"
        raise GaitError(f"{folder}: no body model {model_file}; {listed}.")
    return path


def check_settings(subjects: Sequence[Subject], settings: FitSettings) -> None:
    """Refuse what no gait could be fitted with, before any is: device, place for the results, body models.

    Raises:
        GaitError: the device is not on this computer, the save folder cannot be made, or no subject's model is there.
    """
    check_device(settings.device)
    try:
        settings.save_folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GaitError(
            f"{settings.save_folder}: cannot be made ({error.strerror}); name another save folder."
        ) from error
    missing = []
    for name in dict.fromkeys(subject.model_file for subject in subjects):
        try:
            model_path(settings.model_folder, name)
            return
        except GaitError as error:
            missing.append(error)
    raise missing[0]


@lru_cache(maxsize=2)
def _body(path: Path, constrained: bool, device: str) -> Body:
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
        return plug_in_gait_layout(body), None, ()
    constraints = read_constraints(subject.constraint_file, body)
    labels = dict.fromkeys(label for recording in recordings for label in recording.labels)
    notes = tuple(f"{subject.constraint_file.name}: {name} is not used yet." for name in constraints.unused)
    if not constraints.layouts:  # angles alone: markers are placed on the body
        return plug_in_gait_layout(body), constraints.angle_bounds, notes
    layouts = tuple(_named_as_recordings(layout, subject.constraint_file) for layout in constraints.layouts)
    return replace(constraints, layouts=layouts).layout_for(labels), constraints.angle_bounds, notes


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
    fit: GaitFit,
    inputs: dict[str, Any],
) -> GaitOutcome:
    body = person.body
    betas = torch.as_tensor(fit.betas, dtype=body.dtype, device=body.device)
    with torch.inference_mode():
        height = body.shaped(betas)[0][0, :, 1]
    report = fit_report(person.fit, fit, person.layout.labels, float(height.max() - height.min()))
    sequence = PoseSequence(
        poses=fit.poses,
        betas=fit.betas.astype(np.float32),
        translation_m=fit.translation_m.astype(np.float32),
        joints_m=fit.joints_m[:, :NUM_BODY_JOINTS].astype(np.float32),
        rate_hz=fit.recording.rate_hz,
        model_file=body.name,
        model_sha256=body.sha256,
        gender=_gender(body.name),
        constrained=body.hinges is not None,
        extra={"markers_seen": np.isfinite(fit.residual_m).sum(axis=1).astype(np.int16)},  # (T,) that held each frame
    )
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
        "weights": asdict(FitWeights()),
        "constraint_file": None if subject.constraint_file is None else str(subject.constraint_file),
        "randomness": "none: the same input gives the same poses on the same device",
        "arguments": {name: str(getattr(settings, name)) for name in settings.__dataclass_fields__},
        "versions": _versions(),
    }
    picture, line = None, ""
    if settings.pictures:
        try:
            picture = _picture(subject, path, body, report, fit)
        except NoDrawingError as error:
            line = str(error)
    write_gait(folder, GaitResult(sequence, report, fit, origin), settings.pose_format, picture)
    return GaitOutcome(subject.name, path.stem, "fitted", line, report)


def _visit_notes(person: PersonFit, fit: GaitFit) -> tuple[str, ...]:
    if len(person.visits) == 1:
        return ()
    return (
        f"This person's recordings differ in body size and were fitted as {len(person.visits)} visits, each with a "
        "shape of its own.",
    )


def _same_visit(subject: Subject, person: PersonFit, fit: GaitFit) -> list[str]:
    """Gaits of the same person that share this one's shape: all, unless the person grew between visits."""
    own = next(r for r, other in enumerate(person.gaits) if other is fit)
    visit = next(visit for visit in person.visits if own in visit)
    return [person.gaits[r].recording.path.stem for r in visit]


def _gender(model_file: str) -> str:
    """What the name of a licensed model says; bodies of both sexes are neutral."""
    words = Path(model_file).stem.lower().split("_")
    return next((word for word in ("female", "male") if word in words), "neutral")


def _versions() -> dict[str, str]:
    packages = ("torch", "numpy", "scipy", "ezc3d")
    return {"gait": gait.__version__, "python": platform.python_version(), **{name: version(name) for name in packages}}


def _picture(subject: Subject, path: Path, body: Body, report: FitReport, fit: GaitFit) -> bytes:
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
        ),
        first_frame=fit.recording.first_frame,
    )
    stream = io.BytesIO()
    picture.save(stream, format="PNG")
    return stream.getvalue()
