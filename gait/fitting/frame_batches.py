"""Process frames in batches that fit into the cache, several batches in parallel.

A batch takes some hundred small operations. To run each of them on several cores costs more in synchronization than it
gains, and much more when another process needs a core. So every batch runs on one core, and several run at a time.
"""

from __future__ import annotations

import math
import os
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
from threadpoolctl import ThreadpoolController

from gait.constants import LIBRARY_THREADS

T = TypeVar("T")

CPU_BATCH_FRAMES = 384
GPU_BATCH_FRAMES = 16384


@dataclass(frozen=True)
class FrameBatches:
    """Batch size and number of threads; the results do not depend on the number of threads."""

    extra_threads: int  # threads besides the calling one, which also works on batches
    size: int  # frames per batch

    def map(self, num_frames: int, work: Callable[[slice], T]) -> list[T]:
        """Call ``work`` for each batch of frames and return the results in order."""
        rows = [slice(int(a), int(b)) for a, b in pairwise(batch_bounds(num_frames, self.size))]
        done: dict[int, T] = {}
        pending = iter(range(len(rows)))  # next() is atomic, so no batch is taken twice

        def run_pending() -> None:
            with torch.inference_mode():  # is set per thread
                for k in pending:
                    done[k] = work(rows[k])

        threads = min(self.extra_threads, len(rows) - 1)
        futures = [_pool(self.extra_threads).submit(run_pending) for _ in range(threads)]
        try:
            run_pending()
        finally:
            wait(futures)
        for future in futures:
            future.result()
        return [done[k] for k in range(len(rows))]


def batch_bounds(num_frames: int, max_size: int) -> NDArray[np.int64]:
    """Return the bounds of batches of nearly equal size.

    Their number is even, so that two cores can divide a short recording; up to two thirds of ``max_size`` there is only
    one batch, as a second core would not make it faster.
    """
    count = 1 if num_frames <= 2 * max_size // 3 else 2 * math.ceil(num_frames / (2 * max_size))
    return np.linspace(0, num_frames, count + 1).round().astype(int)


@contextmanager
def frame_batches(device: torch.device) -> Iterator[FrameBatches]:
    """Provide batches for a device; on the CPU with as many threads as torch may use (``OMP_NUM_THREADS``)."""
    if device.type != "cpu":
        yield FrameBatches(0, GPU_BATCH_FRAMES)
        return
    with _one_torch_thread() as threads:
        yield FrameBatches(threads - 1, CPU_BATCH_FRAMES)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let numpy and torch compute in one thread, as sums depend on the number of threads in their last digits."""
    with _one_torch_thread():
        if all(os.environ.get(name) == "1" for name in LIBRARY_THREADS):  # a worker, whose libraries have one anyway
            yield
        else:
            with _thread_pools().limit(limits=1):
                yield


@contextmanager
def _one_torch_thread() -> Iterator[int]:
    """Let torch compute in one thread; yield how many it had."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


@cache
def _thread_pools() -> ThreadpoolController:
    return ThreadpoolController()  # searches all loaded libraries


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Return a thread pool, which is kept for the next fit: new threads would have to allocate their memory again."""
    return ThreadPoolExecutor(threads, "frames", torch.set_num_threads, (1,))
