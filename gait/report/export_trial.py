"""Export of the attributions of one trial as files and figures, without a display.

Files: ``explanation.npz``, ``explanation.csv``, ``gait_cycle.csv`` and ``explanation.png``. With several methods each
has its own folder, and ``methods.png`` compares them; the segments of a split trial have their own folders, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gait.body.body import Body
from gait.body.model_file import load_body
from gait.body.pose_sequence import PoseSequence
from gait.errors import GaitError
from gait.explaining.attribution_files import SavedAttribution, write_cycles, write_explanation, write_frames
from gait.explaining.explain_trial import explain_trial
from gait.explaining.methods import METHODS
from gait.explaining.options import ExplainOptions
from gait.explaining.prepare_trial import prepare_trial
from gait.explaining.trained_network import TrainedNetwork
from gait.explaining.vertex_attribution import joint_influence, to_vertices
from gait.files.atomic_write import atomic_file
from gait.files.package_versions import package_versions
from gait.kinematics.gait_events import progression_directions
from gait.motion.dataset import Trial
from gait.motion.pose_files import find_pose_folders, read_poses
from gait.motion.trial_paths import parse_trial_id
from gait.report.explanation_figure import (
    THOUSANDTHS,
    AttributionFigureData,
    PhaseRenders,
    body_row_size,
    draw_explanation_figure,
    draw_methods_figure,
    prediction_text,
    unattributed_note,
)
from gait.text import printable
from gait.viewing.body_row import ColouredBody, draw_bodies
from gait.viewing.loaded_trial import BodyModelLocator
from gait.viewing.mesh_cache import MeshBuilder
from gait.viewing.offscreen_renderer import RenderingUnavailableError, shared_renderer

FIGURE_FILE = "explanation.png"
METHODS_FILE = "methods.png"


@dataclass(frozen=True)
class ExportResult:
    """Messages of an export."""

    lines: tuple[str, ...]  # to print
    problems: tuple[str, ...] = ()  # one message per segment or method that failed
    notes: tuple[str, ...] = ()  # messages on what could not be rendered


def export_trial(
    network: TrainedNetwork,
    folder: Path,
    export: Path,
    options: ExplainOptions,
    bodies: BodyModelLocator,
    arguments: Mapping[str, Any] | None = None,
) -> ExportResult:
    """Explain a trial and write its files and figures.

    Args:
        network: the network to explain.
        folder: folder of a fitted trial.
        export: output folder; created if missing.
        options: methods, and how the trial is read.
        bodies: where body models are searched.
        arguments: of the command, stored in the files.

    Raises:
        GaitError: the trial cannot be read, all its segments are shorter than a window, no method can explain the
            network, or a file cannot be written.
    """
    folder, export = Path(folder), Path(export)
    if not folder.exists():
        raise GaitError(
            f"{folder}: no such folder; name the folder of a fitted trial, <healthy|sick>/<subject>/<trial>."
        )
    if folder.is_file():
        folder = folder.parent
    segments = find_pose_folders(folder) or (folder,)
    results: list[ExportResult] = []
    problems: list[str] = []
    for segment in segments:
        try:
            target = export if len(segments) == 1 else export / segment.name
            results.append(_export_segment(network, segment, target, options, bodies, arguments or {}))
        except GaitError as error:
            problems.append(str(error))
    if not results:
        raise GaitError(problems[0])
    return ExportResult(
        tuple(line for one in results for line in one.lines),
        (*problems, *(line for one in results for line in one.problems)),
        tuple(dict.fromkeys(line for one in results for line in one.notes)),
    )


def _export_segment(
    network: TrainedNetwork,
    folder: Path,
    export: Path,
    options: ExplainOptions,
    bodies: BodyModelLocator,
    arguments: Mapping[str, Any],
) -> ExportResult:
    body = None if options.body_file is None else load_body(options.body_file)
    sequence = read_poses(folder, body=body, rate_hz=options.pose_rate_hz)
    trial = prepare_trial(folder, sequence.joints_m, sequence.rate_hz, network)
    name = printable(parse_trial_id(folder))
    explained, problems = _explain_by_methods(network, trial, options)
    notes: list[str] = []
    body_renderer = None
    try:
        if body is None or body.sha256 != sequence.model_sha256:
            body = bodies.load_for(sequence)
        body_renderer = _BodyRenderer(sequence, body)
    except GaitError as error:
        notes.append(f"{name}: {error}")
    probability = explained[0].attribution.trial_probability
    prediction = f"{prediction_text(probability)} ({_network_summary(network, trial)})"
    summary = [f"{name}: {prediction}"]
    several_methods = options.all_methods
    for data in explained:
        target = export / data.attribution.method if several_methods else export
        renders = None
        if body_renderer is not None:
            try:
                renders = body_renderer.render_phases(data)
            except RenderingUnavailableError as error:
                notes.append(str(error))
                body_renderer = None
        lines = [prediction[0].upper() + prediction[1:], *_reading_notes(data)]
        page = draw_explanation_figure(data, name, lines, renders, notes[-1] if notes else "")
        explanation = SavedAttribution(
            parse_trial_id(folder), data.attribution, network.file.name, network.sha256, arguments,
            package_versions("torch", "numpy"),
        )  # fmt: skip
        write_explanation(target, explanation)
        write_frames(target, data.attribution)
        write_cycles(target, data.cycles)
        _write(target / FIGURE_FILE, page)
        summary.append(f"{data.method_title}: largest attribution: {', '.join(data.attribution.largest_joints())}")
    if several_methods:
        lines = [prediction[0].upper() + prediction[1:], _SCALES_DIFFER]
        _write(export / METHODS_FILE, draw_methods_figure(explained, f"{name}: all methods", lines))
    summary.append(f"written: {printable(str(export))}")
    return ExportResult(tuple(summary), tuple(problems), tuple(notes))


def _explain_by_methods(
    network: TrainedNetwork, trial: Trial, options: ExplainOptions
) -> tuple[list[AttributionFigureData], list[str]]:
    """Explain by each method; return the attributions and one message per method that failed. One must succeed."""
    explained, problems = [], []
    for one in options.each_method(network):
        assert one.method is not None
        try:
            attribution = explain_trial(network, trial, one.method, rule=one.rule, stride=one.stride)
        except GaitError as error:
            problems.append(str(error))
            continue
        explained.append(AttributionFigureData(attribution, trial.joints_m, METHODS[one.method].title))
    if not explained:
        raise GaitError(problems[0])
    return explained, problems


_SCALES_DIFFER = (
    "Each method has its own scale: compare where the colours are, not how strong they are. Attributions describe the "
    "network; they are no diagnosis."
)


class _BodyRenderer:
    """Renderer of the body of a trial, coloured by attribution."""

    def __init__(self, sequence: PoseSequence, body: Body):
        self._sequence = sequence
        self._mesh_builder = MeshBuilder(body, sequence)
        self._weights = joint_influence(body, sequence.betas)

    def render_phases(self, data: AttributionFigureData) -> PhaseRenders | None:
        """Render the body at the four gait phases; None if no phase is explained."""
        phases, rate_hz = data.phases, data.attribution.rate_hz
        if not phases:
            return None
        ahead = progression_directions(data.joints_m, rate_hz)
        bodies = []
        for phase in phases:
            frame = min(round(phase.frame / rate_hz * self._sequence.rate_hz), self._sequence.num_frames - 1)
            bodies.append(
                ColouredBody(
                    self._mesh_builder.build(frame, frame + 1)[0].vertices_m,
                    to_vertices(data.attribution.values[phase.frame] * THOUSANDTHS, self._weights),
                    ahead[phase.frame],
                )
            )
        right = phases[0].name.startswith("right")
        return PhaseRenders(
            *draw_bodies(
                bodies, self._mesh_builder.faces, data.scale, *body_row_size(), shared_renderer(), from_left=not right
            )
        )


def _network_summary(network: TrainedNetwork, trial: Trial) -> str:
    seconds = network.window_length / network.rate_hz
    return f"{network.title} {printable(network.file.name)}, windows of {seconds:.2f} s, {len(trial.joints_m)} frames"


def _reading_notes(data: AttributionFigureData) -> list[str]:
    attribution = data.attribution
    settings = ", ".join(f"{key} {value}" for key, value in attribution.settings.items())
    description = "; ".join(part for part in (data.method_title, settings, unattributed_note(attribution)) if part)
    reading = (
        "Colours show the evidence of each joint for the sick or the healthy class."
        if attribution.signed
        else "Colours show the attention to each joint, not for which class."
    )
    return [
        description + ".",
        f"{reading} Grey: not explained. Attributions describe the network; they are no diagnosis.",
    ]


def _write(path: Path, content: bytes) -> None:
    with atomic_file(path) as partial:
        partial.write_bytes(content)
