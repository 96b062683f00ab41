"""Frames in batches: small enough for the cache and for recordings of any length, side by side on all cores.

A batch is some hundred small operations; letting each of them spread over the cores costs more in meeting points than
it gains, and much more when another process wants a core. So every batch runs on one core, several batches at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

T = TypeVar("T")

CPU_FRAMES = 192
GPU_FRAMES = 16384


@dataclass(frozen=True)
class FrameBatches:
    """Runs work on batches of frames; the results do not depend on how many run at a time."""

    pool: ThreadPoolExecutor | None  # None: one after the other, on a graphics card
    size: int  # frames in a batch

    def map(self, frames: int, work: Callable[[slice], T]) -> list[T]:
        """What ``work`` gives for each batch of so many frames, in their order."""
        rows = [slice(int(a), int(b)) for a, b in pairwise(even_bounds(frames, self.size))]
        if self.pool is None:
            return [work(r) for r in rows]

        def inferring(r: slice) -> T:
            with torch.inference_mode():  # a setting of each thread
                return work(r)

        return list(self.pool.map(inferring, rows))


def even_bounds(frames: int, most: int) -> NDArray[np.int64]:
    """Where batches of nearly equal size begin and end; even in number, so that two cores share a short recording."""
    count = 1 if frames <= most // 3 else 2 * math.ceil(frames / (2 * most))
    return np.linspace(0, frames, count + 1).round().astype(int)


@contextmanager
def frame_batches(device: torch.device) -> Iterator[FrameBatches]:
    """Batches for a device; on the CPU as many at a time as torch may use threads (``OMP_NUM_THREADS``)."""
    if device.type != "cpu":
        yield FrameBatches(None, GPU_FRAMES)
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield FrameBatches(pool, CPU_FRAMES)
    finally:
        torch.set_num_threads(threads)
