"""The marker sets of laboratories: each ``.toml`` file of this package is one (fields: docs/add_marker_set.md).

A marker has one canonical name inside the suite. ``MARKERS`` holds the markers of all sets. Aliases are read as it in
every file, the own names of a set only in files that use the set, because sets give one name different meanings.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Sequence
from pathlib import Path

from gait.marker_sets.marker_set import Marker, MarkerSet, merge_marker_sets, name_key, read_marker_set

MARKER_SETS: dict[str, MarkerSet] = {
    path.stem: read_marker_set(path) for path in sorted(Path(__file__).parent.glob("*.toml"))
}
"""By the name of the file."""

MARKERS: dict[str, Marker] = merge_marker_sets(MARKER_SETS.values())
"""The markers of all sets, by canonical name."""

MARKER_BY_ALIAS: dict[str, Marker] = {
    **{alias: marker for marker in MARKERS.values() for alias in marker.aliases},
    **MARKERS,  # last: a canonical name is never an alias of another
}
"""By alias or canonical name, in upper case; aliases of a paired marker begin with L or R."""

MARKER_BY_TERMS: dict[tuple[str, frozenset[str]], Marker] = {
    (marker.side, frozenset(terms.split())): marker for marker in MARKERS.values() for terms in marker.described
}
"""By side and terms (of ``gait.marker_sets.marker_words``)."""


def sets_in_use(names: Iterable[str]) -> list[MarkerSet]:
    """Return the sets whose indicators are among the names of a file, the set that has most of the names first."""
    keys = {name_key(name) for name in names}
    used = [each for each in MARKER_SETS.values() if len(each.indicators & keys) >= max(1, each.min_indicators)]
    return sorted(used, key=lambda each: -len(keys & {name_key(name) for name in each.names}))


def set_of_recording(names: Iterable[str], markers: Collection[str]) -> MarkerSet:
    """Return the set of a recording, from the names in its file and the canonical names of its markers."""
    return next((each for each in sets_in_use(names) if each.recorded), None) or closest_set(markers)


def closest_set(markers: Collection[str]) -> MarkerSet:
    """Return the set with most of the recorded markers (canonical names); of several, the one with fewest others.

    Sets with names of their own, which show whether they are in use, are not considered, nor are lists of landmarks.
    """
    recorded = set(markers)
    sets = [each for each in MARKER_SETS.values() if each.recorded and not each.indicators]
    return max(sets, key=lambda each: (len(recorded & set(each.recorded)), -len(each.recorded)))


def marker_pairs(labels: Sequence[str], groups: Container[str]) -> list[tuple[str, str]]:
    """Return (left, right) of the pairs of which both are among ``labels``, of the markers of these groups."""
    found = [MARKERS[label] for label in labels if label in MARKERS]
    return [
        (marker.name, marker.contralateral)
        for marker in found
        if marker.side == "left" and marker.group in groups and marker.contralateral in labels
    ]
