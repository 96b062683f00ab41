"""Frames in batches: small enough for the cache and for recordings of any length, side by side on all cores.

A batch is some hundred small operations; letting each of them spread over the cores costs more in meeting points than
it gains, and much more when another process wants a core. So every batch runs on one core, several batches at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

T = TypeVar("T")

CPU_FRAMES = 384
GPU_FRAMES = 16384


@dataclass(frozen=True)
class FrameBatches:
    """Runs work on batches of frames; the results do not depend on how many run at a time."""

    helpers: int  # threads beside the one that asks, which works too: its memory is warm
    size: int  # frames in a batch

    def map(self, frames: int, work: Callable[[slice], T]) -> list[T]:
        """What ``work`` gives for each batch of so many frames, in their order."""
        rows = [slice(int(a), int(b)) for a, b in pairwise(even_bounds(frames, self.size))]
        done: dict[int, T] = {}
        left = iter(range(len(rows)))  # next() of it is one step of the interpreter, so nobody gets the same

        def take() -> None:
            with torch.inference_mode():  # a setting of each thread
                for k in left:
                    done[k] = work(rows[k])

        helpers = min(self.helpers, len(rows) - 1)
        helping = [_pool(self.helpers).submit(take) for _ in range(helpers)]
        try:
            take()
        finally:
            wait(helping)
        for helper in helping:
            helper.result()
        return [done[k] for k in range(len(rows))]


def even_bounds(frames: int, most: int) -> NDArray[np.int64]:
    """Where batches of nearly equal size begin and end; even in number, so that two cores share a short recording.

    A quarter of a thousand frames are no sooner done by two, which wait for one another's small operations.
    """
    count = 1 if frames <= 2 * most // 3 else 2 * math.ceil(frames / (2 * most))
    return np.linspace(0, frames, count + 1).round().astype(int)


@contextmanager
def frame_batches(device: torch.device) -> Iterator[FrameBatches]:
    """Batches for a device; on the CPU as many at a time as torch may use threads (``OMP_NUM_THREADS``)."""
    if device.type != "cpu":
        yield FrameBatches(0, GPU_FRAMES)
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield FrameBatches(threads - 1, CPU_FRAMES)
    finally:
        torch.set_num_threads(threads)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Kept for the next fit: what a thread works with for the first time, it has to be given by the system."""
    return ThreadPoolExecutor(threads, "frames", torch.set_num_threads, (1,))
