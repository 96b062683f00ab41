"""Figures of exported attributions: ``explanation.png`` of each method, and ``methods.png`` that compares several."""

from __future__ import annotations

from gait.body.body import Body
from gait.body.pose_sequence import PoseSequence
from gait.errors import GaitError
from gait.explaining.attribution import observation_notes
from gait.explaining.export_trial import SegmentExport, TrialExport
from gait.explaining.methods import METHODS
from gait.explaining.vertex_attribution import influence_for, observed_weight, skinning_weights, to_vertices
from gait.files.atomic_write import atomic_file
from gait.kinematics.gait_events import progression_directions
from gait.kinematics.walking import format_interruptions
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
_SCALES_DIFFER = "Each method has its own scale: compare where colours are, not their strength."
_NO_DIAGNOSIS = "Attributions describe the network; they are no diagnosis."


def write_explanation_figures(export: TrialExport, bodies: BodyModelLocator) -> tuple[str, ...]:
    """Draw the attributions of a trial beside their files; return one note on each body that cannot be rendered.

    Raises:
        GaitError: a file cannot be written.
    """
    notes: list[str] = []
    for segment in export.segments:
        _write_figures(export, segment, bodies, notes)
    return tuple(dict.fromkeys(notes))


def summary_lines(export: TrialExport) -> tuple[str, ...]:
    """Return the results line by line, for a terminal."""
    lines = []
    for segment in export.segments:
        lines.append(f"{printable(segment.trial_id)}: {_prediction(export, segment)}")
        lines += _interruptions(segment)
        for attribution in segment.attributions.values():
            joints = ", ".join(attribution.largest_joints())
            axes = ", ".join(attribution.largest_axes())
            by_axis = f"; by axis: {axes}" if axes else ""
            what = "largest attribution"
            if attribution.ranks_evidence:
                what = f"most evidence for {'sick' if attribution.trial_probability >= 0.5 else 'healthy'}"
            lines.append(f"{METHODS[attribution.method].title}: {what}: {joints}{by_axis}")
        lines += observation_notes(next(iter(segment.attributions.values())))
        lines.append(f"written: {printable(str(segment.folder))}")
    return tuple(lines)


def _write_figures(export: TrialExport, segment: SegmentExport, bodies: BodyModelLocator, notes: list[str]) -> None:
    name, prediction = printable(segment.trial_id), _prediction(export, segment)
    prediction = "; ".join([prediction[0].upper() + prediction[1:], *_interruptions(segment)])
    renderer, no_bodies = None, ""
    try:
        renderer = _BodyRenderer(segment.sequence, bodies.load_for(segment.sequence))
    except GaitError as error:
        no_bodies = f"{name}: {error}"
    drawn = []
    for folder, attribution in segment.attributions.items():
        data = AttributionFigureData(attribution, segment.joints_m, METHODS[attribution.method].title)
        renders = None
        if renderer is not None:
            try:
                renders = renderer.render_phases(data)
            except RenderingUnavailableError as error:
                renderer, no_bodies = None, str(error)
        page = draw_explanation_figure(data, name, [prediction, *_reading_notes(data)], renders, no_bodies)
        with atomic_file(folder / FIGURE_FILE) as partial:
            partial.write_bytes(page)
        drawn.append(data)
    if segment.folder not in segment.attributions:
        lines = [prediction, f"{_SCALES_DIFFER} {_NO_DIAGNOSIS}"]
        if observation := observation_notes(drawn[0].attribution):
            lines.append(" ".join(observation))
        with atomic_file(segment.folder / METHODS_FILE) as partial:
            partial.write_bytes(draw_methods_figure(drawn, f"{name}: all methods", lines))
    notes += [no_bodies] if no_bodies else []


class _BodyRenderer:
    """Renderer of the body of a trial, coloured by attribution."""

    def __init__(self, sequence: PoseSequence, body: Body):
        self._sequence = sequence
        self._mesh_builder = MeshBuilder(body, sequence)
        self._body = body
        self._skinning = skinning_weights(body)

    def render_phases(self, data: AttributionFigureData) -> PhaseRenders | None:
        """Render the body at the four gait phases; None if no phase is explained."""
        phases, rate_hz = data.phases, data.attribution.rate_hz
        if not phases:
            return None
        weights = influence_for(data.attribution, self._body, self._sequence.betas)
        ahead, status = progression_directions(data.joints_m, rate_hz), data.attribution.joint_status
        bodies = []
        for phase in phases:
            frame = min(round(phase.frame / rate_hz * self._sequence.rate_hz), self._sequence.num_frames - 1)
            bodies.append(
                ColouredBody(
                    self._mesh_builder.build(frame, frame + 1)[0].vertices_m,
                    to_vertices(data.attribution.values[phase.frame] * THOUSANDTHS, weights),
                    ahead[phase.frame],
                    None if status is None else observed_weight(status[phase.frame], self._skinning),
                )
            )
        right = phases[0].name.startswith("right")
        return PhaseRenders(
            *draw_bodies(
                bodies, self._mesh_builder.faces, data.scale, *body_row_size(), shared_renderer(), from_left=not right
            )
        )


def _prediction(export: TrialExport, segment: SegmentExport) -> str:
    network, first = export.network, next(iter(segment.attributions.values()))
    return (
        f"{prediction_text(first.trial_probability)} ({network.title} {printable(network.file.name)}, windows of "
        f"{network.window_duration}, {len(first.values)} frames)"
    )


def _interruptions(segment: SegmentExport) -> list[str]:
    """Return one line if the subject does not walk all the time."""
    first = next(iter(segment.attributions.values()))
    if first.activity is None or not first.activity.any():
        return []
    others = format_interruptions(first.activity, first.rate_hz)
    return [f"not judged or explained without --keep_standing: {others}"]


def _reading_notes(data: AttributionFigureData) -> list[str]:
    attribution = data.attribution
    settings = ", ".join(f"{key} {value}" for key, value in attribution.settings.items())
    description = "; ".join(part for part in (data.method_title, settings, unattributed_note(attribution)) if part)
    reading = (
        "Colours show the evidence of each joint for the sick or the healthy class."
        if attribution.signed
        else "Colours show the attention to each joint, not for which class."
    )
    shades = "Grey: not explained. Faded: covered by few windows, not in the means."
    notes = [description + ".", f"{reading} {shades} {_NO_DIAGNOSIS}"]
    if not attribution.explainable.all():
        notes.append(" ".join([*observation_notes(attribution), "Hatched: not observed, or not used."]))
    return notes
