"""The two-level transformer: the joints of a frame become one vector, the frames of a window one decision.

Each level is one pre-norm layer (Vaswani et al. 2017; Xiong et al. 2020) over [CLS, tokens], of which the CLS token's
output alone is used. Names in the state dict are the published ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

MOST_TOKENS = 5096
"""Rows of the table of positions: what a window may have of frames, CLS included."""


@dataclass(frozen=True)
class AttentionMaps:
    """How much the CLS tokens attend to what, before dropout; each row sums to 1, CLS itself first."""

    joints: Tensor  # (N, L, heads, J + 1)
    frames: Tensor  # (N, heads, L + 1)


class PositionalEncoder(nn.Module):
    """Sinusoids by position (Vaswani et al. 2017, section 3.5)."""

    pe: Tensor  # (5096, 1, d)

    def __init__(self, dim: int):
        super().__init__()
        angle = torch.arange(MOST_TOKENS)[:, None] * torch.exp(torch.arange(0, dim, 2) * (-math.log(1e4) / dim))
        self.register_buffer("pe", torch.stack([angle.sin(), angle.cos()], dim=-1).reshape(MOST_TOKENS, 1, dim))


class TokenEncoder(nn.Module):
    """One level: rows of tokens to the CLS token's output."""

    def __init__(self, token_size: int, dim: int, heads: int, ffn_dim: int, dropout: float):
        super().__init__()
        self.input_embedding = nn.Linear(token_size, dim)
        self.classification_token = nn.Parameter(torch.rand(1, 1, dim))
        self.positional_encoder = PositionalEncoder(dim)
        # torch's layer holds the weights and starts them as published; what is computed with them stands below.
        layer = nn.TransformerEncoderLayer(
            dim, heads, ffn_dim, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.transformer_encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.heads = heads
        self.dropout = dropout

    def tokens(self, rows: Tensor, positions: Tensor) -> Tensor:
        """(R, 1 + n, d) of rows (R, n, token size): CLS, and what they are embedded to, each with its position."""
        table = self.positional_encoder.pe[:, 0]
        cls = (self.classification_token + table[0]).expand(len(rows), -1, -1)
        return torch.cat([cls, self.input_embedding(rows) + table[positions]], dim=1)

    def forward(self, rows: Tensor, positions: Tensor) -> Tensor:
        """(R, d) the CLS output of rows (R, n, token size) at positions (n,)."""
        return self.with_attention(rows, positions)[0]

    def with_attention(self, rows: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """CLS output (R, d) and its attention (R, heads, 1 + n)."""
        layer = self.transformer_encoder.layers[0]
        tokens = self.tokens(rows, positions)
        normed = layer.norm1(tokens)
        wq, wk, wv = layer.self_attn.in_proj_weight.chunk(3)
        bq, bk, bv = layer.self_attn.in_proj_bias.chunk(3)
        query = functional.linear(normed[:, :1], wq, bq).unflatten(-1, (self.heads, -1))
        key = functional.linear(normed, wk, bk).unflatten(-1, (self.heads, -1))
        value = functional.linear(normed, wv, bv).unflatten(-1, (self.heads, -1))
        scores = torch.einsum("rqhc,rkhc->rhk", query, key) / math.sqrt(key.shape[-1])
        attention = scores.softmax(-1)
        mixed = torch.einsum("rhk,rkhc->rhc", self._dropped(attention), value).flatten(1)
        cls = tokens[:, 0] + self._dropped(layer.self_attn.out_proj(mixed))
        hidden = self._dropped(functional.gelu(layer.linear1(layer.norm2(cls))))
        return cls + self._dropped(layer.linear2(hidden)), attention

    def _dropped(self, values: Tensor) -> Tensor:
        return functional.dropout(values, self.dropout, self.training)


class Classifier(nn.Module):
    """Two layers from the window's vector to its logit."""

    def __init__(self, dim: int):
        super().__init__()
        self.downs = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 1))

    def forward(self, vectors: Tensor) -> Tensor:
        """(N,) logits of (N, d)."""
        return self.downs(vectors).squeeze(-1)


class GaitTransformer(nn.Module):
    """Windows in the common frame to the logit of "sick"."""

    def __init__(
        self,
        pose_dim: int = 128,
        classifier_dim: int = 128,
        pose_heads: int = 2,
        classifier_heads: int = 2,
        ffn_dim: int = 2048,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.feature_extractor = TokenEncoder(3, pose_dim, pose_heads, ffn_dim, dropout)
        self.feature_merger = TokenEncoder(pose_dim, classifier_dim, classifier_heads, ffn_dim, dropout)
        self.classifier = Classifier(classifier_dim)

    def forward(self, windows: Tensor, joint_ids: Tensor | None = None) -> Tensor:
        """(N,) logits of windows (N, L, J, 3); ``joint_ids`` (J,) says which joints they are, 0 to J - 1 otherwise."""
        frames = self.feature_extractor(windows.flatten(0, 1), _joint_positions(windows, joint_ids))
        return self.classifier(self.feature_merger(frames.unflatten(0, windows.shape[:2]), _frame_positions(windows)))

    def with_attention(self, windows: Tensor, joint_ids: Tensor | None = None) -> tuple[Tensor, AttentionMaps]:
        """Logits (N,) and what the CLS tokens attend to."""
        rows = windows.flatten(0, 1)
        frames, of_joints = self.feature_extractor.with_attention(rows, _joint_positions(windows, joint_ids))
        frames = frames.unflatten(0, windows.shape[:2])
        window, of_frames = self.feature_merger.with_attention(frames, _frame_positions(windows))
        return self.classifier(window), AttentionMaps(of_joints.unflatten(0, windows.shape[:2]), of_frames)


def _joint_positions(windows: Tensor, joint_ids: Tensor | None) -> Tensor:
    ids = torch.arange(windows.shape[2]) if joint_ids is None else joint_ids
    return ids.to(windows.device) + 1


def _frame_positions(windows: Tensor) -> Tensor:
    return torch.arange(windows.shape[1], device=windows.device) + 1
