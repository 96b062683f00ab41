"""Distributed training of one network with torchrun: on several GPUs, cores or computers.

Each process computes a part of every batch. The gradients are summed, so each step equals the step of a single process
with the whole batch. Without torchrun there is one process, and nothing in this module communicates.
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

Result = TypeVar("Result")


@dataclass(frozen=True)
class ProcessGroup:
    """The processes that train a network together, seen from one of them."""

    rank: int = 0  # of this process
    size: int = 1  # number of processes

    @property
    def is_main(self) -> bool:
        """True if this is the process that writes files and prints messages."""
        return self.rank == 0

    def all_reduce_sum(self, values: Tensor) -> Tensor:
        """Replace the values, in place, by their sum over all processes."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def sum_gradients(self, network: nn.Module) -> None:
        """Replace the gradients by their sum over all processes; a missing gradient counts as zero."""
        if self.size == 1:
            return
        weights = [weight for weight in network.parameters() if weight.requires_grad]
        gradients = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
        total = self.all_reduce_sum(torch.cat([gradient.flatten() for gradient in gradients]))
        for weight, part in zip(weights, total.split([w.numel() for w in weights]), strict=True):
            weight.grad = part.view_as(weight).clone()

    def broadcast_from_main(self, compute: Callable[[], Result]) -> Result:
        """Call the function in the main process only; return its result in all processes.

        Raises:
            GaitError: of the main process; in the others without a message, so that it is printed once.
        """
        if self.size == 1:
            return compute()
        message: list[Result | GaitError | None] = [None]
        if self.is_main:
            try:
                message = [compute()]
            except GaitError as error:
                message = [error]
        distributed.broadcast_object_list(message)
        (result,) = message
        if isinstance(result, GaitError):
            raise result if self.is_main else GaitError("")
        return result  # type: ignore[return-value]

    def run_on_all(self, compute: Callable[[], Result]) -> Result:
        """Call the function in every process and return its own result; a GaitError of one is raised in all."""
        if self.size == 1:
            return compute()
        result: list[Result] = []
        error_message: str | None = None
        try:
            result.append(compute())
        except GaitError as error:
            error_message = str(error)
        messages: list[str | None] = [None] * self.size
        distributed.all_gather_object(messages, error_message)
        if errors := [message for message in messages if message is not None]:
            raise GaitError(errors[0])
        return result[0]


@contextmanager
def process_group_from_torchrun(device: str) -> Iterator[tuple[ProcessGroup, str]]:
    """Join the processes of torchrun; yield the group and this process's device, with ``cuda`` its own GPU."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if "TORCHELASTIC_RUN_ID" not in os.environ or size == 1:
        yield ProcessGroup(), device
        return
    if device == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    distributed.init_process_group("gloo" if device == "cpu" else "nccl")
    try:
        yield ProcessGroup(distributed.get_rank(), size), device
        distributed.barrier()  # a process that leaves early closes connections that others still use
    finally:
        distributed.destroy_process_group()
