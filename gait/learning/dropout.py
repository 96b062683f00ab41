"""Dropout on a CPU without a random number an element: what is kept is drawn a byte at a time."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional


def kept(shape: tuple[int, ...], share: float, generator: Generator | None = None) -> Tensor:
    """A uint8 mask on the CPU: each element 0 with probability ``share``, 1 otherwise, independently of all others.

    A byte below 256 · share, rounded down, drops its element. The remainder r, where 1 - share = (1 - rounded share) ·
    (1 - r), is dropped by hits of a Poisson process of rate -ln(1 - r) an element: those of distinct elements are
    independent, and an element is hit at least once with probability r. Random numbers are the generator's, torch's own
    if None, so its seed and its state hold for them.
    """
    count = math.prod(shape)
    limit = math.floor(256 * share)
    words = torch.empty(-(-count // 8), dtype=torch.int64).random_(-(2**63), None, generator=generator)
    mask = words.view(torch.uint8)[:count].ge_(limit)
    rate = math.log1p(-limit / 256) - math.log1p(-share)
    hits = int(torch.poisson(torch.tensor(rate * count, dtype=torch.float64), generator=generator))
    if hits:
        mask.index_fill_(0, torch.randint(count, (hits,), generator=generator), 0)
    return mask.view(shape)


def dropout(values: Tensor, share: float, generator: Generator | None = None) -> Tensor:
    """``values`` with a share of them set to zero at random and the others enlarged, so that the mean stays.

    ``generator`` is of a CPU and for values there.
    """
    if share == 0:
        return values
    if values.device.type != "cpu":
        return functional.dropout(values, share)
    return values * (kept(tuple(values.shape), share, generator).to(values.dtype) / (1 - share))
