"""Base of data classes with one entry per frame: select, replace, choose and concatenate frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class PerFrame:
    """Fields are tensors of T frames, other data classes of this kind, or None."""

    frame_axis: ClassVar[Mapping[str, int]] = {}  # of each field whose frames are not along the first axis

    def __getitem__(self, frames: Tensor | slice) -> Self:
        """Return the values of some frames."""
        return self._map(lambda axis, values: values[(slice(None),) * axis + (frames,)])

    def with_frames(self, frames: Tensor, other: Self) -> Self:
        """Return the values with some frames (indices) replaced by the frames of ``other``."""
        return self._map(lambda axis, mine, theirs: mine.index_copy(axis, frames, theirs), other)

    def where(self, mine: Tensor, other: Self) -> Self:
        """Return these values where ``mine`` (T,) is True, the other ones elsewhere."""
        if bool(mine.all()):
            return self
        return self._map(
            lambda axis, one, two: torch.where(mine.view([-1] + [1] * (one.ndim - axis - 1)), one, two), other
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Concatenate in time."""
        return parts[0]._map(lambda axis, *values: torch.cat(values, dim=axis), *parts[1:])

    def _map(self, function: Callable[..., Tensor], *others: Self) -> Self:
        """Call ``function(axis, own value, other values…)`` for each field; None where a value is None."""
        result: dict[str, Any] = {}
        for each in fields(self):
            values = [getattr(one, each.name) for one in (self, *others)]
            if any(value is None for value in values):
                result[each.name] = None
            elif isinstance(values[0], PerFrame):
                result[each.name] = values[0]._map(function, *values[1:])
            else:
                result[each.name] = function(self.frame_axis.get(each.name, 0), *values)
        return type(self)(**result)
