"""A function of independent rows, computed by few threads that each do a long piece of work.

torch's own threads meet after every operation. Where other programs want the same processors one of them is always
late and all wait, so that some hundred short operations take ten times as long; and while they wait they keep the
processors busy. These threads meet once.
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

_FEWEST_NUMBERS = 1 << 16
"""In the rows of a thread: with less to do, starting it takes longer than it saves."""

Result = TypeVar("Result")


def in_row_parts(function: RowFunction, rows: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """``function(rows)``, by as many threads as torch uses; differentiable once in rows and parameters.

    The same rows, number of threads and state of torch's generator give the same numbers.

    Args:
        function: what is computed.
        rows: (R, ...).
        parameters: all tensors that the function is to be differentiated by.
    """
    threads = min(torch.get_num_threads(), len(rows), rows.numel() // _FEWEST_NUMBERS)
    if threads < 2 or rows.device.type != "cpu":
        return function(rows, None)
    return _InRowParts.apply(function, threads, torch.is_grad_enabled(), rows, *parameters)


class _InRowParts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, function: RowFunction, threads: int, graded: bool, rows: Tensor, *parameters: Tensor
    ) -> Tensor:
        seeds = torch.randint(2**62, (threads,)).tolist()
        graded = graded and any(ctx.needs_input_grad)

        def compute(work: tuple[Tensor, int]) -> tuple[Tensor, Tensor]:
            part, seed = work[0].detach().requires_grad_(ctx.needs_input_grad[3]), work[1]
            with torch.set_grad_enabled(graded):
                return part, function(part, Generator().manual_seed(seed))

        computed = _each_in_a_thread(compute, list(zip(rows.tensor_split(threads), seeds, strict=True)))
        if graded:
            ctx.computed, ctx.parameters = computed, parameters
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

        pieces = gradient.tensor_split(len(ctx.computed))
        found = _each_in_a_thread(differentiate, list(zip(ctx.computed, pieces, strict=True)))
        d_rows = torch.cat([one[0] for one in found if one[0] is not None]) if of_rows else None
        sums = iter([_sum(parts) for parts in zip(*(one[of_rows:] for one in found), strict=True)])
        return None, None, None, d_rows, *(next(sums) if p.requires_grad else None for p in ctx.parameters)


def _sum(parts: tuple[Tensor | None, ...]) -> Tensor | None:
    there = [part for part in parts if part is not None]
    return torch.stack(there).sum(0) if there else None


def _each_in_a_thread(function: Callable[[Any], Result], works: list[Any]) -> list[Result]:
    threads = torch.get_num_threads()

    def alone(work: Any) -> Result:
        torch.set_num_threads(1)  # of this thread's matrix products too
        with torch.no_grad():
            return function(work)

    try:
        with ThreadPoolExecutor(len(works)) as pool:
            return list(pool.map(alone, works))
    finally:
        torch.set_num_threads(threads)
