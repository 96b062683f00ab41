"""Write the page of the evidence beside a decision, next to its files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gait.arrays import Vector
from gait.body.skeleton import Joint
from gait.errors import GaitError
from gait.explaining.attribution_files import FIGURE_FILE
from gait.explaining.evidence.evidence_files import EVIDENCE_JSON, EVIDENCE_TABLE
from gait.explaining.evidence.explained_walk import ExplainedWalk
from gait.explaining.evidence.export_evidence import EvidenceExport, SegmentEvidence
from gait.explaining.evidence.find_findings import critical_values
from gait.explaining.evidence.finding import Finding
from gait.explaining.evidence.motions import INPUT_PREFIX
from gait.explaining.evidence.phase_attribution import mean_attribution
from gait.explaining.methods import METHODS
from gait.files.atomic_write import atomic_file
from gait.kinematics.gait_events import SIDES
from gait.kinematics.speed_norm import COVERAGE
from gait.kinematics.strides import finite_mean
from gait.report.evidence.curves import WalkCurves, evidence_charts, scale_of
from gait.report.evidence.moments import Moment, render_counterfactual, render_moments
from gait.report.evidence.page import EvidenceContent, evidence_page
from gait.report.evidence.summary import norm_size, parameters_sentence, tested_sentence
from gait.report.gait.curve_grid import mean_phases
from gait.report.gait.svg_chart import NormBand
from gait.report.render import relative_url
from gait.text import format_number
from gait.viewing.loaded_trial import BodyModelLocator

PAGE_FILE = "evidence.html"
_THOUSANDTHS = 1000
_TRAINED = "The network was trained on this subject, so its decision is not valid evidence."


def write_evidence_pages(
    export: EvidenceExport, bodies: BodyModelLocator, walk_page: Path | None = None
) -> tuple[str, ...]:
    """Write the page of each segment beside its evidence; return one note on each body that cannot be rendered.

    ``walk_page`` plays the trial, or will; times are links into it.

    Raises:
        GaitError: a file cannot be written.
    """
    if len(export.segments) > 1:
        walk_page = None  # it plays the first segment
    notes = [note for segment in export.segments if (note := write_evidence_page(segment, bodies, walk_page))]
    return tuple(dict.fromkeys(notes))


def write_evidence_page(segment: SegmentEvidence, bodies: BodyModelLocator, walk_page: Path | None = None) -> str:
    """Write the page of one segment; return why it has no picture of the body, or nothing.

    Raises:
        GaitError: the file cannot be written.
    """
    evidence, walk = segment.evidence, segment.walk
    curves = walk_curves(walk, evidence.findings)
    scale, moments, changed, no_pictures = scale_of(evidence, curves), tuple[Moment, ...](), None, ""
    try:
        body = bodies.load_for(walk.sequence)
        strides = {side: walk.walk.strides(side) for side in SIDES}
        moments = render_moments(evidence, walk.attributions[0], walk.sequence, body, strides)
        changed = render_counterfactual(evidence, walk.sequence, body, strides)
    except GaitError as error:
        no_pictures = f"{evidence.subject}/{evidence.trial}: {error}"
    end = format_number(_THOUSANDTHS * scale.high, 1 if _THOUSANDTHS * scale.high < 10 else 0)
    files = {EVIDENCE_TABLE: EVIDENCE_TABLE, EVIDENCE_JSON: EVIDENCE_JSON}
    if (segment.folder / FIGURE_FILE).is_file():
        files["attribution over the whole trial"] = FIGURE_FILE
    content = EvidenceContent(
        evidence=evidence,
        network=walk.trained.label,
        method_title=METHODS[evidence.method].title,
        rate_hz=walk.sequence.rate_hz,
        curves=curves,
        charts=evidence_charts(evidence, curves, scale),
        band=describe_bands(walk, evidence.findings),
        colour_ends=(f"−{end}", f"+{end}"),
        moments=moments,
        changed=changed,
        axis_names=walk.trained.input.axis_names,
        tested=_TRAINED
        if evidence.subject in walk.trained.training_subjects
        else tested_sentence(walk.trained.checkpoint),
        parameters=parameters_sentence(walk.walk.analysis),
        files=files,
        walk_page="" if walk_page is None else relative_url(segment.folder / PAGE_FILE, walk_page),
        no_pictures=no_pictures,
    )
    with atomic_file(segment.folder / PAGE_FILE) as partial:
        partial.write_text(evidence_page(content), encoding="utf-8", errors="replace")
    return no_pictures


def walk_curves(walk: ExplainedWalk, findings: Sequence[Finding]) -> WalkCurves:
    """Return the curves of a walk, the bands that its verdicts are of, and the attribution along the curves."""
    measured, bands = walk.walk, walk.bands
    critical = critical_values(walk, findings)
    strides = {side: measured.strides(side) for side in SIDES}
    attribution: dict[tuple[Joint, int], Vector] = {}
    for motion in walk.motions:
        if motion.axis is not None:
            values = mean_attribution(walk.attributions, motion, strides, walk.trained.windows)
            attribution[motion.joint, motion.axis] = finite_mean(values.reshape(-1, values.shape[-1]))
    return WalkCurves(
        mean_deg=measured.mean_curves(),
        error_deg=measured.mean_errors(),
        bands={
            name: NormBand.of(bands.limits(name, critical[name]), mean, bands.sd_deg[name])
            for name, mean in bands.mean_deg.items()
        },
        foot_off={side: mean_phases(measured.analysis.curves, side)["foot_off"] for side in SIDES},
        attribution=attribution,
        input_curves={
            (motion.joint, motion.axis): name
            for motion in walk.motions
            for name in motion.curves
            if motion.axis is not None and name.startswith(INPUT_PREFIX)
        },
    )


def describe_bands(walk: ExplainedWalk, findings: Sequence[Finding]) -> str:
    """Return whose bands are drawn and what they promise."""
    critical = critical_values(walk, findings)
    found = sorted({value for value in critical.values() if np.isfinite(value)})
    if not found:
        return ""
    sizes = f"mean ± {found[0]:.1f} SD" + (
        f" of motions on which the decision relies, ± {found[-1]:.1f} SD of the others" if len(found) > 1 else ""
    )
    count = norm_size(walk)
    band = (
        f"Grey band: {walk.bands.title}, at this walking speed: {sizes}{f'; {count}' if count else ''}. Darker: mean ± "
        "1 SD."
    )
    if walk.controls.ratios is None:
        return band
    return (
        f"{band} With a probability of {100 * COVERAGE:.0f} %, all curves of a new healthy person on which the "
        "decision relies lie inside the bands. Once one is outside, the bands of the others are narrowed; the drawn "
        "bands are the narrowed ones. A gait report judges each curve by itself and has other bands."
    )
