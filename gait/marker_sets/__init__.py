"""The marker sets of laboratories: each ``.toml`` file of this package is one (fields: docs/add_marker_set.md).

A marker has one canonical name inside the suite; aliases are read as it. ``MARKERS`` holds the markers of all sets.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path

from gait.marker_sets.marker_set import Marker, MarkerSet, merge_marker_sets, read_marker_set

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

SET_TITLES = " or ".join(each.title for each in MARKER_SETS.values())
"""For messages, e.g. "Plug-in Gait"."""


def marker_pairs(labels: Sequence[str], groups: Container[str]) -> list[tuple[str, str]]:
    """Return (left, right) of the pairs of which both are among ``labels``, of the markers of these groups."""
    found = [MARKERS[label] for label in labels if label in MARKERS]
    return [
        (marker.name, marker.contralateral)
        for marker in found
        if marker.side == "left" and marker.group in groups and marker.contralateral in labels
    ]
