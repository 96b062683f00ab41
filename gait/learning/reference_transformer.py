"""The readable form of the two-level transformer, built from torch's own layers.

It computes the same function as ``gait.learning.transformer.GaitTransformer``, with the same state dict, but much more
slowly: every token goes through the whole encoder layer, although only the output of the CLS token is used. Read it to
understand the network; tests and benchmarks compare the fast form with it.

    joints of a frame (J, 3) ─► [CLS, joints] ─► encoder layer ─► CLS: vector of the frame
    frames of a window (L, pose_dim) ─► [CLS, frames] ─► encoder layer ─► CLS: vector of the window ─► logit
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gait.learning.networks.transformer import TransformerArchitecture


class ReferenceLevel(nn.Module):
    """One level: maps rows of tokens to the output of the CLS token, which is put before them."""

    def __init__(self, token_size: int, dim: int, heads: int, ffn_dim: int, dropout: float):
        super().__init__()
        self.input_embedding = nn.Linear(token_size, dim)
        self.classification_token = nn.Parameter(torch.rand(1, 1, dim))
        table = torch.zeros(5096, 1, dim)  # sinusoidal positional encoding
        for column in range(0, dim, 2):
            angle = torch.arange(5096) * math.exp(-column * math.log(10000) / dim)
            table[:, 0, column], table[:, 0, column + 1] = torch.sin(angle), torch.cos(angle)
        self.positional_encoder = nn.Module()
        self.positional_encoder.register_buffer("pe", table)
        layer = nn.TransformerEncoderLayer(dim, heads, ffn_dim, dropout, activation="gelu", norm_first=True)
        self.transformer_encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)

    def forward(self, rows: Tensor) -> Tensor:
        """Return (R, dim) for rows of tokens (R, n, token size)."""
        embedded = self.input_embedding(rows).transpose(0, 1)  # torch's layer expects tokens first: (n, R, dim)
        tokens = torch.cat([self.classification_token.expand(-1, len(rows), -1), embedded])
        positions = self.positional_encoder.get_buffer("pe")[: len(tokens)]
        return self.transformer_encoder(tokens + positions)[0]


class ReferenceTransformer(nn.Module):
    """The whole network, with the published names of weights."""

    def __init__(self, a: TransformerArchitecture):
        super().__init__()
        self.feature_extractor = ReferenceLevel(3, a.pose_dim, a.pose_heads, a.ffn_dim, a.dropout)
        self.feature_merger = ReferenceLevel(a.pose_dim, a.classifier_dim, a.classifier_heads, a.ffn_dim, a.dropout)
        self.classifier = nn.Module()
        self.classifier.downs = nn.Sequential(
            nn.Linear(a.classifier_dim, a.classifier_dim), nn.ReLU(), nn.Linear(a.classifier_dim, 1)
        )

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits (N,) of windows (N, L, J, 3)."""
        frames = self.feature_extractor(windows.flatten(0, 1)).unflatten(0, windows.shape[:2])
        return self.classifier.get_submodule("downs")(self.feature_merger(frames)).squeeze(1)
