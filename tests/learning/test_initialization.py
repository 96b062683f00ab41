"""Data-dependent initialization: differences between windows dominate over what all windows share."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gait.learning.initialization import initialize_from_data, initialize_transformer
from gait.learning.networks import find_network
from gait.learning.networks.mlp import MLPArchitecture
from gait.learning.networks.transformer import TransformerArchitecture
from gait.motion.dataset import AcquisitionInfo, Trial
from gait.motion.windows import WindowDataset, fit_reference
from tests.helpers.motion_cases import make_trial, stick_figure, swinging_rotations

LENGTH = 16


def make_random_trial(number):
    rng = np.random.default_rng(number)
    joints = stick_figure(60) * rng.uniform(0.9, 1.1) + rng.normal(0, 0.01, (60, 22, 3))
    source = AcquisitionInfo(rate_hz=100.0, num_frames=60, missing_fraction=0.0, markers=(), stature_m=float("nan"))
    return Trial(f"P{number}", "walk1", bool(number % 2), joints.astype(np.float32), 100.0, source, Path())


@pytest.fixture(scope="module")
def windows():
    return WindowDataset([make_random_trial(number) for number in range(4)], LENGTH, stride=2, mirror=True)


def build_network(**sizes):
    torch.manual_seed(3)
    return TransformerArchitecture(pose_dim=16, classifier_dim=8, pose_heads=2, classifier_heads=2, ffn_dim=64).build()


def encode_frames(network, joints):
    """Return the vector of every frame, (N, L, d)."""
    extractor = network.feature_extractor
    with torch.no_grad():
        rows = extractor(joints.flatten(0, 1), 1 + torch.arange(22))
    return rows.unflatten(0, joints.shape[:2])


def encode_windows(network, joints):
    with torch.no_grad():
        return network.feature_merger(encode_frames(network, joints), 1 + torch.arange(LENGTH))


def varying_fraction(vectors):
    """Return the standard deviation of vectors (N, d) relative to their root mean square."""
    return float(vectors.std(0).square().mean().sqrt() / vectors.square().mean().sqrt())


def test_initialize_from_data_makes_windows_differ(windows):
    joints = windows.batch(torch.arange(len(windows)))
    before, after = build_network().eval(), build_network().eval()
    initialize_from_data(after, windows, 1, find_network(after).initialize)
    assert varying_fraction(encode_windows(before, joints)) < 0.05
    assert varying_fraction(encode_windows(after, joints)) > 0.9
    assert varying_fraction(encode_frames(before, joints).flatten(0, 1)) < 0.2
    assert varying_fraction(encode_frames(after, joints).flatten(0, 1)) > 0.9


def test_initialize_from_data_reduces_the_noise_of_dropout(windows):
    joints = windows.batch(torch.arange(len(windows)))

    def noise_ratio(network):
        differences = encode_windows(network.eval(), joints).std(0).square().mean().sqrt()
        draws = torch.stack([encode_windows(network.train(), joints) for _ in range(20)])
        return float(draws.std(0).square().mean().sqrt() / differences)

    before, after = build_network(), build_network()
    initialize_from_data(after, windows, 1, find_network(after).initialize)
    assert noise_ratio(before) > 5
    assert noise_ratio(after) < 1


def test_initialize_from_data_standardizes_the_attention_output(windows):
    network = build_network().eval()
    initialize_from_data(network, windows, 1, find_network(network).initialize)
    joints = windows.batch(torch.arange(len(windows)))
    extractor, merger = network.feature_extractor, network.feature_merger
    for level, rows in ((extractor, joints.flatten(0, 1)), (merger, encode_frames(network, joints))):
        with torch.no_grad():
            positions = 1 + torch.arange(rows.shape[1])
            attended, _ = level.attend(rows, positions)
            scores = (
                level.transformer_encoder.layers[0].norm1(level.embed_tokens(rows, positions))
                @ level.fuse_weights().query.t()
            )
        assert float(attended.std(0).square().mean().sqrt()) == pytest.approx(1, rel=0.05)
        assert float((level.cls_embedding().detach() + attended).mean(0).abs().max()) < 0.05
        if level is merger:
            assert float(scores.std(1).mean()) == pytest.approx(1, rel=0.05)


def test_initialize_from_data_changes_only_constants_and_scales(windows):
    before, after = build_network(), build_network()
    initialize_from_data(after, windows, 1, find_network(after).initialize)
    initial, final = before.state_dict(), after.state_dict()
    assert initial.keys() == final.keys()
    layer = "transformer_encoder.layers.0"
    shifted = {"classification_token", f"{layer}.self_attn.in_proj_bias"}
    shifted |= {f"{layer}.self_attn.out_proj.bias", f"{layer}.linear2.bias"}
    scaled = {"input_embedding.weight", f"{layer}.self_attn.out_proj.weight"}
    levels = ("feature_extractor", "feature_merger")
    queries = f"feature_merger.{layer}.self_attn.in_proj_weight"
    changed = {name for name in initial if not torch.equal(initial[name], final[name])}
    assert changed == {f"{level}.{name}" for level in levels for name in shifted | scaled} | {
        "feature_merger.input_embedding.bias",
        queries,
    }
    for name in [f"{level}.{name}" for level in levels for name in scaled]:
        scale = final[name] / initial[name]
        torch.testing.assert_close(scale, scale.flatten()[0].expand_as(scale))
    scale = (final[queries] / initial[queries]).chunk(3)
    torch.testing.assert_close(torch.cat(scale[:2]), scale[0].flatten()[0].expand(16, 8))
    assert (scale[2] == 1).all()
    for level in levels:
        name = f"{level}.{layer}.self_attn.in_proj_bias"
        for part in (0, 1):
            assert torch.equal(final[name].chunk(3)[part], initial[name].chunk(3)[part])


def test_initialize_from_data_depends_on_the_seed_only_and_keeps_the_training_mode(windows):
    network_a, network_b = build_network(), build_network()
    initialize_from_data(network_a, windows, 1, find_network(network_a).initialize)
    torch.rand(5)  # the state of torch's global generator must not matter
    initialize_from_data(network_b, windows, 1, find_network(network_b).initialize)
    assert network_a.training
    for name, values in network_a.state_dict().items():
        assert torch.equal(values, network_b.state_dict()[name]), name


@pytest.mark.parametrize("frames", [60, LENGTH], ids=["windows", "one window"])
def test_initialize_from_data_with_constant_joints_keeps_weights_finite(windows, frames):
    network = build_network()
    standing = make_random_trial(0)
    standing.joints_m[:] = standing.joints_m[0]
    short = WindowDataset([replace(standing, joints_m=standing.joints_m[:frames])], LENGTH)
    initialize_from_data(network, short, 1, initialize_transformer)
    assert all(values.abs().max() < 100 for values in network.state_dict().values())


PERCEPTRON = MLPArchitecture("multi_mlp", LENGTH, (16, 32, 16), (32, 64, 32))


def layer_outputs(network, joints):
    """Return the output of each linear layer, one row per frame or window."""
    outputs = []
    linear = [layer for layer in network.modules() if isinstance(layer, torch.nn.Linear)]
    hooks = [layer.register_forward_hook(lambda *seen: outputs.append(seen[2].flatten(0, -2))) for layer in linear]
    with torch.no_grad():
        network(joints)
    for hook in hooks:
        hook.remove()
    return outputs


def test_initialize_from_data_standardizes_each_layer_of_a_perceptron(windows):
    joints = windows.batch(torch.arange(len(windows)))
    torch.manual_seed(3)
    network = PERCEPTRON.build()
    assert varying_fraction(layer_outputs(network, joints)[-1]) < 0.05
    initialize_from_data(network, windows, 1, find_network(network).initialize)
    layers = layer_outputs(network, joints)
    assert len(layers) == 7
    for values in layers:
        assert float(values.mean(0).abs().max()) < 1e-4
        assert float(values.var(0, correction=0).mean().sqrt()) == pytest.approx(1, rel=1e-3)


def test_initialize_from_data_is_equal_for_both_names_of_a_perceptron(windows):
    torch.manual_seed(3)
    before, network = PERCEPTRON.build(), PERCEPTRON.build()
    network.load_state_dict(before.state_dict())
    sequential = replace(PERCEPTRON, kind="sequential_mlp").build()
    sequential.load_state_dict(dict(zip(sequential.state_dict(), before.state_dict().values(), strict=True)))
    for network_a in (network, sequential):
        initialize_from_data(network_a, windows, 1, find_network(network_a).initialize)
    after = network.state_dict()
    for name, values in before.state_dict().items():
        if name.endswith("weight"):
            scale = after[name] / values
            torch.testing.assert_close(scale, scale.flatten()[0].expand_as(scale))
    for values, other in zip(after.values(), sequential.state_dict().values(), strict=True):
        assert torch.equal(values, other)


def test_initialize_from_data_with_one_window_keeps_weights_finite(windows):
    network = PERCEPTRON.build()
    initialize_from_data(
        network,
        WindowDataset([replace(make_random_trial(0), joints_m=make_random_trial(0).joints_m[:LENGTH])], LENGTH),
        1,
    )
    assert all(values.abs().max() < 100 for values in network.state_dict().values())


@pytest.mark.parametrize("factor", [0.5, 5.0])
def test_deviations_do_not_outweigh_joints_and_phases_whatever_their_factor(factor):
    trials = [
        make_trial(stick_figure(300, phase=phase), f"P{phase}", sick=sick, axis_angle=swinging_rotations(300, phase=p))
        for phase, p, sick in ((0.3, 0.3, False), (1.5, 1.0, True))
    ]
    options = {"input": "rotations", "windows": "cycles"}
    reference = fit_reference(trials, 100, factor=factor, **options)
    windows = WindowDataset(trials, 100, reference=reference, **options)
    seen = windows.batch(torch.arange(len(windows)))
    network = build_network().eval()
    initialize_from_data(network, windows, 1, find_network(network).initialize)
    extractor, merger = network.feature_extractor, network.feature_merger
    rows, positions = seen.flatten(0, 1), 1 + torch.arange(22)
    with torch.no_grad():
        embedded = torch.nn.functional.linear(rows, extractor.input_embedding.weight)
        assert float(embedded.flatten(0, 1).std(0).square().mean().sqrt()) == pytest.approx(0.5, rel=0.01)
        frames = extractor(rows, positions).unflatten(0, seen.shape[:2])
        for level, tokens, std in ((extractor, rows, 2.0), (merger, frames, 1.5)):
            places = 1 + torch.arange(tokens.shape[1])
            normed = level.transformer_encoder.layers[0].norm1(level.embed_tokens(tokens, places))
            scores = normed @ level.fuse_weights().query.t()
            assert float(scores.std(1).mean()) == pytest.approx(std, rel=0.05)
