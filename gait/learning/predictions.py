"""What a classifier said about every window, and whose windows they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gait.errors import GaitError
from gait.motion.windows import WindowDataset


@dataclass(frozen=True, eq=False)
class PersonPredictions:
    """One probability a person."""

    persons: tuple[str, ...]  # (P,) label folder and subject, "healthy/P01"
    sick: NDArray[np.bool_]  # (P,)
    probability: NDArray[np.float64]  # (P,) of sick: the mean of all windows
    fold: tuple[int, ...] = ()  # (P,) as in Predictions

    def __post_init__(self) -> None:
        object.__setattr__(self, "fold", self.fold or (0,) * len(self.persons))


@dataclass(frozen=True, eq=False)
class Predictions:
    """One probability a window. Raises GaitError for one that is no probability."""

    persons: tuple[str, ...]  # (P,) unique, "healthy/P01"
    gaits: tuple[str, ...]  # (G,) unique, "healthy/P01/walk1"
    person: NDArray[np.int64]  # (N,) whose window, an index of ``persons``
    gait: NDArray[np.int64]  # (N,) an index of ``gaits``
    first_frame: NDArray[np.int64]  # (N,) of the window within its gait, from 0, at the network's rate
    sick: NDArray[np.bool_]  # (N,) the truth
    probability: NDArray[np.float64]  # (N,) of sick
    fold: tuple[
        int, ...
    ] = ()  # (P,) whose network judged each person: only within a fold are probabilities on one scale

    def __post_init__(self) -> None:
        object.__setattr__(self, "fold", self.fold or (0,) * len(self.persons))
        no_number = ~((self.probability >= 0) & (self.probability <= 1))
        if no_number.any():
            first = int(no_number.argmax())
            raise GaitError(
                f"{self.gaits[self.gait[first]]}, frame {self.first_frame[first]}: the probability is "
                f"{self.probability[first]}; the network has diverged, train it with a lower --lr."
            )

    @classmethod
    def of_windows(cls, windows: WindowDataset, probability: ArrayLike) -> Predictions:
        """The probabilities (N,) of all windows, in their order."""
        people = sorted({gait.person for gait in windows.gaits})
        of_gait = np.array([people.index(gait.person) for gait in windows.gaits], dtype=np.int64)
        gait = np.asarray(windows.gait_index, dtype=np.int64)
        return cls(
            persons=tuple(people),
            gaits=tuple(f"{gait.person}/{gait.gait}" for gait in windows.gaits),
            person=of_gait[gait],
            gait=gait,
            first_frame=np.asarray(windows.first_frame, dtype=np.int64),
            sick=np.asarray(windows.sick, dtype=bool),
            probability=np.asarray(probability, dtype=np.float64),
        )

    @classmethod
    def joined(cls, parts: Sequence[Predictions]) -> Predictions:
        """All windows of several folds, part after part; persons and gaits sorted.

        Who is in several parts, as no person of disjoint folds is, belongs to the last one's fold.
        """
        persons = sorted({name for part in parts for name in part.persons})
        gaits = sorted({name for part in parts for name in part.gaits})

        def renumbered(own: tuple[str, ...], indices: NDArray[np.int64], names: list[str]) -> NDArray[np.int64]:
            place = {name: k for k, name in enumerate(names)}
            return np.array([place[name] for name in own], dtype=np.int64)[indices]

        fold_of = {
            name: (k, fold) for k, part in enumerate(parts) for name, fold in zip(part.persons, part.fold, strict=True)
        }
        folds = sorted(set(fold_of.values()))
        return cls(
            persons=tuple(persons),
            gaits=tuple(gaits),
            fold=tuple(folds.index(fold_of[name]) for name in persons),
            person=np.concatenate([renumbered(p.persons, p.person, persons) for p in parts]),
            gait=np.concatenate([renumbered(p.gaits, p.gait, gaits) for p in parts]),
            first_frame=np.concatenate([p.first_frame for p in parts]),
            sick=np.concatenate([p.sick for p in parts]),
            probability=np.concatenate([p.probability for p in parts]),
        )

    def __len__(self) -> int:
        return len(self.probability)

    def by_person(self) -> PersonPredictions:
        """The mean probability of each person's windows; persons without a window are left out."""
        P = len(self.persons)
        windows = np.bincount(self.person, minlength=P)
        there = windows > 0
        total = np.bincount(self.person, weights=self.probability, minlength=P)
        sick = np.bincount(self.person, weights=self.sick, minlength=P) > 0
        return PersonPredictions(
            persons=tuple(name for name, has in zip(self.persons, there, strict=True) if has),
            sick=sick[there],
            probability=total[there] / windows[there],
            fold=tuple(fold for fold, has in zip(self.fold, there, strict=True) if has),
        )
