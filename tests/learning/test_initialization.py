"""Where networks start: what they see of a walk is not lost in what is the same for all."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gait.learning.architecture import MLPArchitecture, TransformerArchitecture
from gait.learning.initialization import settle
from gait.learning.mlp import sequential_weights
from gait.motion.dataset import AcquisitionInfo, Trial
from gait.motion.windows import WindowDataset
from tests.helpers.motion_cases import stick_walker

LENGTH = 16


def recording(number):
    rng = np.random.default_rng(number)
    joints = stick_walker(60) * rng.uniform(0.9, 1.1) + rng.normal(0, 0.01, (60, 22, 3))
    source = AcquisitionInfo(rate_hz=100.0, frames=60, missing_share=0.0, markers=(), stature_m=float("nan"))
    return Trial(f"P{number}", "walk1", bool(number % 2), joints.astype(np.float32), 100.0, source, Path())


@pytest.fixture(scope="module")
def windows():
    return WindowDataset([recording(number) for number in range(4)], LENGTH, stride=2, mirrored=True)


def started(**sizes):
    torch.manual_seed(3)
    return TransformerArchitecture(pose_dim=16, classifier_dim=8, pose_heads=2, classifier_heads=2, ffn_dim=64).build()


def of_frames(network, joints):
    """What the first level makes of every frame (N, L, d)."""
    extractor = network.feature_extractor
    with torch.no_grad():
        rows = extractor(joints.flatten(0, 1), 1 + torch.arange(22))
    return rows.unflatten(0, joints.shape[:2])


def of_windows(network, joints):
    with torch.no_grad():
        return network.feature_merger(of_frames(network, joints), 1 + torch.arange(LENGTH))


def share_that_varies(vectors):
    """(N, d): how much of the vectors differs from one to the next, of all that there is."""
    return float(vectors.std(0).square().mean().sqrt() / vectors.square().mean().sqrt())


def test_windows_differ_from_the_first_step_on(windows):
    joints = windows.batch(torch.arange(len(windows)))
    before, after = started().eval(), started().eval()
    settle(after, windows, seed=1)
    assert share_that_varies(of_windows(before, joints)) < 0.05
    assert share_that_varies(of_windows(after, joints)) > 0.9
    assert share_that_varies(of_frames(before, joints).flatten(0, 1)) < 0.2
    assert share_that_varies(of_frames(after, joints).flatten(0, 1)) > 0.9


def test_what_windows_differ_by_is_not_lost_in_dropout(windows):
    joints = windows.batch(torch.arange(len(windows)))

    def noise_share(network):
        differences = of_windows(network.eval(), joints).std(0).square().mean().sqrt()
        draws = torch.stack([of_windows(network.train(), joints) for _ in range(20)])
        return float(draws.std(0).square().mean().sqrt() / differences)

    before, after = started(), started()
    settle(after, windows, seed=1)
    assert noise_share(before) > 5
    assert noise_share(after) < 1


def test_attention_gives_every_level_the_same_spread(windows):
    network = started().eval()
    settle(network, windows, seed=1)
    joints = windows.batch(torch.arange(len(windows)))
    extractor, merger = network.feature_extractor, network.feature_merger
    for level, rows in ((extractor, joints.flatten(0, 1)), (merger, of_frames(network, joints))):
        with torch.no_grad():
            positions = 1 + torch.arange(rows.shape[1])
            attended, _ = level.attended(rows, positions)
            scores = level.transformer_encoder.layers[0].norm1(level.tokens(rows, positions)) @ level.folded().query.t()
        assert float(attended.std(0).square().mean().sqrt()) == pytest.approx(1, rel=0.05)
        assert float((level.first_embedding().detach() + attended).mean(0).abs().max()) < 0.05
        if level is merger:
            assert float(scores.std(1).mean()) == pytest.approx(1, rel=0.05)


def test_only_constants_and_scales_are_changed(windows):
    before, after = started(), started()
    settle(after, windows, seed=1)
    first, then = before.state_dict(), after.state_dict()
    assert first.keys() == then.keys()
    layer = "transformer_encoder.layers.0"
    moved = {"classification_token", f"{layer}.self_attn.in_proj_bias"}
    moved |= {f"{layer}.self_attn.out_proj.bias", f"{layer}.linear2.bias"}
    scaled = {"input_embedding.weight", f"{layer}.self_attn.out_proj.weight"}
    levels = ("feature_extractor", "feature_merger")
    queries = f"feature_merger.{layer}.self_attn.in_proj_weight"
    changed = {name for name in first if not torch.equal(first[name], then[name])}
    assert changed == {f"{level}.{name}" for level in levels for name in moved | scaled} | {
        "feature_merger.input_embedding.bias",
        queries,
    }
    for name in [f"{level}.{name}" for level in levels for name in scaled]:
        scale = then[name] / first[name]
        torch.testing.assert_close(scale, scale.flatten()[0].expand_as(scale))
    scale = (then[queries] / first[queries]).chunk(3)
    torch.testing.assert_close(torch.cat(scale[:2]), scale[0].flatten()[0].expand(16, 8))
    assert (scale[2] == 1).all()
    for level in levels:
        name = f"{level}.{layer}.self_attn.in_proj_bias"
        for part in (0, 1):
            assert torch.equal(then[name].chunk(3)[part], first[name].chunk(3)[part])


def test_the_same_seed_gives_the_same_start_and_dropout_stays_on(windows):
    one, other = started(), started()
    settle(one, windows, seed=1)
    torch.rand(5)  # the state of torch's own generator has no part in it
    settle(other, windows, seed=1)
    assert one.training
    for name, values in one.state_dict().items():
        assert torch.equal(values, other.state_dict()[name]), name


@pytest.mark.parametrize("frames", [60, LENGTH], ids=["windows", "one window"])
def test_joints_that_stand_still_leave_weights_of_usual_size(windows, frames):
    network = started()
    still = recording(0)
    still.joints_m[:] = still.joints_m[0]
    settle(network, WindowDataset([replace(still, joints_m=still.joints_m[:frames])], LENGTH), seed=1)
    assert all(values.abs().max() < 100 for values in network.state_dict().values())


PERCEPTRON = MLPArchitecture("multi_mlp", LENGTH, (16, 32, 16), (32, 64, 32))


def of_layers(network, joints):
    """What each linear layer gives for the joints, a row each for frames or windows."""
    said = []
    linear = [layer for layer in network.modules() if isinstance(layer, torch.nn.Linear)]
    hooks = [layer.register_forward_hook(lambda *seen: said.append(seen[2].flatten(0, -2))) for layer in linear]
    with torch.no_grad():
        network(joints)
    for hook in hooks:
        hook.remove()
    return said


def test_every_layer_of_a_perceptron_tells_windows_apart_from_the_first_step_on(windows):
    joints = windows.batch(torch.arange(len(windows)))
    torch.manual_seed(3)
    network = PERCEPTRON.build()
    assert share_that_varies(of_layers(network, joints)[-1]) < 0.05
    settle(network, windows, seed=1)
    layers = of_layers(network, joints)
    assert len(layers) == 7
    for values in layers:
        assert float(values.mean(0).abs().max()) < 1e-4
        assert float(values.var(0, correction=0).mean().sqrt()) == pytest.approx(1, rel=1e-3)


def test_a_perceptron_is_only_scaled_and_moved_and_alike_under_both_names(windows):
    torch.manual_seed(3)
    before, network = PERCEPTRON.build(), PERCEPTRON.build()
    network.load_state_dict(before.state_dict())
    sequential = replace(PERCEPTRON, kind="sequential_mlp").build()
    sequential.load_state_dict(sequential_weights(before.state_dict()))
    for one in (network, sequential):
        settle(one, windows, seed=1)
    after = network.state_dict()
    for name, values in before.state_dict().items():
        if name.endswith("weight"):
            scale = after[name] / values
            torch.testing.assert_close(scale, scale.flatten()[0].expand_as(scale))
    for name, values in sequential_weights(after).items():
        assert torch.equal(values, sequential.state_dict()[name]), name


def test_a_perceptron_that_sees_one_window_has_weights_of_usual_size(windows):
    network = PERCEPTRON.build()
    settle(network, WindowDataset([replace(recording(0), joints_m=recording(0).joints_m[:LENGTH])], LENGTH), seed=1)
    assert all(values.abs().max() < 100 for values in network.state_dict().values())
