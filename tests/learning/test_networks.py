"""The networks equal simple, slow implementations; the transformer equals ``reference_transformer``."""

import itertools
import sys

import pytest
import scipy.stats
import torch

from gait.errors import GaitError
from gait.learning import feed_forward as feed_forward_module
from gait.learning import parallel_rows
from gait.learning.dropout import dropout_mask
from gait.learning.feed_forward import feed_forward
from gait.learning.networks import architecture_from_dict, infer_architecture
from gait.learning.networks.mlp import MLPArchitecture
from gait.learning.networks.transformer import TransformerArchitecture
from gait.learning.reference_transformer import ReferenceTransformer
from gait.learning.transformer import GaitTransformer, TokenEncoder

README_SIZES = TransformerArchitecture(64, 32, 2, 4)
ARCHITECTURES = [TransformerArchitecture(), README_SIZES, TransformerArchitecture(6, 10, 3, 5, 33)]


@pytest.fixture(autouse=True)
def fixed_seed():
    torch.manual_seed(0)


def randomize_weights(network, seed=0):
    """Add noise to all weights, including biases and norms, as in a trained network."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            noise = torch.randn(weight.shape, generator=generator)
            weight += 0.1 * noise if weight.ndim == 1 else noise / weight.shape[-1] ** 0.5
    return network


def make_windows(count, length, joints=22, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(count, length, joints, 3, generator=generator, dtype=dtype) - 1


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
@pytest.mark.parametrize(("length", "joints"), [(8, 22), (5, 22), (3, 7), (1, 1)])
def test_transformer_equals_the_reference_transformer(architecture, length, joints):
    reference = randomize_weights(ReferenceTransformer(architecture)).eval()
    fast = architecture.build().eval()
    assert set(fast.state_dict()) == set(reference.state_dict())
    torch.testing.assert_close(
        fast.feature_merger.positional_encoder.pe, reference.feature_merger.positional_encoder.pe, atol=1e-3, rtol=0
    )
    fast.load_state_dict(reference.state_dict())
    windows = make_windows(3, length, joints)
    torch.testing.assert_close(fast(windows), reference(windows), atol=1e-5, rtol=0)
    exactly, doubled = reference.double()(windows.double()), fast.double()(windows.double())
    torch.testing.assert_close(doubled, exactly, atol=1e-9, rtol=0)


def test_transformer_does_not_depend_on_the_order_of_joints_with_ids():
    network = randomize_weights(README_SIZES.build()).double().eval()
    windows = make_windows(2, 4, dtype=torch.float64)
    order = torch.randperm(22, generator=torch.Generator().manual_seed(1))
    expected = network(windows)
    torch.testing.assert_close(network(windows[:, :, order], joint_ids=order), expected, atol=1e-12, rtol=0)
    assert (network(windows[:, :, order]) - expected).abs().min() > 1e-6


@pytest.mark.parametrize("chunk_size", [1 << 20, 100], ids=["one chunk", "chunks, the last one shorter"])
def test_transformer_gradients_equal_those_of_the_reference_transformer(monkeypatch, chunk_size):
    monkeypatch.setattr(feed_forward_module, "_CHUNK_SIZE", chunk_size)
    architecture = TransformerArchitecture(6, 10, 3, 5, 33, dropout=0)
    reference, fast = randomize_weights(ReferenceTransformer(architecture)).double(), architecture.build().double()
    fast.load_state_dict(reference.state_dict())
    windows, same = (make_windows(4, 5, 7, dtype=torch.float64).requires_grad_() for _ in range(2))
    upstream = torch.randn(4, dtype=torch.float64)
    (fast(windows) @ upstream).backward()
    (reference(same) @ upstream).backward()
    torch.testing.assert_close(windows.grad, same.grad, atol=1e-12, rtol=1e-9)
    theirs = dict(reference.named_parameters())
    for name, weight in fast.named_parameters():
        torch.testing.assert_close(weight.grad, theirs[name].grad, atol=1e-12, rtol=1e-9, msg=name)

    for weight in fast.parameters():  # as explanation methods do
        weight.requires_grad_(False)
    again = windows.detach().clone().requires_grad_()
    (fast(again) @ upstream).backward()
    torch.testing.assert_close(again.grad, windows.grad, atol=1e-12, rtol=1e-9)


def test_transformer_accepts_a_subset_of_joints():
    network = randomize_weights(README_SIZES.build()).double().eval()
    windows = make_windows(2, 4, dtype=torch.float64)
    ids = torch.tensor([3, 0, 21])
    rows = windows[:, :, ids].flatten(0, 1)
    plain = TokenEncoder.attend(network.feature_extractor, rows, ids + 1)
    fused = network.feature_extractor.attend(rows, ids + 1)
    torch.testing.assert_close(fused, plain, atol=1e-12, rtol=0)
    assert network(windows[:, :, ids], joint_ids=ids).shape == (2,)


def test_with_attention_equals_torchs_attention():
    network, windows = randomize_weights(README_SIZES.build()).eval(), make_windows(2, 4)
    logits, maps = network.with_attention(windows)
    torch.testing.assert_close(logits, network(windows))

    def of_torch(level, rows):
        layer, tokens = level.transformer_encoder.layers[0], level.embed_tokens(rows, torch.arange(rows.shape[1]) + 1)
        normed = layer.norm1(tokens)
        weights = layer.self_attn(normed, normed, normed, need_weights=True, average_attn_weights=False)[1]
        return weights[:, :, 0]

    rows = windows.flatten(0, 1)
    assert maps.joints.shape == (2, 4, 2, 23)
    torch.testing.assert_close(maps.joints.flatten(0, 1), of_torch(network.feature_extractor, rows))
    frames = network.feature_extractor(rows, torch.arange(22) + 1).unflatten(0, (2, 4))
    assert maps.frames.shape == (2, 4, 5)
    torch.testing.assert_close(maps.frames, of_torch(network.feature_merger, frames))


@pytest.mark.parametrize(
    "dim", [2, 4, 64]
)  # two centred numbers have one degree of freedom, so their norm can be nearly 0
@pytest.mark.parametrize("metres", [1e-3, 1, 100])
def test_joint_encoder_attend_is_as_exact_as_with_explicit_tokens(dim, metres):
    level = randomize_weights(TransformerArchitecture(dim, 4, 2, 2, 8).build()).eval().feature_extractor
    rows, positions = metres * make_windows(40, 20).flatten(0, 1), torch.arange(22) + 1
    exact = TokenEncoder.attend(level.double(), rows.double(), positions)[0]
    fused, plain = (attend(level.float(), rows, positions)[0] for attend in (type(level).attend, TokenEncoder.attend))
    error, plain_error = ((found - exact).abs().max() for found in (fused, plain))
    assert error <= 4 * plain_error + 1e-6


# --- dropout ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.1, 0.5, 1 / 256, 0.0001, 0.9, 0.999])
def test_dropout_mask_drops_each_element_independently_with_probability_p(p):
    count = 1 << 22
    mask = dropout_mask((count,), p).double()
    assert set(mask.unique().tolist()) == {0, 1}
    five_deviations = 5 * (p * (1 - p) / count) ** 0.5
    assert 1 - mask.mean() == pytest.approx(p, abs=five_deviations)
    for lag in (1, 2, 3, 7, 8, 64, 4096):  # neighbours are independent
        both = (1 - mask[lag:]) @ (1 - mask[:-lag]) / (count - lag)
        assert both == pytest.approx(p**2, abs=5 * p / count**0.5 + five_deviations * p)


def test_dropout_depends_on_torchs_seed():
    first, second = dropout_mask((3, 50), 0.1), dropout_mask((3, 50), 0.1)
    assert not torch.equal(first, second)
    torch.manual_seed(0)
    assert torch.equal(dropout_mask((3, 50), 0.1), first)
    network, windows = README_SIZES.build().train(), make_windows(2, 4)
    state = torch.get_rng_state()
    logits = network(windows)
    assert not torch.equal(network(windows), logits)
    torch.set_rng_state(state)
    assert torch.equal(network(windows), logits)


def test_feed_forward_has_correct_dropout_and_gradients(monkeypatch):
    monkeypatch.setattr(feed_forward_module, "_CHUNK_SIZE", 20)
    shapes = [(7, 3), (5, 3), (5,), (4, 5), (4,)]
    parts = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]

    def seeded_feed_forward(*parts):
        torch.manual_seed(3)
        return feed_forward(*parts, 0.4)

    assert torch.autograd.gradcheck(seeded_feed_forward, parts)
    row, w1, b1, w2, b2 = (part.detach() for part in parts)
    count = 200_000
    monkeypatch.setattr(feed_forward_module, "_CHUNK_SIZE", count)
    out = feed_forward(row[:1].expand(count, -1), w1, b1, w2, b2, 0.4)
    hidden = torch.nn.functional.gelu(row[:1] @ w1.t() + b1)[0]
    variance = (w2 * hidden).square().sum(1) * 0.4 / 0.6
    assert ((out.mean(0) - (w2 @ hidden + b2)).abs() < 5 * (variance / count).sqrt()).all()
    torch.testing.assert_close(out.var(0), variance, rtol=0.03, atol=0)


@pytest.mark.parametrize("name", ["feature_extractor", "feature_merger"])
def test_attention_dropout_has_the_expected_mean_and_variance(name):
    """The output is a sum of independent terms, each kept with probability 0.7 and scaled."""
    level = (
        randomize_weights(TransformerArchitecture(8, 6, 2, 3, 16, dropout=0.3).build())
        .get_submodule(name)
        .double()
        .train()
    )
    row, positions, count = torch.randn(1, 5, level.input_embedding.in_features).double(), torch.arange(5) + 1, 50_000
    attended, attention = level.attend(row.expand(count, -1, -1), positions)
    layer = level.transformer_encoder.layers[0]
    normed = layer.norm1(level.embed_tokens(row, positions))[0]
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


def test_feed_forward_on_other_devices_uses_torchs_operations():
    parts = [torch.randn(shape, dtype=torch.float64) for shape in [(7, 3), (5, 3), (5,), (4, 5), (4,)]]
    torch.testing.assert_close(feed_forward_module._feed_forward_autograd(*parts, 0.0), feed_forward(*parts))
    network = README_SIZES.build().to("meta").train()  # checks shapes and devices only
    assert network(make_windows(2, 4).to("meta")).shape == (2,)


def test_transformer_in_training_has_the_distribution_of_the_reference_transformer():
    architecture = TransformerArchitecture(8, 6, 2, 3, 16, dropout=0.3)
    reference, fast = randomize_weights(ReferenceTransformer(architecture)).train(), architecture.build().train()
    fast.load_state_dict(reference.state_dict())
    same = make_windows(1, 3, 5).expand(30_000, -1, -1, -1)  # each row has its own dropout
    with torch.no_grad():
        found, expected = fast(same), reference(same)
    assert scipy.stats.ks_2samp(found.numpy(), expected.numpy()).pvalue > 1e-3
    without_dropout = fast.eval()(same[:1])
    assert expected.std() > 20 * (found.mean() - expected.mean()).abs()
    assert (found - without_dropout).abs().min() > 0


# --- frame subsampling -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["feature_extractor", "feature_merger"])
def test_multiplicity_equals_repeated_tokens(name):
    level = randomize_weights(TransformerArchitecture(8, 6, 2, 3, 16).build()).get_submodule(name).double().eval()
    rows = torch.randn(4, 3, level.input_embedding.in_features).double()
    positions, multiplicity = torch.tensor([2, 5, 9]), torch.tensor([3, 1, 2])
    repeated = level(rows.repeat_interleave(multiplicity, dim=1), positions.repeat_interleave(multiplicity))
    torch.testing.assert_close(level(rows, positions, multiplicity), repeated, atol=1e-12, rtol=0)
    assert (level(rows, positions) - repeated).abs().min() > 1e-6


def test_frame_subsampling_does_not_change_the_logit_of_repeated_frames():
    """If each interval consists of equal frames, one frame of each gives the same logit as all of them."""
    network = randomize_weights(
        TransformerArchitecture(6, 10, 3, 5, 33, dropout=0, frame_subsampling=4).build()
    ).double()
    counts = torch.tensor([4, 4, 4, 2])
    windows = make_windows(5, len(counts), 7, dtype=torch.float64).repeat_interleave(counts, dim=1)
    network.feature_merger.positional_encoder.pe[:] = 0.3  # otherwise positions distinguish the frames
    torch.testing.assert_close(network.train()(windows), network.eval()(windows), atol=1e-12, rtol=0)


def test_frame_subsampling_draws_frames_uniformly_with_their_positions():
    network = randomize_weights(
        TransformerArchitecture(6, 10, 3, 5, 33, dropout=0, frame_subsampling=3).build()
    ).double()
    windows = make_windows(2, 8, 7, dtype=torch.float64)
    extractor, merger = network.feature_extractor, network.feature_merger
    frames = extractor(windows.flatten(0, 1), torch.arange(7) + 1).unflatten(0, (2, 8))
    possible = {}
    for indices in itertools.product((0, 1, 2), (3, 4, 5), (6, 7)):
        chosen = torch.tensor(indices)
        logits = network.classifier(merger(frames[:, chosen], chosen + 1, torch.tensor([3, 3, 2])))
        possible[indices] = logits.detach()
    drawn = dict.fromkeys(possible, 0)
    draws = 900
    with torch.no_grad():
        for _ in range(draws):
            logits = network.train()(windows)
            drawn[min(possible, key=lambda indices: float((possible[indices] - logits).abs().max()))] += 1
            assert min(float((logits - each).abs().max()) for each in possible.values()) < 1e-12
    assert scipy.stats.chisquare(list(drawn.values())).pvalue > 1e-3
    torch.testing.assert_close(network.eval()(windows), network.classifier(merger(frames, torch.arange(8) + 1)))


# --- threads ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def three_threads(monkeypatch):
    monkeypatch.setattr(parallel_rows, "_MIN_ROWS", 1)
    monkeypatch.setattr(parallel_rows, "_MIN_ELEMENTS", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    assert torch.get_num_threads() == 3
    torch.set_num_threads(before)


def logits_and_gradients(network, windows, upstream):
    windows = windows.clone().requires_grad_()
    network.zero_grad()
    logits = network(windows)
    (logits @ upstream).backward()
    return [logits.detach(), windows.grad, *(weight.grad for weight in network.parameters())]


def test_map_rows_parallel_equals_one_thread(three_threads):
    network, windows = (
        randomize_weights(TransformerArchitecture(6, 10, 3, 5, 33, dropout=0).build()).double(),
        make_windows(4, 5, 7),
    )
    upstream = torch.randn(4, dtype=torch.float64)
    parallel = logits_and_gradients(network, windows.double(), upstream)
    torch.set_num_threads(1)
    serial = logits_and_gradients(network, windows.double(), upstream)
    torch.set_num_threads(3)
    torch.testing.assert_close(parallel, serial, atol=1e-12, rtol=1e-9)
    with torch.no_grad():
        torch.testing.assert_close(network(windows.double()), serial[0])
    for name, weight in network.named_parameters():
        weight.requires_grad_("norm" in name)
    windows = windows.double().requires_grad_()
    first, again = (torch.autograd.grad(network(windows) @ upstream, windows)[0] for _ in range(2))
    torch.testing.assert_close(first, serial[1], atol=1e-12, rtol=1e-9)
    assert torch.equal(first, again)


def test_dropout_in_threads_depends_on_the_seed_and_differs_between_chunks(three_threads):
    network, windows = README_SIZES.build().train(), make_windows(1, 4).expand(6, -1, -1, -1)
    torch.manual_seed(5)
    logits = network(windows)
    assert len(set(logits.tolist())) == 6
    assert not torch.equal(network(windows), logits)
    torch.manual_seed(5)
    assert torch.equal(network(windows), logits)


@pytest.mark.parametrize(("count", "length"), [(64, 64), (3, 5)])
def test_map_rows_parallel_gives_the_same_bits_for_any_number_of_threads(count, length):
    network, windows, before = README_SIZES.build().train(), make_windows(count, length), torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            torch.manual_seed(3)
            found.append(logits_and_gradients(network, windows, torch.linspace(-1, 1, count)))
            found[-1] = [values.clone() for values in found[-1]]
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))
    rows = windows.flatten(0, 1)
    assert count < 64 or min(len(rows), rows.numel() // parallel_rows._MIN_ELEMENTS) >= 3  # several chunks


def test_vector_product_gradient_is_that_of_torch():
    a, b, unused = (torch.randn(5, 3, requires_grad=True) for _ in range(3))
    vector = torch.randn(5, 3)
    found = parallel_rows.vector_product_gradient((a * b).tanh(), (a, b, unused), vector)
    expected = torch.autograd.grad((a * b).tanh(), (a, b, unused), vector, allow_unused=True)
    assert all(torch.equal(one, two) for one, two in zip(found[:2], expected[:2], strict=True))
    assert found[2] is None


def test_transformer_is_differentiated_without_sympy(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.fx.experimental.symbolic_shapes", None)  # imports sympy, which takes long
    values = logits_and_gradients(README_SIZES.build(), make_windows(2, 4), torch.ones(2))
    assert all(torch.isfinite(each).all() for each in values if each is not None)


def test_map_rows_parallel_raises_errors_of_threads(three_threads):
    def fails(rows, generator):
        raise ValueError("in a thread")

    with pytest.raises(ValueError, match="in a thread"):
        parallel_rows.map_rows_parallel(fails, torch.ones(9, 2), ())


# --- perceptrons -----------------------------------------------------------------------------------------------------


def slow_mlp(weights, pose, classifier, window):
    """Return the logit of one window, computed frame by frame from (weight, bias) pairs."""

    def stack(values, layers):
        for index, (weight, bias) in enumerate(layers):
            values = weight @ values + bias
            values = torch.where(values > 0, values, values * (0 if index else 0.01))
        return values

    frames = [stack(frame.flatten(), pose) for frame in window]
    weight, bias = weights
    return weight @ stack(torch.cat(frames), classifier) + bias


def test_both_mlps_equal_a_slow_computation_and_each_other():
    architecture = MLPArchitecture("multi_mlp", 5, (7, 6, 4), (9, 8))
    multi = randomize_weights(architecture.build(), 1).double()
    state = multi.state_dict()
    pairs = [(state[f"{name}.weight"], state[f"{name}.bias"]) for name in (k[:-7] for k in state if "weight" in k)]
    windows = make_windows(3, 5, dtype=torch.float64)
    expected = torch.cat([slow_mlp(pairs[-1], pairs[:3], pairs[3:5], window) for window in windows])
    torch.testing.assert_close(multi(windows), expected)
    sequential = MLPArchitecture("sequential_mlp", 5, (7, 6, 4), (9, 8)).build().double()
    sequential.load_state_dict(dict(zip(sequential.state_dict(), state.values(), strict=True)))
    torch.testing.assert_close(sequential(windows), expected)


def test_architectures_are_restored_from_plain_data_and_from_weights():
    for architecture in (
        TransformerArchitecture(64, 32, 2, 4, 100),
        MLPArchitecture("multi_mlp", 64, (16, 32), (32, 16, 8)),
        MLPArchitecture("sequential_mlp", 3, (16,), (5,), 7),
    ):
        assert architecture_from_dict(architecture.as_dict()) == architecture
        weights = architecture.build().state_dict()
        assert infer_architecture(weights, pose_heads=2, classifier_heads=4) == architecture


def test_architecture_from_dict_reads_the_old_key_of_frame_subsampling():
    architecture = TransformerArchitecture(frame_subsampling=4)
    old = architecture.as_dict()
    old["one_frame_in"] = old.pop("frame_subsampling")
    assert architecture_from_dict(old) == architecture


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: TransformerArchitecture(pose_dim=64, pose_heads=3), "--pfe_head 3 does not divide --pfe_dim 64"),
        (lambda: TransformerArchitecture(classifier_heads=0), "--fc_head 0"),
        (lambda: TransformerArchitecture(pose_dim=7), "--pfe_dim 7"),
        (lambda: TransformerArchitecture(ffn_dim=0), "--ffn_dim 0"),
        (lambda: TransformerArchitecture(frame_subsampling=0), "--one_frame_in 0"),
        (lambda: MLPArchitecture("multi_mlp", 64, (), (1,)), "--pfe_layers"),
        (lambda: MLPArchitecture("multi_mlp", 64, (1,), (4, 0)), "--fc_layers 4 0"),
        (lambda: MLPArchitecture("multi_mlp", 0, (1,), (4,)), "--interval_size 0"),
        (lambda: MLPArchitecture("perceptron", 1, (1,), (4,)), "perceptron"),
        (lambda: infer_architecture(GaitTransformer(4, 4, 2, 2, 8).state_dict()), "--pfe_head and --fc_head"),
        (lambda: infer_architecture({"conv.weight": torch.zeros(1)}), "conv.weight"),
        (lambda: architecture_from_dict({"kind": "transformer", "depth": 2}), "depth"),
    ],
)
def test_architectures_reject_impossible_sizes(make, expected):
    with pytest.raises(GaitError, match=expected) as raised:
        make()
    assert "\n" not in str(raised.value)
