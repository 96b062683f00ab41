"""A reference for the Gait Deviation Index from a user's own controls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gait.arrays import Vector
from gait.errors import GaitError
from gait.kinematics.gait_events import SIDES
from gait.kinematics.norms import GdiReference, NormSource
from gait.kinematics.scores import gdi_vector
from gait.kinematics.speed_norm import MIN_PERSONS, ControlCurves, at_own_pace

EXPLAINED_VARIANCE = 0.98
"""Of the controls' curves, by their features; as in Schwartz & Rozumalski 2008."""


def fit_gdi_reference(controls: Sequence[ControlCurves], features: GdiReference | None = None) -> GdiReference:
    """Compute control scores, and the mean and SD of their ln-distances, from controls at their own pace.

    ``features`` are those of a published reference; those of Schwartz & Rozumalski 2008 are of many pathologies. None:
    of the controls' own curves, singular vectors about their mean that explain 98 % of the variance. Own features see
    only how healthy persons differ, and what of a deviation lies outside is not counted. Each control is compared with
    the others' mean and features, so that a new control has a GDI of 100 ± 10.

    Raises:
        GaitError: fewer than ``MIN_PERSONS`` persons have all nine angles.
    """
    persons = []
    for control in at_own_pace(controls):
        sides = [gdi_vector(control.curves, side) for side in SIDES]
        known = [side for side in sides if np.isfinite(side).all()]
        if known:
            persons.append(np.array(known))
    if len(persons) < MIN_PERSONS:
        problem = f"{len(persons)} controls have all nine angles of the GDI"
        raise GaitError(f"{problem}; at least {MIN_PERSONS} are needed, or use a published reference.")
    distances = []
    for person, own in enumerate(persons):
        others = persons[:person] + persons[person + 1 :]
        basis = _features(others) if features is None else features.features
        distances.append(np.log(np.linalg.norm((own - _mean(others)) @ basis, axis=1)))
    person_means = np.array([values.mean() for values in distances])
    mean = float(person_means.mean())
    variance = np.sum([((values - mean) ** 2).mean() for values in distances]) / (len(persons) - 1)
    basis = _features(persons) if features is None else features.features
    source = NormSource(
        "own controls",
        "GDI of own controls",
        "controls of the same laboratory",
        "recordings that the user named" if features is None else f"own controls; features: {features.source.source}",
        "the user's own" if features is None else features.source.licence,
        persons=len(persons),
    )
    return GdiReference(source, basis, _mean(persons) @ basis, mean, float(np.sqrt(variance)))


def _mean(persons: Sequence[Vector]) -> Vector:
    """Return the mean vector (459,) of persons, each with one or two sides (n, 459)."""
    return np.asarray(np.mean([own.mean(axis=0) for own in persons], axis=0))


def _features(persons: Sequence[Vector]) -> Vector:
    rows = np.concatenate(persons) - _mean(persons)
    _, sizes, vectors = np.linalg.svd(rows, full_matrices=False)
    share = np.cumsum(sizes**2) / np.sum(sizes**2)
    return np.asarray(vectors[: int(np.searchsorted(share, EXPLAINED_VARIANCE)) + 1].T)
