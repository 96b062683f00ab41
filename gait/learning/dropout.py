"""Fast dropout on a CPU: it draws one random byte per element instead of one random number."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional


def dropout_mask(shape: tuple[int, ...], p: float, generator: Generator | None = None) -> Tensor:
    """Return a uint8 mask on the CPU: each element is 0 with probability ``p``, otherwise 1, independently.

    An element is dropped if its byte is below 256 p, rounded down; this has a probability p' ≤ p. The remaining
    probability r, with 1 - p = (1 - p') (1 - r), comes from a Poisson process with rate -ln(1 - r) per element: its
    events hit elements independently, and hit an element at least once with probability r. The random numbers come from
    ``generator``; from torch's global one if None.
    """
    count = math.prod(shape)
    limit = math.floor(256 * p)
    words = torch.empty(-(-count // 8), dtype=torch.int64).random_(-(2**63), None, generator=generator)
    mask = words.view(torch.uint8)[:count].ge_(limit)
    rate = math.log1p(-limit / 256) - math.log1p(-p)
    hits = int(torch.poisson(torch.tensor(rate * count, dtype=torch.float64), generator=generator))
    if hits:
        mask.index_fill_(0, torch.randint(count, (hits,), generator=generator), 0)
    return mask.view(shape)


def dropout(values: Tensor, p: float, generator: Generator | None = None) -> Tensor:
    """Set values to zero with probability ``p`` and scale the others by 1 / (1 - p), which preserves the mean.

    ``generator`` is used only for values on a CPU.
    """
    if p == 0:
        return values
    if values.device.type != "cpu":
        return functional.dropout(values, p)
    return values * (dropout_mask(tuple(values.shape), p, generator).to(values.dtype) / (1 - p))
