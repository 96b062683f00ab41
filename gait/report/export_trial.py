"""Explanations of one gait as files and pictures, without a screen.

In the folder: ``explanation.npz``, ``explanation.csv``, ``gait_cycle.csv`` and ``explanation.png``. Of several methods
each has a folder of its own, and ``methods.png`` shows them under one another; likewise the parts of a gait that was
split.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gait.body.body import Body
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import BODY_JOINTS, plain_name
from gait.errors import GaitError
from gait.explaining.attribution_files import SavedAttribution, write_cycles, write_explanation, write_frames
from gait.explaining.explain_trial import explain_gait
from gait.explaining.methods import METHODS
from gait.explaining.prepare_trial import network_recording
from gait.explaining.trained_network import TrainedNetwork
from gait.explaining.vertex_attribution import joint_weights, on_vertices
from gait.files.atomic_write import replacing_file
from gait.files.package_versions import versions_of
from gait.kinematics.gait_events import headings
from gait.motion.dataset import Trial
from gait.motion.pose_files import pose_folders, read_poses
from gait.motion.trial_paths import gait_name
from gait.report.explanation_figure import (
    UNIT_PARTS,
    AttributionFigureData,
    PhaseRenders,
    bodies_size,
    explanation_picture,
    methods_picture,
    outside,
    verdict,
)
from gait.report.training.display_names import printable
from gait.viewing.loaded_trial import BodyModelLocator
from gait.viewing.mesh_cache import MeshBuilder
from gait.viewing.offscreen_renderer import RenderingUnavailableError, shared_renderer
from gait.viewing.render_bodies import ColouredBody, draw_bodies

PICTURE_FILE = "explanation.png"
METHODS_FILE = "methods.png"
_NAMED = 3  # joints in a line


@dataclass(frozen=True)
class ExportSettings:
    """How gaits are explained and drawn."""

    methods: tuple[str, ...]  # one or more of METHODS
    rule: str | None  # of lrp; its default if None
    stride: int | None  # frames from window to window; by the method's cost if None
    bodies: BodyModelLocator  # where bodies are looked for
    body: Body | None = None  # of poses that come without joints
    pose_rate_hz: float | None = None  # of the same
    arguments: Mapping[str, Any] = field(default_factory=dict)  # of the command, kept in the files


@dataclass(frozen=True)
class TrialExportResult:
    """What became of a gait."""

    lines: tuple[str, ...]  # what a person should read
    problems: tuple[str, ...] = ()  # a plain line for each part or method that failed
    notes: tuple[str, ...] = ()  # plain lines on what could not be drawn


def export_gait(network: TrainedNetwork, folder: Path, settings: ExportSettings, export: Path) -> TrialExportResult:
    """Explain a gait and write all about it.

    Args:
        network: explained.
        folder: of one fitted gait.
        settings: how.
        export: where the files go; is made if need be.

    Raises:
        GaitError: the gait cannot be read, is shorter than a window in all of its parts, no method explains it, or a
            file cannot be written.
    """
    folder, export = Path(folder), Path(export)
    if not folder.exists():
        raise GaitError(f"{folder}: no such folder; name the one of a fitted gait, <healthy|sick>/<subject>/<gait>.")
    if folder.is_file():
        folder = folder.parent
    parts = pose_folders(folder) or (folder,)
    done: list[TrialExportResult] = []
    problems: list[str] = []
    for part in parts:
        try:
            done.append(_export_part(network, part, settings, export if len(parts) == 1 else export / part.name))
        except GaitError as error:
            problems.append(str(error))
    if not done:
        raise GaitError(problems[0])
    return TrialExportResult(
        tuple(line for one in done for line in one.lines),
        (*problems, *(line for one in done for line in one.problems)),
        tuple(dict.fromkeys(line for one in done for line in one.notes)),
    )


def _export_part(network: TrainedNetwork, folder: Path, settings: ExportSettings, export: Path) -> TrialExportResult:
    sequence = read_poses(folder, body=settings.body, rate_hz=settings.pose_rate_hz)
    gait = network_recording(folder, sequence.joints_m, sequence.rate_hz, network)
    name = printable(gait_name(folder))
    explained, problems = _explained(network, gait, settings)
    notes: list[str] = []
    skin = None
    try:
        skin = _Skin(sequence, settings)
    except GaitError as error:
        notes.append(f"{name}: {error}")
    probability = explained[0].importance.person_probability
    judged = f"{verdict(probability)} ({_about(network, gait)})"
    told = [f"{name}: {judged}"]
    several = len(settings.methods) > 1
    for recording in explained:
        place = export / recording.importance.method if several else export
        bodies = None
        if skin is not None:
            try:
                bodies = skin.at_phases(recording)
            except RenderingUnavailableError as error:
                notes.append(str(error))
                skin = None
        lines = [judged[0].upper() + judged[1:], *_how_to_read(recording)]
        page = explanation_picture(recording, name, lines, bodies, notes[-1] if notes else "")
        explanation = SavedAttribution(
            gait_name(folder), recording.importance, network.file.name, network.sha256, settings.arguments,
            versions_of("torch", "numpy"),
        )  # fmt: skip
        write_explanation(place, explanation)
        write_frames(place, recording.importance)
        write_cycles(place, recording.cycles)
        _write(place / PICTURE_FILE, page)
        told.append(f"{recording.method_title}: {_most_important(recording)}")
    if several:
        lines = [judged[0].upper() + judged[1:], _EACH_SCALE]
        _write(export / METHODS_FILE, methods_picture(explained, f"{name}: all methods", lines))
    told.append(f"written: {printable(str(export))}")
    return TrialExportResult(tuple(told), tuple(problems), tuple(notes))


def _explained(
    network: TrainedNetwork, gait: Trial, settings: ExportSettings
) -> tuple[list[AttributionFigureData], list[str]]:
    """By every method that can, and a line for each that cannot; one that is alone must."""
    explained, problems = [], []
    for method in settings.methods:
        alone = len(settings.methods) == 1
        try:
            importance = explain_gait(
                network.network, gait, network.window_length, method, baseline=network.mean_window,
                rule=settings.rule if method == "lrp" or alone else None, stride=settings.stride,
            )  # fmt: skip
        except GaitError as error:
            problems.append(str(error))
            continue
        explained.append(AttributionFigureData(importance, gait.joints_m, METHODS[method].title))
    if not explained:
        raise GaitError(problems[0])
    return explained, problems


_EACH_SCALE = (
    "Every method has its own scale: compare where the colours are, not how strong they are. What a network looked at "
    "is no diagnosis."
)


class _Skin:
    """The recording's own body, to be drawn."""

    def __init__(self, sequence: PoseSequence, settings: ExportSettings):
        body = settings.body
        if body is None or body.sha256 != sequence.model_sha256:
            body = settings.bodies.of(sequence)
        self._sequence = sequence
        self._maker = MeshBuilder(body, sequence)
        self._weights = joint_weights(body, sequence.betas)

    def at_phases(self, recording: AttributionFigureData) -> PhaseRenders | None:
        """The bodies of the four phases, drawn; None where nothing is explained."""
        phases, rate_hz = recording.phases, recording.importance.rate_hz
        if not phases:
            return None
        ahead = headings(recording.joints_m, rate_hz)
        bodies = []
        for phase in phases:
            frame = min(round(phase.frame / rate_hz * self._sequence.rate_hz), self._sequence.frames - 1)
            bodies.append(
                ColouredBody(
                    self._maker.skins(frame, frame + 1)[0].vertices_m,
                    on_vertices(recording.importance.values[phase.frame] * UNIT_PARTS, self._weights),
                    ahead[phase.frame],
                )
            )
        right = phases[0].name.startswith("right")
        return PhaseRenders(
            *draw_bodies(
                bodies, self._maker.faces, recording.scale, *bodies_size(), shared_renderer(), from_left=not right
            )
        )


def _about(network: TrainedNetwork, gait: Trial) -> str:
    seconds = network.window_length / network.rate_hz
    return f"{network.title} {printable(network.file.name)}, windows of {seconds:.2f} s, {len(gait.joints_m)} frames"


def _how_to_read(recording: AttributionFigureData) -> list[str]:
    importance = recording.importance
    settings = ", ".join(f"{key} {value}" for key, value in importance.settings.items())
    how = "; ".join(part for part in (recording.method_title, settings, outside(importance)) if part)
    reading = (
        "Colours say what spoke for sick and what for healthy, joint by joint."
        if importance.signed
        else "Colours say how much a joint was looked at, not for which verdict."
    )
    return [how + ".", f"{reading} Grey: not explained. It tells of the network, not of the person: no diagnosis."]


def _most_important(recording: AttributionFigureData) -> str:
    values = np.asarray(recording.importance.values, np.float64)
    size = np.abs(values[np.isfinite(values).all(axis=1)]).mean(axis=0)
    named = [plain_name(BODY_JOINTS[joint]) for joint in np.argsort(-size)[:_NAMED]]
    return "most important " + ", ".join(named)


def _write(path: Path, content: bytes) -> None:
    with replacing_file(path) as partial:
        partial.write_bytes(content)
