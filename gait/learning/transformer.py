"""The two-level transformer: the joints of a frame become one vector, the frames of a window one decision.

Each level is one pre-norm layer (Vaswani et al. 2017; Xiong et al. 2020) over [CLS, tokens], of which the CLS token's
output alone is used. Names in the state dict are the published ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from gait.learning.dropout import dropout
from gait.learning.feed_forward import feed_forward
from gait.learning.parallel_rows import in_row_parts

MOST_TOKENS = 5096
"""Rows of the table of positions: what a window may have of frames, CLS included."""


@dataclass(frozen=True)
class AttentionMaps:
    """How much the CLS tokens attend to what, before dropout; each row sums to 1, CLS itself first."""

    joints: Tensor  # (N, L, heads, J + 1)
    frames: Tensor  # (N, heads, L + 1)


class Folded(NamedTuple):
    """What the CLS token does with normalised tokens u, a head each."""

    query: Tensor  # (heads, d): scores are query · u
    value: Tensor  # (heads, d, d): the output is the sum of value Σ a u
    value_bias: Tensor  # (heads, d): and of value_bias Σ a


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

    def first_embedding(self) -> Tensor:
        """(1, d) the CLS token with its position: the same for all rows."""
        return self.classification_token[0] + self.positional_encoder.pe[0]

    def tokens(self, rows: Tensor, positions: Tensor) -> Tensor:
        """(R, 1 + n, d) of rows (R, n, token size): CLS, and what they are embedded to, each with its position."""
        embedded = self.input_embedding(rows) + self.positional_encoder.pe[positions, 0]
        return torch.cat([self.first_embedding().expand(len(rows), 1, -1), embedded], dim=1)

    def forward(self, rows: Tensor, positions: Tensor, counts: Tensor | None = None) -> Tensor:
        """(R, d) the CLS token's output for rows (R, n, token size) of tokens at positions (n,), 1 and up.

        Each token stands for ``counts`` (n,) like ones, itself if None: what they would be attended to together.
        """

        def of_part(part: Tensor, generator: Generator | None) -> Tensor:
            return self.with_attention(part, positions, generator, counts)[0]

        return in_row_parts(of_part, rows, tuple(self.parameters()))

    def with_attention(
        self, rows: Tensor, positions: Tensor, generator: Generator | None = None, counts: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The same (R, d) and the CLS token's attention (R, heads, 1 + n), that before dropout.

        ``generator`` is what dropout draws from, torch's own if None.
        """
        layer = self.transformer_encoder.layers[0]
        attended, attention = self.attended(rows, positions, generator, counts)
        cls = self.first_embedding() + self._dropped(attended, generator)
        first, second = layer.linear1, layer.linear2
        dropped = self.dropout if self.training else 0.0
        fed = feed_forward(layer.norm2(cls), first.weight, first.bias, second.weight, second.bias, dropped, generator)
        return cls + self._dropped(fed, generator), attention

    def attended(
        self, rows: Tensor, positions: Tensor, generator: Generator | None = None, counts: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """What the CLS token takes from the tokens (R, d), and its attention (R, heads, 1 + n).

        A head's scores are q · (Wk u + bk) / sqrt(c) of normalised tokens u; q · bk is the same for all tokens, which
        softmax does not see. Its share of the output is Wo (Σ a (Wv u + bv)) = Wo Wv (Σ a u) + Wo bv Σ a, so keys and
        values of single tokens are never made. Σ a is 1 without dropout alone. A token that stands for c has the weight
        of c tokens of one score: log c is added to it.
        """
        folded = self.folded()
        normed = self.transformer_encoder.layers[0].norm1(self.tokens(rows, positions))
        scores = normed @ folded.query.t()  # (R, 1 + n, heads)
        if counts is not None:
            scores = scores + _log_counts(counts, scores)[:, None]
        attention = scores.softmax(dim=1).transpose(1, 2)  # (R, heads, 1 + n)
        weights = self._dropped(attention, generator)
        mean = (weights @ normed).flatten(1)  # (R, heads · d)
        attended = mean @ folded.value.transpose(1, 2).flatten(0, 1) + weights.sum(-1) @ folded.value_bias
        return attended + self.transformer_encoder.layers[0].self_attn.out_proj.bias, attention

    def folded(self) -> Folded:
        """The CLS token's query is a constant, so the layer's matrices come down to a vector and a matrix a head."""
        layer = self.transformer_encoder.layers[0]
        w_query, w_key, w_value = layer.self_attn.in_proj_weight.unflatten(0, (3, self.heads, -1))  # (heads, c, d) each
        b_query, _, b_value = layer.self_attn.in_proj_bias.unflatten(0, (3, self.heads, -1))  # (heads, c) each
        w_out = layer.self_attn.out_proj.weight.unflatten(1, (self.heads, -1)).transpose(0, 1)  # (heads, d, c)
        query = w_query @ layer.norm1(self.first_embedding())[0] + b_query
        return Folded(
            query=(query[:, None] @ w_key)[:, 0] / math.sqrt(query.shape[-1]),
            value=w_out @ w_value,
            value_bias=(w_out @ b_value[:, :, None])[:, :, 0],
        )

    def _dropped(self, values: Tensor, generator: Generator | None) -> Tensor:
        return dropout(values, self.dropout if self.training else 0, generator)


class JointEncoder(TokenEncoder):
    """The first level: the tokens are joints, three coordinates each."""

    def attended(
        self, rows: Tensor, positions: Tensor, generator: Generator | None = None, counts: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """As above, without making the tokens (R, 1 + J, d), which are W x + e: affine in few coordinates x.

        With C = I - 1/d, which takes the mean away, norm1 gives u = γ C (W x + e) / σ + β, where σ² = |C (W x + e)|²
        / d + ε = x·M x + 2 m·x + v + ε with M = (CW)ᵀCW / d (3 × 3), m = (CW)ᵀCe / d, v = |Ce|² / d. So scores are
        affine in x over σ, and Σ a u is an affine function of Σ (a / σ) x and of the weights a / σ themselves. CLS is
        such a token, with x = 0.
        """
        layer, folded = self.transformer_encoder.layers[0], self.folded()
        W = self.input_embedding.weight
        e = self.input_embedding.bias + self.positional_encoder.pe[positions, 0]
        e = torch.cat([self.first_embedding(), e])  # (1 + J, d)
        CW, Ce = W - W.mean(0), e - e.mean(1, keepdim=True)
        gamma, beta = layer.norm1.weight, layer.norm1.bias
        query = folded.query * gamma
        value = folded.value * gamma

        # Coordinates and joints first, rows last: all that follows runs along rows.
        x = torch.cat([rows.new_zeros(3, 1, len(rows)), rows.permute(2, 1, 0)], dim=1)  # (3, 1 + J, R)
        inverse_sigma = _inverse_sigma(x, CW, Ce, layer.norm1.eps)
        scores = torch.tensordot(query @ CW, x, 1) + (query @ Ce.t())[:, :, None]
        scores = scores * inverse_sigma
        if counts is not None:
            scores = scores + _log_counts(counts, scores)[:, None]
        attention = scores.softmax(dim=1)  # (heads, 1 + J, R)
        weights = self._dropped(attention, generator)
        scaled = weights * inverse_sigma
        sums = (scaled[:, None] * x).sum(2)  # (heads, 3, R)
        attended = (
            layer.self_attn.out_proj.bias
            + sums.flatten(0, 1).t() @ (value @ CW).transpose(1, 2).flatten(0, 1)
            + scaled.flatten(0, 1).t() @ (value @ Ce.t()).transpose(1, 2).flatten(0, 1)
            + weights.sum(1).t() @ (folded.value @ beta + folded.value_bias)
        )
        return attended, attention.permute(2, 0, 1)


def _log_counts(counts: Tensor, like: Tensor) -> Tensor:
    """(1 + n,) what is added to the scores of tokens that stand for ``counts`` (n,); CLS stands for itself."""
    return torch.cat([counts.new_ones(1), counts]).to(like).log()


def _inverse_sigma(x: Tensor, CW: Tensor, Ce: Tensor, eps: float) -> Tensor:
    """1 / σ (n, R) of tokens CW x + Ce (x: (3, n, R), CW: (d, 3), Ce: (n, d)).

    In double precision: σ² is small against its parts where they cancel.
    """
    CW, Ce, doubles = CW.double(), Ce.double(), x.double()
    dim = len(CW)
    M, m, v = CW.t() @ CW / dim, CW.t() @ Ce.t() / dim, Ce.square().sum(1) / dim
    variance = ((torch.tensordot(M, doubles, 1) + 2 * m[:, :, None]) * doubles).sum(0) + v[:, None]
    return (variance + eps).rsqrt().to(x.dtype)


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
        one_frame_in: int = 1,
    ):
        super().__init__()
        self.one_frame_in = one_frame_in
        self.feature_extractor = JointEncoder(3, pose_dim, pose_heads, ffn_dim, dropout)
        self.feature_merger = TokenEncoder(pose_dim, classifier_dim, classifier_heads, ffn_dim, dropout)
        self.classifier = Classifier(classifier_dim)

    def forward(self, windows: Tensor, joint_ids: Tensor | None = None) -> Tensor:
        """(N,) logits of windows (N, L, J, 3); ``joint_ids`` (J,) says which joints they are, 0 to J - 1 otherwise.

        In training one frame of every ``one_frame_in`` consecutive ones is looked at, drawn anew each time by torch's
        own generator, and stands for them all: neighbouring frames are nearly the same, and each costs as much as the
        next one. Of images, patches are left out so (Liu et al. 2023, PatchDropout, WACV), without counts.
        """
        positions, counts = _frame_positions(windows), None
        if self.training and self.one_frame_in > 1:
            places, counts = _one_frame_in(self.one_frame_in, windows.shape[1])
            places = places.to(windows.device)
            windows, positions = windows[:, places], positions[places]
        frames = self.feature_extractor(windows.flatten(0, 1), _joint_positions(windows, joint_ids))
        vectors = self.feature_merger(frames.unflatten(0, windows.shape[:2]), positions, counts)
        return self.classifier(vectors)

    def with_attention(self, windows: Tensor, joint_ids: Tensor | None = None) -> tuple[Tensor, AttentionMaps]:
        """The same, and what the CLS tokens attend to."""
        extractor, merger = self.feature_extractor, self.feature_merger
        frames, of_joints = extractor.with_attention(windows.flatten(0, 1), _joint_positions(windows, joint_ids))
        vectors, of_frames = merger.with_attention(frames.unflatten(0, windows.shape[:2]), _frame_positions(windows))
        return self.classifier(vectors), AttentionMaps(of_joints.unflatten(0, windows.shape[:2]), of_frames)


def _one_frame_in(stretch: int, length: int) -> tuple[Tensor, Tensor]:
    """A random frame of each stretch of ``length`` frames, and how many frames that has, the last one fewer: (n,)."""
    starts = torch.arange(0, length, stretch)
    counts = (length - starts).clamp_max(stretch)
    return starts + (torch.rand(len(starts), dtype=torch.float64) * counts).long(), counts


def _joint_positions(windows: Tensor, joint_ids: Tensor | None) -> Tensor:
    ids = torch.arange(windows.shape[2]) if joint_ids is None else joint_ids
    return ids.to(windows.device) + 1


def _frame_positions(windows: Tensor) -> Tensor:
    return torch.arange(windows.shape[1], device=windows.device) + 1
