"""The two-level transformer: it encodes the joints of each frame to a vector, and the frames of a window to a logit.

Each level is one pre-norm encoder layer (Vaswani et al. 2017; Xiong et al. 2020) over [CLS, tokens]; only the output of
the CLS token is used. The state dict has the published names.

This is the fast form, which computes only what the CLS token needs. ``reference_transformer`` is the readable form of
the same function, built from torch's own layers; read it first. A test checks that both agree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from gait.learning.dropout import dropout
from gait.learning.feed_forward import feed_forward
from gait.learning.parallel_rows import map_rows_parallel

MAX_TOKENS = 5096
"""Rows of the positional encoding: the maximum number of frames of a window plus one for CLS."""


@dataclass(frozen=True)
class AttentionMaps:
    """Attention weights of the CLS tokens before dropout; each row sums to 1 and begins with CLS itself."""

    joints: Tensor  # (N, L, heads, J + 1)
    frames: Tensor  # (N, heads, L + 1)


class FusedClsAttention(NamedTuple):
    """The attention of the CLS token as one vector and one matrix per head, applied to normalized tokens u."""

    query: Tensor  # (heads, d): the scores are query · u
    value: Tensor  # (heads, d, d): the output is value Σ a u + value_bias Σ a, summed over heads; a: attention
    value_bias: Tensor  # (heads, d)


class PositionalEncoder(nn.Module):
    """Sinusoidal positional encoding (Vaswani et al. 2017, section 3.5)."""

    pe: Tensor  # (5096, 1, d)

    def __init__(self, dim: int):
        super().__init__()
        table = torch.empty(MAX_TOKENS, 1, dim)
        if not table.is_meta:  # of which only the shape is asked; torch would load a second of modules for formulas
            angle = torch.arange(MAX_TOKENS)[:, None] * torch.exp(torch.arange(0, dim, 2) * (-math.log(1e4) / dim))
            table = torch.stack([angle.sin(), angle.cos()], dim=-1).reshape(MAX_TOKENS, 1, dim)
        self.register_buffer("pe", table)


class TokenEncoder(nn.Module):
    """One level: maps rows of tokens to the output of the CLS token."""

    def __init__(self, token_size: int, dim: int, heads: int, ffn_dim: int, dropout: float):
        super().__init__()
        self.input_embedding = nn.Linear(token_size, dim)
        self.classification_token = nn.Parameter(torch.rand(1, 1, dim))
        self.positional_encoder = PositionalEncoder(dim)
        # torch's layer only holds the weights and initializes them as published; its forward pass is not used.
        layer = nn.TransformerEncoderLayer(
            dim, heads, ffn_dim, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.transformer_encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.heads = heads
        self.dropout = dropout

    def cls_embedding(self) -> Tensor:
        """Return the CLS token with its positional encoding, (1, d); it is the same for all rows."""
        return self.classification_token[0] + self.positional_encoder.pe[0]

    def embed_tokens(self, rows: Tensor, positions: Tensor) -> Tensor:
        """Return CLS and the embedded tokens with positional encoding, (R, 1 + n, d), for rows (R, n, token size)."""
        embedded = self.input_embedding(rows) + self.positional_encoder.pe[positions, 0]
        return torch.cat([self.cls_embedding().expand(len(rows), 1, -1), embedded], dim=1)

    def forward(self, rows: Tensor, positions: Tensor, multiplicity: Tensor | None = None) -> Tensor:
        """Return the output of the CLS token, (R, d), for rows of tokens (R, n, token size).

        The positions (n,) of tokens count from 1; each token represents ``multiplicity`` (n,) equal ones, 1 if None.
        """

        def encode(part: Tensor, generator: Generator | None) -> Tensor:
            return self.with_attention(part, positions, generator, multiplicity)[0]

        return map_rows_parallel(encode, rows, tuple(self.parameters()))

    def with_attention(
        self, rows: Tensor, positions: Tensor, generator: Generator | None = None, multiplicity: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the output of the CLS token (R, d) and its attention before dropout (R, heads, 1 + n).

        ``generator`` gives the random numbers for dropout; torch's global one if None. The other arguments are those
        of ``forward``.
        """
        layer = self.transformer_encoder.layers[0]
        attended, attention = self.attend(rows, positions, generator, multiplicity)
        cls = self.cls_embedding() + self._dropout(attended, generator)
        first, second = layer.linear1, layer.linear2
        dropout_p = self.dropout if self.training else 0.0
        fed = feed_forward(layer.norm2(cls), first.weight, first.bias, second.weight, second.bias, dropout_p, generator)
        return cls + self._dropout(fed, generator), attention

    def attend(
        self, rows: Tensor, positions: Tensor, generator: Generator | None = None, multiplicity: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the attention output of the CLS token (R, d) and its attention before dropout (R, heads, 1 + n).

        The scores of a head are q · (Wk u + bk) / sqrt(c) for normalized tokens u; q · bk is the same for all tokens
        and cancels in the softmax. The output of a head is Wo (Σ a (Wv u + bv)) = Wo Wv (Σ a u) + Wo bv Σ a, so the
        keys and values of single tokens are never computed. Σ a is 1 only without dropout. A token with multiplicity m
        has the weight of m tokens with equal scores: log m is added to its score.
        """
        fused = self.fuse_weights()
        normed = self.transformer_encoder.layers[0].norm1(self.embed_tokens(rows, positions))
        scores = normed @ fused.query.t()  # (R, 1 + n, heads)
        if multiplicity is not None:
            scores = scores + _log_multiplicity(multiplicity, scores)[:, None]
        attention = scores.softmax(dim=1).transpose(1, 2)  # (R, heads, 1 + n)
        weights = self._dropout(attention, generator)
        mean = (weights @ normed).flatten(1)  # (R, heads · d)
        attended = mean @ fused.value.transpose(1, 2).flatten(0, 1) + weights.sum(-1) @ fused.value_bias
        return attended + self.transformer_encoder.layers[0].self_attn.out_proj.bias, attention

    def fuse_weights(self) -> FusedClsAttention:
        """Return the layer's attention weights, fused for the CLS token, whose query is constant."""
        layer = self.transformer_encoder.layers[0]
        w_query, w_key, w_value = layer.self_attn.in_proj_weight.unflatten(0, (3, self.heads, -1))  # (heads, c, d) each
        b_query, _, b_value = layer.self_attn.in_proj_bias.unflatten(0, (3, self.heads, -1))  # (heads, c) each
        w_out = layer.self_attn.out_proj.weight.unflatten(1, (self.heads, -1)).transpose(0, 1)  # (heads, d, c)
        query = w_query @ layer.norm1(self.cls_embedding())[0] + b_query
        return FusedClsAttention(
            query=(query[:, None] @ w_key)[:, 0] / math.sqrt(query.shape[-1]),
            value=w_out @ w_value,
            value_bias=(w_out @ b_value[:, :, None])[:, :, 0],
        )

    def _dropout(self, values: Tensor, generator: Generator | None) -> Tensor:
        return dropout(values, self.dropout if self.training else 0, generator)


class JointEncoder(TokenEncoder):
    """The first level: its tokens are joints with three coordinates each."""

    def attend(
        self, rows: Tensor, positions: Tensor, generator: Generator | None = None, multiplicity: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the same as ``TokenEncoder.attend`` without computing the tokens (R, 1 + J, d).

        A token is W x + e, affine in the three coordinates x. With the centering matrix C = I - 1/d, norm1 gives
        u = γ C (W x + e) / σ + β, where σ² = |C (W x + e)|² / d + ε = x·M x + 2 m·x + v + ε with M = (CW)ᵀCW / d
        (3 × 3), m = (CW)ᵀCe / d, v = |Ce|² / d. Hence the scores are affine in x, divided by σ, and Σ a u is an affine
        function of Σ (a / σ) x and of the weights a / σ. CLS is such a token with x = 0.
        """
        layer, fused = self.transformer_encoder.layers[0], self.fuse_weights()
        W = self.input_embedding.weight
        e = self.input_embedding.bias + self.positional_encoder.pe[positions, 0]
        e = torch.cat([self.cls_embedding(), e])  # (1 + J, d)
        CW, Ce = W - W.mean(0), e - e.mean(1, keepdim=True)
        gamma, beta = layer.norm1.weight, layer.norm1.bias
        query = fused.query * gamma
        value = fused.value * gamma

        # Coordinates and joints come first and rows last, so that the following operations run along contiguous rows.
        x = torch.cat([rows.new_zeros(3, 1, len(rows)), rows.permute(2, 1, 0)], dim=1)  # (3, 1 + J, R)
        inverse_sigma = _inverse_sigma(x, CW, Ce, layer.norm1.eps)
        scores = torch.tensordot(query @ CW, x, 1) + (query @ Ce.t())[:, :, None]
        scores = scores * inverse_sigma
        if multiplicity is not None:
            scores = scores + _log_multiplicity(multiplicity, scores)[:, None]
        attention = scores.softmax(dim=1)  # (heads, 1 + J, R)
        weights = self._dropout(attention, generator)
        scaled = weights * inverse_sigma
        sums = (scaled[:, None] * x).sum(2)  # (heads, 3, R)
        attended = (
            layer.self_attn.out_proj.bias
            + sums.flatten(0, 1).t() @ (value @ CW).transpose(1, 2).flatten(0, 1)
            + scaled.flatten(0, 1).t() @ (value @ Ce.t()).transpose(1, 2).flatten(0, 1)
            + weights.sum(1).t() @ (fused.value @ beta + fused.value_bias)
        )
        return attended, attention.permute(2, 0, 1)


def _log_multiplicity(multiplicity: Tensor, like: Tensor) -> Tensor:
    """Return the term added to the scores of CLS and the tokens, (1 + n,); CLS has multiplicity 1."""
    return torch.cat([multiplicity.new_ones(1), multiplicity]).to(like).log()


def _inverse_sigma(x: Tensor, CW: Tensor, Ce: Tensor, eps: float) -> Tensor:
    """Return 1 / σ (n, R) for tokens CW x + Ce, with x (3, n, R), CW (d, 3) and Ce (n, d).

    It is computed in double precision, because the terms of σ² can cancel.
    """
    CW, Ce, doubles = CW.double(), Ce.double(), x.double()
    dim = len(CW)
    M, m, v = CW.t() @ CW / dim, CW.t() @ Ce.t() / dim, Ce.square().sum(1) / dim
    variance = ((torch.tensordot(M, doubles, 1) + 2 * m[:, :, None]) * doubles).sum(0) + v[:, None]
    return (variance + eps).rsqrt().to(x.dtype)


class Classifier(nn.Module):
    """Two layers that map the vector of a window to its logit."""

    def __init__(self, dim: int):
        super().__init__()
        self.downs = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 1))

    def forward(self, vectors: Tensor) -> Tensor:
        """Return logits (N,) of vectors (N, d)."""
        return self.downs(vectors).squeeze(-1)


class GaitTransformer(nn.Module):
    """The network: maps windows in the common frame to logits of the sick class."""

    def __init__(
        self,
        pose_dim: int = 128,
        classifier_dim: int = 128,
        pose_heads: int = 2,
        classifier_heads: int = 2,
        ffn_dim: int = 2048,
        dropout: float = 0.1,
        frame_subsampling: int = 1,
    ):
        super().__init__()
        self.frame_subsampling = frame_subsampling
        self.feature_extractor = JointEncoder(3, pose_dim, pose_heads, ffn_dim, dropout)
        self.feature_merger = TokenEncoder(pose_dim, classifier_dim, classifier_heads, ffn_dim, dropout)
        self.classifier = Classifier(classifier_dim)

    def forward(self, windows: Tensor, joint_ids: Tensor | None = None) -> Tensor:
        """Return logits (N,) of windows (N, L, J, 3) in the common frame; joint_ids (J,) are 0 to J - 1 if None.

        In training, one random frame out of every ``frame_subsampling`` consecutive frames is used and represents all
        of them, because neighbouring frames are nearly equal. It is drawn again each time by torch's global generator.
        PatchDropout (Liu et al. 2023, WACV) omits patches of images in a similar way, without multiplicities.
        """
        positions, multiplicity = _frame_positions(windows), None
        if self.training and self.frame_subsampling > 1:
            chosen, multiplicity = _subsample_frames(self.frame_subsampling, windows.shape[1])
            chosen = chosen.to(windows.device)
            windows, positions = windows[:, chosen], positions[chosen]
        frames = self.feature_extractor(windows.flatten(0, 1), _joint_positions(windows, joint_ids))
        vectors = self.feature_merger(frames.unflatten(0, windows.shape[:2]), positions, multiplicity)
        return self.classifier(vectors)

    def window_vectors(self, windows: Tensor) -> Tensor:
        """Return the vectors (N, d) that the classifier gets, from all frames; unlike its logits, they are smooth."""
        frames = self.feature_extractor(windows.flatten(0, 1), _joint_positions(windows, None))
        return self.feature_merger(frames.unflatten(0, windows.shape[:2]), _frame_positions(windows))

    def with_attention(self, windows: Tensor, joint_ids: Tensor | None = None) -> tuple[Tensor, AttentionMaps]:
        """Return logits (N,) and the attention of the CLS tokens, from all frames."""
        extractor, merger = self.feature_extractor, self.feature_merger
        frames, to_joints = extractor.with_attention(windows.flatten(0, 1), _joint_positions(windows, joint_ids))
        vectors, to_frames = merger.with_attention(frames.unflatten(0, windows.shape[:2]), _frame_positions(windows))
        return self.classifier(vectors), AttentionMaps(to_joints.unflatten(0, windows.shape[:2]), to_frames)


def _subsample_frames(step: int, length: int) -> tuple[Tensor, Tensor]:
    """Return a random frame of each interval of ``step`` frames, the last may be shorter, and its length; both (n,)."""
    starts = torch.arange(0, length, step)
    counts = (length - starts).clamp_max(step)
    return starts + (torch.rand(len(starts), dtype=torch.float64) * counts).long(), counts


def _joint_positions(windows: Tensor, joint_ids: Tensor | None) -> Tensor:
    ids = torch.arange(windows.shape[2]) if joint_ids is None else joint_ids
    return ids.to(windows.device) + 1


def _frame_positions(windows: Tensor) -> Tensor:
    return torch.arange(windows.shape[1], device=windows.device) + 1
