"""python benchmarks/windowing_memory.py POSES LENGTH BATCH_SIZE

Reads fitted trials and makes batches of their windows in random order, on one thread. Prints ``megabytes``,
``first_batch_s`` and ``reading_s`` as JSON; ``windowing_speed.py`` runs it in a process of its own and describes them.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch
from peak_memory import peak_memory_mb

from gait.motion.dataset import read_dataset
from gait.motion.windows import WindowDataset

BATCHES = 50


def main(base_folder: Path, length: int, batch_size: int) -> None:
    torch.set_num_threads(1)
    before = peak_memory_mb()
    start = time.perf_counter()
    trials = read_dataset(base_folder).trials
    read = time.perf_counter()
    windows = WindowDataset(trials, length, mirror=True)
    random = torch.Generator().manual_seed(0)
    windows.batch(torch.randint(len(windows), (batch_size,), generator=random))
    first = time.perf_counter()
    for _ in range(BATCHES):
        windows.batch(torch.randint(len(windows), (batch_size,), generator=random))
    metrics = {"megabytes": peak_memory_mb() - before, "first_batch_s": first - start, "reading_s": read - start}
    print(json.dumps(metrics))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
