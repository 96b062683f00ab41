"""Training equals slow, simple computations, and is repeatable, also after an interruption."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from gait.errors import GaitError
from gait.learning.augmentation import UNITS_PER_METRE
from gait.learning.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from gait.learning.initialization import initialize_from_data
from gait.learning.metrics import epoch_metrics
from gait.learning.networks import find_network
from gait.learning.networks.mlp import MLPArchitecture
from gait.learning.networks.transformer import TransformerArchitecture
from gait.learning.trainer import Trainer, TrainingSettings, learning_rate, mean_window, window_probabilities
from gait.motion.windows import WindowDataset
from gait.synthetic import make_subject
from gait.synthetic import make_trial as make_synthetic_trial
from tests.helpers.motion_cases import align_windows, make_trial, stick_figure

LENGTH = 8
MLP = MLPArchitecture("multi_mlp", LENGTH, (8, 4), (8,))
TRANSFORMER = TransformerArchitecture(8, 8, 2, 2, ffn_dim=16, frame_subsampling=3)


def make_trials(num_subjects, seed, frames=30):
    """Return a healthy and a sick trial per subject number; sick subjects lean forward and walk slowly."""
    random = np.random.default_rng(seed)
    trials = []
    for number, sick in itertools.product(range(num_subjects), (False, True)):
        lean = (20 if sick else 5) + random.normal()
        joints = stick_figure(frames, speed=0.8 if sick else 1.2, lean_deg=lean, phase=random.uniform(0, 6))
        trials.append(make_trial(joints + random.normal(size=joints.shape) * 0.005, f"P{seed}{number}", sick=sick))
    return trials


@pytest.fixture(scope="module")
def training():
    trials = make_trials(3, 0)
    return WindowDataset([*trials, make_trial(stick_figure(17), "P99")], LENGTH, 3, mirror=True)


@pytest.fixture(scope="module")
def evaluation():
    return WindowDataset(make_trials(2, 1), LENGTH, 3)


@pytest.fixture(scope="module")
def validation():
    return WindowDataset(make_trials(2, 2), LENGTH, 3)


def settings(**more):
    return TrainingSettings(**{"batch_size": 16, "epochs": 4, "learning_rate": 1e-2, "joint_offset_m": 0.0, **more})


def make_trainer(architecture, training, evaluation, hyperparameters, **more):
    torch.manual_seed(hyperparameters.seed)
    network = architecture.build()
    initialize_from_data(network, training, hyperparameters.seed, find_network(network).initialize)
    return Trainer(network, training, evaluation, hyperparameters, **more)


def run_all(trainer, max_epochs=1000):
    for _ in range(max_epochs):
        if trainer.finished:
            break
        trainer.run_epoch()
    return trainer


def comparable_epochs(trainer):
    """Return the epochs without their durations, values as strings so that NaN equals NaN."""
    return [
        {kind: {name: repr(value) for name, value in epoch[kind].items()} for kind in epoch if kind != "seconds"}
        for epoch in trainer.epochs
    ]


def assert_same_weights(network_a, network_b):
    for name, values in network_a.state_dict().items():
        assert torch.equal(values, network_b.state_dict()[name]), name


@pytest.mark.parametrize("class_weights", [False, True])
def test_loss_is_the_mean_over_all_windows_including_the_last_small_batch(training, evaluation, class_weights):
    """With a learning rate near 0, an epoch in batches equals one evaluation of all windows."""
    assert len(training) % 16
    trainer = make_trainer(MLP, training, evaluation, settings(learning_rate=1e-12, use_class_weights=class_weights))
    epoch = trainer.run_epoch()
    healthy, sick = int((~training.sick).sum()), int(training.sick.sum())
    assert healthy != sick
    for kind, windows in (("train", training), ("eval", evaluation)):
        with torch.no_grad():
            logits = torch.stack([trainer.network(windows.batch(torch.tensor([k])))[0] for k in range(len(windows))])
        weight = torch.tensor(healthy / sick if class_weights else 1.0)
        loss = binary_cross_entropy_with_logits(logits, windows.sick.float(), pos_weight=weight)
        assert epoch[kind]["loss"] == pytest.approx(float(loss), rel=1e-5)
        expected = epoch_metrics(logits.sigmoid().numpy(), windows.sick.numpy())
        assert {name: epoch[kind][name] for name in expected} == pytest.approx(expected, nan_ok=True)


def test_joint_offsets_are_constant_per_window_and_absent_in_evaluation(training, evaluation):
    results = {}
    for offset_m in (0.0, 0.05):
        trainer = make_trainer(MLP, training, evaluation, settings(learning_rate=1e-12, joint_offset_m=offset_m))
        windows = []
        trainer.network.register_forward_pre_hook(
            lambda network, joints, windows=windows: windows.append((network.training, joints[0]))
        )
        epoch = trainer.run_epoch()
        results[offset_m] = [
            torch.cat([joints for in_training, joints in windows if in_training is kind]) for kind in (True, False)
        ]
        results[offset_m].append(epoch["eval"]["loss"])
    (plain, plain_evaluation, plain_loss), (moved, moved_evaluation, moved_loss) = results.values()
    assert torch.equal(plain_evaluation, moved_evaluation)
    assert plain_loss == pytest.approx(moved_loss, rel=1e-6)
    offsets = moved - plain  # the seed decides the order of the windows
    torch.testing.assert_close(offsets, offsets[:, :1].expand_as(offsets), atol=1e-5, rtol=0)
    offsets = offsets[:, 0]  # (N, J, 3)
    assert len(offsets) == len(training)
    std = offsets.flatten(0, 1).std(0) / 0.05
    assert std.tolist() == pytest.approx([0.7, 1.3, 3.7], rel=0.1)
    assert abs(float(torch.corrcoef(offsets.flatten(1).T)[0, 3])) < 0.5
    assert offsets.mean((0, 1)).abs().max() < 0.02


def test_units_per_metre_are_the_median_of_synthetic_subjects(open_body):
    """The length of one metre along each axis of a window, over synthetic subjects of different stature."""
    trials = []
    for number in range(6):
        walk = make_synthetic_trial(open_body, make_subject(open_body, number), seconds=3.0, rate_hz=100.0).ground_truth
        trials.append(make_trial(walk.joints_m, f"P{number}"))
    windows = WindowDataset(trials, 128, 16)
    metres = torch.stack(
        [
            align_windows(torch.from_numpy(windows.trials[g].joints_m[f : f + 128])[None])[0]
            for g, f in zip(windows.trial_index.tolist(), windows.first_frame.tolist(), strict=True)
        ]
    )
    units = windows.batch(torch.arange(len(windows)))
    units_per_metre = units.flatten(1, 2).std(1) / metres.flatten(1, 2).std(1)
    assert units_per_metre.median(0).values.tolist() == pytest.approx(UNITS_PER_METRE, rel=0.15)


def test_run_epoch_uses_each_window_once_in_a_new_order(training, evaluation, monkeypatch):
    trainer = make_trainer(MLP, training, evaluation, settings())
    batches, original = [], WindowDataset.batch

    def record_batch(windows, indices, device=None):
        if windows is training:
            batches.append(indices.tolist())
        return original(windows, indices, device)

    monkeypatch.setattr(WindowDataset, "batch", record_batch)
    orders = []
    for _ in range(2):
        batches.clear()
        trainer.run_epoch()
        assert [len(indices) for indices in batches[:-1]] == [16] * (len(training) // 16)
        orders.append([k for indices in batches for k in indices])
        assert sorted(orders[-1]) == list(range(len(training)))
    assert orders[0] != orders[1]


def test_window_probabilities_disable_dropout_and_change_no_weights(training, evaluation):
    trainer = make_trainer(TRANSFORMER, training, evaluation, settings())
    trainer.run_epoch()
    before = {name: values.clone() for name, values in trainer.network.state_dict().items()}
    probability = window_probabilities(trainer.network, evaluation, 5)
    assert probability.dtype == torch.float64
    for k, value in enumerate(probability):
        with torch.no_grad():
            logit = trainer.network.eval()(evaluation.batch(torch.tensor([k])))
        assert float(value) == pytest.approx(float(logit.sigmoid()), abs=1e-6)
    assert all(torch.equal(values, trainer.network.state_dict()[name]) for name, values in before.items())


@pytest.mark.parametrize(
    ("architecture", "rate"),
    [(MLP, 3e-3), (TransformerArchitecture(16, 16, 2, 2, ffn_dim=64, frame_subsampling=2), 1e-3)],
)
def test_trainer_learns_synthetic_classes(architecture, rate, training, evaluation):
    trainer = run_all(make_trainer(architecture, training, evaluation, settings(epochs=30, learning_rate=rate)))
    assert trainer.epochs[-1]["eval"]["accuracy"] > 0.9
    assert trainer.epochs[-1]["train"]["loss"] < 0.5 * trainer.epochs[0]["train"]["loss"]
    assert trainer.chosen_epoch == 29, "the last epoch is kept, independently of the evaluation"


def test_trainer_depends_on_the_seed(training, evaluation):
    first, second = (run_all(make_trainer(TRANSFORMER, training, evaluation, settings(epochs=2))) for _ in range(2))
    assert comparable_epochs(first) == comparable_epochs(second)
    assert_same_weights(first.network, second.network)
    other = run_all(make_trainer(TRANSFORMER, training, evaluation, settings(epochs=2, seed=43)))
    assert comparable_epochs(other) != comparable_epochs(first)


@pytest.mark.parametrize("patience", [None, 3])
@pytest.mark.parametrize("stop", [1, 3])
def test_restore_continues_exactly(training, evaluation, validation, tmp_path, patience, stop):
    """It does so with dropout, and although other random numbers are drawn in between."""
    hyperparameters = settings(epochs=5, patience=patience)
    more = {} if patience is None else {"validation": validation}
    unbroken = run_all(make_trainer(TRANSFORMER, training, evaluation, hyperparameters, **more))
    first = run_all(make_trainer(TRANSFORMER, training, evaluation, hyperparameters, **more), stop)
    checkpoint = Checkpoint(TRANSFORMER, first.chosen_weights, LENGTH, 100.0, "", (), training_state=first.state())
    save_checkpoint(tmp_path / "one.ckpt", checkpoint)
    torch.rand(1000)
    second = make_trainer(TRANSFORMER, training, evaluation, settings(epochs=5, patience=patience), **more)
    torch.rand(1000)
    second.restore(load_checkpoint(tmp_path / "one.ckpt").training_state)
    run_all(second)
    assert comparable_epochs(second) == comparable_epochs(unbroken)
    assert second.chosen_epoch == unbroken.chosen_epoch
    assert_same_weights(second.network, unbroken.network)
    for name, values in unbroken.chosen_weights.items():
        assert torch.equal(values, second.chosen_weights[name])


def test_early_stopping_keeps_the_best_validation_epoch_and_ignores_the_evaluation(training, evaluation, validation):
    hyperparameters = settings(epochs=40, patience=2, learning_rate=0.03)
    trainers = [
        run_all(make_trainer(MLP, training, evaluation_set, hyperparameters, validation=validation))
        for evaluation_set in (evaluation, WindowDataset(make_trials(1, 7), LENGTH, 1))
    ]
    first, second = trainers
    loss = [epoch["validation"]["loss"] for epoch in first.epochs]
    assert len(loss) < 40, "it stopped early"
    assert first.chosen_epoch == int(np.argmin(loss)) == len(loss) - 3
    assert first.chosen_epoch == second.chosen_epoch
    assert loss == [epoch["validation"]["loss"] for epoch in second.epochs]
    assert_same_weights(first.network, second.network)
    network = MLP.build()
    network.load_state_dict(first.chosen_weights)
    probability = window_probabilities(network, validation, 64).clamp(1e-12, 1 - 1e-12)
    sick = validation.sick.double()
    assert float(-(sick * probability.log() + (1 - sick) * (1 - probability).log()).mean()) == pytest.approx(
        min(loss), rel=1e-4
    )


def test_cosine_schedule_rises_then_falls_and_a_constant_rate_stays(training, evaluation):
    constant, cosine = settings(epochs=20), settings(epochs=20, schedule="cosine")
    assert {learning_rate(constant, epoch) for epoch in range(20)} == {constant.learning_rate}
    rates = [learning_rate(cosine, epoch) for epoch in range(20)]
    assert rates[0] == pytest.approx(0.5 * cosine.learning_rate)
    assert rates[1] == max(rates)
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert rates[-1] < 0.05 * cosine.learning_rate
    few = settings(epochs=2, schedule="cosine")
    trainer = Trainer(MLP.build(), training, evaluation, few)
    trainer.run_epoch()
    trainer.run_epoch()
    assert trainer.state()["optimiser"]["param_groups"][0]["lr"] == pytest.approx(learning_rate(few, 1))


def test_run_epoch_raises_if_the_training_diverges(training, evaluation):
    with pytest.raises(GaitError, match=r"Epoch \d: the loss is not finite.* lower --lr than 1e\+30"):
        run_all(make_trainer(MLP, training, evaluation, settings(learning_rate=1e30)))


def test_trainer_rejects_a_single_label(evaluation):
    healthy = WindowDataset([trial for trial in make_trials(2, 3) if not trial.sick], LENGTH)
    with pytest.raises(GaitError, match=r"46 healthy windows and 0 sick windows"):
        Trainer(MLP.build(), healthy, evaluation, settings())


def test_run_epoch_without_evaluation_windows_gives_nan(training):
    trainer = make_trainer(MLP, training, WindowDataset(make_trials(1, 4, frames=LENGTH - 1), LENGTH), settings())
    epoch = trainer.run_epoch()
    assert math.isnan(epoch["eval"]["loss"])
    assert len(window_probabilities(trainer.network, WindowDataset([], LENGTH), 4)) == 0


def test_mean_window_equals_a_slow_mean(training):
    slow = np.mean([training.batch(torch.tensor([k]))[0].double().numpy() for k in range(len(training))], axis=0)
    np.testing.assert_allclose(mean_window(training, 7).numpy(), slow, atol=1e-6)


def test_trainer_leaves_frozen_weights_unchanged(training, evaluation):
    network = nn.Sequential(nn.Flatten(), nn.Linear(LENGTH * 66, 1), nn.Flatten(0))
    network[1].bias.requires_grad_(False)
    before = network[1].bias.clone()
    trainer = Trainer(network, training, evaluation, settings())
    trainer.run_epoch()
    assert torch.equal(before, network[1].bias)
