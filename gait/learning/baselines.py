"""What simpler means than a network make of the same persons, windows and folds.

* ``zero_rule``: the share of the ill among the training persons, whoever it is.
* ``walking_speed``: logistic regression on walking speed alone.
* ``gait_features``: logistic regression on all of ``FEATURES``.
* ``minirocket``: logistic regression on MiniRocket's features of the windows themselves (Dempster, Schmidt & Webb 2021,
  KDD, 248), which needs the package aeon.

All logistic regressions stand on standardised features, have an L2 penalty and no weights of classes; every training
person counts as one. Whatever is fitted, medians and scales too, is fitted to the training persons.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gait.error_message import failure_line
from gait.errors import GaitError
from gait.kinematics.gait_features import FEATURE_NAMES, FEATURES, feature_table
from gait.learning.predictions import Predictions
from gait.motion.dataset import Trial
from gait.motion.windows import WindowDataset

Vector = NDArray[np.float64]

TRAINING_WINDOWS = 2000
"""Windows that MiniRocket learns from at most, evenly from all training persons; it is evaluated on all."""

MINIROCKET_FEATURES = 10_000
_SHORTEST_WINDOW = 9  # frames of MiniRocket's kernels
_CHUNK = 512  # windows whose features are in memory at the same time


def baseline_predictions(
    training: Sequence[Trial],
    evaluation: Sequence[Trial],
    *,
    window_length: int,
    stride: int = 1,
    seed: int = 0,
) -> dict[str, Predictions | str]:
    """Each baseline's predictions on every window of the evaluation recordings, or a plain line why it has none.

    Speed and features are those of the whole recording, as most windows hold no whole stride; a recording's windows
    all have its probability. The first MiniRocket on a computer takes half a minute longer, for its compilation.

    Args:
        training: recordings to learn from.
        evaluation: recordings of other persons.
        window_length: frames, as the network has it.
        stride: frames from window to window, as the network has it.
        seed: of MiniRocket's kernels.

    Raises:
        GaitError: an evaluation person is among the training ones, or nobody is to learn from.
    """
    if both := {gait.person for gait in training} & {gait.person for gait in evaluation}:
        raise GaitError(f"{', '.join(sorted(both))}: to be learnt from and to be evaluated on; make folds by person.")
    if not training:
        raise GaitError("No recording to learn from; name a folder with more persons.")
    windows = WindowDataset(evaluation, window_length, stride)
    tables = cache(lambda: (feature_table(training), feature_table(evaluation)))
    speed = [FEATURE_NAMES.index("walking_speed")]
    rows = np.asarray(windows.gait_index)
    of_windows: dict[str, Callable[[], Vector]] = {
        "zero_rule": lambda: np.full(len(windows), _share_of_the_ill(training)),
        "walking_speed": lambda: _by_features(training, *(table[:, speed] for table in tables()))[rows],
        "gait_features": lambda: _by_features(training, *tables())[rows],
        "minirocket": lambda: _by_minirocket(WindowDataset(training, window_length), windows, seed),
    }
    found: dict[str, Predictions | str] = {}
    for name, probability in of_windows.items():
        try:
            found[name] = Predictions.of_windows(windows, probability())
        except Exception as error:  # the network beside which it would stand has been trained for hours
            line = failure_line(error, name, "this baseline", "use a greater --stride, or fewer recordings")
            found[name] = str(GaitError(line))
    return found


def _share_of_the_ill(gaits: Sequence[Trial]) -> float:
    people = {gait.person: gait.sick for gait in gaits}
    return sum(people.values()) / len(people)


def _person_weights(persons: Sequence[str]) -> Vector:
    """(N,) so that every person weighs 1 altogether."""
    _, who, count = np.unique(persons, return_inverse=True, return_counts=True)
    return (1 / count)[who]


def _by_features(training: Sequence[Trial], learnt_from: Vector, told_apart: Vector) -> Vector:
    """Probabilities (G,) of recordings with features (G, F); a missing one is the median of the training's."""
    sick = _both_labels([gait.sick for gait in training])
    weights = _person_weights([gait.person for gait in training])
    model = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler(), LogisticRegression(max_iter=1000)
    )
    model.fit(learnt_from, sick, standardscaler__sample_weight=weights, logisticregression__sample_weight=weights)
    return _probability(model, told_apart)


def _by_minirocket(training: WindowDataset, evaluation: WindowDataset, seed: int) -> Vector:
    """Probabilities (N,) of all evaluation windows.

    The penalty grows with the number of features, so that all of them together have as much room as ``FEATURES`` have.
    """
    minirocket = _minirocket(training.length, seed)
    learnt_from = _evenly_by_person(training, TRAINING_WINDOWS)
    sick = _both_labels(np.asarray(training.sick)[learnt_from])
    persons = [training.gaits[g].person for g in np.asarray(training.gait_index)[learnt_from]]
    features = _told(minirocket.fit_transform, training, learnt_from)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=len(FEATURES) / features.shape[1], max_iter=1000))
    model.fit(features, sick, logisticregression__sample_weight=_person_weights(persons))
    chunks = np.array_split(np.arange(len(evaluation)), range(_CHUNK, len(evaluation), _CHUNK))
    told = [_probability(model, _told(minirocket.transform, evaluation, rows)) for rows in chunks if len(rows)]
    return np.concatenate([np.empty(0), *told])


def _minirocket(window_length: int, seed: int) -> Any:
    if window_length < _SHORTEST_WINDOW:
        raise GaitError(f"MiniRocket needs windows of at least {_SHORTEST_WINDOW} frames; these have {window_length}.")
    try:
        import numba
        from aeon.transformations.collection.convolution_based import MiniRocket
    except ImportError as error:
        raise GaitError(
            f'MiniRocket needs the package aeon ({error}); install it with: pip install "gait-suite[minirocket]"'
        ) from error
    threads = min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)
    return MiniRocket(n_kernels=MINIROCKET_FEATURES, n_jobs=threads, random_state=seed)


def _told(minirocket: Callable[[NDArray[np.float32]], Any], windows: WindowDataset, rows: NDArray[np.int64]) -> Any:
    """MiniRocket's features (B, F) of some windows. Its numba sets the threads of OpenMP, which torch shares."""
    channels = _channels(windows, rows)
    threads = torch.get_num_threads()
    try:
        return minirocket(channels)
    finally:
        torch.set_num_threads(threads)


def _evenly_by_person(windows: WindowDataset, most: int) -> NDArray[np.int64]:
    """Sorted indices of ``most`` windows or fewer: the same number of each person, evenly over that person's."""
    of_gait: Mapping[str, list[int]] = {gait.person: [] for gait in windows.gaits}
    for index, gait in enumerate(windows.gaits):
        of_gait[gait.person].append(index)
    gait_of_window = np.asarray(windows.gait_index)
    each = max(1, most // max(1, len(of_gait)))
    chosen = [np.empty(0, np.int64)]
    for gaits in of_gait.values():
        own = np.flatnonzero(np.isin(gait_of_window, gaits))
        chosen.append(own[np.unique(np.linspace(0, len(own) - 1, min(each, len(own))).round().astype(np.int64))])
    return np.sort(np.concatenate(chosen))


def _channels(windows: WindowDataset, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Windows as aeon takes them: (B, 66, L)."""
    batch = windows.batch(torch.from_numpy(rows))
    return batch.reshape(len(rows), windows.length, -1).transpose(1, 2).contiguous().numpy()


def _both_labels(sick: Sequence[bool] | NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels = np.asarray(sick, dtype=bool)
    if len(np.unique(labels)) < 2:
        raise GaitError("Nothing to learn from: a window or recording of each label is needed, healthy and sick.")
    return labels


def _probability(model: Any, features: NDArray[np.floating]) -> Vector:
    if not len(features):
        return np.empty(0)
    return np.asarray(model.predict_proba(features)[:, 1], dtype=np.float64)
