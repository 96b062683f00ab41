"""The processes that train one network together, started by torchrun: on several graphics cards, cores or computers.

Each takes its share of every batch. Their gradients are summed, so that a step is the step of one process with the
whole batch. Without torchrun there is one process, and nothing here does anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

from gait.errors import GaitError

Answer = TypeVar("Answer")


class ReportedByMainProcessError(GaitError):
    """The first process has raised this, and says so."""


@dataclass(frozen=True)
class ProcessGroup:
    """This process among those that train together."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def summed(self, values: Tensor) -> Tensor:
        """The sum of all processes' values, in place."""
        if self.count > 1:
            distributed.all_reduce(values)
        return values

    def sum_gradients(self, network: nn.Module) -> None:
        """Give every process the sum of all processes' gradients; one without any counts as zero."""
        if self.count == 1:
            return
        weights = [weight for weight in network.parameters() if weight.requires_grad]
        gradients = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
        total = self.summed(torch.cat([gradient.flatten() for gradient in gradients]))
        for weight, part in zip(weights, total.split([w.numel() for w in weights]), strict=True):
            weight.grad = part.view_as(weight).clone()

    def agreed(self, ask: Callable[[], Answer]) -> Answer:
        """What the first process answers, or the GaitError that it raises, in all of them."""
        if self.count == 1:
            return ask()
        answer: list[Answer | GaitError | None] = [None]
        if self.first:
            try:
                answer = [ask()]
            except GaitError as error:
                answer = [error]
        distributed.broadcast_object_list(answer)
        (what,) = answer
        if isinstance(what, GaitError):
            raise what if self.first else ReportedByMainProcessError(str(what))
        return what  # type: ignore[return-value]

    def each(self, do: Callable[[], Answer]) -> Answer:
        """What this process's own call gives; the GaitError of any of them, in all of them."""
        if self.count == 1:
            return do()
        answer: list[Answer] = []
        line: str | None = None
        try:
            answer.append(do())
        except GaitError as error:
            line = str(error)
        lines: list[str | None] = [None] * self.count
        distributed.all_gather_object(lines, line)
        if told := [one for one in lines if one is not None]:
            raise GaitError(told[0])
        return answer[0]


@contextmanager
def ranks_of_torchrun(device: str) -> Iterator[tuple[ProcessGroup, str]]:
    """This process's place, and its device: with ``cuda``, a graphics card of its own."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if "TORCHELASTIC_RUN_ID" not in os.environ or count == 1:
        yield ProcessGroup(), device
        return
    if device == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    distributed.init_process_group("gloo" if device == "cpu" else "nccl")
    try:
        yield ProcessGroup(distributed.get_rank(), count), device
        distributed.barrier()  # one that leaves while another is at work may be aborted by its own connections
    finally:
        distributed.destroy_process_group()
