"""Run a command and measure all of its processes, also those that outlive their parent (Linux only)."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gait.errors import GaitError

_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of prctl(2)
_SAMPLE_S = 0.25
_MAX_OUTPUT = 4000  # bytes


@dataclass(frozen=True)
class TreeUsage:
    """What a command and all of its processes used."""

    seconds: float  # from the start of the command to its end
    processor_seconds: float  # user and system
    peak_memory_mb: float  # 10⁶ bytes, sampled; memory that processes share counts once


def measure_command(command: Sequence[str], environment: Mapping[str, str], cores: int | None = None) -> TreeUsage:
    """Run a command on the first ``cores`` cores of this process (None: all) and measure its processes.

    Raises:
        GaitError: the command failed; the message ends with its last line.
    """
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import process_tree; process_tree.serve()"
    )
    words = [sys.executable, "-c", program, str(cores or os.cpu_count()), *command]
    path = str(Path(__file__).resolve().parents[1])
    done = subprocess.run(words, env={**environment, "PYTHONPATH": path}, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    if found["exit_code"]:
        last = [*found["output"].strip().splitlines(), "no output"][-1]
        raise GaitError(f"{Path(command[1]).name} ended with code {found['exit_code']}: {last}")
    return TreeUsage(found["seconds"], found["processor_seconds"], found["peak_memory_mb"])


def serve() -> None:
    """Run the command on the command line, after the number of cores, and print what it used as JSON."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the benchmark stops, and the command with it
    cores, *command = sys.argv[1:]
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(cores)])
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)  # orphans become our children, so that we wait for them
    peak = _PeakMemory()
    with tempfile.TemporaryFile() as output:
        began = time.monotonic()
        with peak:
            code = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
        seconds = time.monotonic() - began
        with suppress(ChildProcessError):
            while True:
                os.wait()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        output.seek(max(output.seek(0, os.SEEK_END) - _MAX_OUTPUT, 0))
        text = output.read().decode(errors="replace")
    found = {"seconds": seconds, "processor_seconds": used.ru_utime + used.ru_stime, "peak_memory_mb": peak.megabytes}
    print(json.dumps({**found, "exit_code": code, "output": text}))


class _PeakMemory:
    """Samples the memory of all descendants of this process, in a thread."""

    def __init__(self) -> None:
        self.megabytes = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._ended.wait(_SAMPLE_S):
            self.megabytes = max(self.megabytes, sum(map(_memory_mb, _descendants(os.getpid()))))


def _descendants(process: int) -> list[int]:
    found, pending = [], [process]
    while pending:
        parent = pending.pop()
        for file in Path(f"/proc/{parent}/task").glob("*/children"):
            with suppress(OSError):
                children = [int(word) for word in file.read_text(encoding="ascii").split()]
                found += children
                pending += children
    return found


def _memory_mb(process: int) -> float:
    """Return the proportional set size: memory shared by n processes counts a nth in each; 0 if it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024 / 1e6
    return 0.0
