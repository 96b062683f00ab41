"""An ensemble is the mean of its networks, in training, in checkpoints and in explanations."""

import numpy as np
import pytest
import torch

from gait.body.skeleton import BODY_JOINTS
from gait.errors import GaitError
from gait.explaining.methods import explain_windows, supported_methods
from gait.learning.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from gait.learning.ensemble import Ensemble, build_ensemble, with_threshold
from gait.learning.networks import find_network
from gait.learning.networks.mlp import MLPArchitecture
from gait.learning.networks.transformer import TransformerArchitecture
from gait.learning.trainer import Trainer
from gait.learning.training_arguments import TrainingSettings
from gait.motion.window_input import InputReference
from gait.motion.windows import WindowDataset
from tests.helpers.motion_cases import make_trial, stick_figure

LENGTH = 8
ARCHITECTURES = (MLPArchitecture("multi_mlp", LENGTH, (8, 4), (8,)), TransformerArchitecture(8, 8, 2, 2, ffn_dim=16))
WINDOWS = torch.randn(3, LENGTH, 22, 3, generator=torch.Generator().manual_seed(0))

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda a: a.kind)
def test_ensemble_is_explained_as_the_mean_of_its_networks(architecture):
    torch.manual_seed(0)
    ensemble = with_threshold(build_ensemble(architecture, 2).eval(), 0.3)
    members = list(ensemble.members)
    assert find_network(ensemble) is find_network(members[0])
    torch.testing.assert_close(ensemble(WINDOWS), (members[0](WINDOWS) + members[1](WINDOWS)) / 2 - 0.3)
    baseline = torch.zeros(LENGTH, 22, 3)
    assert supported_methods(ensemble) == supported_methods(members[0])
    for method in supported_methods(ensemble):
        found = explain_windows(ensemble, WINDOWS, method, baseline=baseline)
        parts = [explain_windows(member, WINDOWS, method, baseline=baseline) for member in members]
        torch.testing.assert_close(found.values, (parts[0].values + parts[1].values) / 2)
        torch.testing.assert_close(found.logits, ensemble(WINDOWS).detach(), rtol=1e-4, atol=1e-5)
        if found.axis_values is not None:
            torch.testing.assert_close(found.axis_values.sum(3), found.values)
    found = explain_windows(ensemble, WINDOWS, "integrated_gradients", baseline=baseline)
    change = ensemble(WINDOWS) - ensemble(baseline[None])
    torch.testing.assert_close(found.values.sum((1, 2)), change.detach(), rtol=0.05, atol=0.02)


def checkpoint_of(architecture, weights, **changes):
    joints = tuple(joint.name for joint in BODY_JOINTS)
    return Checkpoint(architecture, weights, LENGTH, 100.0, "published", joints, **changes)


def test_checkpoint_keeps_ensemble_threshold_and_reference(tmp_path):
    architecture = ARCHITECTURES[0]
    ensemble = build_ensemble(architecture, 3).eval()
    reference = InputReference(torch.randn(22, 4), torch.randn(LENGTH, 22, 3), 5.0)
    changes = {"ensemble": 3, "threshold": 0.7, "input": "rotations", "windows": "cycles", "reference": reference}
    save_checkpoint(tmp_path / "n.ckpt", checkpoint_of(architecture, ensemble.state_dict(), **changes))
    loaded = load_checkpoint(tmp_path / "n.ckpt")
    torch.testing.assert_close(loaded.build_network()(WINDOWS), ensemble(WINDOWS) - 0.7)
    assert (loaded.input, loaded.windows, loaded.reference.factor) == ("rotations", "cycles", 5.0)
    torch.testing.assert_close(loaded.reference.rotations, reference.rotations)
    assert torch.load(tmp_path / "n.ckpt", weights_only=True)["format_version"] == 3


def test_published_checkpoints_are_those_of_earlier_versions(tmp_path):
    network = ARCHITECTURES[0].build()
    save_checkpoint(tmp_path / "n.ckpt", checkpoint_of(ARCHITECTURES[0], network.state_dict()))
    content = torch.load(tmp_path / "n.ckpt", weights_only=True)
    assert content["format_version"] == 2
    for name in ("input", "windows", "reference", "ensemble", "threshold"):
        del content[name]
    torch.save(content, tmp_path / "old.ckpt")
    old = load_checkpoint(tmp_path / "old.ckpt")
    assert (old.input, old.windows, old.ensemble, old.threshold) == ("published", "frames", 1, 0)
    assert not isinstance(old.build_network(), Ensemble)


@pytest.mark.parametrize(
    ("changes", "message"), [({"input": "angles"}, "input is 'angles'"), ({"ensemble": 0}, "ensemble of 0 networks")]
)
def test_unknown_inputs_of_checkpoints_are_refused(tmp_path, changes, message):
    network = ARCHITECTURES[0].build()
    save_checkpoint(tmp_path / "n.ckpt", checkpoint_of(ARCHITECTURES[0], network.state_dict(), **changes))
    with pytest.raises(GaitError, match=message):
        load_checkpoint(tmp_path / "n.ckpt")


def test_first_member_of_an_ensemble_is_trained_as_if_it_were_alone():
    random = np.random.default_rng(0)
    trials = [
        make_trial(stick_figure(20, lean_deg=20 * sick, phase=random.uniform(0, 6)), f"P{k}", sick=sick)
        for k in range(2)
        for sick in (False, True)
    ]
    windows = WindowDataset(trials, LENGTH, 3)
    settings = TrainingSettings(batch_size=8, epochs=2, learning_rate=1e-2)

    def networks(count):
        for number in range(count):
            torch.manual_seed(number)
            yield ARCHITECTURES[0].build()

    alone = Trainer(next(networks(1)), windows, windows, settings)
    together = Trainer(Ensemble([*networks(2)]), windows, windows, settings)
    for trainer in (alone, together):
        while not trainer.finished:
            trainer.run_epoch()
    first, second = together.network.members
    for own, member in zip(alone.network.parameters(), first.parameters(), strict=True):
        torch.testing.assert_close(own, member, rtol=0, atol=0)
    assert not torch.equal(first.last_layer.weight, second.last_layer.weight)
