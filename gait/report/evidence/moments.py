"""The body at the moments of findings, coloured by attribution, and the walk beside its counterfactual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gait.body.body import Body
from gait.body.pose_sequence import PoseSequence
from gait.explaining.attribution import TrialAttribution
from gait.explaining.evidence.finding import Evidence, Finding, Verdict
from gait.kinematics.strides import Stride
from gait.report.coloured_body import TrialBody
from gait.viewing.body_row import ColouredBody, draw_bodies
from gait.viewing.colours import SKIN, Scale, SequentialScale, attribution_scale
from gait.viewing.offscreen_renderer import shared_renderer
from gait.viewing.png import png_bytes

MAX_MOMENTS = 4
SAME_MOMENT_S = 0.05
"""Findings closer in time share a picture."""
_SIZE_PX = (330, 480)  # width and height of one body
_PAIR_PX = (600, 480)
_GREEN = 0.58  # of a sequential scale: about the colour of the changed curves


@dataclass(frozen=True)
class Moment:
    """A picture of the body at one time."""

    frame: int  # of the trial
    numbers: tuple[int, ...]  # of the findings that it shows, from 1
    png: bytes


def render_moments(
    evidence: Evidence,
    attribution: TrialAttribution,
    sequence: PoseSequence,
    body: Body,
    strides: Mapping[str, Sequence[Stride]],
) -> tuple[Moment, ...]:
    """Render the body at the first findings that are evidence for the decision; findings of one frame share a picture.

    A finding is shown in that one of the ``strides`` of its side in which its joint is the most evidence for it.

    Raises:
        GaitError: the poses belong to another body model, or this machine cannot render.
    """
    trial, scale = TrialBody(sequence, body), body_scale(attribution)
    moments = []
    for of_attribution, numbers in _frames(evidence.findings, attribution, strides).items():
        first = evidence.findings[numbers[0] - 1]
        frame = min(round(of_attribution / attribution.rate_hz * sequence.rate_hz), sequence.num_frames - 1)
        picture = _picture([trial.coloured(of_attribution, attribution)], trial, scale, _SIZE_PX, first.side)
        moments.append(Moment(frame, numbers, picture))
    return tuple(moments)


def render_counterfactual(
    evidence: Evidence, sequence: PoseSequence, body: Body, strides: Mapping[str, Sequence[Stride]]
) -> Moment | None:
    """Render the walk and, in green, the changed walk side by side; None if there is no such walk.

    They are shown where the first change is largest, in the middle one of the ``strides`` of its side.

    Raises:
        GaitError: the poses belong to another body model, or this machine cannot render.
    """
    walk = None if evidence.counterfactual is None else evidence.counterfactual.boundary
    if walk is None or not walk.changes:
        return None
    first = walk.changes[0]
    own_strides = strides.get(first.side, ())
    if not own_strides:
        return None
    stride = own_strides[len(own_strides) // 2]
    last = min(sequence.num_frames, walk.sequence.num_frames) - 1
    frame = min(round(stride.start + (stride.end - stride.start) * first.percent / 100), last)
    own, changed = TrialBody(sequence, body), TrialBody(walk.sequence, body)
    after = changed.plain(frame)
    bodies = [own.plain(frame), replace(after, values=np.full_like(after.values, _GREEN))]
    picture = _picture(bodies, own, SequentialScale(0.0, 1.0, SKIN), _PAIR_PX, first.side)
    return Moment(frame, (), picture)


def body_scale(attribution: TrialAttribution) -> Scale:
    """Return the colours of the body, in logit units per joint and frame."""
    return attribution_scale([attribution.values[attribution.well_covered]], attribution.signed)


def _frames(
    findings: Sequence[Finding], attribution: TrialAttribution, strides: Mapping[str, Sequence[Stride]]
) -> dict[int, tuple[int, ...]]:
    """Return the numbers of the findings by frame of the attribution, of the first few frames; near ones share one."""
    found: dict[int, tuple[int, ...]] = {}
    for number, finding in enumerate(findings, start=1):
        if finding.verdict in (Verdict.IGNORED, Verdict.NOT_OBSERVED) or finding.share <= 0:
            continue
        own = _strongest_frame(finding, attribution, strides.get(finding.side, ()))
        if own is None:
            continue
        near = [frame for frame in found if abs(frame - own) <= SAME_MOMENT_S * attribution.rate_hz]
        if near or len(found) < MAX_MOMENTS:
            frame = near[0] if near else own
            found[frame] = (*found.get(frame, ()), number)
    return found


def _strongest_frame(finding: Finding, attribution: TrialAttribution, strides: Sequence[Stride]) -> int | None:
    """Return the frame, in the finding's phase, at which its joint is the most evidence of its sign; None without."""
    values = np.sign(finding.attribution) * attribution.values[:, finding.joint]
    inside = np.zeros(len(values), dtype=bool)
    for stride in strides:
        percents = np.array([finding.percents[0], finding.percents[1] + 1]) / 100
        times = (stride.start + (stride.end - stride.start) * percents) / stride.rate_hz
        first, end = np.round(times * attribution.rate_hz).astype(int)
        inside[first : max(end, first + 1)] = True
    inside &= attribution.counts[:, finding.joint]
    return int(np.where(inside, values, -np.inf).argmax()) if inside.any() else None


def _picture(bodies: Sequence[ColouredBody], trial: TrialBody, scale: Scale, size: tuple[int, int], side: str) -> bytes:
    image, _ = draw_bodies(bodies, trial.faces, scale, *size, shared_renderer(), from_left=side == "left")
    return png_bytes(image)
