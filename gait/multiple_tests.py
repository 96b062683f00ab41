"""Correction of p-values when several hypotheses are tested at once."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)
ALPHA = 0.05


def holm(p: Mapping[Name, float]) -> dict[Name, float]:
    """Return p-values corrected for multiple tests (Holm 1979, Scand. J. Stat. 6:65), by the same names."""
    corrected: dict[Name, float] = {}
    least = 0.0
    for k, name in enumerate(sorted(p, key=lambda name: p[name])):
        least = max(least, min(1.0, (len(p) - k) * p[name]))
        corrected[name] = least
    return corrected


def holm_of_testable(
    p: Mapping[Name, float], smallest_p: Mapping[Name, float], alpha: float = ALPHA
) -> dict[Name, float]:
    """Return p-values corrected for the tests that can be significant at all; 1 of the others.

    ``smallest_p`` is the smallest p that a test of counts can give with its totals, whatever the labels, so that
    leaving tests out by it does not depend on their outcome (Tarone 1990, Biometrics 46:515).
    """
    count = 1
    while sum(smallest <= alpha / count for smallest in smallest_p.values()) > count:
        count += 1
    tested = {name: p[name] for name in p if smallest_p[name] <= alpha / count}
    return {**dict.fromkeys(p, 1.0), **holm(tested)}
