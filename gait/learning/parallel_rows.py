"""Compute a function of independent rows in a few threads, each of which works on one long chunk of rows.

torch's own threads synchronize after every operation. If other programs use the same processors, one thread is always
late and the others wait for it while keeping their processors busy; a hundred short operations can take ten times as
long. The threads of this module synchronize once.

The chunks and their random numbers depend only on the rows, so the result is the same with any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from torch import Generator, Tensor
from torch.autograd.function import once_differentiable

RowFunction = Callable[[Tensor, Generator | None], Tensor]
"""Maps rows (R, ...) to (R, ...), each row from itself alone; random numbers come from the generator, or from torch's
global one if None."""

_MAX_CHUNKS = 8
_MIN_ROWS, _MIN_ELEMENTS = 32, 1 << 16
"""Minimum size of a chunk; for a smaller one, starting a thread takes longer than it saves."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_rows_parallel(function: RowFunction, rows: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """Return ``function(rows)`` of rows (R, ...), computed in chunks by as many threads as torch uses.

    The result depends on the rows and the state of torch's generator, but not on the number of threads. It can be
    differentiated once, by the rows and the parameters, which must be all tensors for which that is needed.
    """
    if rows.device.type != "cpu":
        return function(rows, None)
    num_chunks = max(1, min(_MAX_CHUNKS, len(rows) // _MIN_ROWS, rows.numel() // _MIN_ELEMENTS))
    return _MapRowsParallel.apply(function, num_chunks, torch.is_grad_enabled(), rows, *parameters)


class _MapRowsParallel(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, function: RowFunction, num_chunks: int, with_grad: bool, rows: Tensor, *parameters: Tensor
    ) -> Tensor:
        seeds = torch.randint(2**62, (num_chunks,)).tolist()
        with_grad = with_grad and any(ctx.needs_input_grad)

        def compute(item: tuple[Tensor, int]) -> tuple[Tensor, Tensor]:
            chunk, seed = item[0].detach().requires_grad_(ctx.needs_input_grad[3]), item[1]
            with torch.set_grad_enabled(with_grad):
                return chunk, function(chunk, Generator().manual_seed(seed))

        computed = _run_in_threads(compute, list(zip(rows.tensor_split(num_chunks), seeds, strict=True)))
        if with_grad:
            ctx.parameters = parameters
            ctx.save_for_backward(*(tensor for pair in computed for tensor in pair))  # so that torch frees them early
        return torch.cat([result.detach() for _, result in computed])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        needs_rows = ctx.needs_input_grad[3]
        trainable: list[Tensor] = [parameter for parameter in ctx.parameters if parameter.requires_grad]

        def differentiate(item: tuple[tuple[Tensor, Tensor], Tensor]) -> tuple[Tensor | None, ...]:
            (chunk, result), d_result = item
            inputs = [chunk, *trainable] if needs_rows else trainable
            return vector_product_gradient(result, inputs, d_result, retain_graph=True)

        computed = list(zip(ctx.saved_tensors[::2], ctx.saved_tensors[1::2], strict=True))
        chunks = gradient.tensor_split(len(computed))
        gradients = _run_in_threads(differentiate, list(zip(computed, chunks, strict=True)))
        d_rows = torch.cat([each[0] for each in gradients if each[0] is not None]) if needs_rows else None
        sums = iter([_sum(terms) for terms in zip(*(each[needs_rows:] for each in gradients), strict=True)])
        return None, None, None, d_rows, *(next(sums) if p.requires_grad else None for p in ctx.parameters)


def vector_product_gradient(
    result: Tensor, inputs: Sequence[Tensor], d_result: Tensor, *, retain_graph: bool = False
) -> tuple[Tensor | None, ...]:
    """Return the derivatives of Σ d_result · result by the inputs; None for an input without influence.

    ``torch.autograd.grad`` with ``d_result`` as ``grad_outputs`` gives the same bits, but imports sympy, for 0.4 s.
    """
    with torch.enable_grad():
        product = (result * d_result).sum()
    return torch.autograd.grad(product, inputs, retain_graph=retain_graph, allow_unused=True)


def _sum(terms: tuple[Tensor | None, ...]) -> Tensor | None:
    """Return the sum of the terms that are not None, or None if there is none."""
    present = [term for term in terms if term is not None]
    return torch.stack(present).sum(0) if present else None


def _run_in_threads(function: Callable[[Item], Result], items: list[Item]) -> list[Result]:
    """Return the function's results in the order of the items; each item is processed by a single thread."""
    threads = torch.get_num_threads()

    def run(item: Item) -> Result:
        with torch.no_grad():
            return function(item)

    try:
        torch.set_num_threads(1)  # for matrix products; the other threads set it likewise
        if min(threads, len(items)) == 1:
            return [run(item) for item in items]
        with ThreadPoolExecutor(min(threads, len(items)), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(run, items))
    finally:
        torch.set_num_threads(threads)
