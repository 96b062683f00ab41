"""Baselines learn from training persons alone, are repeatable, and say plainly what they cannot do."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gait.body.model_file import load_body
from gait.errors import GaitError
from gait.learning import baselines
from gait.learning.baselines import baseline_predictions
from gait.learning.metrics import roc_auc
from gait.learning.predictions import Predictions
from gait.motion.dataset import AcquisitionInfo, Trial
from gait.motion.windows import WindowDataset
from gait.synthetic import disorder, make_person, make_walk
from tests.helpers.paths import OPEN_BODY

MODEL = OPEN_BODY
RATE_HZ = 100.0

pytestmark = pytest.mark.usefixtures("one_thread")


def recording(subject: str, gait: str, sick: bool, joints: NDArray[np.float32]) -> Trial:
    source = AcquisitionInfo(RATE_HZ, len(joints), 0.0, (), 1.7)
    return Trial(subject, gait, sick, joints, RATE_HZ, source, Path())


@pytest.fixture(scope="module")
def people() -> tuple[Trial, ...]:
    """Six adults in health, and six like them with a stiff knee; the first of both have two walks."""
    body = load_body(MODEL)
    gaits = []
    for k in range(6):
        person = make_person(body, k, adult=True)
        for sick in (False, True):
            what = disorder("stiff_knee", "left", 0.9) if sick else None
            for walk in range(2 if k == 0 else 1):
                joints = make_walk(body, person, what, seconds=2.6, seed=walk).truth.joints_m
                gaits.append(recording(f"P{k}{'s' if sick else ''}", f"walk{walk}", sick, joints))
    return tuple(gaits)


@pytest.fixture(scope="module")
def divided(people: tuple[Trial, ...]) -> tuple[tuple[Trial, ...], tuple[Trial, ...]]:
    """Training and evaluation; of the healthy ones more are trained on."""
    evaluation = tuple(gait for gait in people if gait.subject in ("P4", "P4s", "P5", "P5s"))
    training = tuple(gait for gait in people if gait not in evaluation and gait.subject != "P3s")
    return training, evaluation


@pytest.fixture
def few_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "MINIROCKET_FEATURES", 500)
    monkeypatch.setattr(baselines, "TRAINING_WINDOWS", 40)


@pytest.fixture
def without_aeon(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the package is not installed."""
    for name in ("aeon", "aeon.transformations.collection.convolution_based"):
        monkeypatch.setitem(sys.modules, name, None)


def of(found: dict[str, Predictions | str], name: str) -> Predictions:
    predictions = found[name]
    assert isinstance(predictions, Predictions), predictions
    return predictions


def test_known_persons_are_told_apart_on_the_networks_windows(divided, few_kernels) -> None:
    training, evaluation = divided
    found = baseline_predictions(training, evaluation, window_length=100, stride=20)
    assert list(found) == ["zero_rule", "walking_speed", "gait_features", "minirocket"]
    windows = WindowDataset(evaluation, 100, 20)
    for name in found:
        predictions = of(found, name)
        assert predictions.first_frame.tolist() == windows.first_frame.tolist()
        assert predictions.sick.tolist() == windows.sick.tolist()
        assert predictions.gaits == tuple(gait.name for gait in evaluation)
    assert of(found, "zero_rule").probability == pytest.approx(3 / 7)
    for name in ("gait_features", "minirocket"):
        of_people = of(found, name).by_person()
        assert roc_auc(of_people.sick, of_people.probability) == 1, name
    for name in ("walking_speed", "gait_features"):
        for gait in range(len(evaluation)):
            predictions = of(found, name)
            assert len(np.unique(predictions.probability[predictions.gait == gait])) == 1


def test_the_same_seed_gives_the_same_and_evaluation_teaches_nothing(divided, few_kernels) -> None:
    """A person's probability stays whoever else is evaluated, and however the evaluated are labelled."""
    training, evaluation = divided
    all_found = baseline_predictions(training, evaluation, window_length=100, stride=20, seed=5)
    again = baseline_predictions(training, evaluation, window_length=100, stride=20, seed=5)
    alone = evaluation[0]
    relabelled = recording(alone.subject, alone.gait, not alone.sick, alone.joints_m)
    one = baseline_predictions(training, [relabelled], window_length=100, stride=20, seed=5)
    for name in all_found:
        both = of(all_found, name)
        assert of(again, name).probability.tolist() == both.probability.tolist()
        assert of(one, name).probability == pytest.approx(both.probability[both.gait == 0], abs=1e-6)


def test_a_person_with_many_recordings_counts_once(divided, without_aeon) -> None:
    training, evaluation = divided
    first = training[0]
    more = [recording(first.subject, f"copy{k}", first.sick, first.joints_m) for k in range(5)]
    only_first = [gait for gait in training if gait.subject != first.subject or gait is first]
    once = baseline_predictions(only_first, evaluation, window_length=100, stride=50)
    often = baseline_predictions([*only_first, *more], evaluation, window_length=100, stride=50)
    assert of(often, "zero_rule").probability.tolist() == of(once, "zero_rule").probability.tolist()
    speed = of(once, "walking_speed").probability
    assert of(often, "walking_speed").probability == pytest.approx(speed, abs=1e-4)


def test_a_missing_feature_is_the_training_persons_median(divided, without_aeon) -> None:
    training, evaluation = divided
    standing = recording("X", "stands", True, np.repeat(evaluation[0].joints_m[:1], 150, axis=0))
    found = of(baseline_predictions(training, [standing], window_length=100, stride=50), "gait_features")
    assert np.isfinite(found.probability).all()
    nobody_walks = [recording(g.subject, g.gait, g.sick, standing.joints_m) for g in training]
    found = of(baseline_predictions(nobody_walks, evaluation, window_length=100, stride=50), "gait_features")
    assert np.ptp(found.probability) < 1e-6  # nothing was to be learnt


def test_without_aeon_a_plain_line_stands_in_its_place(divided, without_aeon) -> None:
    found = baseline_predictions(*divided, window_length=100, stride=50)
    assert isinstance(found["minirocket"], str)
    assert 'pip install "gait-suite[minirocket]"' in found["minirocket"]
    assert isinstance(found["gait_features"], Predictions)


def test_an_error_costs_its_baseline_alone(divided, few_kernels, monkeypatch) -> None:
    def no_compiler(*_, **__):
        raise RuntimeError("no compiler\nhere")

    def no_memory(*_, **__):
        raise MemoryError

    monkeypatch.setattr("aeon.transformations.collection.convolution_based.MiniRocket", no_compiler)
    monkeypatch.setattr(baselines, "feature_table", no_memory)
    found = baseline_predictions(*divided, window_length=100, stride=50)
    assert isinstance(found["zero_rule"], Predictions)
    line = str(found["minirocket"])
    assert line.startswith("minirocket: this baseline broke off (RuntimeError: no compiler here, in ")
    for name in ("walking_speed", "gait_features"):
        assert str(found[name]).startswith(f"{name}: there is too little memory for this baseline; use")


def test_what_cannot_be_learnt_is_said(divided, without_aeon) -> None:
    training, evaluation = divided
    healthy = [gait for gait in training if not gait.sick]
    found = baseline_predictions(healthy, evaluation, window_length=100, stride=50)
    assert (of(found, "zero_rule").probability == 0).all()
    assert "of each label is needed" in str(found["walking_speed"])
    assert "at least 9 frames" in str(baseline_predictions(training, evaluation, window_length=5)["minirocket"])
    with pytest.raises(GaitError, match="healthy/P0: to be learnt from and to be evaluated on"):
        baseline_predictions(training, training[:1], window_length=100)
    with pytest.raises(GaitError, match="No recording to learn from"):
        baseline_predictions([], evaluation, window_length=100)


def test_minirocket_learns_from_all_persons_evenly(people) -> None:
    windows = WindowDataset(people, 100)
    chosen = baselines._evenly_by_person(windows, 60)
    persons = [windows.gaits[g].person for g in windows.gait_index[chosen]]
    assert {persons.count(name) for name in set(persons)} == {5}
    assert len(set(persons)) == 12
    first = [windows.gaits[g].gait for g in windows.gait_index[chosen] if windows.gaits[g].person == "healthy/P0"]
    assert set(first) == {"walk0", "walk1"}


def test_torch_keeps_its_threads_and_they_change_nothing(divided, few_kernels) -> None:
    threads = torch.get_num_threads()
    found = []
    try:
        for some in (1, 2):
            torch.set_num_threads(some)
            found.append(of(baseline_predictions(*divided, window_length=100, stride=50), "minirocket").probability)
            assert torch.get_num_threads() == some
    finally:
        torch.set_num_threads(threads)
    assert found[0].tolist() == found[1].tolist()


def test_recordings_shorter_than_a_window_are_no_error(divided, few_kernels) -> None:
    training, evaluation = divided
    short, other = (recording(name, "short", True, evaluation[0].joints_m[:60]) for name in "ST")
    found = baseline_predictions([*training, other], [*evaluation[:1], short], window_length=100, stride=50)
    assert {len(of(found, name)) for name in found} == {len(WindowDataset(evaluation[:1], 100, 50))}
    only_short = baseline_predictions(training, [short], window_length=100, stride=50)
    assert {len(of(only_short, name)) for name in only_short} == {0}
