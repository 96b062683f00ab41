"""Who trains and who is evaluated: folds of persons, the same on every computer."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gait.errors import GaitError


@dataclass(frozen=True)
class Fold:
    """One way to divide persons, named as ``GaitRecording.person``, sorted."""

    index: int
    count: int
    training: tuple[str, ...]
    evaluation: tuple[str, ...]


def person_folds(persons: Mapping[str, bool], k_folds: int) -> tuple[Fold, ...]:
    """``k_folds`` ways to divide the persons: each is evaluated once, ill and healthy ones spread evenly.

    Names alone decide: their hashes give the order in which persons are dealt, so that neighbours in the alphabet are
    spread and the file system's order does not matter. A subject of the same name under both labels may be one
    person before and after treatment: both are in one fold.

    Args:
        persons: name, "healthy/P01", and whether ill.
        k_folds: number of folds.

    Raises:
        GaitError: fewer persons of a class than folds, or fewer than two folds.
    """
    if k_folds < 2:
        raise GaitError(f"{k_folds} folds: at least 2 are needed, one of them to evaluate.")
    sick = sum(persons.values())
    if min(sick, len(persons) - sick) < k_folds:
        raise GaitError(
            f"{k_folds} folds need as many healthy and as many ill persons, and there are {len(persons) - sick} "
            f"healthy and {sick} ill ones; use fewer folds, or add persons."
        )
    evaluation: list[list[str]] = [[] for _ in range(k_folds)]
    for unit in _units(persons, "folds"):
        evaluation[
            min(range(k_folds), key=lambda k: (_alike(evaluation[k], unit, persons), len(evaluation[k]), k))
        ] += unit
    return tuple(
        Fold(k, k_folds, tuple(sorted(persons.keys() - set(group))), tuple(sorted(group)))
        for k, group in enumerate(evaluation)
    )


def validation_split(fold: Fold, persons: Mapping[str, bool], share: float) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The training persons of a fold divided once more: (training, validation), for early stopping.

    Args:
        fold: whose evaluation persons are not touched.
        persons: name and whether ill.
        share: of the training persons of each class that validate; at least one does and at least one trains.

    Raises:
        GaitError: a class has fewer than two training persons.
    """
    wanted: dict[bool, int] = {}
    for ill, what in ((False, "healthy"), (True, "ill")):
        count = sum(persons[name] is ill for name in fold.training)
        if count < 2:
            raise GaitError(f"{count} {what} persons train: at least 2 are needed to set one aside for early stopping.")
        wanted[ill] = min(max(1, round(share * count)), count - 1)
    validation: set[str] = set()
    for unit in _units({name: persons[name] for name in fold.training}, f"validation {fold.index}"):
        if all(wanted[persons[name]] > 0 for name in unit):
            validation.update(unit)
            for name in unit:
                wanted[persons[name]] -= 1
    return tuple(name for name in fold.training if name not in validation), tuple(sorted(validation))


def _units(persons: Mapping[str, bool], salt: str) -> list[list[str]]:
    """Persons who must stay together, in the order in which they are dealt: pairs first, healthy, then ill ones."""
    by_subject: dict[str, list[str]] = {}
    for name in sorted(persons):
        by_subject.setdefault(name.partition("/")[2] or name, []).append(name)

    def key(item: tuple[str, list[str]]) -> tuple[int, bool, str]:
        subject, names = item
        text = unicodedata.normalize("NFC", f"{salt}/{subject}")
        return -len(names), persons[names[0]], hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()

    return [names for _, names in sorted(by_subject.items(), key=key)]


def _alike(group: Iterable[str], unit: list[str], persons: Mapping[str, bool]) -> int:
    """How many of a group have the labels of the unit."""
    labels = {persons[name] for name in unit}
    return sum(persons[name] in labels for name in group)
