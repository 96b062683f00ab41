"""Baseline classifiers for the same subjects, windows and folds as a network.

* ``prior_baseline``: the fraction of sick subjects in the training set, for every window.
* ``walking_speed``: logistic regression on walking speed alone.
* ``gait_features``: logistic regression on all of ``FEATURES``.
* ``minirocket``: logistic regression on MiniRocket features of the windows (Dempster, Schmidt & Webb 2021, KDD, 248);
  it needs the package aeon.

All logistic regressions use standardized features, an L2 penalty and no class weights. Every training subject has the
same total weight. Everything that is fitted, including medians and scales, is fitted to the training subjects only.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gait.arrays import Vector
from gait.body.skeleton import Joint
from gait.errors import GaitError, error_message
from gait.kinematics.gait_features import FEATURE_NAMES, FEATURES, compute_gait_features
from gait.learning.predictions import Predictions
from gait.motion.dataset import Trial
from gait.motion.window_placement import FRAMES
from gait.motion.windows import WindowDataset

MAX_TRAINING_WINDOWS = 2000
"""Maximum number of windows to which MiniRocket is fitted, evenly from all training subjects."""

MINIROCKET_FEATURES = 10_000
_MIN_WINDOW_LENGTH = 9  # frames of MiniRocket's kernels
_CHUNK = 512  # windows whose features are in memory at the same time
_COMPILE_TIMEOUT_S = 300.0


def baseline_predictions(
    training: Sequence[Trial],
    evaluation: Sequence[Trial],
    *,
    window_length: int,
    stride: int = 1,
    seed: int = 0,
    left_out: Collection[Joint] = (),
    min_observed: float = 0.0,
    windows: str = FRAMES,
) -> dict[str, Predictions | str]:
    """Return each baseline's predictions for every window of the evaluation trials, or an error message.

    Walking speed and gait features are computed from the whole trial, because most windows contain no complete stride;
    all windows of a trial get its probability. The first use of MiniRocket on a computer takes half a minute longer,
    for compilation. Window length and stride, in frames, are those of the network; ``seed`` is of MiniRocket's kernels.
    No baseline uses the joints that are ``left_out``; ``min_observed`` and ``windows`` are those of ``place_windows``.
    MiniRocket sees the published input, whatever the network sees.

    Raises:
        GaitError: training and evaluation share a subject, or there is no training data.
    """
    if both := {trial.subject_id for trial in training} & {trial.subject_id for trial in evaluation}:
        raise GaitError(f"{', '.join(sorted(both))}: in both training and evaluation; make folds by subject.")
    if not training:
        raise GaitError("No trial to train on; name a folder with more subjects.")
    windows_of = partial(WindowDataset, left_out=left_out, min_observed=min_observed, windows=windows)
    judged = windows_of(evaluation, window_length, stride)
    tables = cache(lambda: tuple(compute_feature_table(trials, left_out) for trials in (training, evaluation)))
    speed = [FEATURE_NAMES.index("walking_speed")]
    rows = np.asarray(judged.trial_index)
    baselines: dict[str, Callable[[], Vector]] = {
        "prior_baseline": lambda: np.full(len(judged), _sick_fraction(training)),
        "walking_speed": lambda: _predict_from_features(training, *(table[:, speed] for table in tables()))[rows],
        "gait_features": lambda: _predict_from_features(training, *tables())[rows],
        "minirocket": lambda: _predict_with_minirocket(windows_of(training, window_length), judged, seed),
    }
    predictions: dict[str, Predictions | str] = {}
    for name, probability in baselines.items():
        try:
            predictions[name] = Predictions.from_windows(judged, probability())
        except Exception as error:  # a failing baseline must not discard the trained network
            line = error_message(error, name, "this baseline", "use a greater --stride, or fewer trials")
            predictions[name] = str(GaitError(line))
    return predictions


def compute_feature_table(trials: Sequence[Trial], left_out: Collection[Joint] = ()) -> Vector:
    """Return the features of all trials, (N, F) in the order of ``FEATURES``; NaN where one cannot be measured.

    No feature is measured that needs a joint that the trial does not observe, or that is ``left_out``.
    """
    rows = [compute_gait_features(t.joints_m, t.rate_hz, {*t.unobserved_joints, *left_out}, t.activity) for t in trials]
    return np.array([[row[name] for name in FEATURE_NAMES] for row in rows]).reshape(len(rows), len(FEATURES))


def dimensionless_speeds(trials: Sequence[Trial], left_out: Collection[Joint] = ()) -> dict[str, float]:
    """Return each subject's walking speed / sqrt(gravity · leg length), the mean over its trials; NaN if unknown."""
    speed = compute_feature_table(trials, left_out)[:, FEATURE_NAMES.index("dimensionless_speed")]
    of_subject: dict[str, list[float]] = {}
    for trial, value in zip(trials, speed.tolist(), strict=True):
        of_subject.setdefault(trial.subject_id, []).extend([value] if np.isfinite(value) else [])
    return {subject: float(np.mean(own)) if own else float("nan") for subject, own in of_subject.items()}


def _sick_fraction(trials: Sequence[Trial]) -> float:
    """Return the fraction of subjects that are sick."""
    labels = {trial.subject_id: trial.sick for trial in trials}
    return sum(labels.values()) / len(labels)


def _subject_weights(subjects: Sequence[str]) -> Vector:
    """Return sample weights (N,), given each sample's subject; the weights of a subject sum to 1."""
    _, index, count = np.unique(subjects, return_inverse=True, return_counts=True)
    return (1 / count)[index]


def _predict_from_features(training: Sequence[Trial], train_features: Vector, test_features: Vector) -> Vector:
    """Return probabilities (G,) for features (G, F); a missing feature is replaced by the training median."""
    sick = _require_both_labels([trial.sick for trial in training])
    weights = _subject_weights([trial.subject_id for trial in training])
    model = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler(), LogisticRegression(max_iter=1000)
    )
    model.fit(train_features, sick, standardscaler__sample_weight=weights, logisticregression__sample_weight=weights)
    return _predict_probability(model, test_features)


def _predict_with_minirocket(training: WindowDataset, evaluation: WindowDataset, seed: int) -> Vector:
    """Return probabilities (N,) for all evaluation windows.

    The penalty grows with the number of features, so that the total regularization equals that of ``FEATURES``.
    """
    minirocket = _minirocket(training.window_length, seed)
    train_windows = _sample_per_subject(training, MAX_TRAINING_WINDOWS)
    sick = _require_both_labels(np.asarray(training.sick)[train_windows])
    subjects = [training.trials[k].subject_id for k in np.asarray(training.trial_index)[train_windows]]
    features = _minirocket_features(minirocket.fit_transform, training, train_windows)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=len(FEATURES) / features.shape[1], max_iter=1000))
    model.fit(features, sick, logisticregression__sample_weight=_subject_weights(subjects))
    chunks = np.array_split(np.arange(len(evaluation)), range(_CHUNK, len(evaluation), _CHUNK))
    probabilities = [
        _predict_probability(model, _minirocket_features(minirocket.transform, evaluation, rows))
        for rows in chunks
        if len(rows)
    ]
    return np.concatenate([np.empty(0), *probabilities])


def _minirocket(window_length: int, seed: int) -> Any:
    if window_length < _MIN_WINDOW_LENGTH:
        raise GaitError(f"MiniRocket needs windows of {_MIN_WINDOW_LENGTH} frames or more; these have {window_length}.")
    try:
        import numba
        from aeon.transformations.collection.convolution_based import MiniRocket
    except ImportError as error:
        raise GaitError(
            f'MiniRocket needs the package aeon ({error}); install it with: pip install "gait-suite[minirocket]"'
        ) from error
    threads = min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)
    return MiniRocket(n_kernels=MINIROCKET_FEATURES, n_jobs=threads, random_state=seed)


def _minirocket_features(
    transform: Callable[[NDArray[np.float32]], Any], windows: WindowDataset, rows: NDArray[np.int64]
) -> Any:
    """Return MiniRocket features (B, F) of some windows.

    numba changes the number of OpenMP threads, which torch shares; it is restored afterwards.
    """
    channels = _to_channels(windows, rows)
    threads = torch.get_num_threads()
    try:
        _compile_minirocket()
        return transform(channels)
    finally:
        torch.set_num_threads(threads)


@cache
def _compile_minirocket() -> None:
    """Compile MiniRocket, or read what a process before this one has compiled.

    Folds that are trained at the same time, in several processes, would all compile it; here they wait for the first.
    """
    from aeon.transformations.collection.convolution_based import MiniRocket

    lock = FileLock(Path(tempfile.gettempdir()) / "gait_minirocket.lock", fallback_to_soft=False)
    with suppress(OSError):  # a file of another user, for example; then several processes may compile it
        lock.acquire(timeout=_COMPILE_TIMEOUT_S)
    try:
        windows = np.zeros((2, 2, _MIN_WINDOW_LENGTH), np.float32)
        MiniRocket(random_state=0).fit_transform(windows)  # of the types of real ones, which it is compiled for
    finally:
        lock.release()


def _sample_per_subject(windows: WindowDataset, max_windows: int) -> NDArray[np.int64]:
    """Return sorted indices of at most ``max_windows`` windows, the same number per subject, evenly spaced."""
    trials_of: Mapping[str, list[int]] = {trial.subject_id: [] for trial in windows.trials}
    for index, trial in enumerate(windows.trials):
        trials_of[trial.subject_id].append(index)
    trial_index = np.asarray(windows.trial_index)
    per_subject = max(1, max_windows // max(1, len(trials_of)))
    chosen = [np.empty(0, np.int64)]
    for trials in trials_of.values():
        own = np.flatnonzero(np.isin(trial_index, trials))
        chosen.append(own[np.unique(np.linspace(0, len(own) - 1, min(per_subject, len(own))).round().astype(np.int64))])
    return np.sort(np.concatenate(chosen))


def _to_channels(windows: WindowDataset, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return windows in aeon's layout, (B, 66, L)."""
    batch = windows.batch(torch.from_numpy(rows))
    return batch.reshape(len(rows), windows.window_length, -1).transpose(1, 2).contiguous().numpy()


def _require_both_labels(sick: Sequence[bool] | NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the labels as an array; raise GaitError if only one label occurs."""
    labels = np.asarray(sick, dtype=bool)
    if len(np.unique(labels)) < 2:
        raise GaitError("Cannot be fitted: a trial of at least one window is needed for each label, healthy and sick.")
    return labels


def _predict_probability(model: Any, features: NDArray[np.floating]) -> Vector:
    if not len(features):
        return np.empty(0)
    return np.asarray(model.predict_proba(features)[:, 1], dtype=np.float64)
