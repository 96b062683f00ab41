"""python benchmarks/windowing_speed.py --json windows.json

Windows of a cohort in the common frame: memory, time to the first batch, and speed beside the published loop, which
makes one window after another. The recordings are those of a synthetic walker who walks along another heading in each.
Prints one JSON object:

 * ``megabytes``: memory (10⁶ bytes) of a process that reads the cohort from its ``poses.npz`` files and asks for
   batches in random order, beyond what the interpreter and the libraries hold; the most that it ever had.
 * ``first_batch_s``: in that process, from the beginning of reading to the first batch.
 * ``first_epoch`` and ``later_epochs``: batches in random order, half of their windows mirrored, when their windows are
   asked for the first time and again; ``windows_per_second``, ``batch_ms``, and ``ratio``: how many times as fast as
   the published loop, which is written from its description (``published_windows_per_second``). All on one thread, in
   turns, by the processor's time, so that other work on the machine counts for little. ``ratio`` by itself is that of
   a training of 25 epochs.
 * ``published_first_batch_s``: before its first batch the published loop makes all windows; what that would take,
   without reading. ``first_batch_ratio``: beside what the first batch takes here once the recordings are read.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_args import benchmark_parser, values
from bench_output import load_average, made_by, publish
from recorded_trials import MODEL
from reference_windows import published_windows

from gait.body.model_file import load_body
from gait.body.pose_sequence import PoseSequence
from gait.body.rotations import axis_angle_to_matrix
from gait.errors import GaitError
from gait.motion.dataset import read_gaits
from gait.motion.pose_files import write_npz
from gait.motion.windows import WindowDataset
from gait.synthetic import make_person, make_walk

RATE_HZ = 100.0
EPOCHS = 25
"""The README's."""


@dataclass(frozen=True)
class Arguments:
    """Of the command line."""

    recordings: int = 200
    """Of the cohort; every second one counts as ill."""
    frames: int = 1000
    """Of each recording."""
    length: int = 128
    """Frames of a window; there is a window at every frame."""
    batch_size: int = 64
    """Windows of a batch."""
    rounds: int = 9
    """The two are measured in turns, so often."""
    model: Path = MODEL
    """Body model file."""
    json: Path | None = None
    """File for the result."""


QUICK: dict[str, Any] = {"recordings": 4, "frames": 300, "rounds": 2}
"""What ``--quick`` changes: seconds, and rough figures."""


def main(args: Arguments) -> None:
    torch.set_num_threads(1)
    load = load_average()
    with tempfile.TemporaryDirectory() as place:
        write_cohort(Path(place), args)
        script = Path(__file__).with_name("windows_memory.py")
        words = [sys.executable, str(script), place, str(args.length), str(args.batch_size)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        memory = json.loads(done.stdout)
        windows = WindowDataset(read_gaits(Path(place)).gaits, args.length, mirrored=True)
    speed = measured_speed(windows, args)
    made = len(windows) / speed["published_windows_per_second"]
    publish(
        {
            **memory,
            **speed,
            "published_first_batch_s": made,
            "first_batch_ratio": made / (memory["first_batch_s"] - memory["reading_s"]),
            "windows": len(windows),
            "load_average": load,
            "made_by": made_by(args, load_body(args.model)),
        },
        args.json,
    )


def write_cohort(place: Path, args: Arguments) -> None:
    """Poses of one walker, turned and moved differently for each recording."""
    body = load_body(args.model)
    walk = make_walk(body, make_person(body, 1), seconds=args.frames / RATE_HZ, rate_hz=RATE_HZ).truth
    random = np.random.default_rng(0)
    for number in range(args.recordings):
        folder = place / ("sick" if number % 2 else "healthy") / f"P{number:03d}" / "walk"
        folder.mkdir(parents=True)
        write_npz(folder, turned(walk, random.uniform(-np.pi, np.pi), random.normal(size=3)))


def turned(walk: PoseSequence, angle_rad: float, move_m: np.ndarray) -> PoseSequence:
    """The joints along another heading; the poses are only there to be read."""
    R = axis_angle_to_matrix(torch.tensor([0.0, angle_rad, 0.0])).numpy()
    return replace(walk, joints_m=(walk.joints_m @ R.T + move_m).astype(np.float32))


def measured_speed(windows: WindowDataset, args: Arguments) -> dict[str, Any]:
    """Medians over the rounds, each of which measures everything."""
    joints = torch.from_numpy(windows.gaits[0].joints_m)
    order = torch.randperm(len(windows), generator=torch.Generator().manual_seed(0))
    first, later, published = [], [], []
    for number in range(args.rounds):
        mine = order[number :: args.rounds][: 20 * args.batch_size].split(args.batch_size)

        def batches(asked: tuple[torch.Tensor, ...] = mine) -> int:
            return sum(len(windows.batch(indices)) for indices in asked)

        first.append(seconds_each(batches))
        later.append(seconds_each(batches))
        published.append(seconds_each(lambda: len(list(published_windows(joints[: args.length + 200], args.length)))))
    loop = np.array(published)

    def figures(seconds: list[float]) -> dict[str, float]:
        return {
            "windows_per_second": 1 / float(np.median(seconds)),
            "batch_ms": 1e3 * args.batch_size * float(np.median(seconds)),
            "ratio": float(np.median(loop / np.array(seconds))),
        }

    training = (np.array(first) + (EPOCHS - 1) * np.array(later)) / EPOCHS
    return {
        "ratio": float(np.median(loop / training)),
        "first_epoch": figures(first),
        "later_epochs": figures(later),
        "published_windows_per_second": 1 / float(np.median(loop)),
    }


def seconds_each(make: Callable[[], int]) -> float:
    """Of the processor, by how many windows were made."""
    start = time.process_time()
    count = make()
    return (time.process_time() - start) / count


def parse_arguments(words: list[str] | None = None) -> Arguments:
    """Read the command line."""
    parser = benchmark_parser("Windows in the common frame: memory and speed, as JSON.", "seconds, and rough figures")
    parser.add_argument("--recordings", type=int, help="of the cohort")
    parser.add_argument("--frames", type=int, help="of each recording")
    parser.add_argument("--length", type=int, help="frames of a window")
    parser.add_argument("--batch_size", type=int, help="windows of a batch")
    parser.add_argument("--rounds", type=int, help="measurements, of which the median counts")
    parser.add_argument("--model", type=Path, help="body model file")
    return Arguments(**values(parser, words, QUICK))


if __name__ == "__main__":
    try:
        main(parse_arguments())
    except GaitError as error:
        sys.exit(str(error))
