"""python benchmarks/crash_recovery.py --json kills.json

Kills ``shape_optimizer.py`` (SIGKILL, the whole process group) at moments drawn from a seed while it fits a small
cohort of synthetic walkers, starts it again each time, and looks after every kill and at every end:

 * what was finished before is there, byte by byte (put aside at most, where the kill fell between two renames);
 * a gait that is there has the poses of a run that nobody disturbed;
 * at the end of a run, all gaits are there, and nothing else is.

Half of the moments are any time of the run, half while a gait's files are being written. Every third folder is then
fitted again with ``--overwrite``, under the same kills. Prints one JSON object: kills ``tried``, kills ``passed``,
``failures``.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench_args import benchmark_parser, values
from bench_output import made_by, publish
from recorded_trials import MODEL
from synthetic_cohort import fit_command, fit_environment, write_cohort

from gait.body.model_file import load_body
from gait.errors import GaitError

POSES, REPORT = "poses.npz", "fit_report.json"


@dataclass(frozen=True)
class Arguments:
    """Of the command line."""

    kills: int = 50
    """In all."""
    persons: int = 3
    """In the cohort."""
    walks: int = 2
    """Of each person."""
    walk_s: float = 0.6
    """Length of a walk, at 100 frames a second."""
    seed: int = 0
    """Of the moments."""
    model: Path = MODEL
    """Body model file, in a folder SUPR."""
    json: Path | None = None
    """File for the result."""


QUICK: dict[str, Any] = {"kills": 5, "persons": 2}
"""What ``--quick`` changes."""


@dataclass
class Place:
    """A save folder and what has been seen finished in it."""

    save_folder: Path
    expected: dict[str, bytes]  # gait's folder -> poses of the undisturbed run
    finished: dict[str, bytes] = field(default_factory=dict)  # gait's folder -> its report, when first seen

    def look(self, *, ended: bool, overwriting: bool) -> list[str]:
        """What is wrong now; remembers what has been finished since the last look."""
        wrong = []
        folders = [path.parent for path in self.save_folder.rglob(POSES) if not path.parent.name.startswith(".")]
        here = {str(path.relative_to(self.save_folder)) for path in folders}
        for gait in sorted(here | self.finished.keys()):
            folder = self.save_folder / gait
            if gait not in here and not ended:
                folder = next(iter(sorted(folder.parent.glob(f".{folder.name}.old-*"))), folder)
            if gait not in self.expected:
                wrong.append(f"{gait} is none of the cohort's")
            elif not (folder / POSES).is_file() or not (folder / REPORT).is_file():
                wrong.append(f"{gait} was finished and is not there")
            elif (folder / POSES).read_bytes() != self.expected[gait]:
                wrong.append(f"{gait} has other poses")
            else:
                report = (folder / REPORT).read_bytes()
                if self.finished.setdefault(gait, report) != report and not overwriting:
                    wrong.append(f"{gait} was fitted again")
        if ended:
            wrong += [f"{gait} is missing" for gait in sorted(self.expected.keys() - here)]
            wrong += [f"{path.name} was left over" for path in sorted(self.save_folder.rglob(".*"))]
        return wrong


def main(args: Arguments) -> None:
    body = load_body(args.model)
    chance = random.Random(args.seed)
    with tempfile.TemporaryDirectory(prefix="kills_") as name:
        folder = Path(name)
        cohort = write_cohort(folder, body, persons=args.persons, walks=args.walks, seconds=args.walk_s)
        began = time.monotonic()
        code = subprocess.run(
            fit_command(cohort, args.model, folder / "undisturbed", "--workers", "1"),
            env=fit_environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        ).returncode
        usual_s = time.monotonic() - began
        expected = {
            str(path.parent.relative_to(folder / "undisturbed")): path.read_bytes()
            for path in (folder / "undisturbed").rglob(POSES)
        }
        if code or len(expected) != args.persons * args.walks:
            raise GaitError("the undisturbed run did not fit all gaits; nothing to compare with.")
        tried, passed, failures = 0, 0, []
        for wrong, moment in kills(args, cohort, folder, expected, usual_s, chance):
            tried += 1
            passed += not wrong
            failures += [f"kill {tried}, {moment}: {line}" for line in wrong]
            print(f"{tried} of {args.kills}: {moment}: {'; '.join(wrong) or 'nothing lost'}", file=sys.stderr)
    publish(
        {
            "tried": tried,
            "passed": passed,
            "failures": failures,
            "gaits": len(expected),
            "undisturbed_s": usual_s,
            "made_by": made_by(args, body),
        },
        args.json,
    )


def kills(
    args: Arguments, cohort: Path, folder: Path, expected: dict[str, bytes], usual_s: float, chance: random.Random
) -> Iterator[tuple[list[str], str]]:
    """For each kill what was wrong after it, up to the end of the next run; and when it was."""
    done = 0
    for number in range(10 * args.kills):
        place = Place(folder / f"out{number}", expected)
        for overwriting in (False, True) if number % 3 == 2 else (False,):
            last: tuple[list[str], str] | None = None
            killed_here = 0
            while True:
                words = ["--workers", str(chance.choice((1, 2, 3)))]
                # Overwriting starts over each time, so it would never end under kills.
                words += ["--overwrite"] if overwriting and killed_here < 3 else []
                command = fit_command(cohort, args.model, place.save_folder, *words)
                spare = done >= args.kills or killed_here >= 6
                moment, code = run_and_kill(command, place.save_folder, usual_s, chance, spare=spare)
                wrong = place.look(ended=moment is None, overwriting=overwriting)
                if moment is None and code != 0:
                    wrong.append(f"the run ended with code {code}")
                if last is not None:  # the run after a kill is that kill's affair
                    yield last[0] + (wrong if moment is None else []), last[1]
                if moment is None:
                    break
                done += 1
                killed_here += 1
                last = wrong, moment
        if done >= args.kills:
            return


def run_and_kill(
    command: list[str], save_folder: Path, usual_s: float, chance: random.Random, *, spare: bool
) -> tuple[str | None, int | None]:
    """Run the command and kill it. When that was, None if it was spared or ended first; and its exit code."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, env=fit_environment(), stdout=quiet, stderr=quiet, start_new_session=True)
    began = time.monotonic()
    while_writing = chance.random() < 0.5
    after_s = chance.uniform(0, 0.01) if while_writing else chance.uniform(0, usual_s)
    nth, seen = chance.randint(1, 3), set[str]()
    while not spare and process.poll() is None:
        now = time.monotonic() - began
        if while_writing:
            seen |= {str(path) for path in save_folder.glob("*/*/.*.partial-*")}
            if len(seen) >= nth:
                time.sleep(after_s)
                return _killed(process, f"{1e3 * after_s:.1f} ms into writing")
        elif now >= after_s:
            return _killed(process, f"{after_s:.2f} s after the start")
        time.sleep(0.001 if while_writing else 0.01)
    return None, process.wait()


def _killed(process: subprocess.Popen[bytes], moment: str) -> tuple[str | None, int | None]:
    """Kill the whole group; None if the process had ended before."""
    ended = process.poll() is not None
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    code = process.wait()
    with suppress(ProcessLookupError, PermissionError):  # until the last of the group is gone
        while True:
            os.killpg(process.pid, signal.SIGKILL)
            time.sleep(0.01)
    return (None, code) if ended else (moment, code)


def parse_arguments(words: list[str] | None = None) -> Arguments:
    """Read the command line."""
    parser = benchmark_parser("Kills at random moments of a cohort run, as JSON.", "a few kills only")
    parser.add_argument("--kills", type=int, help="in all")
    parser.add_argument("--persons", type=int, help="in the cohort")
    parser.add_argument("--walks", type=int, help="of each person")
    parser.add_argument("--walk_s", type=float, help="length of a walk, seconds")
    parser.add_argument("--seed", type=int, help="of the moments")
    parser.add_argument("--model", type=Path, help="body model file, in a folder SUPR")
    return Arguments(**values(parser, words, QUICK))


if __name__ == "__main__":
    try:
        main(parse_arguments())
    except GaitError as error:
        sys.exit(str(error))
