"""python benchmarks/windowing_speed.py --json windowing_speed.json

Windows of a cohort in the common frame: memory, time to the first batch, and speed compared with the loop of the
original implementation, which makes one window after another. The recordings are one synthetic trial in many walking
directions. Prints one JSON object:

 * ``megabytes``: peak memory (10⁶ bytes) of a process that reads the cohort from its ``poses.npz`` files and makes
   batches in random order, minus that of the interpreter and the libraries.
 * ``first_batch_s``: in that process, from the start of reading to the first batch.
 * ``first_epoch`` and ``later_epochs``: batches in random order, half of the windows mirrored, when the windows are
   requested for the first time and again: ``windows_per_second``, ``batch_ms``, and ``ratio``, the speed relative to
   the reference loop (``reference_windows_per_second``). Both run alternately on one thread and are measured in
   processor time, so that other load has little effect. The ``ratio`` at top level is that of a training of 25 epochs.
 * ``reference_first_batch_s``: time that the reference loop would need for all windows, which it makes before its
   first batch, without reading. ``first_batch_ratio``: relative to our first batch, without reading.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmark import BodyArguments, peak_memory_mb, run, run_in_new_process
from reference_windows import make_reference_windows

from gait.body.model_file import load_body
from gait.body.pose_sequence import PoseSequence
from gait.body.rotations import axis_angle_to_matrix
from gait.cli.arguments import argument
from gait.motion.pose_npz import write_npz
from gait.motion.read_dataset import read_dataset
from gait.motion.windows import WindowDataset
from gait.synthetic import make_subject, make_trial

RATE_HZ = 100.0
EPOCHS = 25
"""Epochs of the README's training."""


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    recordings: int = argument(200, "recordings of the cohort; every second one is labelled sick")
    frames: int = argument(1000, "frames per recording")
    length: int = argument(128, "frames per window; windows start at every frame")
    batch_size: int = argument(64, "windows per batch")
    rounds: int = argument(9, "alternating measurements, of which the median counts")


QUICK = {"recordings": 4, "frames": 300, "rounds": 2}


def main(args: Arguments) -> dict[str, Any]:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        write_cohort(Path(folder), args)
        memory = run_in_new_process(measure_memory, Path(folder), args.length, args.batch_size)
        windows = WindowDataset(read_dataset(Path(folder)).trials, args.length, mirror=True)
    speed = measure_speed(windows, args)
    made = len(windows) / speed["reference_windows_per_second"]
    return {
        **memory,
        **speed,
        "reference_first_batch_s": made,
        "first_batch_ratio": made / (memory["first_batch_s"] - memory["reading_s"]),
        "windows": len(windows),
    }


def write_cohort(poses: Path, args: Arguments) -> None:
    """Write the poses of one trial, rotated and translated differently for each recording."""
    body = load_body(args.model)
    trial = make_trial(body, make_subject(body, 1), seconds=args.frames / RATE_HZ, rate_hz=RATE_HZ).ground_truth
    random = np.random.default_rng(0)
    for number in range(args.recordings):
        folder = poses / ("sick" if number % 2 else "healthy") / f"P{number:03d}" / "walk"
        folder.mkdir(parents=True)
        write_npz(folder, rotate_joints(trial, random.uniform(-np.pi, np.pi), random.normal(size=3)))


def rotate_joints(sequence: PoseSequence, angle_rad: float, translation_m: np.ndarray) -> PoseSequence:
    """Rotate the joints about the vertical and translate them; the poses, which are not used, stay as they are."""
    R = axis_angle_to_matrix(torch.tensor([0.0, angle_rad, 0.0])).numpy()
    return replace(sequence, joints_m=(sequence.joints_m @ R.T + translation_m).astype(np.float32))


def measure_memory(base_folder: Path, length: int, batch_size: int) -> dict[str, float]:
    """Read fitted trials and make batches of their windows in random order, on one thread."""
    torch.set_num_threads(1)
    before = peak_memory_mb()
    start = time.perf_counter()
    trials = read_dataset(base_folder).trials
    read = time.perf_counter()
    windows = WindowDataset(trials, length, mirror=True)
    random = torch.Generator().manual_seed(0)
    windows.batch(torch.randint(len(windows), (batch_size,), generator=random))
    first = time.perf_counter()
    for _ in range(50):
        windows.batch(torch.randint(len(windows), (batch_size,), generator=random))
    return {"megabytes": peak_memory_mb() - before, "first_batch_s": first - start, "reading_s": read - start}


def measure_speed(windows: WindowDataset, args: Arguments) -> dict[str, Any]:
    """Return medians over the rounds; each round measures both implementations."""
    joints = torch.from_numpy(windows.trials[0].joints_m)
    order = torch.randperm(len(windows), generator=torch.Generator().manual_seed(0))
    first, later, reference = [], [], []
    for number in range(args.rounds):
        of_round = order[number :: args.rounds][: 20 * args.batch_size].split(args.batch_size)

        def batches(parts: tuple[torch.Tensor, ...] = of_round) -> int:
            return sum(len(windows.batch(indices)) for indices in parts)

        first.append(measure_seconds_per_window(batches))
        later.append(measure_seconds_per_window(batches))
        reference.append(
            measure_seconds_per_window(
                lambda: len(list(make_reference_windows(joints[: args.length + 200], args.length)))
            )
        )
    loop = np.array(reference)

    def metrics(seconds: list[float]) -> dict[str, float]:
        return {
            "windows_per_second": 1 / float(np.median(seconds)),
            "batch_ms": 1e3 * args.batch_size * float(np.median(seconds)),
            "ratio": float(np.median(loop / np.array(seconds))),
        }

    training = (np.array(first) + (EPOCHS - 1) * np.array(later)) / EPOCHS
    return {
        "ratio": float(np.median(loop / training)),
        "first_epoch": metrics(first),
        "later_epochs": metrics(later),
        "reference_windows_per_second": 1 / float(np.median(loop)),
    }


def measure_seconds_per_window(make: Callable[[], int]) -> float:
    """Return processor seconds per window; ``make`` returns the number of windows that it made."""
    start = time.process_time()
    count = make()
    return (time.process_time() - start) / count


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
