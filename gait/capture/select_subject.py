"""Select the points of one subject in a file with several subjects and objects.

Label prefixes are often the names of the subjects. They are used here only: notes and error messages number the
subjects instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.capture.marker_names import PointLabel, canonical_markers
from gait.errors import GaitError

_MIN_SUBJECT_MARKERS = 3  # a prefix with fewer known markers is an object, not a subject


@dataclass(frozen=True)
class SubjectSelection:
    """Points of the selected subject."""

    selected: NDArray[np.bool_]  # (P,)
    prefix: str  # of the selected subject; may be a name: never print it
    note: str  # one sentence if there was a choice, else ""
    guessed: bool = False  # the file has several subjects, and none was requested


def select_subject(
    names: Sequence[PointLabel],
    candidate: NDArray[np.bool_],
    num_visible: NDArray[np.int_],
    subject_index: int | None = None,
    subject_prefix: str | None = None,
) -> SubjectSelection:
    """Select one subject among the label prefixes of a file, by its number or its prefix as in ``read_recording``.

    With neither, the subject with most known markers, then most samples, is selected.

    Args:
        names: labels of the points (P).
        candidate: which points may be markers, (P,).
        num_visible: number of frames in which each point is visible, (P,).
        subject_index: from 1; ignored if the file has one subject.
        subject_prefix: may also be that of an object.

    Raises:
        GaitError: the file has no such subject.
    """
    of_candidates = [name.prefix for name, is_candidate in zip(names, candidate, strict=True) if is_candidate]
    prefixes = list(dict.fromkeys(of_candidates)) or [""]

    counts = dict.fromkeys(prefixes, (0, 0))  # known markers and their samples, by prefix
    points = [k for k in range(len(names)) if candidate[k] and num_visible[k]]
    for prefix in prefixes:
        own = [k for k in points if names[k].prefix == prefix]
        known = canonical_markers(names[k].name for k in own)
        samples = [int(num_visible[k]) for k in own if names[k].name in known]
        counts[prefix] = len(samples), sum(samples)
    chosen = max(prefixes, key=lambda prefix: counts[prefix])
    subjects = [prefix for prefix in prefixes if counts[prefix][0] >= _MIN_SUBJECT_MARKERS] or [chosen]
    requested: list[str] = []
    if subject_prefix is not None:
        wanted = subject_prefix.strip().rstrip(":_").casefold()
        requested = [prefix for prefix in prefixes if prefix and prefix.rstrip("_.-").casefold() == wanted]
    elif subject_index is not None:
        requested = [each for k, each in enumerate(subjects, 1) if k == subject_index or len(subjects) == 1]
    if requested:
        chosen = requested[0]
    elif subject_index is not None or subject_prefix is not None:
        count = len(subjects)
        raise GaitError(f"has no such subject; it has {count}: give a number up to {count} or the subject's prefix.")
    # Next to a single subject with a prefix, points without prefix are the subject's: model outputs, extra markers.
    single = len(subjects) == 1 and counts.get("", (0, 0))[0] < _MIN_SUBJECT_MARKERS
    selected = np.array([name.prefix == chosen or (single and not name.prefix) for name in names], dtype=bool)
    note = ""
    if len(subjects) > 1 and chosen in subjects:
        reason = "as requested" if requested else "the one with most markers"
        note = f"Subject {subjects.index(chosen) + 1} of {len(subjects)} in the file is read ({reason})."
    elif len(prefixes) > 1 and any(prefix for prefix in prefixes if prefix != chosen):
        note = "The file also has points of other subjects or objects, which are ignored."
    elif chosen:
        note = "The prefix of the labels was removed."
    return SubjectSelection(selected, chosen, note, guessed=len(subjects) > 1 and not requested)
