"""Who trains and who is evaluated: folds of persons, the same on every computer."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gait.errors import GaitError


@dataclass(frozen=True)
class Fold:
    """One way to divide the persons; names as in ``Trial.person``, sorted."""

    index: int  # from 0
    count: int  # of folds
    training: tuple[str, ...]
    evaluation: tuple[str, ...]


def person_folds(persons: Mapping[str, bool], k_folds: int) -> tuple[Fold, ...]:
    """Divide persons into folds, each of which evaluates others: everybody once, healthy and ill spread evenly.

    The folds' numbers of healthy, of ill, and of all persons differ by one at most. The persons' names alone decide who
    is where: the order in which they are dealt out is that of the names' hashes, which also spreads neighbours in the
    alphabet. A subject's name under both labels may be one person, before and after treatment: both stay together (the
    folds may then differ by two persons).

    Args:
        persons: name, ``healthy/P01``, and whether ill.
        k_folds: number of folds.

    Raises:
        GaitError: there are fewer healthy or fewer ill persons than folds, or fewer than two folds.
    """
    if k_folds < 2:
        raise GaitError(f"{k_folds} folds: at least 2 are needed, so that some persons train and others are evaluated.")
    ill = _count(persons, persons, ill=True)
    healthy = len(persons) - ill
    if min(healthy, ill) < k_folds:
        raise GaitError(
            f"{k_folds} folds need at least {k_folds} healthy and {k_folds} ill persons; there are {healthy} healthy "
            f"and {ill} ill. Use fewer folds (at least 2) or add persons."
        )
    evaluation: list[list[str]] = [[] for _ in range(k_folds)]
    for group in _dealt(persons, "folds"):
        label = persons[group[0]]
        fullness = [(_count(fold, persons, ill=label), len(fold)) for fold in evaluation]
        evaluation[fullness.index(min(fullness))] += group
    everybody = set(persons)
    return tuple(
        Fold(k, k_folds, tuple(sorted(everybody.difference(fold))), tuple(sorted(fold)))
        for k, fold in enumerate(evaluation)
    )


def validation_split(fold: Fold, persons: Mapping[str, bool], share: float) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Divide a fold's training persons once more, for early stopping: those who train, and those who validate.

    Args:
        fold: whose evaluation persons are not looked at.
        persons: as in ``person_folds``.
        share: of the training persons of either label who validate; at least one of each does, and one does not.

    Raises:
        GaitError: a label has fewer than two training persons, or the share is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise GaitError(f"a share of {share:g} of the training persons cannot validate; it must be between 0 and 1.")
    wanted = {}
    for ill in (False, True):
        count = _count(fold.training, persons, ill=ill)
        if count < 2:
            raise GaitError(
                f"fold {fold.index}: {count} {'ill' if ill else 'healthy'} in training, at least 2 are needed, one to "
                "validate. Use fewer folds, add persons, or do without early stopping."
            )
        wanted[ill] = min(max(1, round(share * count)), count - 1)
    validation: set[str] = set()
    for group in _dealt({name: persons[name] for name in fold.training}, f"validation of fold {fold.index}"):
        if all(wanted[persons[name]] for name in group):
            validation.update(group)
            for name in group:
                wanted[persons[name]] -= 1
    return tuple(name for name in fold.training if name not in validation), tuple(sorted(validation))


def _dealt(persons: Mapping[str, bool], purpose: str) -> list[list[str]]:
    """Names that must stay together, in the order in which they are dealt out: pairs, then healthy, then ill ones."""
    of_subject: dict[str, list[str]] = {}
    for name in sorted(persons):
        of_subject.setdefault(name.partition("/")[2], []).append(name)

    def order(subject: str) -> tuple[int, bool, str]:
        names = of_subject[subject]
        # Some file systems give letters with accents back in two parts.
        text = unicodedata.normalize("NFC", f"{purpose}: {subject}").encode("utf-8", "surrogateescape")
        return -len(names), persons[names[0]], hashlib.sha256(text).hexdigest()

    return [of_subject[subject] for subject in sorted(of_subject, key=order)]


def _count(names: Iterable[str], persons: Mapping[str, bool], *, ill: bool) -> int:
    return sum(persons[name] is ill for name in names)
