"""Fit a person's recordings with their bad data found, named, and left out or put right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gait.body.body import Body
from gait.body.constraints_file import AngleBounds
from gait.body.marker_layout import MarkerLayout
from gait.body.pose_prior import PosePrior, natural_pose_prior
from gait.body.vposer import VPoser
from gait.capture.recording import Recording
from gait.fitting.faults.displaced_stretches import Course, Stretch, judged
from gait.fitting.faults.fault_kinds import exchanged_with, kind_of
from gait.fitting.faults.hidden_markers import FittedBody
from gait.fitting.faults.marker_fault import FaultKind, MarkerFault
from gait.fitting.faults.track_breaks import track_breaks
from gait.fitting.person_fit import GaitFit, NoBodyError, PersonFit, fit_person
from gait.fitting.weights import FitWeights

SUSPICIOUS_M = 0.030
"""A residual that no good marker has: 26 mm is the largest of ten real walks."""
MOST_SUSPECTS = 1 / 3
"""With more of a recording's markers broken, none can be spared altogether while the others are fitted."""
PLACED_M = {"anatomical": 0.015, "technical": 0.080}
"""How far a marker's place may be from the layout's, one standard deviation."""
MOST_ROUNDS = 3
"""A fault can hide another; looked for again so often."""


@dataclass(frozen=True)
class CheckedFit:
    """A person's fit and what was wrong with the recordings."""

    person: PersonFit
    faults: tuple[tuple[MarkerFault, ...], ...]  # of each recording, in their order

    def faults_of(self, gait: GaitFit) -> tuple[MarkerFault, ...]:
        """What was wrong with the recording of one of the person's gaits."""
        return next(found for other, found in zip(self.person.gaits, self.faults, strict=True) if other is gait)


@dataclass(frozen=True)
class _Finding:
    """A fault in a recording's own terms."""

    marker: int  # column of the gait's markers
    other: int | None
    stretch: Stretch
    kind: FaultKind
    distance_m: float


def fit_checked(
    recordings: Sequence[Recording],
    body: Body,
    layout: MarkerLayout,
    *,
    repair: bool = False,
    weights: FitWeights | None = None,
    prior: PosePrior | None = None,
    bounds: AngleBounds | None = None,
    vposer: VPoser | None = None,
) -> CheckedFit:
    """Fit a person as ``fit_person`` does, without the samples that are no marker in its place.

    Args:
        recordings: of one person, as they were read.
        body: the statistical body.
        layout: where markers sit on it.
        repair: put exchanged names right instead of leaving them out.
        weights: as in ``fit_person``, like those that follow.
        prior: of the joints.
        bounds: of single pose numbers.
        vposer: a learned prior.

    Raises:
        GaitError: as ``fit_person``.
    """
    weights = weights or FitWeights()
    broken = [track_breaks(r.positions_m, r.visible, r.rate_hz) for r in recordings]
    suspected = [_suspected(r, b, layout) for r, b in zip(recordings, broken, strict=True)]
    spared = [without(r, s) for r, s in zip(recordings, suspected, strict=True)]

    def fitted() -> PersonFit:
        while True:
            try:
                return fit_person(spared, body, layout, weights=weights, prior=prior, bounds=bounds, vposer=vposer)
            except NoBodyError as error:
                r = next(r for r, recording in enumerate(spared) if recording is error.recording)
                if spared[r] is recordings[r]:
                    raise
                spared[r] = recordings[r]  # too little is left without the suspects

    person = fitted()
    found: list[list[_Finding]] = [[] for _ in recordings]
    for _ in range(MOST_ROUNDS):
        changed = False
        for r, gait in enumerate(person.gaits):
            columns = [recordings[r].labels.index(label) for label in gait.labels]
            suspects = suspected[r][:, columns].any(axis=0) | _left_out(found[r], gait)
            if not suspects.any() and not (np.nan_to_num(gait.residual_m) > SUSPICIOUS_M).any():
                continue
            asked = FittedBody.of(gait, body, person.layout, weights, prior or natural_pose_prior(), bounds)
            news = _findings(asked, recordings[r], broken[r], suspects, person.layout)
            cleaned = _cleaned(recordings[r], gait, news, repair)
            if not np.array_equal(cleaned.visible, spared[r].visible) or _moved(cleaned, spared[r]):
                spared[r], changed = cleaned, True
            found[r] = news
            suspected[r] = np.zeros_like(suspected[r])
        if not changed:
            break
        person = fitted()
    faults = tuple(
        tuple(_fault(finding, recording, gait, repair) for finding in findings)
        for findings, recording, gait in zip(found, recordings, person.gaits, strict=True)
    )
    return CheckedFit(person, faults)


def without(recording: Recording, lost: NDArray[np.bool_]) -> Recording:
    """The same recording with samples (T, M) made unseen."""
    if not lost.any():
        return recording
    return replace(
        recording,
        visible=recording.visible & ~lost,
        positions_m=np.where(lost[..., None], np.nan, recording.positions_m),
    )


def _suspected(recording: Recording, broken: NDArray[np.bool_], layout: MarkerLayout) -> NDArray[np.bool_]:
    """(T, M) what the first fit had better not see: markers whose tracks break, all of them or their shorter parts."""
    T = recording.frames
    suspects = broken.any(axis=0) & np.isin(recording.labels, layout.labels)
    lost = np.zeros_like(broken)
    few = suspects.sum() <= MOST_SUSPECTS * len(suspects)
    for m in np.flatnonzero(suspects):
        lost[:, m] = True
        if not few:
            edges = [0, *np.flatnonzero(broken[:, m]).tolist(), T]
            longest = int(np.diff(edges).argmax())
            lost[edges[longest] : edges[longest + 1], m] = False
    return lost


def _findings(
    asked: FittedBody,
    recording: Recording,
    broken: NDArray[np.bool_],
    suspects: NDArray[np.bool_],
    layout: MarkerLayout,
) -> list[_Finding]:
    """What is wrong with the suspected markers of a recording, and with those that the body contradicts."""
    gait = asked.gait
    columns = [recording.labels.index(label) for label in gait.labels]
    observed, seen = recording.positions_m[:, columns], recording.visible[:, columns]
    breaks = broken[:, columns]
    suspects = suspects | _contradicted(asked, observed, seen, suspects)
    every = np.arange(recording.frames)
    expected = asked.without(observed, seen & ~suspects, every)
    off = expected.off(np.where(seen[..., None], observed, np.nan))
    kinds = dict(zip(layout.labels, layout.kinds, strict=True))
    place = np.nan_to_num(np.nanmedian(off, axis=0)) if len(off) else np.zeros((len(columns), 3))
    courses: dict[int, Course] = {}
    for m in np.flatnonzero(suspects & seen.any(axis=0)).tolist():
        courses[m] = judged(off[:, m], breaks[:, m], recording.rate_hz, PLACED_M[kinds[gait.labels[m]]])
        place[m] = courses[m].place_m
    belongs = expected.moved(place)
    floor = float(np.nanquantile(np.where(seen, observed[..., 1], np.nan), 0.005))
    findings: list[_Finding] = []
    for m, course in courses.items():
        for stretch in course.stretches:
            rows = slice(stretch.first, stretch.last + 1)
            distance = float(np.nanmean(np.linalg.norm(course.away_m[rows], axis=1)))
            other = exchanged_with(m, stretch, observed, expected, place, seen)
            if other is not None:
                if any(f.marker == other and f.other == m and _overlap(f.stretch, stretch) for f in findings):
                    continue
                findings.append(_Finding(m, other, stretch, "exchanged", distance))
                continue
            kind = kind_of(stretch, observed[:, m], belongs[:, m], course.away_m, seen[:, m], floor, recording.rate_hz)
            findings.append(_Finding(m, None, stretch, kind, distance))
    return findings


def _contradicted(
    asked: FittedBody, observed: NDArray[np.float64], seen: NDArray[np.bool_], suspects: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """(M,) markers that the body contradicts most, one after the other, until it agrees with the rest."""
    residual = np.where(seen & ~suspects, np.nan_to_num(asked.gait.residual_m), 0.0)
    news = np.zeros_like(suspects)
    frames = np.flatnonzero((residual > SUSPICIOUS_M).any(axis=1))
    frames = frames[np.unique(np.linspace(0, len(frames) - 1, min(40, len(frames))).round().astype(int))]
    while len(frames) and news.sum() < MOST_SUSPECTS * len(suspects):
        news[int(np.quantile(residual[frames], 0.9, axis=0).argmax())] = True
        follow = seen & ~suspects & ~news
        off = np.linalg.norm(asked.without(observed, follow, frames).off(observed[frames]), axis=-1)
        residual = np.zeros_like(residual)
        residual[frames] = np.where(follow[frames], np.nan_to_num(off), 0.0)
        frames = frames[(residual[frames] > SUSPICIOUS_M).any(axis=1)]
    return news


def _overlap(a: Stretch, b: Stretch) -> bool:
    return a.first <= b.last and b.first <= a.last


def _left_out(findings: Sequence[_Finding], gait: GaitFit) -> NDArray[np.bool_]:
    """(M,) markers of which something was found before."""
    marked = np.zeros(len(gait.labels), dtype=bool)
    for finding in findings:
        marked[[m for m in (finding.marker, finding.other) if m is not None]] = True
    return marked


def _cleaned(recording: Recording, gait: GaitFit, findings: Sequence[_Finding], repair: bool) -> Recording:
    """A recording with exchanged names put right where that is wanted, everything else that is wrong left out."""
    columns = [recording.labels.index(label) for label in gait.labels]
    positions, visible = recording.positions_m.copy(), recording.visible.copy()
    for f in findings:
        rows = slice(f.stretch.first, f.stretch.last + 1)
        pair = [columns[m] for m in (f.marker, f.other) if m is not None]
        if len(pair) == 2 and repair:
            positions[rows, pair], visible[rows, pair] = positions[rows, pair[::-1]], visible[rows, pair[::-1]]
        else:
            positions[rows, pair], visible[rows, pair] = np.nan, False
    return replace(recording, positions_m=positions, visible=visible)


def _moved(a: Recording, b: Recording) -> bool:
    return not np.array_equal(a.positions_m, b.positions_m, equal_nan=True)


def _fault(finding: _Finding, recording: Recording, gait: GaitFit, repair: bool) -> MarkerFault:
    put_right = finding.other is not None and repair
    hint = "--repair puts them right" if finding.other is not None and not repair else ""
    return MarkerFault(
        kind=finding.kind,
        marker=gait.labels[finding.marker],
        other=None if finding.other is None else gait.labels[finding.other],
        first_frame=recording.first_frame + finding.stretch.first,
        last_frame=recording.first_frame + finding.stretch.last,
        evidence_mm=round(finding.distance_m * 1e3, 1),
        action="corrected" if put_right else "left out",
        hint=hint,
    )
