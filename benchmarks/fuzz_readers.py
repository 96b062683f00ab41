"""python benchmarks/fuzz_readers.py     20,000 damaged files, each read: how many gave no plain error and no right read.

Recordings (C3D, TRC, JSON), poses, body models, checkpoints, cohort and constraints files, small honest ones of our
own and, where ``../shared/captures`` is, small real ones, are damaged from a seed and read as the suite reads them. A
failure is any of: another exception than a GaitError, more than one plain line or a line without the file's name, a
warning or anything else on the terminal, a name of a person, a read that differs from a slow and obvious one, a
crash, more than 10 s (twice), more than 2 GB (reader and its process together), anything that a pickle had run.
``--only N`` repeats one file and says what became of it.
"""

from __future__ import annotations

import argparse
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
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from bench_output import made_by, publish
from fuzz_mutators import bomb
from fuzz_seed_files import SECRET, Kind, kinds

from gait.body.model_file import load_body
from gait.capture import sandboxed_reader as reader_process
from gait.errors import GaitError

REPOSITORY = Path(__file__).resolve().parents[1]
BODY_FILE = REPOSITORY / "data" / "SUPR" / "open_neutral.npz"
_LONGEST_S, _MOST_MB = 10.0, 2000.0
_GIVEN_UP_S = 60.0
_RUN_BY_A_PICKLE = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.remove",
    "pickle.find_class",
    "socket.connect",
)
_BOMBS = 0.02  # of the zips: they take a second each


@dataclass(frozen=True)
class Arguments:
    """What is damaged, and how often."""

    files: int = 20_000
    """damaged files to read"""
    seed: int = 0
    """of the damage"""
    workers: int = 2
    """processes that read"""
    quick: bool = False
    """600 files instead"""
    only: int | None = None
    """repeat this file alone and show what it gives"""
    kind: str | None = None
    """only files of this kind, e.g. C3D"""
    captures: Path = REPOSITORY.parent / "shared" / "captures"
    """folder of real recordings; without it our own files alone are damaged"""
    json: Path | None = None
    """also write the result here"""


@dataclass(frozen=True)
class Outcome:
    """What one damaged file gave."""

    number: int
    kind: str
    damage: str  # the mutators' names
    state: str  # "refused", "read" or what was wrong
    line: str  # of the error, or more about the failure
    seconds: float
    memory_mb: float  # most that the reading process and its reader have had so far


def main(arguments: Arguments) -> int:
    """Damage and read the files; exit code 1 if any failed."""
    body = load_body(BODY_FILE)
    captures = arguments.captures if arguments.captures.is_dir() else None
    if captures is None:
        print("no real recordings there: our own files alone are damaged", file=sys.stderr)
    count = 600 if arguments.quick else arguments.files
    numbers = range(count) if arguments.only is None else [arguments.only]
    started = time.perf_counter()
    outcomes = _read_all(list(numbers), arguments, captures)
    failures = [outcome for outcome in outcomes if outcome.state not in ("refused", "read")]
    if arguments.only is not None:
        print(*outcomes, sep="\n", file=sys.stderr)
    by_kind = {
        kind: {
            "tried": sum(outcome.kind == kind for outcome in outcomes),
            "refused": sum(outcome.kind == kind and outcome.state == "refused" for outcome in outcomes),
            "read": sum(outcome.kind == kind and outcome.state == "read" for outcome in outcomes),
            "slowest_s": max(outcome.seconds for outcome in outcomes if outcome.kind == kind),
        }
        for kind in sorted({outcome.kind for outcome in outcomes})
    }
    result = {
        "passed": len(outcomes) - len(failures),
        "tried": len(outcomes),
        "failures": [
            {
                "only": failure.number,
                "kind": failure.kind,
                "damage": failure.damage,
                "what": failure.state,
                "line": failure.line,
            }
            for failure in failures
        ],
        "refused": sum(outcome.state == "refused" for outcome in outcomes),
        "read": sum(outcome.state == "read" for outcome in outcomes),
        "stopped_or_crashed": sum("its parser" in outcome.line for outcome in outcomes),
        "slowest_s": max(outcome.seconds for outcome in outcomes),
        "peak_memory_mb": max(outcome.memory_mb for outcome in outcomes),
        "seconds": time.perf_counter() - started,
        "by_kind": by_kind,
        "made_by": made_by(arguments, body),
    }
    publish(result, arguments.json)
    return 1 if failures else 0


# ------------------------------------------------------------------------------------------ one file


def damaged(kind: Kind, rng: random.Random) -> tuple[bytes, str]:
    """A damaged file of a kind, and what was done to it."""
    data = rng.choice(kind.seeds)
    names: list[str] = []
    if kind.file.endswith((".npz", ".ckpt")) and rng.random() < _BOMBS:
        return bomb(rng, data, []), "bomb"
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        mutate = rng.choice(kind.mutators)
        try:
            changed = mutate(rng, data, list(kind.seeds))
        except Exception:  # damaged so much already that it has no fields, members or values
            continue
        data, names = changed or b"\0", [*names, mutate.__name__]
    return data, " ".join(names)


def judged(kind: Kind, path: Path, data: bytes) -> tuple[str, str]:
    """(state, line) of reading a damaged file."""
    try:
        read = kind.read(path)
    except GaitError as error:
        line = str(error)
        if not line.isprintable() or len(line) > 4100:
            return "more than one plain line", line
        if str(path) not in line and str(path.parent) not in line:
            return "a line without the file's name", line
        if "please report" in line:
            return "an error of ours", line
        return ("a person's name", line) if SECRET in line else ("refused", line)
    except BaseException as error:  # what no reader may raise
        return f"{type(error).__name__} instead of a GaitError", "".join(traceback.format_exception(error))[-1500:]
    if SECRET in repr(read[1] if isinstance(read, tuple) else read):
        return "a person's name", ""
    try:
        wrong = kind.wrong(path, data, read)
    except Exception as error:
        wrong = "the obvious way cannot read it: " + "".join(traceback.format_exception(error))[-800:]
    return ("a wrong read", wrong) if wrong else ("read", "")


# ------------------------------------------------------------------------------------------ many files


def _read_all(numbers: list[int], arguments: Arguments, captures: Path | None) -> list[Outcome]:
    """Every file read in one of the processes; a process that is lost is replaced."""
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in numbers:
        todo.put(number)
    outcomes: list[Outcome] = []

    def work() -> None:
        reader = _ReadingProcess(arguments, captures)
        while True:
            try:
                number = todo.get_nowait()
            except queue.Empty:
                return reader.end()
            outcome = reader.outcome(number)
            outcomes.append(outcome)
            if len(outcomes) % 1000 == 0:
                print(f"{len(outcomes)} files", file=sys.stderr)
            if outcome.state in ("crash", "hang") or outcome.memory_mb > _MOST_MB:
                reader.end()
                reader = _ReadingProcess(arguments, captures)

    threads = [threading.Thread(target=work) for _ in range(min(arguments.workers, len(numbers)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(outcomes, key=lambda outcome: outcome.number)


class _ReadingProcess:
    """A process that reads damaged files, so that this one survives whatever they do."""

    def __init__(self, arguments: Arguments, captures: Path | None):
        context = multiprocessing.get_context("spawn")
        self.folder = Path(tempfile.mkdtemp(prefix="mutations"))
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, arguments, captures, self.folder), daemon=False)
        self.process.start()
        theirs.close()

    def outcome(self, number: int) -> Outcome:
        try:
            self.pipe.send(number)
            if self.pipe.poll(_GIVEN_UP_S):
                return Outcome(*self.pipe.recv())
            return Outcome(number, "?", "?", "hang", f"no answer within {_GIVEN_UP_S:.0f} s", _GIVEN_UP_S, 0.0)
        except (EOFError, OSError):
            self.process.join()
            return Outcome(number, "?", "?", "crash", f"exit code {self.process.exitcode}", 0.0, 0.0)

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        shutil.rmtree(self.folder, ignore_errors=True)


def _serve(pipe: Connection, arguments: Arguments, captures: Path | None, folder: Path) -> None:
    """In the reading process: read the file of every number that comes, answer with the fields of its outcome."""
    torch.set_num_threads(1)
    all_kinds = kinds(load_body(BODY_FILE), BODY_FILE, captures)
    chosen = [kind for kind in all_kinds if arguments.kind in (None, kind.name)]
    shares = [kind for kind in chosen for _ in range(kind.share)]
    random.Random(0).shuffle(shares)
    warnings.simplefilter("error")
    watch = _Watch(folder / "printed")
    for number in iter(pipe.recv, None):
        kind = shares[number % len(shares)]
        rng = random.Random(f"{arguments.seed} {number}")
        data, damage = damaged(kind, rng)
        path = folder / kind.name.replace(" ", "_") / kind.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        watch.begin()
        start = time.perf_counter()
        state, line = judged(kind, path, data)
        seconds = time.perf_counter() - start
        if seconds > _LONGEST_S:  # on a busy computer: what hangs does so again
            start = time.perf_counter()
            state, line = judged(kind, path, data)
            seconds = time.perf_counter() - start
        watched = watch.seen()
        memory_mb = _memory_mb()
        if state in ("refused", "read"):
            if watched:
                state, line = watched, ""
            elif seconds > _LONGEST_S:
                state, line = "longer than 10 s", line
            elif memory_mb > _MOST_MB:
                state, line = "more than 2 GB", line
        pipe.send((number, kind.name, damage, state, line, seconds, memory_mb))


class _Watch:
    """Notices what a reader prints, and what a pickle has run."""

    def __init__(self, file: Path):
        self._file = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(self._file, stream)
        self._events: list[str] = []
        self._on = False
        sys.addaudithook(self._hook)

    def _hook(self, event: str, _: Any) -> None:
        if self._on and event.startswith(_RUN_BY_A_PICKLE):
            self._events.append(event)

    def begin(self) -> None:
        """Forget what was before."""
        os.ftruncate(self._file, 0)
        self._events.clear()
        self._on = True

    def seen(self) -> str:
        """What was noticed since, "" if nothing was."""
        self._on = False
        sys.stdout.flush()
        sys.stderr.flush()
        if self._events:
            return f"ran {self._events[0]}"
        return "printed" if os.fstat(self._file).st_size else ""


def _memory_mb() -> float:
    """Most memory that this process has had, and most that its reader process has had; 0 where nobody counts it."""
    child = reader_process._reader._child
    return _peak_mb("self") + (0.0 if child is None else _peak_mb(str(child.pid)))


def _peak_mb(process: str) -> float:
    try:
        text = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    lines = [line for line in text.splitlines() if line.startswith("VmHWM:")]
    return float(lines[0].split()[1]) / 1024 if lines else 0.0


def _arguments() -> Arguments:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=Arguments.files, help="damaged files to read")
    parser.add_argument("--seed", type=int, default=Arguments.seed, help="of the damage")
    parser.add_argument("--workers", type=int, default=Arguments.workers, help="processes that read")
    parser.add_argument("--quick", action="store_true", help="600 files instead")
    parser.add_argument("--only", type=int, help="repeat this file alone and show what it gives")
    parser.add_argument("--kind", help="only files of this kind, e.g. C3D")
    parser.add_argument("--captures", type=Path, default=Arguments.captures, help="folder of real recordings")
    parser.add_argument("--json", type=Path, help="also write the result here")
    return Arguments(**vars(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main(_arguments()))
