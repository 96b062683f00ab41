"""Figures of exported attributions: ``explanation.png`` of each method, and ``methods.png`` that compares several."""

from __future__ import annotations

from gait.errors import GaitError
from gait.explaining.attribution import observation_notes
from gait.explaining.attribution_files import FIGURE_FILE
from gait.explaining.export_trial import SegmentExport, TrialExport
from gait.explaining.methods import METHODS
from gait.files.atomic_write import atomic_file
from gait.kinematics.walking import format_interruptions
from gait.report.coloured_body import TrialBody
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
from gait.viewing.body_row import draw_bodies
from gait.viewing.loaded_trial import BodyModelLocator
from gait.viewing.offscreen_renderer import RenderingUnavailableError, shared_renderer

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
    body, no_bodies = None, ""
    try:
        body = TrialBody(segment.sequence, bodies.load_for(segment.sequence))
    except GaitError as error:
        no_bodies = f"{name}: {error}"
    drawn = []
    for folder, attribution in segment.attributions.items():
        data = AttributionFigureData(attribution, segment.joints_m, METHODS[attribution.method].title)
        renders = None
        if body is not None:
            try:
                renders = _render_phases(body, data)
            except RenderingUnavailableError as error:
                body, no_bodies = None, str(error)
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


def _render_phases(body: TrialBody, data: AttributionFigureData) -> PhaseRenders | None:
    """Render the body at the four gait phases; None if no phase is explained."""
    phases = data.phases
    if not phases:
        return None
    bodies = [body.coloured(phase.frame, data.attribution, THOUSANDTHS) for phase in phases]
    right = phases[0].name.startswith("right")
    image = draw_bodies(bodies, body.faces, data.scale, *body_row_size(), shared_renderer(), from_left=not right)
    return PhaseRenders(*image)


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
