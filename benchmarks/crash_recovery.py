"""python benchmarks/crash_recovery.py --json crash_recovery.json

Kills ``shape_optimizer.py`` (SIGKILL to its process group) at random times while it fits a small synthetic cohort,
restarts it each time, and checks after every interruption and at the end of every run that

 * trials finished before are unchanged byte by byte (at most renamed, if the process was killed between two renames);
 * every finished trial has the same poses as in an uninterrupted run;
 * at the end of a run all trials are finished, and no other files are left.

Half of the interruptions occur at any time of the run, half while a trial is being written. Every third folder is
fitted again with ``--overwrite`` under interruptions. Prints one JSON object with the interruptions ``tried`` and
``passed``, and ``failures``.
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

from benchmark import BodyArguments, run
from script_runs import ENVIRONMENT, fit_command, run_script

from gait.body.model_file import load_body
from gait.cli.arguments import argument
from gait.errors import GaitError
from gait.synthetic import make_cohort

POSES, REPORT = "poses.npz", "fit_report.json"


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    interruptions: int = argument(50, "total number")
    subjects: int = argument(3, "subjects of the cohort")
    trials: int = argument(2, "trials per subject")
    trial_s: float = argument(0.6, "length of a trial, seconds, at 100 frames per second")
    seed: int = argument(0, "seed of the interruption times")


QUICK = {"interruptions": 5, "subjects": 2}


@dataclass
class SaveFolderMonitor:
    """Checks of a save folder, with the trials that were finished at earlier checks."""

    save_folder: Path
    expected: dict[str, bytes]  # trial folder -> poses of the uninterrupted run
    finished: dict[str, bytes] = field(default_factory=dict)  # trial folder -> its report when first found

    def check(self, *, ended: bool, overwriting: bool) -> list[str]:
        """Return the problems found now, and store the trials that are finished."""
        problems = []
        folders = [path.parent for path in self.save_folder.rglob(POSES) if not path.parent.name.startswith(".")]
        present = {str(path.relative_to(self.save_folder)) for path in folders}
        for trial in sorted(present | self.finished.keys()):
            folder = self.save_folder / trial
            if trial not in present and not ended:
                folder = next(iter(sorted(folder.parent.glob(f".{folder.name}.old-*"))), folder)
            if trial not in self.expected:
                problems.append(f"{trial} does not belong to the cohort")
            elif not (folder / POSES).is_file() or not (folder / REPORT).is_file():
                problems.append(f"{trial} was finished and is missing now")
            elif (folder / POSES).read_bytes() != self.expected[trial]:
                problems.append(f"{trial} has different poses")
            else:
                report = (folder / REPORT).read_bytes()
                if self.finished.setdefault(trial, report) != report and not overwriting:
                    problems.append(f"{trial} was fitted again")
        if ended:
            problems += [f"{trial} is missing" for trial in sorted(self.expected.keys() - present)]
            problems += [f"{path.name} was not removed" for path in sorted(self.save_folder.rglob(".*"))]
        return problems


def main(args: Arguments) -> dict[str, Any]:
    generator = random.Random(args.seed)
    with tempfile.TemporaryDirectory(prefix="crash_recovery_") as name:
        folder = Path(name)
        subjects = (args.subjects + 1) // 2, args.subjects // 2
        cohort = make_cohort(folder, *subjects, args.trials, seconds=args.trial_s, body=load_body(args.model))
        duration_s = run_script(fit_command(cohort, args.model, folder / "uninterrupted", "--workers", "1"))
        expected = {
            str(path.parent.relative_to(folder / "uninterrupted")): path.read_bytes()
            for path in (folder / "uninterrupted").rglob(POSES)
        }
        if len(expected) != args.subjects * args.trials:
            raise GaitError("the uninterrupted run did not fit all trials, so there is nothing to compare with.")
        tried, passed, failures = 0, 0, []
        for problems, when in interrupt_runs(args, cohort, folder, expected, duration_s, generator):
            tried += 1
            passed += not problems
            failures += [f"interruption {tried}, {when}: {line}" for line in problems]
            print(f"{tried} of {args.interruptions}: {when}: {'; '.join(problems) or 'nothing lost'}", file=sys.stderr)
    return {
        "tried": tried,
        "passed": passed,
        "failures": failures,
        "trials": len(expected),
        "uninterrupted_s": duration_s,
    }


def interrupt_runs(
    args: Arguments, cohort: Path, folder: Path, expected: dict[str, bytes], duration_s: float, generator: random.Random
) -> Iterator[tuple[list[str], str]]:
    """Interrupt runs; yield for each interruption the problems until the end of the next run, and when it was."""
    num_interruptions = 0
    for number in range(10 * args.interruptions):
        monitor = SaveFolderMonitor(folder / f"out{number}", expected)
        for overwriting in (False, True) if number % 3 == 2 else (False,):
            last: tuple[list[str], str] | None = None
            interrupted_here = 0
            while True:
                words = ["--workers", str(generator.choice((1, 2, 3)))]
                # Overwriting starts from the beginning each time, so it would never end under interruptions.
                words += ["--overwrite"] if overwriting and interrupted_here < 3 else []
                command = fit_command(cohort, args.model, monitor.save_folder, *words)
                spare = num_interruptions >= args.interruptions or interrupted_here >= 6
                when, code = run_and_interrupt(command, monitor.save_folder, duration_s, generator, spare=spare)
                problems = monitor.check(ended=when is None, overwriting=overwriting)
                if when is None and code != 0:
                    problems.append(f"the run ended with code {code}")
                if last is not None:  # problems at the end of the next run are attributed to the interruption
                    yield last[0] + (problems if when is None else []), last[1]
                if when is None:
                    break
                num_interruptions += 1
                interrupted_here += 1
                last = problems, when
        if num_interruptions >= args.interruptions:
            return


def run_and_interrupt(
    command: list[str], save_folder: Path, duration_s: float, generator: random.Random, *, spare: bool
) -> tuple[str | None, int | None]:
    """Run the command and kill it; return when, None if ``spare`` or if it ended first, and the exit code."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=quiet, stderr=quiet, start_new_session=True)
    began = time.monotonic()
    while_writing = generator.random() < 0.5
    after_s = generator.uniform(0, 0.01) if while_writing else generator.uniform(0, duration_s)
    nth, written = generator.randint(1, 3), set[str]()
    while not spare and process.poll() is None:
        now = time.monotonic() - began
        if while_writing:
            written |= {str(path) for path in save_folder.glob("*/*/.*.partial-*")}
            if len(written) >= nth:
                time.sleep(after_s)
                return _kill_group(process, f"{1e3 * after_s:.1f} ms into writing")
        elif now >= after_s:
            return _kill_group(process, f"{after_s:.2f} s after the start")
        time.sleep(0.001 if while_writing else 0.01)
    return None, process.wait()


def _kill_group(process: subprocess.Popen[bytes], when: str) -> tuple[str | None, int | None]:
    """Kill the process group; return ``when``, None if the process had ended before, and the exit code."""
    ended = process.poll() is not None
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    code = process.wait()
    with suppress(ProcessLookupError, PermissionError):  # until the last of the group is gone
        while True:
            os.killpg(process.pid, signal.SIGKILL)
            time.sleep(0.01)
    return (None, code) if ended else (when, code)


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
