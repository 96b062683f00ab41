"""The networks against slow and obvious versions: of the transformer, torch's own layer for every token."""

import itertools

import pytest
import scipy.stats
import torch

from gait.errors import GaitError
from gait.learning import feed_forward as feed_forward_module
from gait.learning import parallel_rows as row_parts
from gait.learning.architecture import (
    MLPArchitecture,
    TransformerArchitecture,
    architecture_from_dict,
    architecture_of,
)
from gait.learning.dropout import kept
from gait.learning.feed_forward import feed_forward
from gait.learning.mlp import multi_weights, sequential_weights
from gait.learning.reference_transformer import PublishedTransformer
from gait.learning.transformer import GaitTransformer, TokenEncoder

README = TransformerArchitecture(64, 32, 2, 4)
SIZES = [TransformerArchitecture(), README, TransformerArchitecture(6, 10, 3, 5, 33)]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def shaken(network, seed=0):
    """Every weight random, biases and norms too, as those of a trained network are."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            noise = torch.randn(weight.shape, generator=generator)
            weight += 0.1 * noise if weight.ndim == 1 else noise / weight.shape[-1] ** 0.5
    return network


def windows(count, length, joints=22, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(count, length, joints, 3, generator=generator, dtype=dtype) - 1


@pytest.mark.parametrize("architecture", SIZES, ids=str)
@pytest.mark.parametrize(("length", "joints"), [(8, 22), (5, 22), (3, 7), (1, 1)])
def test_transformer_equals_the_published_definition(architecture, length, joints):
    published = shaken(PublishedTransformer(architecture)).eval()
    ours = architecture.build().eval()
    assert set(ours.state_dict()) == set(published.state_dict())
    torch.testing.assert_close(
        ours.feature_merger.positional_encoder.pe, published.feature_merger.positional_encoder.pe, atol=1e-3, rtol=0
    )
    ours.load_state_dict(published.state_dict())
    some = windows(3, length, joints)
    torch.testing.assert_close(ours(some), published(some), atol=1e-5, rtol=0)
    exactly, doubled = published.double()(some.double()), ours.double()(some.double())
    torch.testing.assert_close(doubled, exactly, atol=1e-9, rtol=0)


def test_permuting_joints_together_with_their_ids_changes_nothing():
    network = shaken(README.build()).double().eval()
    some = windows(2, 4, dtype=torch.float64)
    order = torch.randperm(22, generator=torch.Generator().manual_seed(1))
    expected = network(some)
    torch.testing.assert_close(network(some[:, :, order], joint_ids=order), expected, atol=1e-12, rtol=0)
    assert (network(some[:, :, order]) - expected).abs().min() > 1e-6


@pytest.mark.parametrize("piece", [1 << 20, 100], ids=["one piece", "pieces, the last one short"])
def test_gradients_equal_those_of_the_published_definition(monkeypatch, piece):
    monkeypatch.setattr(feed_forward_module, "_PIECE", piece)
    architecture = TransformerArchitecture(6, 10, 3, 5, 33, dropout=0)
    published, ours = shaken(PublishedTransformer(architecture)).double(), architecture.build().double()
    ours.load_state_dict(published.state_dict())
    some, same = (windows(4, 5, 7, dtype=torch.float64).requires_grad_() for _ in range(2))
    worth = torch.randn(4, dtype=torch.float64)
    (ours(some) @ worth).backward()
    (published(same) @ worth).backward()
    torch.testing.assert_close(some.grad, same.grad, atol=1e-12, rtol=1e-9)
    theirs = dict(published.named_parameters())
    for name, weight in ours.named_parameters():
        torch.testing.assert_close(weight.grad, theirs[name].grad, atol=1e-12, rtol=1e-9, msg=name)

    for weight in ours.parameters():  # as an explanation wants it
        weight.requires_grad_(False)
    again = some.detach().clone().requires_grad_()
    (ours(again) @ worth).backward()
    torch.testing.assert_close(again.grad, some.grad, atol=1e-12, rtol=1e-9)


def test_joints_may_be_some_of_the_ids():
    network = shaken(README.build()).double().eval()
    some = windows(2, 4, dtype=torch.float64)
    ids = torch.tensor([3, 0, 21])
    rows = some[:, :, ids].flatten(0, 1)
    plain = TokenEncoder.attended(network.feature_extractor, rows, ids + 1)
    folded = network.feature_extractor.attended(rows, ids + 1)
    torch.testing.assert_close(folded, plain, atol=1e-12, rtol=0)
    assert network(some[:, :, ids], joint_ids=ids).shape == (2,)


def test_attention_is_torchs_own():
    network, some = shaken(README.build()).eval(), windows(2, 4)
    logits, maps = network.with_attention(some)
    torch.testing.assert_close(logits, network(some))

    def of_torch(level, rows):
        layer, tokens = level.transformer_encoder.layers[0], level.tokens(rows, torch.arange(rows.shape[1]) + 1)
        normed = layer.norm1(tokens)
        weights = layer.self_attn(normed, normed, normed, need_weights=True, average_attn_weights=False)[1]
        return weights[:, :, 0]

    rows = some.flatten(0, 1)
    assert maps.joints.shape == (2, 4, 2, 23)
    torch.testing.assert_close(maps.joints.flatten(0, 1), of_torch(network.feature_extractor, rows))
    frames = network.feature_extractor(rows, torch.arange(22) + 1).unflatten(0, (2, 4))
    assert maps.frames.shape == (2, 4, 5)
    torch.testing.assert_close(maps.frames, of_torch(network.feature_merger, frames))


@pytest.mark.parametrize("dim", [2, 4, 64])  # two numbers less their mean are one, which may well be zero
@pytest.mark.parametrize("metres", [1e-3, 1, 100])
def test_joints_are_as_exact_without_their_tokens_as_with_them(dim, metres):
    level = shaken(TransformerArchitecture(dim, 4, 2, 2, 8).build()).eval().feature_extractor
    rows, positions = metres * windows(40, 20).flatten(0, 1), torch.arange(22) + 1
    exact = TokenEncoder.attended(level.double(), rows.double(), positions)[0]
    folded, plain = (
        attend(level.float(), rows, positions)[0] for attend in (type(level).attended, TokenEncoder.attended)
    )
    error, usual = ((found - exact).abs().max() for found in (folded, plain))
    assert error <= 4 * usual + 1e-6


# --- dropout ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.1, 0.5, 1 / 256, 0.0001, 0.9, 0.999])
def test_every_element_is_dropped_with_just_that_probability(share):
    count = 1 << 22
    mask = kept((count,), share).double()
    assert set(mask.unique().tolist()) == {0, 1}
    five_deviations = 5 * (share * (1 - share) / count) ** 0.5
    assert 1 - mask.mean() == pytest.approx(share, abs=five_deviations)
    for apart in (1, 2, 3, 7, 8, 64, 4096):  # neighbours know nothing of each other
        both = (1 - mask[apart:]) @ (1 - mask[:-apart]) / (count - apart)
        assert both == pytest.approx(share**2, abs=5 * share / count**0.5 + five_deviations * share)


def test_masks_come_from_torchs_seed():
    first, second = kept((3, 50), 0.1), kept((3, 50), 0.1)
    assert not torch.equal(first, second)
    torch.manual_seed(0)
    assert torch.equal(kept((3, 50), 0.1), first)
    network, some = README.build().train(), windows(2, 4)
    state = torch.get_rng_state()
    logits = network(some)
    assert not torch.equal(network(some), logits)
    torch.set_rng_state(state)
    assert torch.equal(network(some), logits)


def test_feed_forward_drops_hidden_values_and_goes_back_the_same_way(monkeypatch):
    monkeypatch.setattr(feed_forward_module, "_PIECE", 20)
    shapes = [(7, 3), (5, 3), (5,), (4, 5), (4,)]
    parts = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]

    def seeded_feed_forward(*parts):
        torch.manual_seed(3)
        return feed_forward(*parts, 0.4)

    assert torch.autograd.gradcheck(seeded_feed_forward, parts)
    row, w1, b1, w2, b2 = (part.detach() for part in parts)
    count = 200_000
    monkeypatch.setattr(feed_forward_module, "_PIECE", count)
    out = feed_forward(row[:1].expand(count, -1), w1, b1, w2, b2, 0.4)
    hidden = torch.nn.functional.gelu(row[:1] @ w1.t() + b1)[0]
    variance = (w2 * hidden).square().sum(1) * 0.4 / 0.6
    assert ((out.mean(0) - (w2 @ hidden + b2)).abs() < 5 * (variance / count).sqrt()).all()
    torch.testing.assert_close(out.var(0), variance, rtol=0.03, atol=0)


@pytest.mark.parametrize("name", ["feature_extractor", "feature_merger"])
def test_attention_drops_keys_with_their_values_and_biases(name):
    """A sum of independent terms, each kept with probability 0.7 and then enlarged: mean and variance are known."""
    level = shaken(TransformerArchitecture(8, 6, 2, 3, 16, dropout=0.3).build()).get_submodule(name).double().train()
    row, positions, count = torch.randn(1, 5, level.input_embedding.in_features).double(), torch.arange(5) + 1, 50_000
    attended, attention = level.attended(row.expand(count, -1, -1), positions)
    layer = level.transformer_encoder.layers[0]
    normed = layer.norm1(level.tokens(row, positions))[0]
    w_value, b_value = layer.self_attn.in_proj_weight.chunk(3)[2], layer.self_attn.in_proj_bias.chunk(3)[2]
    w_out = layer.self_attn.out_proj.weight
    terms = torch.stack(
        [
            attention[0, head, key] * w_out[:, part] @ (w_value[part] @ normed[key] + b_value[part])
            for head, part in enumerate(torch.arange(len(w_out)).chunk(level.heads))
            for key in range(6)
        ]
    )
    variance = terms.square().sum(0) * 0.3 / 0.7
    expected = terms.sum(0) + layer.self_attn.out_proj.bias
    assert ((attended.mean(0) - expected).abs() < 5 * (variance / count).sqrt()).all()
    torch.testing.assert_close(attended.var(0), variance, rtol=0.06, atol=0)


def test_elsewhere_than_on_a_cpu_the_same_is_computed_by_torchs_own_functions():
    parts = [torch.randn(shape, dtype=torch.float64) for shape in [(7, 3), (5, 3), (5,), (4, 5), (4,)]]
    torch.testing.assert_close(feed_forward_module._stored(*parts, 0.0), feed_forward(*parts))
    network = README.build().to("meta").train()  # no numbers, but all shapes and devices
    assert network(windows(2, 4).to("meta")).shape == (2,)


def test_dropout_in_training_is_distributed_as_in_the_published_definition():
    architecture = TransformerArchitecture(8, 6, 2, 3, 16, dropout=0.3)
    published, ours = shaken(PublishedTransformer(architecture)).train(), architecture.build().train()
    ours.load_state_dict(published.state_dict())
    same = windows(1, 3, 5).expand(30_000, -1, -1, -1)  # each row draws for itself
    with torch.no_grad():
        found, expected = ours(same), published(same)
    assert scipy.stats.ks_2samp(found.numpy(), expected.numpy()).pvalue > 1e-3
    still = ours.eval()(same[:1])
    assert expected.std() > 20 * (found.mean() - expected.mean()).abs()
    assert (found - still).abs().min() > 0


# --- some frames for all ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["feature_extractor", "feature_merger"])
def test_a_token_that_stands_for_three_is_attended_to_as_three_are(name):
    level = shaken(TransformerArchitecture(8, 6, 2, 3, 16).build()).get_submodule(name).double().eval()
    rows = torch.randn(4, 3, level.input_embedding.in_features).double()
    positions, counts = torch.tensor([2, 5, 9]), torch.tensor([3, 1, 2])
    thrice = level(rows.repeat_interleave(counts, dim=1), positions.repeat_interleave(counts))
    torch.testing.assert_close(level(rows, positions, counts), thrice, atol=1e-12, rtol=0)
    assert (level(rows, positions) - thrice).abs().min() > 1e-6


def test_frames_drawn_in_training_stand_for_those_that_are_like_them():
    """Of frames that are the same four by four, the last ones two by two, one of each says as much as all."""
    network = shaken(TransformerArchitecture(6, 10, 3, 5, 33, dropout=0, one_frame_in=4).build()).double()
    counts = torch.tensor([4, 4, 4, 2])
    some = windows(5, len(counts), 7, dtype=torch.float64).repeat_interleave(counts, dim=1)
    network.feature_merger.positional_encoder.pe[:] = 0.3  # which else tells them apart
    torch.testing.assert_close(network.train()(some), network.eval()(some), atol=1e-12, rtol=0)


def test_each_frame_is_looked_at_as_often_as_its_neighbours_and_knows_its_place():
    network = shaken(TransformerArchitecture(6, 10, 3, 5, 33, dropout=0, one_frame_in=3).build()).double()
    some = windows(2, 8, 7, dtype=torch.float64)
    extractor, merger = network.feature_extractor, network.feature_merger
    frames = extractor(some.flatten(0, 1), torch.arange(7) + 1).unflatten(0, (2, 8))
    possible = {}
    for places in itertools.product((0, 1, 2), (3, 4, 5), (6, 7)):
        chosen = torch.tensor(places)
        said = network.classifier(merger(frames[:, chosen], chosen + 1, torch.tensor([3, 3, 2])))
        possible[places] = said.detach()
    seen = dict.fromkeys(possible, 0)
    draws = 900
    with torch.no_grad():
        for _ in range(draws):
            said = network.train()(some)
            seen[min(possible, key=lambda places: float((possible[places] - said).abs().max()))] += 1
            assert min(float((said - one).abs().max()) for one in possible.values()) < 1e-12
    assert scipy.stats.chisquare(list(seen.values())).pvalue > 1e-3
    torch.testing.assert_close(network.eval()(some), network.classifier(merger(frames, torch.arange(8) + 1)))


# --- threads ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def three_threads(monkeypatch):
    monkeypatch.setattr(row_parts, "_FEWEST_ROWS", 1)
    monkeypatch.setattr(row_parts, "_FEWEST_NUMBERS", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    assert torch.get_num_threads() == 3
    torch.set_num_threads(before)


def logits_and_gradients(network, some, worth):
    some = some.clone().requires_grad_()
    network.zero_grad()
    logits = network(some)
    (logits @ worth).backward()
    return [logits.detach(), some.grad, *(weight.grad for weight in network.parameters())]


def test_rows_in_threads_give_what_they_give_together(three_threads):
    network, some = shaken(TransformerArchitecture(6, 10, 3, 5, 33, dropout=0).build()).double(), windows(4, 5, 7)
    worth = torch.randn(4, dtype=torch.float64)
    apart = logits_and_gradients(network, some.double(), worth)
    torch.set_num_threads(1)
    together = logits_and_gradients(network, some.double(), worth)
    torch.set_num_threads(3)
    torch.testing.assert_close(apart, together, atol=1e-12, rtol=1e-9)
    with torch.no_grad():
        torch.testing.assert_close(network(some.double()), together[0])
    for name, weight in network.named_parameters():
        weight.requires_grad_("norm" in name)
    some = some.double().requires_grad_()
    first, again = (torch.autograd.grad(network(some) @ worth, some)[0] for _ in range(2))
    torch.testing.assert_close(first, together[1], atol=1e-12, rtol=1e-9)
    assert torch.equal(first, again)


def test_dropout_in_threads_comes_from_the_seed_and_differs_between_them(three_threads):
    network, some = README.build().train(), windows(1, 4).expand(6, -1, -1, -1)
    torch.manual_seed(5)
    logits = network(some)
    assert len(set(logits.tolist())) == 6
    assert not torch.equal(network(some), logits)
    torch.manual_seed(5)
    assert torch.equal(network(some), logits)


@pytest.mark.parametrize(("count", "length"), [(64, 64), (3, 5)])
def test_any_number_of_threads_gives_the_same_bits(count, length):
    network, some, before = README.build().train(), windows(count, length), torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            torch.manual_seed(3)
            found.append(logits_and_gradients(network, some, torch.linspace(-1, 1, count)))
            found[-1] = [values.clone() for values in found[-1]]
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))
    rows = some.flatten(0, 1)
    assert count < 64 or min(len(rows), rows.numel() // row_parts._FEWEST_NUMBERS) >= 3  # it has been cut


def test_an_error_in_a_thread_is_the_callers(three_threads):
    def fails(rows, generator):
        raise ValueError("in a thread")

    with pytest.raises(ValueError, match="in a thread"):
        row_parts.in_row_parts(fails, torch.ones(9, 2), ())


# --- perceptrons -----------------------------------------------------------------------------------------------------


def slow_mlp(weights, pose, classifier, window):
    """One window's logit, frame by frame, from (weight, bias) pairs."""

    def row(values, layers):
        for place, (weight, bias) in enumerate(layers):
            values = weight @ values + bias
            values = torch.where(values > 0, values, values * (0 if place else 0.01))
        return values

    frames = [row(frame.flatten(), pose) for frame in window]
    weight, bias = weights
    return weight @ row(torch.cat(frames), classifier) + bias


def test_both_mlps_equal_the_slow_one_and_each_other():
    architecture = MLPArchitecture("multi_mlp", 5, (7, 6, 4), (9, 8))
    multi = shaken(architecture.build(), 1).double()
    state = multi.state_dict()
    pairs = [(state[f"{name}.weight"], state[f"{name}.bias"]) for name in (k[:-7] for k in state if "weight" in k)]
    some = windows(3, 5, dtype=torch.float64)
    expected = torch.cat([slow_mlp(pairs[-1], pairs[:3], pairs[3:5], window) for window in some])
    torch.testing.assert_close(multi(some), expected)
    sequential = MLPArchitecture("sequential_mlp", 5, (7, 6, 4), (9, 8)).build().double()
    assert list(sequential_weights(state)) == list(sequential.state_dict())
    sequential.load_state_dict(sequential_weights(state))
    torch.testing.assert_close(sequential(some), expected)
    assert list(multi_weights(sequential.state_dict())) == list(state)


def test_architectures_come_back_from_plain_data_and_from_weights():
    for architecture in (
        TransformerArchitecture(64, 32, 2, 4, 100),
        MLPArchitecture("multi_mlp", 64, (16, 32), (32, 16, 8)),
        MLPArchitecture("sequential_mlp", 3, (16,), (5,), 7),
    ):
        assert architecture_from_dict(architecture.as_dict()) == architecture
        weights = architecture.build().state_dict()
        assert architecture_of(weights, pose_heads=2, classifier_heads=4) == architecture


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: TransformerArchitecture(pose_dim=64, pose_heads=3), "--pfe_head 3 does not divide --pfe_dim 64"),
        (lambda: TransformerArchitecture(classifier_heads=0), "--fc_head 0"),
        (lambda: TransformerArchitecture(pose_dim=7), "--pfe_dim 7"),
        (lambda: TransformerArchitecture(ffn_dim=0), "--ffn_dim 0"),
        (lambda: TransformerArchitecture(one_frame_in=0), "--one_frame_in 0"),
        (lambda: MLPArchitecture("multi_mlp", 64, (), (1,)), "--pfe_layers"),
        (lambda: MLPArchitecture("multi_mlp", 64, (1,), (4, 0)), "--fc_layers 4 0"),
        (lambda: MLPArchitecture("multi_mlp", 0, (1,), (4,)), "--interval_size 0"),
        (lambda: MLPArchitecture("perceptron", 1, (1,), (4,)), "perceptron"),
        (lambda: architecture_of(GaitTransformer(4, 4, 2, 2, 8).state_dict()), "--pfe_head and --fc_head"),
        (lambda: architecture_of({"conv.weight": torch.zeros(1)}), "conv.weight"),
        (lambda: architecture_from_dict({"kind": "transformer", "depth": 2}), "depth"),
    ],
)
def test_what_cannot_be_built_is_said_in_one_line(make, said):
    with pytest.raises(GaitError, match=said) as raised:
        make()
    assert "\n" not in str(raised.value)
