"""Compare the distances between markers of a segment in some frames with their usual distances, without a fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.arrays import Vector

MAX_SPREAD_M = 0.030
"""Two markers are connected if their distance varies by less than this in frames without errors."""
MIN_CHANGE_M = 0.008
"""Minimum change of the distance of two connected markers; more where it usually varies by more."""
MAX_RIGID_SPREAD_M = 0.015
"""Two markers are rigidly connected if their distance varies by less than this; only then its constancy counts."""
MIN_FRAMES = 5
"""Minimum number of frames without errors from which a usual distance is known."""


@dataclass(frozen=True)
class RigidDistances:
    """Distances between P pairs of rigidly connected markers in T frames."""

    first: NDArray[np.int64]  # (P,) column of one marker
    second: NDArray[np.int64]  # (P,) column of the other
    change_m: NDArray[np.float64]  # (T, P) difference from the usual distance; NaN where one of them is not visible
    spread_m: NDArray[np.float64]  # (P,) by which the distance usually varies

    @classmethod
    def measure(
        cls, observed_m: Vector, visible: NDArray[np.bool_], suspected: NDArray[np.bool_], near: NDArray[np.bool_]
    ) -> RigidDistances:
        """Measure them.

        Args:
            observed_m: (T, M, 3) positions, of any value where not visible.
            visible: (T, M).
            suspected: (T, M) samples that may be wrong: the usual distances are those of the others.
            near: (M, M) pairs of markers on the same segment or adjacent ones.
        """
        first, second = np.nonzero(np.triu(near, 1))
        visible, good = visible[:, first] & visible[:, second], ~suspected[:, first] & ~suspected[:, second]
        distance = np.linalg.norm(observed_m[:, first] - observed_m[:, second], axis=-1)
        distance[~visible] = np.nan
        good &= visible
        few = good.sum(axis=0) < MIN_FRAMES
        good[:, few] = visible[:, few]  # then they are compared with the whole trial
        known = np.flatnonzero(good.sum(axis=0) >= MIN_FRAMES)
        usual = np.where(good[:, known], distance[:, known], np.nan)
        low, median, high = np.nanquantile(usual, [0.05, 0.5, 0.95], axis=0) if len(known) else np.empty((3, 0))
        connected = high - low < MAX_SPREAD_M
        known = known[connected]
        change = np.abs(distance[:, known] - median[connected])
        return cls(first[known], second[known], change, (high - low)[connected])

    def partners(
        self, marker: int, rows: NDArray[np.int64], suspected: NDArray[np.bool_]
    ) -> tuple[frozenset[int], frozenset[int]]:
        """Return the markers whose distance to a marker changed in some frames (N,), and those whose did not.

        Only partners count that are visible and not ``suspected`` (T, M) in half of the frames.
        """
        changed: set[int] = set()
        unchanged: set[int] = set()
        for p in np.flatnonzero((self.first == marker) | (self.second == marker)).tolist():
            other = int(self.first[p] + self.second[p] - marker)
            change = self.change_m[rows[~suspected[rows, other]], p]
            change = change[np.isfinite(change)]
            if len(change) < 0.5 * len(rows):
                continue
            if np.median(change) > max(MIN_CHANGE_M, self.spread_m[p]):
                changed.add(other)
            elif self.spread_m[p] < MAX_RIGID_SPREAD_M:
                unchanged.add(other)
        return frozenset(changed), frozenset(unchanged)
