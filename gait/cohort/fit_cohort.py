"""Fit every person of a cohort, one after the other; a gait that cannot be fitted never stops the rest."""

from __future__ import annotations

import hashlib
import io
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

import gait
from gait.body.body import Body
from gait.body.constraints_file import AngleBounds, read_constraints
from gait.body.marker_layout import MarkerLayout
from gait.body.model_file import load_body
from gait.body.placement import plug_in_gait_layout
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import NUM_BODY_JOINTS
from gait.body.vposer import VPoser, load_vposer
from gait.capture.cohort_file import Subject
from gait.capture.reading import read_recording
from gait.capture.recording import Recording
from gait.cohort.gait_folder import GaitResult, PoseFormat, gait_folder, is_finished, write_gait
from gait.errors import GaitError
from gait.fitting.fit_report import FitReport, fit_report
from gait.fitting.person_fit import GaitFit, NoBodyError, PersonFit, check_labels, fit_person
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
    """Fit one person. All recordings take part, also those finished before: they share one body."""
    folders = {path: gait_folder(settings.save_folder, subject, path) for path in subject.gaits}
    due = [p for p, folder in folders.items() if settings.overwrite or not is_finished(folder, settings.pose_format)]
    outcomes = {p: GaitOutcome(subject.name, p.stem, "finished before") for p in subject.gaits if p not in due}

    def failed(path: Path, error: GaitError) -> None:
        if path in due:
            outcomes[path] = GaitOutcome(subject.name, path.stem, "failed", str(error))

    if due:
        try:
            person, fits = _fitted(subject, settings, failed)
        except GaitError as error:
            for path in due:
                if path not in outcomes:
                    failed(path, error)
        else:
            for path in due:
                if path not in outcomes:
                    try:
                        outcomes[path] = _kept(subject, path, settings, folders[path], person, fits[path])
                    except GaitError as error:
                        failed(path, error)
    return [outcomes[path] for path in subject.gaits]


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
    vposer = _vposer(settings.model_folder / "VPoser", settings.device)
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


def model_path(model_folder: Path, model_file: str) -> Path:
    """The body model's file; a GaitError that lists those there if it is not among them."""
    path = model_folder / "SUPR" / model_file
    if not path.is_file():
        folder = path.parent
        there = sorted(p.name for p in folder.glob("*.np[yz]")) if folder.is_dir() else []
        listed = f"it has {', '.join(there)}" if there else "it has no body model"
        raise GaitError(f"{folder}: no body model {model_file}; {listed}.")
    return path


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
    return constraints.layout_for(labels), constraints.angle_bounds, notes


def _kept(
    subject: Subject, path: Path, settings: FitSettings, folder: Path, person: _Person, fit: GaitFit
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
        constrained=body.hinges is not None,
        extra={"markers_seen": np.isfinite(fit.residual_m).sum(axis=1).astype(np.int16)},  # (T,) that held each frame
    )
    origin = {
        "subject": subject.name,
        "gait": path.stem,
        "recording_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "rate_hz": fit.recording.rate_hz,
        "notes": [*fit.recording.notes, *person.notes],
        "same_shape_as": _same_visit(subject, person.fit, fit),
        "layout": person.layout.source,
        "model_file": body.name,
        "model_sha256": body.sha256,
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


def _same_visit(subject: Subject, person: PersonFit, fit: GaitFit) -> list[str]:
    """Gaits of the same person that share this one's shape: all, unless the person grew between visits."""
    own = next(r for r, other in enumerate(person.gaits) if other is fit)
    visit = next(visit for visit in person.visits if own in visit)
    return [person.gaits[r].recording.path.stem for r in visit]


def _versions() -> dict[str, str]:
    packages = ("torch", "numpy", "scipy", "ezc3d")
    return {"gait": gait.__version__, "python": platform.python_version(), **{name: version(name) for name in packages}}


def _picture(subject: Subject, path: Path, body: Body, report: FitReport, fit: GaitFit) -> bytes:
    """PNG of residuals by marker and frame beside three frames of the body."""
    frames = np.unique(np.linspace(0, fit.recording.frames - 1, 5).round().astype(int)[1:-1])

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
