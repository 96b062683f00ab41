"""Every method against a slow and obvious version of what it is said to be."""

import sys

import captum.attr
import pytest
import torch
from captum.attr._utils.lrp_rules import EpsilonRule, IdentityRule
from torch import nn

from gait.errors import GaitError
from gait.explaining.attention import attention
from gait.explaining.lrp_mlp import lrp_epsilon, lrp_published
from gait.explaining.lrp_transformer import RULES, logit_with_rules, lrp_transformer
from gait.explaining.methods import METHODS, absorbed_share, default_method, explain_windows, methods_of
from gait.learning.architecture import MLPArchitecture, TransformerArchitecture
from gait.learning.reference_transformer import PublishedTransformer

MLP = MLPArchitecture("sequential_mlp", 6, (16, 8), (12, 5))
SMALL = TransformerArchitecture(6, 10, 3, 5, 33)


def shaken(network, seed=0):
    """Every weight random, biases and norms too, as those of a trained network are; in double precision."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            noise = torch.randn(weight.shape, generator=generator)
            weight.copy_(0.3 * noise if weight.ndim == 1 else 2 * noise / weight.shape[-1] ** 0.5)
    return network.double().eval()


def windows(count=3, length=6, joints=22, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(count, length, joints, 3, generator=generator, dtype=torch.float64) - 1


# The MLP


def slow_lrp(network, window, epsilon):
    """The ε-rule, neuron by neuron, of one window (L, J, 3)."""
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
def test_lrp_of_the_mlp_equals_a_slow_version(epsilon):
    network, some = shaken(MLP.build()), windows()
    with torch.no_grad():
        expected = torch.stack([slow_lrp(network, window, epsilon) for window in some])
        logits = network(some)
    relevance, found = lrp_epsilon(network, some, epsilon)
    torch.testing.assert_close(relevance, expected, atol=1e-9, rtol=1e-6)
    torch.testing.assert_close(found, logits)


class WithoutFlatten(nn.Module):
    """The same network, reshaping between its layers, as captum's rules keep a layer's shape."""

    def __init__(self, network):
        super().__init__()
        layers = list(network.features)
        middle = [place for place, layer in enumerate(layers) if isinstance(layer, nn.Flatten)][1]
        self.pose, self.classifier = nn.Sequential(*layers[1:middle]), nn.Sequential(*layers[middle + 1 :])

    def forward(self, some):
        return self.classifier(self.pose(some.flatten(2)).flatten(1))


@pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients")
def test_lrp_of_the_mlp_equals_captums():
    network, some = shaken(MLP.build()), windows()
    for layer in network.features:
        # Captum has no rule of its own for the first activation; relevance passes through all of them as it is.
        layer.rule = EpsilonRule(1e-6) if isinstance(layer, nn.Linear) else IdentityRule()
    expected = captum.attr.LRP(WithoutFlatten(network)).attribute(some.clone(), target=0)
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(lrp_epsilon(network, some, 1e-6)[0], expected.detach(), atol=1e-5, rtol=0)


def test_without_biases_relevance_sums_to_the_logit():
    network, some = shaken(MLP.build()), windows()
    with torch.no_grad():
        for layer in network.features:
            if isinstance(layer, nn.Linear):
                layer.bias.zero_()
    said = explain_windows(network, some, "lrp")
    assert said.logits.abs().min() > 0.01
    torch.testing.assert_close(said.values.sum((1, 2)), said.logits, atol=1e-3, rtol=0)
    assert said.absorbed.max() < 1e-3


def test_both_forms_of_the_mlp_are_explained_alike():
    sequential = shaken(MLP.build())
    multi = MLPArchitecture("multi_mlp", 6, (16, 8), (12, 5)).build().double()
    weights = [value for _, value in sequential.state_dict().items()]
    multi.load_state_dict(dict(zip(multi.state_dict(), weights, strict=True)))
    for rule in (lrp_epsilon, lrp_published):
        torch.testing.assert_close(rule(multi.eval(), windows())[0], rule(sequential, windows())[0])


def test_the_published_lrp_equals_its_description():
    network, some = shaken(MLP.build()), windows()
    inputs = some.clone().requires_grad_()
    values = inputs
    for layer in network.features:
        output = layer(values)
        if not isinstance(layer, nn.Flatten):
            z = 0.25 + output
            stabilised = z + 1e-6 * torch.where(z < 0, -1.0, 1.0)
            output = z * (output / stabilised).detach()
        values = output
    values.sum().backward()
    relevance, _ = lrp_published(network, some)
    torch.testing.assert_close(relevance, (inputs * inputs.grad).detach(), atol=1e-5, rtol=0)


def test_the_published_lrp_turns_around_where_it_is_said_to():
    """For logits between -0.25 and 0 its last step changes the sign of everything."""
    network, some = shaken(MLP.build()), windows(1)
    last = network.features[-1]
    relevances = []
    for logit in (-0.2, -0.3):
        with torch.no_grad():
            last.bias += logit - network(some)
        relevances.append(lrp_published(network, some)[0])
    assert torch.allclose(relevances[0] / (-0.2 / 0.05), relevances[1] / (-0.3 / -0.05), rtol=1e-3)


# The transformer


def test_attention_equals_a_slow_version():
    published, ours = shaken(PublishedTransformer(SMALL)), SMALL.build().double().eval()
    ours.load_state_dict(published.state_dict())
    some = windows()

    def looked_at(level, rows):
        tokens = torch.cat([level.classification_token.expand(len(rows), -1, -1), level.input_embedding(rows)], dim=1)
        tokens = tokens + level.positional_encoder.pe[: tokens.shape[1], 0]
        layer = level.transformer_encoder.layers[0]
        normed = layer.norm1(tokens).transpose(0, 1)  # torch's layer has the batch in the middle
        maps = layer.self_attn(normed, normed, normed, need_weights=True)[1]  # the mean of the heads
        return maps[:, 0, 1:], layer(tokens.transpose(0, 1))[0]

    with torch.no_grad():
        joints, vectors = looked_at(published.feature_extractor, some.flatten(0, 1))
        frames, _ = looked_at(published.feature_merger, vectors.unflatten(0, some.shape[:2]))
        expected = joints.unflatten(0, some.shape[:2]) * frames[..., None]
        values, logits = attention(ours, some)
        torch.testing.assert_close(values, expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(logits, published(some), atol=1e-9, rtol=0)
    said = explain_windows(ours, some, "attention")
    assert not said.signed
    assert said.absorbed.isnan().all()


@pytest.mark.parametrize("rule", RULES)
def test_the_rules_leave_the_logit_alone(rule):
    network, some = shaken(SMALL.build()), windows()
    torch.testing.assert_close(logit_with_rules(network, some, rule), network(some), atol=1e-9, rtol=0)


def test_cp_lrp_gives_all_of_the_logit_to_inputs_tokens_and_biases():
    network, some = shaken(SMALL.build()), windows(1)
    inputs = some.clone().requires_grad_()
    biases = [p for name, p in network.named_parameters() if name.endswith(("bias", "classification_token"))]
    takers = [inputs, *biases]
    levels = (network.feature_extractor, network.feature_merger)
    positions = [level.positional_encoder.pe.requires_grad_() for level in levels]
    logit = logit_with_rules(network, inputs, "cp")
    gradients = torch.autograd.grad(logit.sum(), takers + positions, allow_unused=True)
    total = sum((t * g).sum() for t, g in zip(takers + positions, gradients, strict=True) if g is not None)
    assert abs(logit.item()) > 0.01
    assert abs(total.item() - logit.item()) < 1e-3
    for position in positions:
        position.requires_grad_(False)
    said = explain_windows(network, some, "lrp", rule="cp")
    own = sum((t * g).sum() for t, g in zip(takers[1:] + positions, gradients[1:], strict=True) if g is not None)
    share = abs(own) / (abs(own) + abs(said.values.sum()))
    assert said.absorbed.item() == pytest.approx(share.item(), abs=1e-6)


def test_attnlrp_of_two_tokens_by_hand():
    """One joint, so two tokens, CLS and the joint; every weight a small number, every rule written out by hand."""
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
        """The gradient of a token (2,) from that of CLS's output: keys, queries, values as they are, nothing after."""
        cls = torch.tensor([1.0, 0.0], dtype=torch.float64)
        tokens = torch.stack([cls, token])
        deviation = ((tokens - tokens.mean(1, keepdim=True)).square().mean(1) + 1e-5).sqrt()
        u = (tokens - tokens.mean(1, keepdim=True)) / deviation[:, None]
        scores = u @ u[0] / 2**0.5
        a = scores.exp() / scores.exp().sum()
        out = cls + a[0] * u[0] + a[1] * u[1]
        # Attention times value: each gets half.
        d_u = d_out * a[1] / 2
        d_a = u @ d_out / 2
        d_score = a[1] * (d_a[1] - (a * d_a).sum())
        # Query times key: each gets half.
        d_u = d_u + d_score * u[0] / 2**0.5 / 2
        # The mean goes, the deviation is a constant.
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
def test_gradient_input_equals_finite_differences(architecture):
    network, some = shaken(architecture.build()), windows(1)
    values = explain_windows(network, some, "gradient_input").values
    for frame, joint in ((0, 0), (3, 7), (5, 21)):
        slope = 0.0
        for axis in range(3):
            step = torch.zeros_like(some)
            step[0, frame, joint, axis] = 1e-6
            with torch.no_grad():
                slope += (
                    (network(some + step) - network(some - step)).item() / 2e-6 * some[0, frame, joint, axis].item()
                )
        assert values[0, frame, joint].item() == pytest.approx(slope, abs=1e-6)


def test_lrp_with_a_tiny_epsilon_is_gradient_input_where_there_is_only_relu():
    network, some = shaken(MLP.build()), windows()
    lrp, gradient = (explain_windows(network, some, name).values for name in ("lrp", "gradient_input"))
    torch.testing.assert_close(lrp, gradient, atol=1e-3, rtol=1e-3)


def test_integrated_gradients_equal_a_slow_path_and_sum_to_the_difference():
    network, some = shaken(SMALL.build()), windows()
    baseline = windows(1, seed=1)[0]
    said = explain_windows(network, some, "integrated_gradients", baseline=baseline)
    with torch.no_grad():
        difference = network(some) - network(baseline[None])
    torch.testing.assert_close(said.values.sum((1, 2)), difference, atol=2e-2, rtol=0)
    total, steps = torch.zeros_like(some), 400
    for step in range(steps):
        point = (baseline + (some - baseline) * (step + 0.5) / steps).requires_grad_()
        total += torch.autograd.grad(network(point).sum(), point)[0] / steps
    torch.testing.assert_close(said.values, ((some - baseline) * total).sum(-1), atol=1e-2, rtol=0)


def test_a_baseline_for_each_window_is_that_windows_own():
    network, some, baselines = shaken(MLP.build()), windows(), windows(seed=1)
    for name in ("integrated_gradients", "occlusion"):
        together = explain_windows(network, some, name, baseline=baselines).values
        single = explain_windows(network, some[1:2], name, baseline=baselines[1]).values
        torch.testing.assert_close(together[1:2], single, atol=1e-6, rtol=0)


def test_occlusion_equals_a_slow_version():
    network, some = shaken(MLPArchitecture("multi_mlp", 10, (16,), (12,)).build()), windows(2, 10)
    baseline = windows(1, 10, seed=1)[0]
    said = explain_windows(network, some, "occlusion", baseline=baseline)
    expected = torch.zeros(2, 10, 22, dtype=torch.float64)
    with torch.no_grad():
        for first, end in ((0, 8), (8, 10)):
            for joint in range(22):
                without = some.clone()
                without[:, first:end, joint] = baseline[first:end, joint]
                expected[:, first:end, joint] = ((network(some) - network(without)) / (end - first))[:, None]
    torch.testing.assert_close(said.values, expected, atol=1e-6, rtol=0)


# All of them


@pytest.mark.parametrize("architecture", [MLP, SMALL], ids=["mlp", "transformer"])
def test_every_method_says_what_it_is(architecture):
    network, some = architecture.build().eval(), windows().float()
    names = methods_of(network)
    assert names[0] == default_method(network) == "integrated_gradients"
    assert methods_of(network, with_baseline=False)[0] == "lrp"
    assert set(names) - set(methods_of(network, with_baseline=False)) == {"integrated_gradients", "occlusion"}
    assert ("attention" in names) == (architecture is SMALL)
    for name in names:
        said = explain_windows(network, some, name, baseline=torch.zeros(6, 22, 3))
        assert said.values.shape == (3, 6, 22)
        assert said.method == name
        assert said.target == "logit of sick"
        assert said.signed == METHODS[name].signed
        assert not said.values.requires_grad
        torch.testing.assert_close(said.logits, network(some).detach(), atol=1e-5, rtol=0)
        assert said.signed == (said.absorbed >= 0).all()


def test_the_absorbed_share_is_what_the_values_lack():
    values = torch.tensor([[[1.0, 1.0]], [[2.0, -3.0]], [[4.0, 0.0]]])
    shares = absorbed_share(values, torch.tensor([2.0, 1.0, 8.0]))
    torch.testing.assert_close(shares, torch.tensor([0.0, 2 / 3, 0.5]))


@pytest.mark.parametrize(
    ("architecture", "asked", "line"),
    [
        (MLP, {"method": "attention"}, "attention explains transformers alone"),
        (MLP, {"method": "guessing"}, "guessing: unknown; there are lrp, gradient_input"),
        (MLP, {"method": "lrp", "rule": "cp"}, "for the MLP there are epsilon, published"),
        (SMALL, {"method": "lrp", "rule": "published"}, "for the transformer there are attnlrp, cp"),
        (SMALL, {"method": "attention", "rule": "cp"}, "--lrp_rule cp is for --method lrp"),
        (SMALL, {"method": "occlusion"}, "mean window, which bare weights do not hold"),
    ],
)
def test_what_makes_no_sense_is_a_plain_line(architecture, asked, line):
    with pytest.raises(GaitError, match=line):
        explain_windows(architecture.build().eval(), windows().float(), **asked)


def test_without_captum_a_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(GaitError, match=r"occlusion needs captum.*pip install 'gait-suite\[explain\]'"):
        explain_windows(MLP.build().eval(), windows().float(), "occlusion", baseline=torch.zeros(6, 22, 3))
