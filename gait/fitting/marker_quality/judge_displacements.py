"""Decide which markers are displaced from the position that the other markers predict, and which of two is.

A displacement counts only where the other markers determine the predicted position, and where the distance of the
marker to those rigidly connected with it changes. If two such markers disagree, the one that disagrees with a third is
displaced.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.arrays import Vector
from gait.fitting.marker_quality.classify_error import find_swap_partner
from gait.fitting.marker_quality.displacements import (
    DISPLACED_M,
    DisplacementInterval,
    MarkerDisplacement,
    find_displacements,
)
from gait.fitting.marker_quality.leave_out_prediction import FittedBody, PredictedMarkers
from gait.fitting.marker_quality.rigid_distances import RigidDistances

OFFSET_SIGMA_M = {"anatomical": 0.015, "technical": 0.080, "joint_centre": 0.030}
"""Standard deviation of a marker's usual position around that of the layout."""
MAX_SIGMA_M = 0.070
"""A marker whose predicted position is less certain is not judged in that frame."""
MIN_SIGMA_RATIO = 2.0
"""A displacement without a discontinuity is larger than the uncertainty of the predicted position by this factor."""
MAX_COMPARED_FRAMES = 12
"""Maximum number of frames in which the fits without one or the other marker are compared."""
MIN_COST_DIFFERENCE = 4.5
"""Minimum difference of the mean negative log-likelihood of a frame, that of three standard deviations."""


@dataclass(frozen=True)
class Displacement:
    """A marker, given by its column, that is displaced in an interval."""

    marker: int
    interval: DisplacementInterval
    partner: int | None  # with which it has swapped its label
    alternative: int | None  # this marker may be displaced in its place


@dataclass(frozen=True)
class Judgement:
    """Displacements of the flagged markers of a trial."""

    predicted: PredictedMarkers  # in all frames, from the markers that are not flagged
    offset_m: Vector  # (M, 3) usual position of each marker relative to the predicted one
    displacement_m: dict[int, Vector]  # (T, 3) of each flagged marker from its usual position
    visible: NDArray[np.bool_]  # (T, M) samples that can be judged
    displacements: tuple[Displacement, ...]
    blamed: frozenset[int]  # markers that are not flagged, but displaced in the place of a flagged one


def judge_displacements(
    fitted_body: FittedBody,
    observed_m: Vector,
    visible: NDArray[np.bool_],
    flagged: NDArray[np.bool_],
    discontinuous: NDArray[np.bool_],
    rate_hz: float,
) -> Judgement:
    """Judge the flagged markers (M,) by the others.

    ``observed_m`` (T, M, 3), ``visible`` and ``discontinuous`` (T, M), True in the first frame after a discontinuity,
    are in the order of the trial.
    """
    trial, used = fitted_body.trial, visible & ~flagged
    predicted = fitted_body.predict(observed_m, used, np.arange(len(visible)))
    sigma_m = fitted_body.prediction_sigma(observed_m, used, rate_hz)
    judged = visible & (sigma_m <= MAX_SIGMA_M)
    deviation = predicted.deviation(np.where(judged[..., None], observed_m, np.nan))
    offset_m = np.zeros((len(flagged), 3))
    found: dict[int, MarkerDisplacement] = {}
    for m in np.flatnonzero(judged.any(axis=0)).tolist():
        if flagged[m]:
            offset_sigma = OFFSET_SIGMA_M[trial.layout.kinds[m]]
            found[m] = find_displacements(
                deviation[:, m],
                discontinuous[:, m],
                rate_hz,
                offset_sigma,
                -trial.offset_m[m],
                float(np.median(sigma_m[judged[:, m], m])),
            )
            offset_m[m] = found[m].offset_m
        else:
            offset_m[m] = np.nanmedian(deviation[:, m], axis=0)
    suspected = flagged & ~judged
    for m, displacement in found.items():
        for interval in displacement.intervals:
            suspected[interval.first : interval.last + 1, m] = True
    distances = RigidDistances.measure(observed_m, visible, suspected, fitted_body.adjacent)
    expected_m = predicted.displaced(offset_m)
    displacements: list[Displacement] = []
    blamed: set[int] = set()
    for m, displacement in found.items():
        for interval in displacement.intervals:
            rows = np.arange(interval.first, interval.last + 1)
            rows = rows[judged[rows, m]]
            if not _is_significant(displacement.displacement_m, sigma_m[:, m], rows):
                continue
            partner = find_swap_partner(m, rows, observed_m, expected_m, judged)
            if partner is not None:
                displacements.append(Displacement(m, interval, partner, None))
                continue
            culprit, alternative = find_culprit(m, rows, distances, suspected)
            if alternative is not None:
                culprit, alternative = _compare_fits(fitted_body, observed_m, used, m, alternative, rows)
            if culprit == m:
                displacements.append(Displacement(m, interval, None, alternative))
            elif culprit is not None:
                blamed.add(culprit)
    return Judgement(
        predicted,
        offset_m,
        {m: displacement.displacement_m for m, displacement in found.items()},
        judged,
        tuple(displacements),
        frozenset(blamed - set(np.flatnonzero(flagged).tolist())),
    )


def _is_significant(displacement_m: Vector, sigma_m: NDArray[np.float64], rows: NDArray[np.int64]) -> bool:
    """Return whether a displacement (T, 3) in some frames (N,) exceeds the uncertainty of the predicted position, or
    begins or ends in one step, which the predicted position does not make."""
    distance = np.linalg.norm(displacement_m, axis=1)
    if np.quantile(distance[rows] / sigma_m[rows], 0.75) > MIN_SIGMA_RATIO:
        return True
    known = np.flatnonzero(np.isfinite(distance))
    edges = [known[known < rows[0]][-1:], rows[:1]], [rows[-1:], known[known > rows[-1]][:1]]
    return any(
        len(a) and len(b) and np.linalg.norm(displacement_m[a[0]] - displacement_m[b[0]]) > DISPLACED_M
        for a, b in edges
    )


def find_culprit(
    marker: int, rows: NDArray[np.int64], distances: RigidDistances, suspected: NDArray[np.bool_]
) -> tuple[int | None, int | None]:
    """Return which marker is displaced in some frames (N,) in which one is far from its predicted position.

    None if its distances did not change. The second marker, if any, may be displaced in the place of the first.
    """
    changed, unchanged = distances.partners(marker, rows, suspected)
    if not changed and unchanged:
        return None, None
    if len(changed) != 1:
        return marker, None
    (other,) = changed
    others_changed, others_unchanged = (found - {marker} for found in distances.partners(other, rows, suspected))
    if (others_changed and not others_unchanged) or (unchanged and not others_unchanged):
        return other, None
    if others_unchanged and not unchanged:
        return marker, None
    return marker, other


def _compare_fits(
    fitted_body: FittedBody,
    observed_m: Vector,
    used: NDArray[np.bool_],
    marker: int,
    other: int,
    rows: NDArray[np.int64],
) -> tuple[int, int | None]:
    """Return without which of two markers the body fits clearly better in some frames (N,); both if it is not clear."""
    rows = rows[np.linspace(0, len(rows) - 1, min(MAX_COMPARED_FRAMES, len(rows))).astype(int)]
    cost = []
    for left_out, kept in ((marker, other), (other, marker)):
        samples = used.copy()
        samples[:, left_out], samples[:, kept] = False, True
        cost.append(fitted_body.mean_cost(observed_m, samples, rows))
    if abs(cost[0] - cost[1]) < MIN_COST_DIFFERENCE:
        return marker, other
    return (marker if cost[0] < cost[1] else other), None
