"""Cross-validation folds of subjects, the same on every computer."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gait.errors import GaitError


@dataclass(frozen=True)
class Fold:
    """One division of the subjects; names as in ``Trial.subject_id``, sorted."""

    index: int  # from 0
    count: int  # number of folds
    training: tuple[str, ...]
    evaluation: tuple[str, ...]


def make_folds(subjects: Mapping[str, bool], k_folds: int) -> tuple[Fold, ...]:
    """Divide subjects into stratified folds, each of which evaluates other subjects; each subject is evaluated once.

    The folds' numbers of healthy, of sick, and of all subjects differ by at most one. The assignment depends on the
    subjects' names alone: they are assigned in the order of the names' hashes, which also separates alphabetical
    neighbours. A name under both labels may be one subject, before and after treatment: both stay together (the folds
    may then differ by two subjects). ``subjects`` has names, ``healthy/P01``, and whether each is sick.

    Raises:
        GaitError: there are fewer healthy or fewer sick subjects than folds, or fewer than two folds.
    """
    if k_folds < 2:
        raise GaitError(f"{k_folds} folds: at least 2 are needed, one to train and one to evaluate.")
    num_sick = _count(subjects, subjects, sick=True)
    num_healthy = len(subjects) - num_sick
    if (fewer := min(num_healthy, num_sick)) < k_folds:
        instead = f"Give --k_folds {fewer}, or add subjects." if fewer >= 2 else "Add subjects: 2 folds need 2 of each."
        raise GaitError(
            f"{k_folds} folds need at least {k_folds} healthy and {k_folds} sick subjects; there are {num_healthy} "
            f"healthy and {num_sick} sick. {instead}"
        )
    evaluation: list[list[str]] = [[] for _ in range(k_folds)]
    for group in _assignment_order(subjects, "folds"):
        label = subjects[group[0]]
        sizes = [(_count(fold, subjects, sick=label), len(fold)) for fold in evaluation]
        evaluation[sizes.index(min(sizes))] += group
    all_subjects = set(subjects)
    return tuple(
        Fold(k, k_folds, tuple(sorted(all_subjects.difference(fold))), tuple(sorted(fold)))
        for k, fold in enumerate(evaluation)
    )


def split_validation(
    fold: Fold, subjects: Mapping[str, bool], fraction: float
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Divide a fold's training subjects into training and validation subjects, for early stopping.

    ``subjects`` are those of ``make_folds``. The fraction of the training subjects of each label validates; at least
    one subject of each label validates, and at least one trains.

    Raises:
        GaitError: a label has fewer than two training subjects, or the fraction is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise GaitError(f"{fraction:g} of the training subjects cannot validate; the fraction must be between 0 and 1.")
    remaining = {}
    for sick in (False, True):
        count = _count(fold.training, subjects, sick=sick)
        if count < 2:
            raise GaitError(
                f"fold {fold.index}: {count} {'sick' if sick else 'healthy'} in training, at least 2 are needed, one "
                "to validate. Use fewer folds, add subjects, or omit early stopping."
            )
        remaining[sick] = min(max(1, round(fraction * count)), count - 1)
    validation: set[str] = set()
    training = {name: subjects[name] for name in fold.training}
    for group in _assignment_order(training, f"validation of fold {fold.index}"):
        if all(remaining[subjects[name]] for name in group):
            validation.update(group)
            for name in group:
                remaining[subjects[name]] -= 1
    return tuple(name for name in fold.training if name not in validation), tuple(sorted(validation))


def _assignment_order(subjects: Mapping[str, bool], purpose: str) -> list[list[str]]:
    """Return groups of names that must stay together, in the order of assignment: pairs, then healthy, then sick."""
    groups: dict[str, list[str]] = {}
    for name in sorted(subjects):
        groups.setdefault(name.partition("/")[2], []).append(name)

    def sort_key(subject: str) -> tuple[int, bool, str]:
        names = groups[subject]
        # Some file systems return accented letters as a base letter and an accent.
        text = unicodedata.normalize("NFC", f"{purpose}: {subject}").encode("utf-8", "surrogateescape")
        return -len(names), subjects[names[0]], hashlib.sha256(text).hexdigest()

    return [groups[subject] for subject in sorted(groups, key=sort_key)]


def _count(names: Iterable[str], subjects: Mapping[str, bool], *, sick: bool) -> int:
    return sum(subjects[name] is sick for name in names)
