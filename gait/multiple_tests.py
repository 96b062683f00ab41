"""Correction of p-values when several hypotheses are tested at once."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)


def holm(p: Mapping[Name, float]) -> dict[Name, float]:
    """Return p-values corrected for multiple tests (Holm 1979, Scand. J. Stat. 6:65), by the same names."""
    corrected: dict[Name, float] = {}
    least = 0.0
    for k, name in enumerate(sorted(p, key=lambda name: p[name])):
        least = max(least, min(1.0, (len(p) - k) * p[name]))
        corrected[name] = least
    return corrected
