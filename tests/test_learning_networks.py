"""The networks against their published definitions, written out with torch's own layers."""

import math

import pytest
import torch
from torch import nn

from gait.errors import GaitError
from gait.learning.architecture import (
    MLPArchitecture,
    TransformerArchitecture,
    architecture_from_dict,
    architecture_of,
)
from gait.learning.mlp import multi_weights, sequential_weights
from gait.learning.transformer import GaitTransformer

README = TransformerArchitecture(64, 32, 2, 4)
SIZES = [TransformerArchitecture(), README, TransformerArchitecture(6, 10, 3, 5, 33)]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


class PublishedLevel(nn.Module):
    """Every token through the whole layer, then the first is taken."""

    def __init__(self, token_size, dim, heads, ffn_dim, dropout):
        super().__init__()
        self.input_embedding = nn.Linear(token_size, dim)
        self.classification_token = nn.Parameter(torch.rand(1, 1, dim))
        table = torch.zeros(5096, 1, dim)
        for place in range(0, dim, 2):
            angle = torch.arange(5096) * math.exp(-place * math.log(10000) / dim)
            table[:, 0, place], table[:, 0, place + 1] = torch.sin(angle), torch.cos(angle)
        self.positional_encoder = nn.Module()
        self.positional_encoder.register_buffer("pe", table)
        layer = nn.TransformerEncoderLayer(dim, heads, ffn_dim, dropout, activation="gelu", norm_first=True)
        self.transformer_encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)

    def forward(self, rows, positions):  # (R, n, token size), (n,)
        embedded = self.input_embedding(rows).transpose(0, 1)
        tokens = torch.cat([self.classification_token.expand(-1, len(rows), -1), embedded])
        places = torch.cat([torch.zeros(1, dtype=torch.long), positions])
        return self.transformer_encoder(tokens + self.positional_encoder.pe[places])[0]


class Published(nn.Module):
    def __init__(self, a):
        super().__init__()
        self.feature_extractor = PublishedLevel(3, a.pose_dim, a.pose_heads, a.ffn_dim, a.dropout)
        self.feature_merger = PublishedLevel(a.pose_dim, a.classifier_dim, a.classifier_heads, a.ffn_dim, a.dropout)
        self.classifier = nn.Module()
        self.classifier.downs = nn.Sequential(
            nn.Linear(a.classifier_dim, a.classifier_dim), nn.ReLU(), nn.Linear(a.classifier_dim, 1)
        )

    def forward(self, windows):
        N, L, J, _ = windows.shape
        frames = self.feature_extractor(windows.reshape(N * L, J, 3), torch.arange(J) + 1)
        window = self.feature_merger(frames.view(N, L, -1), torch.arange(L) + 1)
        return self.classifier.downs(window).squeeze(1)


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
    published = shaken(Published(architecture)).eval()
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
