"""The two-level transformer as it was published: every token goes through torch's whole layer, then CLS is taken."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gait.learning.architecture import TransformerArchitecture


class PublishedLevel(nn.Module):
    """Tokens in rows, CLS in front, to the CLS token's output."""

    def __init__(self, token_size: int, dim: int, heads: int, ffn_dim: int, dropout: float):
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

    def forward(self, rows: Tensor) -> Tensor:
        """(R, d) of rows (R, n, token size)."""
        embedded = self.input_embedding(rows).transpose(0, 1)
        tokens = torch.cat([self.classification_token.expand(-1, len(rows), -1), embedded])
        positions = self.positional_encoder.get_buffer("pe")[: len(tokens)]
        return self.transformer_encoder(tokens + positions)[0]


class PublishedTransformer(nn.Module):
    """The whole network, by the published names."""

    def __init__(self, a: TransformerArchitecture):
        super().__init__()
        self.feature_extractor = PublishedLevel(3, a.pose_dim, a.pose_heads, a.ffn_dim, a.dropout)
        self.feature_merger = PublishedLevel(a.pose_dim, a.classifier_dim, a.classifier_heads, a.ffn_dim, a.dropout)
        self.classifier = nn.Module()
        self.classifier.downs = nn.Sequential(
            nn.Linear(a.classifier_dim, a.classifier_dim), nn.ReLU(), nn.Linear(a.classifier_dim, 1)
        )

    def forward(self, windows: Tensor) -> Tensor:
        """(N,) logits of windows (N, L, J, 3)."""
        frames = self.feature_extractor(windows.flatten(0, 1)).unflatten(0, windows.shape[:2])
        return self.classifier.get_submodule("downs")(self.feature_merger(frames)).squeeze(1)
