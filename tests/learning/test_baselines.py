"""Baselines are fitted to the training subjects only, are repeatable, and explain what they cannot compute."""

import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from gait.body.model_file import load_body
from gait.errors import GaitError
from gait.learning import baselines
from gait.learning.baselines import baseline_predictions, dimensionless_speeds
from gait.learning.metrics import roc_auc
from gait.learning.predictions import Predictions
from gait.motion.dataset import AcquisitionInfo, Trial
from gait.motion.windows import WindowDataset
from gait.synthetic import make_pathology, make_subject, make_trial
from tests.helpers.paths import OPEN_BODY

MODEL = OPEN_BODY
RATE_HZ = 100.0

pytestmark = pytest.mark.usefixtures("one_thread")


def make_test_trial(subject: str, trial: str, sick: bool, joints: NDArray[np.float32]) -> Trial:
    source = AcquisitionInfo(RATE_HZ, len(joints), 0.0, (), 1.7)
    return Trial(subject, trial, sick, joints, RATE_HZ, source, Path())


@pytest.fixture(scope="module")
def trials_of_cohort() -> tuple[Trial, ...]:
    """Six healthy adults, and the same six with a stiff knee; the first of each has two trials."""
    body = load_body(MODEL)
    trials = []
    for k in range(6):
        subject_model = make_subject(body, k, adult=True)
        for sick in (False, True):
            pathology = make_pathology("stiff_knee", "left", 0.9) if sick else None
            for trial_number in range(2 if k == 0 else 1):
                synthetic = make_trial(body, subject_model, pathology, seconds=2.6, seed=trial_number)
                joints = synthetic.ground_truth.joints_m
                trials.append(make_test_trial(f"P{k}{'s' if sick else ''}", f"walk{trial_number}", sick, joints))
    return tuple(trials)


@pytest.fixture(scope="module")
def split(trials_of_cohort: tuple[Trial, ...]) -> tuple[tuple[Trial, ...], tuple[Trial, ...]]:
    """Training and evaluation trials; the training set has more healthy subjects than sick ones."""
    evaluation = tuple(trial for trial in trials_of_cohort if trial.subject in ("P4", "P4s", "P5", "P5s"))
    training = tuple(trial for trial in trials_of_cohort if trial not in evaluation and trial.subject != "P3s")
    return training, evaluation


@pytest.fixture
def few_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "MINIROCKET_FEATURES", 500)
    monkeypatch.setattr(baselines, "MAX_TRAINING_WINDOWS", 40)


@pytest.fixture
def without_aeon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Imports as if the package were not installed."""
    for name in ("aeon", "aeon.transformations.collection.convolution_based"):
        monkeypatch.setitem(sys.modules, name, None)


def predictions_of(found: dict[str, Predictions | str], name: str) -> Predictions:
    predictions = found[name]
    assert isinstance(predictions, Predictions), predictions
    return predictions


def test_baseline_predictions_classify_known_subjects_on_the_windows_of_the_network(split, few_kernels) -> None:
    training, evaluation = split
    found = baseline_predictions(training, evaluation, window_length=100, stride=20)
    assert list(found) == ["prior_baseline", "walking_speed", "gait_features", "minirocket"]
    windows = WindowDataset(evaluation, 100, 20)
    for name in found:
        predictions = predictions_of(found, name)
        assert predictions.first_frame.tolist() == windows.first_frame.tolist()
        assert predictions.sick.tolist() == windows.sick.tolist()
        assert predictions.trials == tuple(trial.trial_id for trial in evaluation)
    assert predictions_of(found, "prior_baseline").probability == pytest.approx(3 / 7)
    for name in ("gait_features", "minirocket"):
        by_subject = predictions_of(found, name).by_subject()
        assert roc_auc(by_subject.sick, by_subject.probability) == 1, name
    for name in ("walking_speed", "gait_features"):
        for trial in range(len(evaluation)):
            predictions = predictions_of(found, name)
            assert len(np.unique(predictions.probability[predictions.trial_index == trial])) == 1


def test_baseline_predictions_depend_on_the_seed_and_not_on_the_evaluation_trials(split, few_kernels) -> None:
    """A subject's probability does not depend on other evaluation subjects, nor on the evaluation labels."""
    training, evaluation = split
    all_found = baseline_predictions(training, evaluation, window_length=100, stride=20, seed=5)
    again = baseline_predictions(training, evaluation, window_length=100, stride=20, seed=5)
    alone = evaluation[0]
    relabelled = make_test_trial(alone.subject, alone.trial_name, not alone.sick, alone.joints_m)
    one = baseline_predictions(training, [relabelled], window_length=100, stride=20, seed=5)
    for name in all_found:
        both = predictions_of(all_found, name)
        assert predictions_of(again, name).probability.tolist() == both.probability.tolist()
        assert predictions_of(one, name).probability == pytest.approx(both.probability[both.trial_index == 0], abs=1e-6)


def test_baseline_predictions_weight_each_subject_equally(split, without_aeon) -> None:
    training, evaluation = split
    first = training[0]
    more = [make_test_trial(first.subject, f"copy{k}", first.sick, first.joints_m) for k in range(5)]
    only_first = [trial for trial in training if trial.subject != first.subject or trial is first]
    once = baseline_predictions(only_first, evaluation, window_length=100, stride=50)
    often = baseline_predictions([*only_first, *more], evaluation, window_length=100, stride=50)
    assert (
        predictions_of(often, "prior_baseline").probability.tolist()
        == predictions_of(once, "prior_baseline").probability.tolist()
    )
    speed = predictions_of(once, "walking_speed").probability
    assert predictions_of(often, "walking_speed").probability == pytest.approx(speed, abs=1e-4)


def test_baseline_predictions_replace_a_missing_feature_by_the_training_median(split, without_aeon) -> None:
    training, evaluation = split
    standing = make_test_trial("X", "standing", True, np.repeat(evaluation[0].joints_m[:1], 150, axis=0))
    found = predictions_of(baseline_predictions(training, [standing], window_length=100, stride=50), "gait_features")
    assert np.isfinite(found.probability).all()
    all_standing = [make_test_trial(g.subject, g.trial_name, g.sick, standing.joints_m) for g in training]
    found = predictions_of(
        baseline_predictions(all_standing, evaluation, window_length=100, stride=50), "gait_features"
    )
    assert np.ptp(found.probability) < 1e-6  # the training set has no information


def test_baseline_predictions_explain_how_to_install_aeon(split, without_aeon) -> None:
    found = baseline_predictions(*split, window_length=100, stride=50)
    assert isinstance(found["minirocket"], str)
    assert 'pip install "gait-suite[minirocket]"' in found["minirocket"]
    assert isinstance(found["gait_features"], Predictions)


def test_an_error_in_one_baseline_does_not_affect_the_others(split, few_kernels, monkeypatch) -> None:
    def no_compiler(*_, **__):
        raise RuntimeError("no compiler\nhere")

    def no_memory(*_, **__):
        raise MemoryError

    monkeypatch.setattr("aeon.transformations.collection.convolution_based.MiniRocket", no_compiler)
    monkeypatch.setattr(baselines, "compute_feature_table", no_memory)
    found = baseline_predictions(*split, window_length=100, stride=50)
    assert isinstance(found["prior_baseline"], Predictions)
    line = str(found["minirocket"])
    assert line.startswith("minirocket: this baseline failed unexpectedly (RuntimeError: no compiler here, in ")
    for name in ("walking_speed", "gait_features"):
        assert str(found[name]).startswith(f"{name}: there is too little memory for this baseline; use")


def test_baseline_predictions_reject_unsuitable_data(split, without_aeon) -> None:
    training, evaluation = split
    healthy = [trial for trial in training if not trial.sick]
    found = baseline_predictions(healthy, evaluation, window_length=100, stride=50)
    assert (predictions_of(found, "prior_baseline").probability == 0).all()
    assert "is needed for each label" in str(found["walking_speed"])
    assert "9 frames or more" in str(baseline_predictions(training, evaluation, window_length=5)["minirocket"])
    with pytest.raises(GaitError, match="healthy/P0: in both training and evaluation"):
        baseline_predictions(training, training[:1], window_length=100)
    with pytest.raises(GaitError, match="No trial to train on"):
        baseline_predictions([], evaluation, window_length=100)


def test_sample_per_subject_takes_equally_many_windows_of_each_subject(trials_of_cohort) -> None:
    windows = WindowDataset(trials_of_cohort, 100)
    chosen = baselines._sample_per_subject(windows, 60)
    subjects = [windows.trials[g].subject_id for g in windows.trial_index[chosen]]
    assert {subjects.count(name) for name in set(subjects)} == {5}
    assert len(set(subjects)) == 12
    first = [
        windows.trials[g].trial_name
        for g in windows.trial_index[chosen]
        if windows.trials[g].subject_id == "healthy/P0"
    ]
    assert set(first) == {"walk0", "walk1"}


def test_minirocket_restores_torchs_threads_and_does_not_depend_on_them(split, few_kernels) -> None:
    threads = torch.get_num_threads()
    found = []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            found.append(
                predictions_of(baseline_predictions(*split, window_length=100, stride=50), "minirocket").probability
            )
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(threads)
    assert found[0].tolist() == found[1].tolist()


@pytest.mark.parametrize("lockable", [True, False])
def test_processes_compile_minirocket_one_after_the_other(monkeypatch, tmp_path, lockable) -> None:
    lock, compiled = tmp_path / "gait_minirocket.lock", []

    class Compiler:
        def __init__(self, **_) -> None:
            pass

        def fit_transform(self, windows) -> None:
            compiled.append(windows.dtype)
            if lockable:
                with pytest.raises(Timeout):
                    FileLock(lock, blocking=False).acquire()

    if not lockable:
        lock.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("aeon.transformations.collection.convolution_based.MiniRocket", Compiler)
    compile_once = cache(baselines._compile_minirocket.__wrapped__)
    compile_once()
    compile_once()
    assert compiled == [np.float32]
    if lockable:
        FileLock(lock, blocking=False).acquire()


def test_baseline_predictions_skip_trials_shorter_than_a_window(split, few_kernels) -> None:
    training, evaluation = split
    short, other = (make_test_trial(name, "short", True, evaluation[0].joints_m[:60]) for name in "ST")
    found = baseline_predictions([*training, other], [*evaluation[:1], short], window_length=100, stride=50)
    assert {len(predictions_of(found, name)) for name in found} == {len(WindowDataset(evaluation[:1], 100, 50))}
    only_short = baseline_predictions(training, [short], window_length=100, stride=50)
    assert {len(predictions_of(only_short, name)) for name in only_short} == {0}


def test_dimensionless_speeds_are_means_over_the_trials_of_a_subject(trials_of_cohort):
    body = load_body(MODEL)
    found = dimensionless_speeds(trials_of_cohort)
    assert set(found) == {trial.subject_id for trial in trials_of_cohort}
    for k in range(6):
        assert found[f"healthy/P{k}"] == pytest.approx(make_subject(body, k, adult=True).dimensionless_speed, rel=0.08)
    two = [trial for trial in trials_of_cohort if trial.subject_id == "healthy/P0"]
    each = [dimensionless_speeds([trial])["healthy/P0"] for trial in two]
    assert len(each) == 2
    assert found["healthy/P0"] == pytest.approx(np.mean(each))
    still = make_test_trial("Q", "stand", False, np.repeat(two[0].joints_m[:1], 100, axis=0))
    assert np.isnan(dimensionless_speeds([still])["healthy/Q"])
