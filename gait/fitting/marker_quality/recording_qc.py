"""Quality control of one recording during the fit of a subject: its marker errors, and its data without them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gait.body.marker_layout import MarkerLayout
from gait.capture.recording import Recording
from gait.fitting.marker_quality.classify_error import classify_error
from gait.fitting.marker_quality.discontinuities import find_discontinuities
from gait.fitting.marker_quality.displacements import DisplacementInterval
from gait.fitting.marker_quality.judge_displacements import judge_displacements
from gait.fitting.marker_quality.leave_out_prediction import FittedBody
from gait.fitting.marker_quality.linear_fills import FilledGap, find_held_groups, find_linear_fills
from gait.fitting.marker_quality.marker_error import MarkerError, MarkerErrorAction, MarkerErrorKind

FLAGGED_RESIDUAL_M = 0.030
"""A marker with a larger residual is flagged; the largest residual of ten recorded trials without errors is 26 mm."""
MAX_FLAGGED_FRACTION = 1 / 3
"""If a larger fraction of the markers is flagged, they are not left out completely in the first fit."""
MAX_TESTED_FRAMES = 40
"""Maximum number of frames with large residuals that are used to find the outlier markers."""
MAX_JUDGEMENTS = 3
"""Maximum number of times that another marker is suspected in the place of a flagged one."""


@dataclass(frozen=True)
class Detection:
    """A marker displaced in an interval of frames."""

    marker: str
    other: str | None  # the second marker of a label swap
    interval: DisplacementInterval
    kind: MarkerErrorKind
    distance_m: float  # mean over the interval


@dataclass(frozen=True)
class RecordingQc:
    """One recording and the marker errors found in it so far."""

    recording: Recording  # labels swapped in the whole trial are corrected; without filled gaps
    discontinuous: NDArray[np.bool_]  # (T, M) first frames after discontinuities
    flagged: frozenset[str]  # markers that may have errors, not yet classified
    discontinued: frozenset[str]  # markers with discontinuities, all of them flagged at first
    swapped_labels: tuple[tuple[str, str, float], ...] = ()  # swapped in the whole trial, and mean error, metres
    detections: tuple[Detection, ...] = ()
    swaps_checked: bool = False
    filled_gaps: tuple[tuple[str, FilledGap], ...] = ()  # each with the label of its marker

    @classmethod
    def from_recording(cls, recording: Recording, layout: MarkerLayout) -> RecordingQc:
        """Start with the discontinuities of the marker trajectories, and without filled gaps."""
        fills = find_linear_fills(recording.positions_m, recording.visible, recording.rate_hz)
        recording = _hide_samples(recording, _filled_samples(recording, fills))
        discontinuous = find_discontinuities(recording.positions_m, recording.visible, recording.rate_hz)
        held = find_held_groups(recording.positions_m, recording.visible, discontinuous, recording.rate_hz)
        if held:
            recording = _hide_samples(recording, _filled_samples(recording, held))
            discontinuous = find_discontinuities(recording.positions_m, recording.visible, recording.rate_hz)
        labels = [recording.labels[m] for m in np.flatnonzero(discontinuous.any(axis=0)).tolist()]
        gaps = [(recording.labels[gap.marker], gap) for gap in (*fills, *held)]
        discontinued = frozenset(labels) & frozenset(layout.labels)
        return cls(
            recording,
            discontinuous,
            flagged=discontinued,
            discontinued=discontinued,
            filled_gaps=tuple((label, gap) for label, gap in gaps if label in layout.labels),
        )

    def continue_from(self, earlier: RecordingQc) -> RecordingQc:
        """Return this state, of a layout with further markers, with the errors found ``earlier`` without these."""
        continued = self.with_swapped_labels(earlier.swapped_labels) if earlier.swaps_checked else self
        flagged = self.flagged - earlier.discontinued
        return replace(continued, flagged=flagged, detections=earlier.detections)

    def without_flagged(self, repair: bool) -> Recording:
        """Return the recording for a fit before the classification: without errors and without flagged markers."""
        recording = self.without_errors(repair)
        hidden = np.zeros_like(self.discontinuous)
        few = len(self.flagged) <= MAX_FLAGGED_FRACTION * len(recording.labels)
        for label in self.flagged:
            m = recording.labels.index(label)
            hidden[:, m] = True
            if not few:  # keep the longest part between discontinuities, which may be good
                edges = [0, *np.flatnonzero(self.discontinuous[:, m]).tolist(), recording.num_frames]
                longest = int(np.diff(edges).argmax())
                hidden[edges[longest] : edges[longest + 1], m] = False
        return _hide_samples(recording, hidden)

    def without_errors(self, repair: bool) -> Recording:
        """Return the recording with detected errors excluded, or with label swaps corrected if ``repair`` is set."""
        recording = self._without_detections(repair)
        if repair or not self.swapped_labels:
            return recording
        swapped = {label for first, second, _ in self.swapped_labels for label in (first, second)}
        return _hide_samples(recording, np.isin(recording.labels, list(swapped)) & np.ones_like(self.discontinuous))

    def with_swapped_labels(self, pairs: Sequence[tuple[str, str, float]]) -> RecordingQc:
        """Return the state with labels swapped in the whole trial corrected (``pairs`` of ``find_swapped_labels``)."""
        positions, visible = self.recording.positions_m.copy(), self.recording.visible.copy()
        discontinuous = self.discontinuous.copy()
        for first, second, _ in pairs:
            both = [self.recording.labels.index(first), self.recording.labels.index(second)]
            for values in (positions, visible, discontinuous):
                values[:, both] = values[:, both[::-1]]
        recording = replace(self.recording, positions_m=positions, visible=visible)
        swapped = (*self.swapped_labels, *pairs)
        return replace(
            self, recording=recording, discontinuous=discontinuous, swapped_labels=swapped, swaps_checked=True
        )

    def needs_classification(self, residual_m: NDArray[np.float64]) -> bool:
        """Return whether there are flagged markers or, in a fit without them, large residuals (T, M)."""
        return bool(self.flagged) or bool((np.nan_to_num(residual_m) > FLAGGED_RESIDUAL_M).any())

    def classify_flagged(self, fitted_body: FittedBody) -> RecordingQc:
        """Return the state after classifying all flagged markers, outliers and earlier detections by a fitted body."""
        trial, rate_hz, columns = fitted_body.trial, self.recording.rate_hz, fitted_body.trial.columns
        observed, visible = self.recording.positions_m[:, columns], self.recording.visible[:, columns]
        candidates = self.flagged | {
            label for d in self.detections for label in (d.marker, d.other) if label is not None
        }
        flagged = np.isin(trial.labels, list(candidates))
        flagged |= _outlier_markers(fitted_body, observed, visible, flagged)
        discontinuous = self.discontinuous[:, columns]
        for _ in range(MAX_JUDGEMENTS):
            judged = judge_displacements(fitted_body, observed, visible, flagged, discontinuous, rate_hz)
            if not judged.blamed:
                break
            flagged[list(judged.blamed)] = True
        visible, expected = judged.visible, judged.predicted.displaced(judged.offset_m)
        floor = float(np.nanquantile(np.where(visible, observed[..., 1], np.nan), 0.005)) if visible.any() else 0.0
        detections: list[Detection] = []
        for found in judged.displacements:
            m, interval, away = found.marker, found.interval, judged.displacement_m[found.marker]
            distance = float(np.nanmean(np.linalg.norm(away[interval.first : interval.last + 1], axis=1)))
            kind: MarkerErrorKind
            if found.partner is not None:
                kind, other = "label_swap", trial.labels[found.partner]
            elif found.alternative is not None:
                kind, other = "one_of_two", trial.labels[found.alternative]
            else:
                kind = classify_error(interval, observed[:, m], expected[:, m], away, visible[:, m], floor, rate_hz)
                other = None
            if not any(
                d.marker == other and d.other == trial.labels[m] and _overlap(d.interval, interval) for d in detections
            ):
                detections.append(Detection(trial.labels[m], other, interval, kind, distance))
        return replace(self, flagged=frozenset(), detections=tuple(detections))

    def marker_errors(self, repair: bool) -> tuple[MarkerError, ...]:
        """Return all errors found, in the frame numbers of the recording."""
        first = self.recording.first_frame
        whole_trial = DisplacementInterval(0, self.recording.num_frames - 1, sudden=False)
        swaps = [Detection(a, b, whole_trial, "label_swap", distance) for a, b, distance in self.swapped_labels]
        filled = [
            MarkerError(gap.kind, label, None, first + gap.first, first + gap.last, None, "excluded")
            for label, gap in self.filled_gaps
        ]
        others = [
            MarkerError(
                kind=found.kind,
                marker=found.marker,
                other=found.other,
                first_frame=first + found.interval.first,
                last_frame=first + found.interval.last,
                mean_error_mm=round(found.distance_m * 1e3, 1),
                action=_action(found.kind, repair),
            )
            for found in (*swaps, *self.detections)
        ]
        return (*filled, *others)

    def _without_detections(self, repair: bool) -> Recording:
        positions, visible = self.recording.positions_m.copy(), self.recording.visible.copy()
        for d in self.detections:
            if d.kind == "one_of_two":
                continue
            rows = slice(d.interval.first, d.interval.last + 1)
            both = [self.recording.labels.index(label) for label in (d.marker, d.other) if label is not None]
            if len(both) == 2 and repair:
                positions[rows, both], visible[rows, both] = positions[rows, both[::-1]], visible[rows, both[::-1]]
            else:
                positions[rows, both], visible[rows, both] = np.nan, False
        return replace(self.recording, positions_m=positions, visible=visible) if self.detections else self.recording


def _filled_samples(recording: Recording, gaps: Sequence[FilledGap]) -> NDArray[np.bool_]:
    """Return the samples (T, M) of filled gaps."""
    filled = np.zeros_like(recording.visible)
    for gap in gaps:
        filled[gap.first : gap.last + 1, gap.marker] = True
    return filled


def _hide_samples(recording: Recording, hidden: NDArray[np.bool_]) -> Recording:
    """Return the recording with some samples (T, M) marked as not visible."""
    if not hidden.any():
        return recording
    positions = np.where(hidden[..., None], np.nan, recording.positions_m)
    return replace(recording, visible=recording.visible & ~hidden, positions_m=positions)


def _outlier_markers(
    fitted_body: FittedBody, observed: NDArray[np.float64], visible: NDArray[np.bool_], flagged: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Find markers (M,) with large residuals, one by one, until the fit to the remaining ones has none."""
    residual = np.where(visible & ~flagged, np.nan_to_num(fitted_body.trial.residual_m), 0.0)
    outliers = np.zeros_like(flagged)
    frames = np.flatnonzero((residual > FLAGGED_RESIDUAL_M).any(axis=1))
    frames = frames[np.unique(np.linspace(0, len(frames) - 1, min(MAX_TESTED_FRAMES, len(frames))).round().astype(int))]
    while len(frames) and outliers.sum() < MAX_FLAGGED_FRACTION * len(flagged):
        usual = np.quantile(residual[frames], 0.9, axis=0)
        if not usual.any():  # no marker has large residuals in more than a tenth of the frames
            break
        outliers[int(usual.argmax())] = True
        used = visible & ~flagged & ~outliers
        distance = np.linalg.norm(fitted_body.predict(observed, used, frames).deviation(observed[frames]), axis=-1)
        residual = np.zeros_like(residual)
        residual[frames] = np.where(used[frames], np.nan_to_num(distance), 0.0)
        frames = frames[(residual[frames] > FLAGGED_RESIDUAL_M).any(axis=1)]
    return outliers


def _action(kind: MarkerErrorKind, repair: bool) -> MarkerErrorAction:
    """Return what is done about a marker error of this kind."""
    if kind == "one_of_two":
        return "reported"
    return "corrected" if kind == "label_swap" and repair else "excluded"


def _overlap(a: DisplacementInterval, b: DisplacementInterval) -> bool:
    return a.first <= b.last and b.first <= a.last
