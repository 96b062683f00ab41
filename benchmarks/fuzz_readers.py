"""python benchmarks/fuzz_readers.py --json fuzz_readers.json

Reads 20,000 damaged files: recordings (C3D, TRC, JSON), poses.npz, body models and checkpoints. Cohort, constraints and
pose text files are damaged by ``tests/robustness/test_properties.py``.
Small valid files, made here and taken from ``../shared/captures`` if available, are damaged at random and read as the
package reads them. A failure is any of: an exception other than GaitError, a message of several lines or without the
file's name, a warning or other output on the terminal, a subject's name in the output, a result that differs from that
of a slow and simple reader, a crash, more than 10 s (twice), more than 2 GB (the process and its reader together), or
code executed by a pickle. ``--only N`` repeats one file and prints its outcome.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import random
import shutil
import sys
import tempfile
import threading
import time
import traceback
import warnings
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from benchmark import BodyArguments, peak_memory_mb, run
from fuzz_mutators import bomb
from fuzz_seed_files import SECRET, FileKind, file_kinds
from recorded_trials import CAPTURES

from gait.body.model_file import load_body
from gait.capture import sandboxed_reader as reader_process
from gait.cli.arguments import argument
from gait.errors import GaitError

_MAX_SECONDS, _MAX_MB = 10.0, 2000.0
_TIMEOUT_S = 60.0
_CODE_EXECUTION_EVENTS = (
    *("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.remove", "pickle.find_class", "socket.connect"),
)
_BOMB_FRACTION = 0.02  # of the zip files; each takes a second


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    files: int = argument(20_000, "number of damaged files")
    seed: int = argument(0, "seed of the damage")
    workers: int = argument(2, "reading processes")
    only: int | None = argument(None, "repeat only this file and print its outcome")
    kind: str | None = argument(None, "only files of this kind, e.g. C3D")
    captures: Path = argument(CAPTURES, "folder of real recordings; without it only our own files are damaged")


QUICK = {"files": 600}


@dataclass(frozen=True)
class Outcome:
    """Outcome of reading one damaged file."""

    number: int
    kind: str
    damage: str  # names of the mutators
    state: str  # "rejected", "read" or the kind of failure
    line: str  # the error message, or details of the failure
    seconds: float
    memory_mb: float  # peak memory of the process and its reader so far


def main(args: Arguments) -> dict[str, Any]:
    captures = args.captures if args.captures.is_dir() else None
    if captures is None:
        print("no real recordings found: only our own files are damaged", file=sys.stderr)
    numbers = range(args.files) if args.only is None else [args.only]
    started = time.perf_counter()
    outcomes = _read_in_parallel(list(numbers), args, captures)
    failures = [outcome for outcome in outcomes if outcome.state not in ("rejected", "read")]
    if args.only is not None:
        print(*outcomes, sep="\n", file=sys.stderr)
    return {
        "passed": len(outcomes) - len(failures),
        **counts(outcomes),
        "failures": [asdict(failure) for failure in failures],
        "stopped_or_crashed": sum("its parser" in outcome.line for outcome in outcomes),
        "peak_memory_mb": max(outcome.memory_mb for outcome in outcomes),
        "seconds": time.perf_counter() - started,
        "by_kind": {
            kind: counts([outcome for outcome in outcomes if outcome.kind == kind])
            for kind in sorted({outcome.kind for outcome in outcomes})
        },
    }


def counts(outcomes: list[Outcome]) -> dict[str, float]:
    """Count some outcomes by state; also return the longest time."""
    return {
        "tried": len(outcomes),
        "rejected": sum(outcome.state == "rejected" for outcome in outcomes),
        "read": sum(outcome.state == "read" for outcome in outcomes),
        "slowest_s": max(outcome.seconds for outcome in outcomes),
    }


# ------------------------------------------------------------------------------------------ one file


def damage_file(kind: FileKind, rng: random.Random) -> tuple[bytes, str]:
    """Damage a valid file of a kind; return its bytes and the names of the mutators."""
    data = rng.choice(kind.seeds)
    names: list[str] = []
    if kind.file.endswith((".npz", ".ckpt")) and rng.random() < _BOMB_FRACTION:
        return bomb(rng, data, []), "bomb"
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        mutate = rng.choice(kind.mutators)
        try:
            changed = mutate(rng, data, list(kind.seeds))
        except Exception:  # already damaged so much that it has no fields, members or values
            continue
        data, names = changed or b"\0", [*names, mutate.__name__]
    return data, " ".join(names)


def read_and_check(kind: FileKind, path: Path, data: bytes) -> tuple[str, str]:
    """Read a damaged file; return (state, line)."""
    try:
        read = kind.read(path)
    except GaitError as error:
        line = str(error)
        if not line.isprintable() or len(line) > 4100:
            return "more than one line", line
        if str(path) not in line and str(path.parent) not in line:
            return "a message without the file's name", line
        if "please report" in line:
            return "an internal error", line
        return ("a subject's name", line) if SECRET in line else ("rejected", line)
    except BaseException as error:  # readers must raise nothing but GaitError
        return f"{type(error).__name__} instead of a GaitError", "".join(traceback.format_exception(error))[-1500:]
    if SECRET in repr(read[1] if isinstance(read, tuple) else read):
        return "a subject's name", ""
    try:
        wrong = kind.check(path, data, read)
    except Exception as error:
        wrong = "the simple reader failed: " + "".join(traceback.format_exception(error))[-800:]
    return ("a wrong result", wrong) if wrong else ("read", "")


# ------------------------------------------------------------------------------------------ many files


def _read_in_parallel(numbers: list[int], arguments: Arguments, captures: Path | None) -> list[Outcome]:
    """Read all files in several processes; a process that crashes or hangs is replaced."""
    remaining: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in numbers:
        remaining.put(number)
    outcomes: list[Outcome] = []

    def run_reader() -> None:
        reader = _ReadingProcess(arguments, captures)
        while True:
            try:
                number = remaining.get_nowait()
            except queue.Empty:
                return reader.end()
            outcome = reader.outcome(number)
            outcomes.append(outcome)
            if len(outcomes) % 1000 == 0:
                print(f"{len(outcomes)} files", file=sys.stderr)
            if outcome.state in ("crash", "hang") or outcome.memory_mb > _MAX_MB:
                reader.end()
                reader = _ReadingProcess(arguments, captures)

    threads = [threading.Thread(target=run_reader) for _ in range(min(arguments.workers, len(numbers)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(outcomes, key=lambda outcome: outcome.number)


class _ReadingProcess:
    """A process that reads damaged files, so that this one survives crashes."""

    def __init__(self, arguments: Arguments, captures: Path | None):
        context = multiprocessing.get_context("spawn")
        self.folder = Path(tempfile.mkdtemp(prefix="fuzz_readers_"))
        self.pipe, child_end = context.Pipe()
        self.process = context.Process(target=_serve, args=(child_end, arguments, captures, self.folder), daemon=False)
        self.process.start()
        child_end.close()

    def outcome(self, number: int) -> Outcome:
        try:
            self.pipe.send(number)
            if self.pipe.poll(_TIMEOUT_S):
                return Outcome(*self.pipe.recv())
            return Outcome(number, "?", "?", "hang", f"no answer within {_TIMEOUT_S:.0f} s", _TIMEOUT_S, 0.0)
        except (EOFError, OSError):
            self.process.join()
            return Outcome(number, "?", "?", "crash", f"exit code {self.process.exitcode}", 0.0, 0.0)

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        shutil.rmtree(self.folder, ignore_errors=True)


def _serve(pipe: Connection, arguments: Arguments, captures: Path | None, folder: Path) -> None:
    """Run in the reading process: for each file number received, read the file and send the fields of its outcome."""
    torch.set_num_threads(1)
    all_kinds = file_kinds(load_body(arguments.model), captures)
    chosen = [kind for kind in all_kinds if arguments.kind in (None, kind.name)]
    weighted_kinds = [kind for kind in chosen for _ in range(kind.weight)]
    random.Random(0).shuffle(weighted_kinds)
    warnings.simplefilter("error")
    monitor = _SideEffectMonitor(folder / "printed")
    for number in iter(pipe.recv, None):
        kind = weighted_kinds[number % len(weighted_kinds)]
        rng = random.Random(f"{arguments.seed} {number}")
        data, damage = damage_file(kind, rng)
        path = folder / kind.name.replace(" ", "_") / kind.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        monitor.start()
        for _ in range(2):
            start = time.perf_counter()
            state, line = read_and_check(kind, path, data)
            seconds = time.perf_counter() - start
            if seconds <= _MAX_SECONDS:  # else the computer may have been busy; a real hang repeats
                break
        side_effect = monitor.side_effects()
        memory_mb = _memory_mb()
        if state in ("rejected", "read"):
            if side_effect:
                state, line = side_effect, ""
            elif seconds > _MAX_SECONDS:
                state, line = "longer than 10 s", line
            elif memory_mb > _MAX_MB:
                state, line = "more than 2 GB", line
        pipe.send((number, kind.name, damage, state, line, seconds, memory_mb))


class _SideEffectMonitor:
    """Detects output printed by a reader, and code executed by a pickle."""

    def __init__(self, file: Path):
        self._file = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(self._file, stream)
        self._events: list[str] = []
        self._on = False
        sys.addaudithook(self._hook)

    def _hook(self, event: str, _: Any) -> None:
        if self._on and event.startswith(_CODE_EXECUTION_EVENTS):
            self._events.append(event)

    def start(self) -> None:
        """Discard earlier events and start to record."""
        os.ftruncate(self._file, 0)
        self._events.clear()
        self._on = True

    def side_effects(self) -> str:
        """Stop to record; return what was detected, "" if nothing."""
        self._on = False
        sys.stdout.flush()
        sys.stderr.flush()
        if self._events:
            return f"ran {self._events[0]}"
        return "printed" if os.fstat(self._file).st_size else ""


def _memory_mb() -> float:
    """Return the sum of the peak memory of this process and of its reader process; NaN if not available."""
    child = reader_process._reader._child
    return peak_memory_mb() + (0.0 if child is None else peak_memory_mb(child.pid))


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
