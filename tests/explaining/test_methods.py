"""Every explanation method against a slow version of its definition."""

import sys

import captum.attr
import pytest
import torch
from captum.attr._utils.lrp_rules import EpsilonRule, IdentityRule
from torch import nn

from gait.errors import GaitError
from gait.explaining.lrp_mlp import lrp_epsilon, lrp_original
from gait.explaining.lrp_transformer import lrp_logits, lrp_transformer
from gait.explaining.methods import METHODS, explain_windows, supported_methods, unattributed_fraction
from gait.explaining.methods.integrated_gradients import NODES, STEPS, TOLERANCE
from gait.learning.networks.mlp import MLPArchitecture
from gait.learning.networks.transformer import TransformerArchitecture
from gait.learning.reference_transformer import ReferenceTransformer

MLP = MLPArchitecture("sequential_mlp", 6, (16, 8), (12, 5))
SMALL = TransformerArchitecture(6, 10, 3, 5, 33)


def randomize_all(network, seed=0):
    """Make every parameter random, including biases and norms, and convert to double precision."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            noise = torch.randn(weight.shape, generator=generator)
            weight.copy_(0.3 * noise if weight.ndim == 1 else 2 * noise / weight.shape[-1] ** 0.5)
    return network.double().eval()


def random_windows(count=3, length=6, joints=22, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(count, length, joints, 3, generator=generator, dtype=torch.float64) - 1


# The MLP


def slow_lrp(network, window, epsilon):
    """Apply the ε-rule neuron by neuron to one window (L, J, 3)."""
    seen = [window[None]]
    for layer in network.features:
        seen.append(layer(seen[-1]))
    relevance = seen[-1]
    for layer, x in zip(reversed(network.features), reversed(seen[:-1]), strict=True):
        if not isinstance(layer, nn.Linear):
            relevance = relevance.reshape(x.shape)
            continue
        rows, given = x.reshape(-1, x.shape[-1]), relevance.reshape(-1, relevance.shape[-1])
        taken = torch.zeros_like(rows)
        for row in range(len(rows)):
            for k in range(len(layer.weight)):
                parts = rows[row] * layer.weight[k]
                z = parts.sum() + layer.bias[k]
                z = z + epsilon if z >= 0 else z - epsilon
                taken[row] += parts / z * given[row, k]
        relevance = taken.reshape(x.shape)
    return relevance[0].reshape(window.shape)


@pytest.mark.parametrize("epsilon", [1e-6, 0.1])
def test_lrp_epsilon_matches_slow_version(epsilon):
    network, windows = randomize_all(MLP.build()), random_windows()
    with torch.no_grad():
        expected = torch.stack([slow_lrp(network, window, epsilon) for window in windows])
        logits = network(windows)
    relevance, found = lrp_epsilon(network, windows, epsilon)
    torch.testing.assert_close(relevance, expected, atol=1e-9, rtol=1e-6)
    torch.testing.assert_close(found, logits)


class WithoutFlatten(nn.Module):
    """The same network with reshaping between its layers, as captum's rules do not support Flatten layers."""

    def __init__(self, network):
        super().__init__()
        layers = list(network.features)
        middle = [index for index, layer in enumerate(layers) if isinstance(layer, nn.Flatten)][1]
        self.pose, self.classifier = nn.Sequential(*layers[1:middle]), nn.Sequential(*layers[middle + 1 :])

    def forward(self, windows):
        return self.classifier(self.pose(windows.flatten(2)).flatten(1))


@pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients")
def test_lrp_epsilon_matches_captum():
    network, windows = randomize_all(MLP.build()), random_windows()
    for layer in network.features:
        # Captum has no default rule for the first activation; activations pass relevance on unchanged.
        layer.rule = EpsilonRule(1e-6) if isinstance(layer, nn.Linear) else IdentityRule()
    expected = captum.attr.LRP(WithoutFlatten(network)).attribute(windows.clone(), target=0)
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(lrp_epsilon(network, windows, 1e-6)[0], expected.detach(), atol=1e-5, rtol=0)


def test_lrp_without_biases_sums_to_the_logit():
    network, windows = randomize_all(MLP.build()), random_windows()
    with torch.no_grad():
        for layer in network.features:
            if isinstance(layer, nn.Linear):
                layer.bias.zero_()
    result = explain_windows(network, windows, "lrp")
    assert result.logits.abs().min() > 0.01
    torch.testing.assert_close(result.values.sum((1, 2)), result.logits, atol=1e-3, rtol=0)
    assert result.unattributed.max() < 1e-3


def test_lrp_of_both_mlp_forms_agrees():
    sequential = randomize_all(MLP.build())
    multi = MLPArchitecture("multi_mlp", 6, (16, 8), (12, 5)).build().double()
    weights = [value for _, value in sequential.state_dict().items()]
    multi.load_state_dict(dict(zip(multi.state_dict(), weights, strict=True)))
    for rule in (lrp_epsilon, lrp_original):
        torch.testing.assert_close(rule(multi.eval(), random_windows())[0], rule(sequential, random_windows())[0])


def test_lrp_original_matches_its_definition():
    network, windows = randomize_all(MLP.build()), random_windows()
    inputs = windows.clone().requires_grad_()
    values = inputs
    for layer in network.features:
        output = layer(values)
        if not isinstance(layer, nn.Flatten):
            z = 0.25 + output
            stabilized = z + 1e-6 * torch.where(z < 0, -1.0, 1.0)
            output = z * (output / stabilized).detach()
        values = output
    values.sum().backward()
    relevance, _ = lrp_original(network, windows)
    torch.testing.assert_close(relevance, (inputs * inputs.grad).detach(), atol=1e-5, rtol=0)


def test_lrp_original_changes_sign_for_small_negative_logits():
    """For logits between -0.25 and 0 the rule of the last layer inverts all relevance."""
    network, windows = randomize_all(MLP.build()), random_windows(1)
    last = network.features[-1]
    relevances = []
    for logit in (-0.2, -0.3):
        with torch.no_grad():
            last.bias += logit - network(windows)
        relevances.append(lrp_original(network, windows)[0])
    assert torch.allclose(relevances[0] / (-0.2 / 0.05), relevances[1] / (-0.3 / -0.05), rtol=1e-3)


# The transformer


def test_attention_matches_slow_version():
    reference, network = randomize_all(ReferenceTransformer(SMALL)), SMALL.build().double().eval()
    network.load_state_dict(reference.state_dict())
    windows = random_windows()

    def cls_attention(level, rows):
        tokens = torch.cat([level.classification_token.expand(len(rows), -1, -1), level.input_embedding(rows)], dim=1)
        tokens = tokens + level.positional_encoder.pe[: tokens.shape[1], 0]
        layer = level.transformer_encoder.layers[0]
        normed = layer.norm1(tokens).transpose(0, 1)  # torch's layer has the batch in the middle
        maps = layer.self_attn(normed, normed, normed, need_weights=True)[1]  # the mean of the heads
        return maps[:, 0, 1:], layer(tokens.transpose(0, 1))[0]

    with torch.no_grad():
        joints, vectors = cls_attention(reference.feature_extractor, windows.flatten(0, 1))
        frames, _ = cls_attention(reference.feature_merger, vectors.unflatten(0, windows.shape[:2]))
        expected = joints.unflatten(0, windows.shape[:2]) * frames[..., None]
        values, logits, _ = METHODS["attention"].explain(network, windows, None, None)
        torch.testing.assert_close(values, expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(logits, reference(windows), atol=1e-9, rtol=0)
    result = explain_windows(network, windows, "attention")
    assert not result.signed
    assert result.unattributed.isnan().all()


@pytest.mark.parametrize("rule", ["attnlrp", "cp"])
def test_lrp_logits_match_the_network(rule):
    network, windows = randomize_all(SMALL.build()), random_windows()
    torch.testing.assert_close(lrp_logits(network, windows, rule), network(windows), atol=1e-9, rtol=0)


def test_cp_lrp_conserves_the_logit():
    network, windows = randomize_all(SMALL.build()), random_windows(1)
    inputs = windows.clone().requires_grad_()
    biases = [p for name, p in network.named_parameters() if name.endswith(("bias", "classification_token"))]
    receivers = [inputs, *biases]
    levels = (network.feature_extractor, network.feature_merger)
    positions = [level.positional_encoder.pe.requires_grad_() for level in levels]
    logit = lrp_logits(network, inputs, "cp")
    gradients = torch.autograd.grad(logit.sum(), receivers + positions, allow_unused=True)
    total = sum((t * g).sum() for t, g in zip(receivers + positions, gradients, strict=True) if g is not None)
    assert abs(logit.item()) > 0.01
    assert abs(total.item() - logit.item()) < 1e-3
    for position in positions:
        position.requires_grad_(False)
    result = explain_windows(network, windows, "lrp", rule="cp")
    own = sum((t * g).sum() for t, g in zip(receivers[1:] + positions, gradients[1:], strict=True) if g is not None)
    fraction = abs(own) / (abs(own) + abs(result.values.sum()))
    assert result.unattributed.item() == pytest.approx(fraction.item(), abs=1e-6)


def test_attnlrp_of_two_tokens_by_hand():
    """With one joint there are two tokens, CLS and the joint; weights are simple and all rules are written out."""
    network = TransformerArchitecture(2, 2, 1, 1, 1).build().double().eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
        for level in (network.feature_extractor, network.feature_merger):
            layer = level.transformer_encoder.layers[0]
            layer.norm1.weight.fill_(1.0)
            layer.norm2.weight.fill_(1.0)
            level.positional_encoder.pe.zero_()
            level.classification_token.copy_(torch.tensor([[[1.0, 0.0]]]))
            eye = torch.eye(2, dtype=torch.float64)
            layer.self_attn.in_proj_weight.copy_(torch.cat([eye, eye, eye]))
            layer.self_attn.out_proj.weight.copy_(eye)
        network.feature_extractor.input_embedding.weight.copy_(torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]))
        network.feature_merger.input_embedding.weight.copy_(torch.eye(2))
        first, _, last = network.classifier.downs
        first.weight.copy_(torch.eye(2))
        first.bias.fill_(10.0)  # so that ReLU is open
        last.weight.copy_(torch.tensor([[1.0, -3.0]]))
    x = torch.tensor([[[[0.5, 0.75, 9.0]]]], dtype=torch.float64)

    def level_by_hand(token, d_out):
        """Propagate the gradient of the CLS output to a token (2,); queries, keys and values are identities."""
        cls = torch.tensor([1.0, 0.0], dtype=torch.float64)
        tokens = torch.stack([cls, token])
        deviation = ((tokens - tokens.mean(1, keepdim=True)).square().mean(1) + 1e-5).sqrt()
        u = (tokens - tokens.mean(1, keepdim=True)) / deviation[:, None]
        scores = u @ u[0] / 2**0.5
        a = scores.exp() / scores.exp().sum()
        out = cls + a[0] * u[0] + a[1] * u[1]
        # Attention times value: half to each.
        d_u = d_out * a[1] / 2
        d_a = u @ d_out / 2
        d_score = a[1] * (d_a[1] - (a * d_a).sum())
        # Query times key: half to each.
        d_u = d_u + d_score * u[0] / 2**0.5 / 2
        # The mean is subtracted; the standard deviation is a constant.
        return (d_u - d_u.mean()) / deviation[1], out

    embedded = torch.tensor([0.5, 1.5], dtype=torch.float64)
    _, frame = level_by_hand(embedded, torch.zeros(2, dtype=torch.float64))
    d_frame, vector = level_by_hand(frame, torch.tensor([1.0, -3.0], dtype=torch.float64))
    d_embedded, _ = level_by_hand(embedded, d_frame)
    relevance, logits = lrp_transformer(network, x, "attnlrp")
    expected = torch.stack([0.5 * d_embedded[0], 0.75 * 2 * d_embedded[1], torch.zeros((), dtype=torch.float64)])
    torch.testing.assert_close(relevance[0, 0, 0], expected, atol=1e-9, rtol=0)
    assert logits.item() == pytest.approx((vector[0] + 10 - 3 * (vector[1] + 10)).item())
    assert expected.abs().min() < expected.abs().max()


# Gradients and occlusion


@pytest.mark.parametrize("architecture", [MLP, SMALL], ids=["mlp", "transformer"])
def test_gradient_input_matches_finite_differences(architecture):
    network, windows = randomize_all(architecture.build()), random_windows(1)
    values = explain_windows(network, windows, "gradient_input").values
    for frame, joint in ((0, 0), (3, 7), (5, 21)):
        slope = 0.0
        for axis in range(3):
            step = torch.zeros_like(windows)
            step[0, frame, joint, axis] = 1e-6
            with torch.no_grad():
                slope += (
                    (network(windows + step) - network(windows - step)).item()
                    / 2e-6
                    * windows[0, frame, joint, axis].item()
                )
        assert values[0, frame, joint].item() == pytest.approx(slope, abs=1e-6)


def test_lrp_epsilon_approaches_gradient_input_for_relu_networks():
    network, windows = randomize_all(MLP.build()), random_windows()
    lrp, gradient = (explain_windows(network, windows, name).values for name in ("lrp", "gradient_input"))
    torch.testing.assert_close(lrp, gradient, atol=1e-3, rtol=1e-3)


def slow_integrated_gradients(network, windows, baseline, steps=400):
    """Return the difference times the mean gradient at many equal steps."""
    total = torch.zeros_like(windows)
    for step in range(steps):
        point = (baseline + (windows - baseline) * (step + 0.5) / steps).requires_grad_()
        total += torch.autograd.grad(network(point).sum(), point)[0] / steps
    return (windows - baseline) * total


@pytest.mark.parametrize("scale", [0.2, 1.0, 4.0], ids=["near", "middle", "far"])
def test_integrated_gradients_of_the_transformer_match_slow_version_and_are_complete(scale):
    network, windows = randomize_all(SMALL.build()), scale * random_windows()
    baseline = random_windows(1, seed=1)[0]
    result = explain_windows(network, windows, "integrated_gradients", baseline=baseline)
    with torch.no_grad():
        difference = network(windows) - network(baseline[None])
    gap = (result.values.sum((1, 2)) - difference).abs()
    assert (gap <= TOLERANCE * difference.abs().clamp_min(1)).all()
    slow = slow_integrated_gradients(network, windows, baseline)
    missed = (result.axis_values - slow).abs().sum((1, 2, 3)) / slow.abs().sum((1, 2, 3))
    assert missed.max() < TOLERANCE


def test_integrated_gradients_take_more_nodes_only_where_they_are_needed(monkeypatch):
    network, baseline = randomize_all(SMALL.build()), random_windows(1, seed=1)[0]
    near, far = baseline + 0.02 * random_windows(2), 4 * random_windows(2)
    counts = list[int]()
    vectors = network.window_vectors

    def counting(windows):
        counts.append(len(windows))
        return vectors(windows)

    monkeypatch.setattr(network, "window_vectors", counting)
    explain_windows(network, near, "integrated_gradients", baseline=baseline)
    assert counts == [1 + 2, 2 * NODES[0]]
    counts.clear()
    explain_windows(network, torch.cat([near, far]), "integrated_gradients", baseline=baseline)
    assert counts[:2] == [1 + 4, 4 * NODES[0]]
    assert 0 < sum(counts[2:]) <= 2 * sum(NODES[1:])


def test_integrated_gradients_of_the_mlp_match_captum():
    network, windows, baseline = randomize_all(MLP.build()), random_windows(70), random_windows(1, seed=1)[0]
    found = explain_windows(network, windows, "integrated_gradients", baseline=baseline)
    expected = captum.attr.IntegratedGradients(network).attribute(windows, baseline.expand_as(windows), n_steps=STEPS)
    torch.testing.assert_close(found.axis_values, expected, atol=1e-6, rtol=0)


def test_explain_windows_with_one_baseline_per_window():
    network, windows, baselines = randomize_all(MLP.build()), random_windows(), random_windows(seed=1)
    for name in ("integrated_gradients", "occlusion"):
        together = explain_windows(network, windows, name, baseline=baselines).values
        single = explain_windows(network, windows[1:2], name, baseline=baselines[1]).values
        torch.testing.assert_close(together[1:2], single, atol=1e-6, rtol=0)


def test_occlusion_matches_slow_version():
    network, windows = randomize_all(MLPArchitecture("multi_mlp", 10, (16,), (12,)).build()), random_windows(2, 10)
    baseline = random_windows(1, 10, seed=1)[0]
    result = explain_windows(network, windows, "occlusion", baseline=baseline)
    expected = torch.zeros(2, 10, 22, dtype=torch.float64)
    with torch.no_grad():
        for first, end in ((0, 8), (8, 10)):
            for joint in range(22):
                without = windows.clone()
                without[:, first:end, joint] = baseline[first:end, joint]
                expected[:, first:end, joint] = ((network(windows) - network(without)) / (end - first))[:, None]
    torch.testing.assert_close(result.values, expected, atol=1e-6, rtol=0)


# All methods


@pytest.mark.parametrize("architecture", [MLP, SMALL], ids=["mlp", "transformer"])
def test_explain_windows_with_every_method(architecture):
    network, windows = architecture.build().eval(), random_windows().float()
    names = supported_methods(network)
    assert names[0] == "integrated_gradients"
    assert supported_methods(network, with_baseline=False)[0] == "lrp"
    assert set(names) - set(supported_methods(network, with_baseline=False)) == {"integrated_gradients", "occlusion"}
    assert ("attention" in names) == (architecture is SMALL)
    for name in names:
        result = explain_windows(network, windows, name, baseline=torch.zeros(6, 22, 3))
        assert result.values.shape == (3, 6, 22)
        assert result.method == name
        assert result.target == "logit of sick"
        assert result.signed == METHODS[name].signed
        assert not result.values.requires_grad
        torch.testing.assert_close(result.logits, network(windows).detach(), atol=1e-5, rtol=0)
        assert result.signed == (result.unattributed >= 0).all()


def test_unattributed_fraction():
    values = torch.tensor([[[1.0, 1.0]], [[2.0, -3.0]], [[4.0, 0.0]]])
    fractions = unattributed_fraction(values, torch.tensor([2.0, 1.0, 8.0]))
    torch.testing.assert_close(fractions, torch.tensor([0.0, 2 / 3, 0.5]))


@pytest.mark.parametrize(
    ("architecture", "arguments", "line"),
    [
        (MLP, {"method": "attention"}, "attention: does not explain this network; there are integrated_gradients, lrp"),
        (MLP, {"method": "guessing"}, "guessing: unknown; there are integrated_gradients, lrp"),
        (MLP, {"method": "lrp", "rule": "cp"}, "for the MLP, --method lrp has epsilon, original"),
        (SMALL, {"method": "lrp", "rule": "original"}, "for the transformer, --method lrp has attnlrp, cp"),
        (SMALL, {"method": "attention", "rule": "cp"}, "--method attention has none"),
        (SMALL, {"method": "occlusion"}, "a state dict without metadata lacks"),
    ],
)
def test_explain_windows_raises_for_invalid_arguments(architecture, arguments, line):
    with pytest.raises(GaitError, match=line):
        explain_windows(architecture.build().eval(), random_windows().float(), **arguments)


def test_captum_attr_raises_if_captum_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(GaitError, match=r"occlusion needs captum.*pip install 'gait-suite\[explain\]'"):
        explain_windows(MLP.build().eval(), random_windows().float(), "occlusion", baseline=torch.zeros(6, 22, 3))
