"""What is known of one recording's bad data while a person is fitted, and what is left of the recording without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from gait.body.marker_layout import MarkerLayout
from gait.capture.recording import Recording
from gait.fitting.marker_quality.classify_error import exchanged_with, kind_of
from gait.fitting.marker_quality.discontinuities import track_breaks
from gait.fitting.marker_quality.displacements import Course, Stretch, judged
from gait.fitting.marker_quality.leave_out_prediction import FittedBody
from gait.fitting.marker_quality.marker_error import FaultKind, MarkerError

SUSPICIOUS_M = 0.030
"""A residual that no good marker has: 26 mm is the largest of ten real walks."""
MOST_SUSPECTS = 1 / 3
"""With more of a recording's markers broken, none can be spared altogether while the others are fitted."""
ASKED_FRAMES = 40
"""Of the frames with a suspicious residual, so many tell which marker is to blame."""
PLACED_M = {"anatomical": 0.015, "technical": 0.080}
"""How far a marker's place may be from the layout's, one standard deviation."""


@dataclass(frozen=True)
class Finding:
    """A marker away from its place for a while."""

    marker: str
    other: str | None
    stretch: Stretch
    kind: FaultKind
    distance_m: float


@dataclass(frozen=True)
class RecordingQc:
    """One recording and its bad data."""

    recording: Recording  # with names that are exchanged throughout put right
    broken: NDArray[np.bool_]  # (T, M) first frames after breaks of the tracks
    suspects: frozenset[str]  # markers that may be wrong somewhere, not yet judged
    pairs: tuple[tuple[str, str, float], ...] = ()  # exchanged throughout, and how much nearer each then is, metres
    findings: tuple[Finding, ...] = ()
    asked_for_pairs: bool = field(default=False)

    @classmethod
    def of(cls, recording: Recording, layout: MarkerLayout) -> RecordingQc:
        """What the tracks alone tell."""
        broken = track_breaks(recording.positions_m, recording.visible, recording.rate_hz)
        names = [recording.labels[m] for m in np.flatnonzero(broken.any(axis=0)).tolist()]
        return cls(recording, broken, frozenset(names) & frozenset(layout.labels))

    def spared(self, repair: bool) -> Recording:
        """The recording as a fit should see it before suspects are judged: cleaned, and without them."""
        found = self.cleaned(repair)
        lost = np.zeros_like(self.broken)
        few = len(self.suspects) <= MOST_SUSPECTS * len(found.labels)
        for label in self.suspects:
            m = found.labels.index(label)
            lost[:, m] = True
            if not few:  # too many to do without: the longest part of each may be good
                edges = [0, *np.flatnonzero(self.broken[:, m]).tolist(), found.frames]
                longest = int(np.diff(edges).argmax())
                lost[edges[longest] : edges[longest + 1], m] = False
        return _without(found, lost)

    def cleaned(self, repair: bool) -> Recording:
        """The recording with what was found left out, or names put right where that is wanted."""
        found = self._without_findings(repair)
        if repair or not self.pairs:
            return found
        names = {name for first, second, _ in self.pairs for name in (first, second)}
        return _without(found, np.isin(found.labels, list(names)) & np.ones_like(self.broken))

    def with_pairs(self, pairs: Sequence[tuple[str, str, float]]) -> RecordingQc:
        """With names exchanged throughout put right."""
        positions, visible, broken = (
            self.recording.positions_m.copy(),
            self.recording.visible.copy(),
            self.broken.copy(),
        )
        for first, second, _ in pairs:
            both = [self.recording.labels.index(first), self.recording.labels.index(second)]
            for values in (positions, visible, broken):
                values[:, both] = values[:, both[::-1]]
        recording = replace(self.recording, positions_m=positions, visible=visible)
        return replace(self, recording=recording, broken=broken, pairs=(*self.pairs, *pairs), asked_for_pairs=True)

    def is_suspicious(self, residual_m: NDArray[np.float64]) -> bool:
        """Whether a fit of the spared recording leaves something to be asked."""
        return bool(self.suspects) or bool((np.nan_to_num(residual_m) > SUSPICIOUS_M).any())

    def judged_by(self, asked: FittedBody, layout: MarkerLayout) -> RecordingQc:
        """With the suspects, those that the body contradicts and those found before judged by a fitted body."""
        gait, rate_hz = asked.gait, self.recording.rate_hz
        columns = [self.recording.labels.index(label) for label in gait.labels]
        observed, seen = self.recording.positions_m[:, columns], self.recording.visible[:, columns]
        before = self.suspects | {name for f in self.findings for name in (f.marker, f.other) if name is not None}
        suspects = np.isin(gait.labels, list(before))
        suspects |= _contradicted(asked, observed, seen, suspects)
        expected = asked.without(observed, seen & ~suspects, np.arange(self.recording.frames))
        seen = seen & asked.is_held(seen & ~suspects)
        off = expected.off(np.where(seen[..., None], observed, np.nan))
        kinds = dict(zip(layout.labels, layout.kinds, strict=True))
        place = np.zeros((len(columns), 3))
        courses: dict[int, Course] = {}
        for m in np.flatnonzero(seen.any(axis=0)).tolist():
            if suspects[m]:
                placement = PLACED_M[kinds[gait.labels[m]]]
                courses[m] = judged(off[:, m], self.broken[:, columns[m]], rate_hz, placement, -gait.offset_m[m])
                place[m] = courses[m].place_m
            else:
                place[m] = np.nanmedian(off[:, m], axis=0)
        belongs = expected.moved(place)
        floor = float(np.nanquantile(np.where(seen, observed[..., 1], np.nan), 0.005)) if seen.any() else 0.0
        findings: list[Finding] = []
        for m, course in courses.items():
            for stretch in course.stretches:
                rows = slice(stretch.first, stretch.last + 1)
                distance = float(np.nanmean(np.linalg.norm(course.away_m[rows], axis=1)))
                other = exchanged_with(m, stretch, observed, expected, place, seen)
                kind: FaultKind = "exchanged"
                if other is None:
                    kind = kind_of(stretch, observed[:, m], belongs[:, m], course.away_m, seen[:, m], floor, rate_hz)
                name = None if other is None else gait.labels[other]
                if not any(
                    f.marker == name and f.other == gait.labels[m] and _meet(f.stretch, stretch) for f in findings
                ):
                    findings.append(Finding(gait.labels[m], name, stretch, kind, distance))
        return replace(self, suspects=frozenset(), findings=tuple(findings))

    def faults(self, repair: bool) -> tuple[MarkerError, ...]:
        """What was found, in the laboratory's count of frames."""
        first = self.recording.first_frame
        ends = (first, first + self.recording.frames - 1)
        exchanged: list[tuple[str, str | None, int, int, FaultKind, float]] = [
            (a, b, *ends, "exchanged", nearer) for a, b, nearer in self.pairs
        ]
        stretches: list[tuple[str, str | None, int, int, FaultKind, float]] = [
            (f.marker, f.other, first + f.stretch.first, first + f.stretch.last, f.kind, f.distance_m)
            for f in self.findings
        ]
        return tuple(
            MarkerError(
                kind=kind,
                marker=marker,
                other=other,
                first_frame=begin,
                last_frame=end,
                evidence_mm=round(distance * 1e3, 1),
                action="corrected" if other is not None and repair else "left out",
                hint="--repair puts them right" if other is not None and not repair else "",
            )
            for marker, other, begin, end, kind, distance in (*exchanged, *stretches)
        )

    def _without_findings(self, repair: bool) -> Recording:
        positions, visible = self.recording.positions_m.copy(), self.recording.visible.copy()
        for f in self.findings:
            rows = slice(f.stretch.first, f.stretch.last + 1)
            both = [self.recording.labels.index(name) for name in (f.marker, f.other) if name is not None]
            if len(both) == 2 and repair:
                positions[rows, both], visible[rows, both] = positions[rows, both[::-1]], visible[rows, both[::-1]]
            else:
                positions[rows, both], visible[rows, both] = np.nan, False
        return replace(self.recording, positions_m=positions, visible=visible) if self.findings else self.recording


def _without(recording: Recording, lost: NDArray[np.bool_]) -> Recording:
    """The same recording with samples (T, M) made unseen."""
    if not lost.any():
        return recording
    positions = np.where(lost[..., None], np.nan, recording.positions_m)
    return replace(recording, visible=recording.visible & ~lost, positions_m=positions)


def _contradicted(
    asked: FittedBody, observed: NDArray[np.float64], seen: NDArray[np.bool_], suspects: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """(M,) markers that the body contradicts most, one after the other, until it agrees with the rest."""
    residual = np.where(seen & ~suspects, np.nan_to_num(asked.gait.residual_m), 0.0)
    news = np.zeros_like(suspects)
    frames = np.flatnonzero((residual > SUSPICIOUS_M).any(axis=1))
    frames = frames[np.unique(np.linspace(0, len(frames) - 1, min(ASKED_FRAMES, len(frames))).round().astype(int))]
    while len(frames) and news.sum() < MOST_SUSPECTS * len(suspects):
        often = np.quantile(residual[frames], 0.9, axis=0)
        if not often.any():  # each is off in a few of the frames alone
            break
        news[int(often.argmax())] = True
        follow = seen & ~suspects & ~news
        off = np.linalg.norm(asked.without(observed, follow, frames).off(observed[frames]), axis=-1)
        residual = np.zeros_like(residual)
        residual[frames] = np.where(follow[frames], np.nan_to_num(off), 0.0)
        frames = frames[(residual[frames] > SUSPICIOUS_M).any(axis=1)]
    return news


def _meet(a: Stretch, b: Stretch) -> bool:
    return a.first <= b.last and b.first <= a.last
