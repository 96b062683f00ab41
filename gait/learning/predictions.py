"""The probabilities that a classifier gives for windows, and the subjects and trials that the windows belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gait.errors import GaitError

if TYPE_CHECKING:  # it imports torch
    from gait.motion.windows import WindowDataset


def subject_means(windows: WindowDataset, values: ArrayLike) -> dict[str, float]:
    """Return the mean of values (N,), one per window, of each subject that has a window."""
    found: dict[str, list[float]] = {}
    for index, value in zip(windows.trial_index.tolist(), np.asarray(values, dtype=np.float64).tolist(), strict=True):
        found.setdefault(windows.trials[index].subject_id, []).append(value)
    return {subject: float(np.mean(own)) for subject, own in found.items()}


@dataclass(frozen=True, eq=False)
class SubjectPredictions:
    """One probability per subject."""

    subjects: tuple[str, ...]  # (P,) label folder and subject, "healthy/P01"
    sick: NDArray[np.bool_]  # (P,) true label
    probability: NDArray[np.float64]  # (P,) of the sick class: mean over the subject's windows
    fold: tuple[int, ...] = ()  # (P,) as in Predictions

    def __post_init__(self) -> None:
        object.__setattr__(self, "fold", self.fold or (0,) * len(self.subjects))


@dataclass(frozen=True, eq=False)
class Predictions:
    """One probability per window.

    Raises:
        GaitError: a probability is NaN or outside 0 to 1.
    """

    subjects: tuple[str, ...]  # (P,) unique, "healthy/P01"
    trials: tuple[str, ...]  # (G,) unique, "healthy/P01/walk1"
    subject_index: NDArray[np.int64]  # (N,) index into ``subjects``
    trial_index: NDArray[np.int64]  # (N,) index into ``trials``
    first_frame: NDArray[np.int64]  # (N,) of the window within its trial, from 0, at the network's frame rate
    sick: NDArray[np.bool_]  # (N,) true label
    probability: NDArray[np.float64]  # (N,) of the sick class
    fold: tuple[int, ...] = ()  # (P,) whose network classified the subject; probabilities of two folds differ in scale

    def __post_init__(self) -> None:
        object.__setattr__(self, "fold", self.fold or (0,) * len(self.subjects))
        invalid = ~((self.probability >= 0) & (self.probability <= 1))
        if invalid.any():
            first = int(invalid.argmax())
            raise GaitError(
                f"{self.trials[self.trial_index[first]]}, frame {self.first_frame[first]}: the probability is "
                f"{self.probability[first]}; the network has diverged, train it with a lower --lr."
            )

    @classmethod
    def from_windows(cls, windows: WindowDataset, probability: ArrayLike) -> Predictions:
        """Return the predictions for all windows; ``probability`` is (N,), in the order of the windows."""
        subjects = sorted({trial.subject_id for trial in windows.trials})
        subject_of_trial = np.array([subjects.index(trial.subject_id) for trial in windows.trials], dtype=np.int64)
        trial_index = np.asarray(windows.trial_index, dtype=np.int64)
        return cls(
            subjects=tuple(subjects),
            trials=tuple(f"{trial.subject_id}/{trial.trial_name}" for trial in windows.trials),
            subject_index=subject_of_trial[trial_index],
            trial_index=trial_index,
            first_frame=np.asarray(windows.first_frame, dtype=np.int64),
            sick=np.asarray(windows.sick, dtype=bool),
            probability=np.asarray(probability, dtype=np.float64),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Predictions]) -> Predictions:
        """Return the windows of several folds, fold by fold; subjects and trials are sorted by name.

        If a subject occurs in several parts (impossible for disjoint folds), the last part's fold is used.
        """
        subjects = sorted({name for part in parts for name in part.subjects})
        trials = sorted({name for part in parts for name in part.trials})

        def renumber(own: tuple[str, ...], indices: NDArray[np.int64], names: list[str]) -> NDArray[np.int64]:
            index = {name: k for k, name in enumerate(names)}
            return np.array([index[name] for name in own], dtype=np.int64)[indices]

        fold_of = {
            name: (k, fold) for k, part in enumerate(parts) for name, fold in zip(part.subjects, part.fold, strict=True)
        }
        folds = sorted(set(fold_of.values()))
        return cls(
            subjects=tuple(subjects),
            trials=tuple(trials),
            fold=tuple(folds.index(fold_of[name]) for name in subjects),
            subject_index=np.concatenate([renumber(p.subjects, p.subject_index, subjects) for p in parts]),
            trial_index=np.concatenate([renumber(p.trials, p.trial_index, trials) for p in parts]),
            first_frame=np.concatenate([p.first_frame for p in parts]),
            sick=np.concatenate([p.sick for p in parts]),
            probability=np.concatenate([p.probability for p in parts]),
        )

    def __len__(self) -> int:
        return len(self.probability)

    def percentiles_by_subject(self, percents: Sequence[float]) -> NDArray[np.float64]:
        """Return percentiles (Q, P) of the probability over each subject's windows, of subjects with windows."""
        subjects = np.unique(self.subject_index)
        return np.array([np.percentile(self.probability[self.subject_index == k], percents) for k in subjects]).T

    def by_subject(self) -> SubjectPredictions:
        """Return the mean probability over each subject's windows; subjects without a window are omitted."""
        P = len(self.subjects)
        windows = np.bincount(self.subject_index, minlength=P)
        present = windows > 0
        total = np.bincount(self.subject_index, weights=self.probability, minlength=P)
        sick = np.bincount(self.subject_index, weights=self.sick, minlength=P) > 0
        return SubjectPredictions(
            subjects=tuple(name for name, has in zip(self.subjects, present, strict=True) if has),
            sick=sick[present],
            probability=total[present] / windows[present],
            fold=tuple(fold for fold, has in zip(self.fold, present, strict=True) if has),
        )
