"""Common parts of all benchmarks: flags, provenance, memory, and the JSON object that they print."""

from __future__ import annotations

import dataclasses
import json
import math
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch

from gait.body.model_file import load_body
from gait.cli.arguments import argument, parse
from gait.cli.exit_codes import run_main

REPOSITORY = Path(__file__).resolve().parents[1]
MODEL = REPOSITORY / "data" / "SUPR" / "open_neutral.npz"

_Arguments = TypeVar("_Arguments", bound="BenchmarkArguments")
_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


@contextmanager
def worker_map(workers: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """Yield a ``map`` that runs in some processes; in this one if ``workers`` is 1."""
    if workers == 1:
        yield map
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool.map


@dataclass(frozen=True, kw_only=True)
class BenchmarkArguments:
    """Flags of every benchmark."""

    json: Path | None = argument(None, "write the JSON object into this file too")
    quick: bool = argument(False, "small sizes, to test the benchmark; its results are imprecise")


@dataclass(frozen=True, kw_only=True)
class BodyArguments(BenchmarkArguments):
    """Flags of the benchmarks that use a body model."""

    model: Path = argument(MODEL, "body model file, in a folder SUPR")


def run(
    main: Callable[[_Arguments], dict[str, Any]],
    arguments: type[_Arguments],
    about: str,
    quick: Mapping[str, Any],
    argv: Sequence[str] | None = None,
) -> int:
    """Run a benchmark's main function on its command line; print its result, load average and provenance as JSON.

    The value of the flag ``threads``, if there is one, is set for torch and reset afterwards. ``quick`` are the values
    that ``--quick`` changes. Returns the exit code: 1 if the result has ``failures``, 2 after a GaitError.
    """
    argv = sys.argv[1:] if argv is None else argv
    args = parse(arguments, about, argv, defaults=quick if "--quick" in argv else None)

    def measure() -> int:
        load, threads = load_average(), torch.get_num_threads()
        torch.set_num_threads(getattr(args, "threads", threads))
        try:
            result = main(args)
            everything = {**result, "load_average": load, "provenance": provenance(args)}
        finally:
            torch.set_num_threads(threads)
        text = json.dumps(round_floats(everything), indent=2, allow_nan=False)
        print(text)
        if args.json is not None:
            args.json.write_text(text + "\n", encoding="utf-8")
        return 1 if result.get("failures") else 0

    return run_main(measure, "interrupted")


def provenance(args: BenchmarkArguments) -> dict[str, Any]:
    """Return arguments, versions, machine, and the body model if one is used."""
    body = load_body(args.model) if isinstance(args, BodyArguments) else None
    return {
        "arguments": {name: plain(value) for name, value in dataclasses.asdict(args).items()},
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        **({} if body is None else {"model": body.name, "model_sha256": body.sha256}),
    }


def load_average() -> float | None:
    """Return the mean number of running or waiting processes in the last minute; None if not available."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def plain(value: Any) -> Any:
    """Convert an argument to JSON; of a path only its name, because folders can contain user names."""
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value.name if isinstance(value, Path) else value


def round_floats(value: Any) -> Any:
    """Round all floats to five significant digits; values that are not finite become null."""
    if isinstance(value, dict):
        return {str(key): round_floats(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [round_floats(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value


def measure_seconds(act: Callable[[], object]) -> float:
    """Return the duration of a call."""
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def run_in_new_process(
    function: Callable[_Parameters, _Result], *args: _Parameters.args, **kwargs: _Parameters.kwargs
) -> _Result:
    """Call a module's function in a new process, so that its memory is its own; return the result."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args, **kwargs).result()


def peak_memory_mb(process: int | str = "self") -> float:
    """Return the peak resident memory of a process, 10⁶ bytes; NaN where /proc is not available."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return math.nan
    return next(
        (int(line.split()[1]) * 1024 / 1e6 for line in status.splitlines() if line.startswith("VmHWM:")), math.nan
    )
