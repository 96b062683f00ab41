"""Training against slow, obvious forms of its arithmetic; the same course again, also after a stop."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from gait.errors import GaitError
from gait.learning.architecture import MLPArchitecture, TransformerArchitecture
from gait.learning.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from gait.learning.initialization import settle
from gait.learning.metrics import epoch_metrics
from gait.learning.trainer import _UNITS_A_METRE, Trainer, TrainingSettings, mean_window, window_probabilities
from gait.motion.common_frame import aligned
from gait.motion.windows import WindowDataset
from gait.synthetic import make_person, make_walk
from tests.helpers.motion_cases import recording, stick_walker

LENGTH = 8
MLP = MLPArchitecture("multi_mlp", LENGTH, (8, 4), (8,))
TRANSFORMER = TransformerArchitecture(8, 8, 2, 2, ffn_dim=16, one_frame_in=3)


def walks(persons, seed, frames=30):
    """A healthy and an ill walk of each person; the ill ones lean and are slow."""
    random = np.random.default_rng(seed)
    gaits = []
    for number, sick in itertools.product(range(persons), (False, True)):
        lean = (20 if sick else 5) + random.normal()
        joints = stick_walker(frames, speed=0.8 if sick else 1.2, lean_deg=lean, phase=random.uniform(0, 6))
        gaits.append(recording(joints + random.normal(size=joints.shape) * 0.005, f"P{seed}{number}", sick=sick))
    return gaits


@pytest.fixture(scope="module")
def training():
    gaits = walks(3, 0)
    return WindowDataset([*gaits, recording(stick_walker(17), "P99")], LENGTH, 3, mirrored=True)


@pytest.fixture(scope="module")
def evaluation():
    return WindowDataset(walks(2, 1), LENGTH, 3)


@pytest.fixture(scope="module")
def validation():
    return WindowDataset(walks(2, 2), LENGTH, 3)


def settings(**more):
    return TrainingSettings(**{"batch_size": 16, "epochs": 4, "learning_rate": 1e-2, **more})


def begun(architecture, training, evaluation, asked, **more):
    torch.manual_seed(asked.seed)
    network = architecture.build()
    settle(network, training, asked.seed)
    return Trainer(network, training, evaluation, asked, **more)


def run(course, most=1000):
    for _ in range(most):
        if course.finished:
            break
        course.epoch()
    return course


def figures(course):
    """Everything of a course but the time it took; NaN as text, so that it equals itself."""
    return [
        {kind: {name: repr(value) for name, value in epoch[kind].items()} for kind in epoch if kind != "seconds"}
        for epoch in course.epochs
    ]


def assert_same_weights(one, other):
    for name, values in one.state_dict().items():
        assert torch.equal(values, other.state_dict()[name]), name


@pytest.mark.parametrize("weighed", [False, True])
def test_the_loss_is_a_mean_over_windows_and_the_last_small_batch_counts(training, evaluation, weighed):
    """With next to no learning rate, an epoch in batches is one look at all windows."""
    assert len(training) % 16
    course = begun(MLP, training, evaluation, settings(learning_rate=1e-12, weigh_classes=weighed))
    epoch = course.epoch()
    healthy, sick = int((~training.sick).sum()), int(training.sick.sum())
    assert healthy != sick
    for kind, windows in (("train", training), ("eval", evaluation)):
        with torch.no_grad():
            logits = torch.stack([course.network(windows.batch(torch.tensor([k])))[0] for k in range(len(windows))])
        weight = torch.tensor(healthy / sick if weighed else 1.0)
        loss = binary_cross_entropy_with_logits(logits, windows.sick.float(), pos_weight=weight)
        assert epoch[kind]["loss"] == pytest.approx(float(loss), rel=1e-5)
        of_all = epoch_metrics(logits.sigmoid().numpy(), windows.sick.numpy())
        assert {name: epoch[kind][name] for name in of_all} == pytest.approx(of_all, nan_ok=True)


def test_joints_are_moved_for_learning_only_and_stay_moved_for_their_window(training, evaluation):
    seen = {}
    for offset_m in (0.0, 0.05):
        course = begun(MLP, training, evaluation, settings(learning_rate=1e-12, joint_offset_m=offset_m))
        windows = []
        course.network.register_forward_pre_hook(
            lambda network, joints, windows=windows: windows.append((network.training, joints[0]))
        )
        epoch = course.epoch()
        seen[offset_m] = [torch.cat([joints for learnt, joints in windows if learnt is kind]) for kind in (True, False)]
        seen[offset_m].append(epoch["eval"]["loss"])
    (plain, judged, loss), (moved, judged_too, loss_too) = seen.values()
    assert torch.equal(judged, judged_too)
    assert loss == pytest.approx(loss_too, rel=1e-6)
    offsets = moved - plain  # the order of the windows is the seed's
    torch.testing.assert_close(offsets, offsets[:, :1].expand_as(offsets), atol=1e-5, rtol=0)
    offsets = offsets[:, 0]  # (N, J, 3)
    assert len(offsets) == len(training)
    spread = offsets.flatten(0, 1).std(0) / 0.05
    assert spread.tolist() == pytest.approx([0.7, 1.3, 3.7], rel=0.1)
    assert abs(float(torch.corrcoef(offsets.flatten(1).T)[0, 3])) < 0.5
    assert offsets.mean((0, 1)).abs().max() < 0.02


def test_offsets_in_metres_are_those_of_grown_ups(open_body):
    """What a metre is along each axis of a window: of made-up persons of all heights, the middle one."""
    gaits = []
    for number in range(6):
        walk = make_walk(open_body, make_person(open_body, number), seconds=3.0, rate_hz=100.0).truth
        gaits.append(recording(walk.joints_m, f"P{number}"))
    windows = WindowDataset(gaits, 128, 16)
    metres = torch.stack(
        [
            aligned(torch.from_numpy(windows.gaits[g].joints_m[f : f + 128])[None])[0]
            for g, f in zip(windows.gait_index.tolist(), windows.first_frame.tolist(), strict=True)
        ]
    )
    units = windows.batch(torch.arange(len(windows)))
    a_metre = units.flatten(1, 2).std(1) / metres.flatten(1, 2).std(1)
    assert a_metre.median(0).values.tolist() == pytest.approx(_UNITS_A_METRE, rel=0.15)


def test_each_window_is_learnt_from_once_an_epoch_in_an_order_of_its_own(training, evaluation, monkeypatch):
    course = begun(MLP, training, evaluation, settings())
    asked, batch = [], WindowDataset.batch

    def noted(windows, indices, device=None):
        if windows is training:
            asked.append(indices.tolist())
        return batch(windows, indices, device)

    monkeypatch.setattr(WindowDataset, "batch", noted)
    orders = []
    for _ in range(2):
        asked.clear()
        course.epoch()
        assert [len(one) for one in asked[:-1]] == [16] * (len(training) // 16)
        orders.append([k for one in asked for k in one])
        assert sorted(orders[-1]) == list(range(len(training)))
    assert orders[0] != orders[1]


def test_measuring_leaves_dropout_out_and_changes_nothing(training, evaluation):
    course = begun(TRANSFORMER, training, evaluation, settings())
    course.epoch()
    before = {name: values.clone() for name, values in course.network.state_dict().items()}
    probability = window_probabilities(course.network, evaluation, 5)
    assert probability.dtype == torch.float64
    for k, value in enumerate(probability):
        with torch.no_grad():
            alone = course.network.eval()(evaluation.batch(torch.tensor([k])))
        assert float(value) == pytest.approx(float(alone.sigmoid()), abs=1e-6)
    assert all(torch.equal(values, course.network.state_dict()[name]) for name, values in before.items())


@pytest.mark.parametrize(
    ("architecture", "rate"), [(MLP, 3e-3), (TransformerArchitecture(16, 16, 2, 2, ffn_dim=64, one_frame_in=2), 1e-3)]
)
def test_it_learns(architecture, rate, training, evaluation):
    course = run(begun(architecture, training, evaluation, settings(epochs=30, learning_rate=rate)))
    assert course.epochs[-1]["eval"]["accuracy"] > 0.9
    assert course.epochs[-1]["train"]["loss"] < 0.5 * course.epochs[0]["train"]["loss"]
    assert course.chosen_epoch == 29, "the last one counts, whatever evaluation says"


def test_the_same_seed_gives_the_same_course_and_another_one_another(training, evaluation):
    one, again = (run(begun(TRANSFORMER, training, evaluation, settings(epochs=2))) for _ in range(2))
    assert figures(one) == figures(again)
    assert_same_weights(one.network, again.network)
    other = run(begun(TRANSFORMER, training, evaluation, settings(epochs=2, seed=43)))
    assert figures(other) != figures(one)


@pytest.mark.parametrize("patience", [None, 3])
@pytest.mark.parametrize("stop", [1, 3])
def test_a_training_that_goes_on_from_disk_has_the_course_of_an_unbroken_one(
    training, evaluation, validation, tmp_path, patience, stop
):
    """With dropout, and with as much randomness used in between as can be."""
    asked = settings(epochs=5, patience=patience)
    more = {} if patience is None else {"validation": validation}
    unbroken = run(begun(TRANSFORMER, training, evaluation, asked, **more))
    first = run(begun(TRANSFORMER, training, evaluation, asked, **more), stop)
    kept = Checkpoint(TRANSFORMER, first.chosen_weights, LENGTH, 100.0, "", (), training_state=first.state())
    save_checkpoint(tmp_path / "one.ckpt", kept)
    torch.rand(1000)
    second = begun(TRANSFORMER, training, evaluation, settings(epochs=5, patience=patience), **more)
    torch.rand(1000)
    second.restore(load_checkpoint(tmp_path / "one.ckpt").training_state)
    run(second)
    assert figures(second) == figures(unbroken)
    assert second.chosen_epoch == unbroken.chosen_epoch
    assert_same_weights(second.network, unbroken.network)
    for name, values in unbroken.chosen_weights.items():
        assert torch.equal(values, second.chosen_weights[name])


def test_early_stopping_keeps_the_best_validation_epoch_and_never_looks_at_who_judges(training, evaluation, validation):
    asked = settings(epochs=40, patience=2, learning_rate=0.03)
    courses = [
        run(begun(MLP, training, judged, asked, validation=validation))
        for judged in (evaluation, WindowDataset(walks(1, 7), LENGTH, 1))
    ]
    one, other = courses
    loss = [epoch["validation"]["loss"] for epoch in one.epochs]
    assert len(loss) < 40, "it stopped"
    assert one.chosen_epoch == int(np.argmin(loss)) == len(loss) - 3
    assert one.chosen_epoch == other.chosen_epoch
    assert loss == [epoch["validation"]["loss"] for epoch in other.epochs]
    assert_same_weights(one.network, other.network)
    network = MLP.build()
    network.load_state_dict(one.chosen_weights)
    said = window_probabilities(network, validation, 64).clamp(1e-12, 1 - 1e-12)
    sick = validation.sick.double()
    assert float(-(sick * said.log() + (1 - sick) * (1 - said).log()).mean()) == pytest.approx(min(loss), rel=1e-4)


def test_a_training_that_diverges_is_one_line(training, evaluation):
    with pytest.raises(GaitError, match=r"Epoch \d: the loss is no finite number .* lower --lr than 1e\+30"):
        run(begun(MLP, training, evaluation, settings(learning_rate=1e30)))


def test_one_label_alone_teaches_nothing(evaluation):
    healthy = WindowDataset([gait for gait in walks(2, 3) if not gait.sick], LENGTH)
    with pytest.raises(GaitError, match=r"46 windows of healthy and 0 of sick persons"):
        Trainer(MLP.build(), healthy, evaluation, settings())


def test_evaluation_without_a_window_is_not_defined_and_stops_nothing(training):
    course = begun(MLP, training, WindowDataset(walks(1, 4, frames=LENGTH - 1), LENGTH), settings())
    epoch = course.epoch()
    assert math.isnan(epoch["eval"]["loss"])
    assert len(window_probabilities(course.network, WindowDataset([], LENGTH), 4)) == 0


def test_the_mean_window_is_that_of_all_windows(training):
    slow = np.mean([training.batch(torch.tensor([k]))[0].double().numpy() for k in range(len(training))], axis=0)
    np.testing.assert_allclose(mean_window(training, 7).numpy(), slow, atol=1e-6)


def test_weights_that_need_no_gradient_are_left_alone(training, evaluation):
    network = nn.Sequential(nn.Flatten(), nn.Linear(LENGTH * 66, 1), nn.Flatten(0))
    network[1].bias.requires_grad_(False)
    before = network[1].bias.clone()
    course = Trainer(network, training, evaluation, settings())
    course.epoch()
    assert torch.equal(before, network[1].bias)
