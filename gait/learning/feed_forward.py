"""The feed-forward block of a transformer layer, computed in chunks of rows that fit into the processor's cache."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from gait.learning.dropout import dropout, dropout_mask

_CHUNK_SIZE = 1 << 19
"""Hidden values per chunk; 2 MB, which fits into the cache of any processor."""


def feed_forward(
    rows: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    dropout_p: float = 0.0,
    generator: Generator | None = None,
) -> Tensor:
    """Return w2 · dropout(gelu(w1 · row + b1)) + b2 for each row, (R, d').

    The hidden values need much more memory than everything else in the network, and writing them to new memory takes
    longer than computing them. Therefore they are not stored on a CPU: the backward pass computes them again. On a CPU
    the function can be differentiated only once.

    The shapes are rows (R, d), w1 (hidden, d), b1 (hidden,), w2 (d', hidden) and b2 (d',). ``generator`` is for dropout
    on a CPU; torch's global one if None.
    """
    if rows.device.type == "cpu":
        return _FeedForward.apply(rows, w1, b1, w2, b2, dropout_p, generator)
    return _feed_forward_autograd(rows, w1, b1, w2, b2, dropout_p)


def _feed_forward_autograd(rows: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, dropout_p: float) -> Tensor:
    """Return the same with torch's own operations; autograd stores the hidden values."""
    return functional.linear(dropout(functional.gelu(functional.linear(rows, w1, b1)), dropout_p), w2, b2)


class _FeedForward(torch.autograd.Function):
    """Forward and backward pass of ``feed_forward`` on a CPU, without stored hidden values."""

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        w1: Tensor,
        b1: Tensor,
        w2: Tensor,
        b2: Tensor,
        dropout_p: float,
        generator: Generator | None,
    ) -> Tensor:
        out = rows.new_empty(len(rows), len(b2))
        scaled_w2 = w2 / (1 - dropout_p)
        buffer, factors = _hidden_buffer(rows, w1), _hidden_buffer(rows, w1)
        masks: list[Tensor] = []
        for chunk in _row_chunks(rows, w1):
            hidden = torch.addmm(b1, rows[chunk], w1.t(), out=buffer[: chunk.stop - chunk.start])
            torch.ops.aten.gelu_(hidden)
            if dropout_p:
                masks.append(dropout_mask(tuple(hidden.shape), dropout_p, generator))
                hidden.mul_(factors[: len(hidden)].copy_(masks[-1]))
            torch.addmm(b2, hidden, scaled_w2.t(), out=out[chunk])
        ctx.save_for_backward(rows, w1, b1, w2, *masks)
        ctx.dropout_p = dropout_p
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:
        rows, w1, b1, w2, *masks = ctx.saved_tensors
        d_rows, d_w1, d_b1, d_w2 = (torch.zeros_like(tensor) for tensor in (rows, w1, b1, w2))
        scaled = d_out / (1 - ctx.dropout_p)
        buffer, d_buffer, factors = (_hidden_buffer(rows, w1) for _ in range(3))
        needs_weights = any(ctx.needs_input_grad[1:])
        for index, chunk in enumerate(_row_chunks(rows, w1)):
            count = chunk.stop - chunk.start
            hidden = torch.addmm(b1, rows[chunk], w1.t(), out=buffer[:count])
            if masks:
                factors[:count].copy_(masks[index])
            if needs_weights:
                active = torch.ops.aten.gelu.out(hidden, out=d_buffer[:count])
                if masks:
                    active.mul_(factors[:count])
                d_w2.addmm_(scaled[chunk].t(), active)
            d_hidden = torch.mm(scaled[chunk], w2, out=d_buffer[:count])
            torch.ops.aten.gelu_backward(d_hidden, hidden, grad_input=d_hidden)
            if masks:
                d_hidden.mul_(factors[:count])
            if needs_weights:
                d_w1.addmm_(d_hidden.t(), rows[chunk])
                d_b1 += d_hidden.sum(0)
            torch.mm(d_hidden, w1, out=d_rows[chunk])
        return d_rows, d_w1, d_b1, d_w2, d_out.sum(0), None, None


def _row_chunks(rows: Tensor, w1: Tensor) -> list[slice]:
    step = max(1, _CHUNK_SIZE // len(w1))
    return [slice(start, min(start + step, len(rows))) for start in range(0, len(rows), step)]


def _hidden_buffer(rows: Tensor, w1: Tensor) -> Tensor:
    """Return uninitialized memory for the hidden values of a chunk."""
    return rows.new_empty(min(len(rows), max(1, _CHUNK_SIZE // len(w1))), len(w1))
