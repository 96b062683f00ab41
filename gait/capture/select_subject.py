"""Whose points these are, in a file of several persons and objects.

Label prefixes are often the persons' names. They decide here and go no further: whatever is shown to people
counts the subjects instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.capture.marker_names import PointLabel, canonical_marker
from gait.errors import GaitError

_PERSON_MARKERS = 3  # known markers that make a group of points a person


@dataclass(frozen=True)
class SubjectSelection:
    """The points of the chosen subject."""

    mine: NDArray[np.bool_]  # (P,) True for points of the chosen subject
    prefix: str  # of the chosen subject; may be a person's name: never print it
    note: str  # a sentence where there was a choice, else ""


def choose_subject(
    names: Sequence[PointLabel],
    candidate: NDArray[np.bool_],
    seen: NDArray[np.int_],
    subject: str | None,
    path: object,
) -> SubjectSelection:
    """Pick one person among the prefixes of ``names`` (P).

    ``candidate`` (P,) tells which points may be markers, ``seen`` (P,) how many frames saw each. Without
    ``subject``, the person with most known markers, then most samples, is meant; ``subject`` is a prefix of
    the file or the person's number there, from 1. Raises GaitError where there is no such subject.
    """
    possible = [name.prefix for name, maybe in zip(names, candidate, strict=True) if maybe]
    prefixes = list(dict.fromkeys(possible)) or [""]

    weights = dict.fromkeys(prefixes, (0, 0))  # known markers and their samples, by prefix
    for k, name in enumerate(names):
        if candidate[k] and seen[k] and canonical_marker(name.name):
            markers, samples = weights[name.prefix]
            weights[name.prefix] = markers + 1, samples + int(seen[k])
    persons = [prefix for prefix in prefixes if weights[prefix][0] >= _PERSON_MARKERS] or [
        max(prefixes, key=lambda prefix: weights[prefix])
    ]
    chosen = max(persons, key=lambda prefix: weights[prefix])
    if subject is not None:
        wanted = subject.strip().rstrip(":_")
        by_prefix = [prefix for prefix in prefixes if prefix.rstrip("_.-").casefold() == wanted.casefold() and prefix]
        if wanted.isdigit() and 1 <= int(wanted) <= len(persons):
            chosen = persons[int(wanted) - 1]
        elif by_prefix:
            chosen = by_prefix[0]
        elif wanted.isdigit() and len(persons) == 1:  # a trial of that person alone
            chosen = persons[0]
        else:
            raise GaitError(
                f"{path}: has no such subject; it holds {len(persons)}: give a number up to it or "
                "the prefix of the subject's labels."
            )
    # Points without prefix beside one prefixed person are that person's: model outputs, extra markers.
    alone = len(persons) == 1 and weights.get("", (0, 0))[0] < _PERSON_MARKERS
    mine = np.array([name.prefix == chosen or (alone and not name.prefix) for name in names], dtype=bool)
    note = ""
    if len(persons) > 1 and chosen in persons:
        what = "as asked" if subject is not None else "the one with most markers"
        note = f"Subject {persons.index(chosen) + 1} of {len(persons)} in the file is read ({what})."
    elif len(prefixes) > 1 and any(prefix for prefix in prefixes if prefix != chosen):
        note = "The file also holds points of other subjects or objects, which are left out."
    elif chosen:
        note = "The labels' prefix was taken off."
    return SubjectSelection(mine, chosen, note)
