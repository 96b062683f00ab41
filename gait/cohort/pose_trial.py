"""Save poses that another tool wrote as a trial's results, with the body model that they were made for if it is there.

Without that model, the joints of the subject's body model get the same rotations. The report and the terminal say so.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from gait.body.body import Body, gender_of_file
from gait.body.pose_sequence import PoseSequence
from gait.capture.pose_format import ForeignPoses
from gait.capture.pose_formats import pose_format, read_foreign_poses, trial_name
from gait.cohort.cohort_file import Subject
from gait.cohort.fit_settings import FitSettings, find_model, smpl_family
from gait.cohort.model_cache import load_model
from gait.cohort.save_trial import common_provenance
from gait.cohort.trial_folder import TrialOutcome
from gait.errors import GaitError
from gait.exporting import export_where_possible
from gait.files.atomic_write import atomic_directory
from gait.fitting.fit_report import FitReport
from gait.motion.foreign_poses import is_made_for, to_pose_sequence
from gait.motion.pose_npz import write_npz
from gait.motion.trial_paths import FIT_FIGURE_FILE, REPORT_FILE
from gait.viewing.offscreen_renderer import RenderingUnavailableError

_TITLES = {"smpl": "SMPL", "smplh": "SMPL-H", "smplx": "SMPL-X"}


def save_pose_trial(
    folder: Path, path: Path, subject: Subject, settings: FitSettings, inputs: dict[str, Any]
) -> TrialOutcome:
    """Read the poses of a trial, put them on a body, and save them in a folder, which is created or replaced.

    Raises:
        GaitError: the file cannot be read, or no body model can carry its poses.
    """
    began = time.perf_counter()
    poses, known = read_foreign_poses(path), pose_format(path)
    assert known is not None
    model_path, made_for = _choose_model(poses, subject, settings)
    body = load_model(model_path, settings.device)
    try:
        sequence, notes = to_pose_sequence(poses, body)
    except GaitError as error:
        raise GaitError(f"{path}: {error}") from None
    seconds = time.perf_counter() - began
    wanted, warning = f"{poses.gender} {_TITLES[poses.model_type]}", ""
    if made_for:
        notes = (
            f"{known.title}: poses of a {wanted} body, on {body.name}: its joints are those of the source.",
            *notes,
        )
    else:  # without the trial's name, so that the terminal has one line for all alike
        warning = (
            f"{known.title} poses on another body: they need a {wanted} model, which is not in the model folder; "
            f"{body.name} got their joint rotations, so the proportions are those of {body.name}."
        )
        notes = (warning, *notes)
    report = _build_report(sequence, body, seconds)
    provenance = {
        **common_provenance(path, subject, body, settings, inputs),
        "rate_hz": sequence.rate_hz,
        "notes": notes,
        "layout": f"{known.title} poses, no markers",
    }
    figure = None
    if settings.figures:
        try:
            figure = _draw_figure(f"{subject.name} / {trial_name(path)}", notes, sequence, body)
        except RenderingUnavailableError as error:
            warning = warning or str(error)
    with atomic_directory(folder) as partial:
        partial.mkdir(parents=True)
        write_npz(partial, sequence)
        content = json.dumps({**report.as_dict(), **provenance}, indent=1, allow_nan=False)
        (partial / REPORT_FILE).write_text(content + "\n", encoding="utf-8")
        problems = export_where_possible(settings.export_as, partial, folder.name)
        if figure is not None:
            (partial / FIT_FIGURE_FILE).write_bytes(figure)
    message = "\n".join(filter(None, [warning, problems]))
    return TrialOutcome(subject.name, trial_name(path), "fitted", message, report)


def _build_report(sequence: PoseSequence, body: Body, seconds: float) -> FitReport:
    """Return the report of poses: without markers, so without residuals and uncertainty."""
    return FitReport(
        residual_mm=dict.fromkeys(("mean", "rms", "p95", "max", "max_frame_mean")),
        markers={},
        worst_markers=(),
        missing_markers=(),
        unused_labels=(),
        frames=sequence.num_frames,
        frames_per_second=round(sequence.num_frames / seconds, 1),
        betas=tuple(round(float(beta), 5) for beta in sequence.betas),
        stature_m=round(body.stature_m(sequence.betas), 4),
        placement_offset_mm=dict.fromkeys(("anatomical", "technical")),
        marker_errors=(),
        joints={},
        undetermined_joints=(),
        segments=([sequence.first_frame, sequence.first_frame + sequence.num_frames - 1],),
        gap_filled_frames=(),
        excluded_frames=(),
    )


def _draw_figure(title: str, notes: Sequence[str], sequence: PoseSequence, body: Body) -> bytes:
    from gait.report.pose_figure import draw_pose_figure, figure_frames  # loads matplotlib, which fits do not need

    frames = figure_frames(sequence.num_frames)
    inputs = (sequence.poses[frames], sequence.betas, sequence.translation_m[frames])
    with torch.inference_mode():
        posed = body(*(torch.as_tensor(values, dtype=body.dtype, device=body.device) for values in inputs))
    vertices, faces = posed.vertices.cpu().numpy(), body.faces.cpu().numpy()
    return draw_pose_figure(sequence.joints_m, sequence.rate_hz, vertices, faces, (title, *notes))


def _choose_model(poses: ForeignPoses, subject: Subject, settings: FitSettings) -> tuple[Path, bool]:
    """Return the file of the body model for these poses, and whether they were made for it.

    The family and gender of a file are first guessed from its name, because reading a model takes long.
    """
    own = settings.expected_model_path(subject.model_file)
    others = [
        path
        for name, path in settings.smpl_models().items()
        if path != own and gender_of_file(name) == poses.gender and smpl_family(name) == poses.model_type
    ]
    for path in (own, *others):
        try:
            if is_made_for(load_model(path, settings.device), poses):
                return path, True
        except (GaitError, OSError):  # missing or damaged: another file may serve
            continue
    return find_model(settings, subject.model_file), False
