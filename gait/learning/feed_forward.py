"""The feed-forward part of a transformer layer, a cache-sized piece of rows at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from gait.learning.dropout import dropout, kept

_PIECE = 1 << 19
"""Hidden values a piece, 2 MB: they stay in the cache of any processor."""


def feed_forward(
    rows: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    dropped: float = 0.0,
    generator: Generator | None = None,
) -> Tensor:
    """(R, d'): w2 · dropout(gelu(w1 · row + b1)) + b2 of rows (R, d), a share ``dropped`` of hidden values set to zero.

    w1 (hidden, d), b1 (hidden,), w2 (d', hidden), b2 (d',). The hidden values are many times as large as all else in
    the network, and to write them to fresh memory takes longer than to compute them. So on a CPU they are never stored:
    the backward pass computes them anew. Differentiable once there.
    """
    if rows.device.type == "cpu":
        return _FeedForward.apply(rows, w1, b1, w2, b2, dropped, generator)
    return _stored(rows, w1, b1, w2, b2, dropped)


def _stored(rows: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, dropped: float) -> Tensor:
    """The formula itself; autograd stores the hidden values."""
    return functional.linear(dropout(functional.gelu(functional.linear(rows, w1, b1)), dropped), w2, b2)


class _FeedForward(torch.autograd.Function):
    """``feed_forward`` on a CPU."""

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        w1: Tensor,
        b1: Tensor,
        w2: Tensor,
        b2: Tensor,
        dropped: float,
        generator: Generator | None,
    ) -> Tensor:
        out = rows.new_empty(len(rows), len(b2))
        enlarging_w2 = w2 / (1 - dropped)
        space, factors = _space(rows, w1), _space(rows, w1)
        masks: list[Tensor] = []
        for piece in _pieces(rows, w1):
            hidden = torch.addmm(b1, rows[piece], w1.t(), out=space[: piece.stop - piece.start])
            torch.ops.aten.gelu_(hidden)
            if dropped:
                masks.append(kept(tuple(hidden.shape), dropped, generator))
                hidden.mul_(factors[: len(hidden)].copy_(masks[-1]))
            torch.addmm(b2, hidden, enlarging_w2.t(), out=out[piece])
        ctx.save_for_backward(rows, w1, b1, w2, *masks)
        ctx.dropped = dropped
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:
        rows, w1, b1, w2, *masks = ctx.saved_tensors
        d_rows, d_w1, d_b1, d_w2 = (torch.zeros_like(tensor) for tensor in (rows, w1, b1, w2))
        enlarged = d_out / (1 - ctx.dropped)
        space, d_space, factors = _space(rows, w1), _space(rows, w1), _space(rows, w1)
        of_weights = any(ctx.needs_input_grad[1:])
        for place, piece in enumerate(_pieces(rows, w1)):
            count = piece.stop - piece.start
            hidden = torch.addmm(b1, rows[piece], w1.t(), out=space[:count])
            if masks:
                factors[:count].copy_(masks[place])
            if of_weights:
                active = torch.ops.aten.gelu.out(hidden, out=d_space[:count])
                if masks:
                    active.mul_(factors[:count])
                d_w2.addmm_(enlarged[piece].t(), active)
            d_hidden = torch.mm(enlarged[piece], w2, out=d_space[:count])
            torch.ops.aten.gelu_backward(d_hidden, hidden, grad_input=d_hidden)
            if masks:
                d_hidden.mul_(factors[:count])
            if of_weights:
                d_w1.addmm_(d_hidden.t(), rows[piece])
                d_b1 += d_hidden.sum(0)
            torch.mm(d_hidden, w1, out=d_rows[piece])
        return d_rows, d_w1, d_b1, d_w2, d_out.sum(0), None, None


def _pieces(rows: Tensor, w1: Tensor) -> list[slice]:
    step = max(1, _PIECE // len(w1))
    return [slice(start, min(start + step, len(rows))) for start in range(0, len(rows), step)]


def _space(rows: Tensor, w1: Tensor) -> Tensor:
    """Room for the hidden values of a piece."""
    return rows.new_empty(min(len(rows), max(1, _PIECE // len(w1))), len(w1))
