"""A function of independent rows, computed by few threads that each do a long piece of work.

torch's own threads meet after every operation. Where other programs want the same processors one of them is always
late and all wait, so that some hundred short operations take ten times as long; and while they wait they keep the
processors busy. These threads meet once.

How the rows are cut, and which random numbers a part draws, comes from the rows alone, so that any number of threads
gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from torch import Generator, Tensor
from torch.autograd.function import once_differentiable

RowFunction = Callable[[Tensor, Generator | None], Tensor]
"""Rows (R, ...) to (R, ...), each from its own alone; random numbers from the generator, torch's own if None."""

_MOST_PARTS = 8
_FEWEST_ROWS, _FEWEST_NUMBERS = 32, 1 << 16
"""Of a part: with less to do, it takes longer to begin than a thread saves."""

Result = TypeVar("Result")


def in_row_parts(function: RowFunction, rows: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """``function(rows)``, by as many threads as torch uses; differentiable once in rows and parameters.

    The same rows and state of torch's generator give the same numbers, whatever the number of threads.

    Args:
        function: what is computed.
        rows: (R, ...).
        parameters: all tensors that the function is to be differentiated by.
    """
    if rows.device.type != "cpu":
        return function(rows, None)
    parts = max(1, min(_MOST_PARTS, len(rows) // _FEWEST_ROWS, rows.numel() // _FEWEST_NUMBERS))
    return _InRowParts.apply(function, parts, torch.is_grad_enabled(), rows, *parameters)


class _InRowParts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: RowFunction, parts: int, graded: bool, rows: Tensor, *parameters: Tensor) -> Tensor:
        seeds = torch.randint(2**62, (parts,)).tolist()
        graded = graded and any(ctx.needs_input_grad)

        def compute(work: tuple[Tensor, int]) -> tuple[Tensor, Tensor]:
            part, seed = work[0].detach().requires_grad_(ctx.needs_input_grad[3]), work[1]
            with torch.set_grad_enabled(graded):
                return part, function(part, Generator().manual_seed(seed))

        computed = _each_by_a_thread(compute, list(zip(rows.tensor_split(parts), seeds, strict=True)))
        if graded:
            ctx.parameters = parameters
            ctx.save_for_backward(*(tensor for pair in computed for tensor in pair))  # which torch frees in time
        return torch.cat([result.detach() for _, result in computed])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        of_rows = ctx.needs_input_grad[3]
        wanted: list[Tensor] = [parameter for parameter in ctx.parameters if parameter.requires_grad]

        def differentiate(work: tuple[tuple[Tensor, Tensor], Tensor]) -> tuple[Tensor | None, ...]:
            (part, result), d_result = work
            inputs = [part, *wanted] if of_rows else wanted
            return torch.autograd.grad(result, inputs, d_result, retain_graph=True, allow_unused=True)

        computed = list(zip(ctx.saved_tensors[::2], ctx.saved_tensors[1::2], strict=True))
        pieces = gradient.tensor_split(len(computed))
        found = _each_by_a_thread(differentiate, list(zip(computed, pieces, strict=True)))
        d_rows = torch.cat([one[0] for one in found if one[0] is not None]) if of_rows else None
        sums = iter([_sum(parts) for parts in zip(*(one[of_rows:] for one in found), strict=True)])
        return None, None, None, d_rows, *(next(sums) if p.requires_grad else None for p in ctx.parameters)


def _sum(parts: tuple[Tensor | None, ...]) -> Tensor | None:
    there = [part for part in parts if part is not None]
    return torch.stack(there).sum(0) if there else None


def _each_by_a_thread(function: Callable[[Any], Result], works: list[Any]) -> list[Result]:
    """Results in the order of the works, each of them done by one thread from its beginning to its end."""
    threads = torch.get_num_threads()

    def alone(work: Any) -> Result:
        with torch.no_grad():
            return function(work)

    try:
        torch.set_num_threads(1)  # of matrix products; of those in the other threads likewise
        if min(threads, len(works)) == 1:
            return [alone(work) for work in works]
        with ThreadPoolExecutor(min(threads, len(works)), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(alone, works))
    finally:
        torch.set_num_threads(threads)
