"""Steps of a run report: independent of each other, several at a time, and skipped where they are finished."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from gait.errors import GaitError, error_message
from gait.files.step_cache import StepCache, StepOutput
from gait.parallel.process_pool import ProcessPool, allocate_cores
from gait.parallel.task_queue import Crashed, run_tasks

MODULE = "gait.report.run.explained"
"""Module that worker processes import in advance."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class StepResult:
    """What a step gives."""

    output: StepOutput
    problems: tuple[str, ...] = ()  # one message per missing part
    repeatable: bool = True  # whether a repetition would give the same
    seconds: float = 0.0  # that it took


@dataclass(frozen=True)
class Step:
    """One step, as a task of a process; yields its ``StepResult``, or the line that says why there is none."""

    name: str
    inputs: Mapping[str, Any]  # a ``fingerprint`` of what its result depends on
    files: tuple[Path, ...]  # that it writes
    action: Callable[[], StepResult]  # may be pickled; raises GaitError

    def run(self) -> Iterator[StepResult | str]:
        """Run the step."""
        start = time.perf_counter()
        try:
            result = self.action()
        except Exception as error:
            yield error_message(error, self.name, "this step", "use fewer --workers")
        else:
            yield StepResult(result.output, result.problems, result.repeatable, time.perf_counter() - start)

    def cleanup(self) -> None:
        """Nothing: files are written as a whole."""

    def absolute(self) -> Step:
        """Return the same step: it runs on this computer alone."""
        return self


class StepRunner:
    """Runs steps unless they are finished, and collects problems and remarks."""

    def __init__(
        self, export: Path, progress: Callable[[str], None], *, overwrite: bool = False, workers: int | None = None
    ) -> None:
        """Prepare to write into ``export``; ``progress`` is called with one line when a step ends."""
        self.problems: list[str] = []
        self.remarks: list[str] = []  # parts that are present but incomplete, such as a skeleton in place of a body
        self._finished = StepCache(export)
        self._overwrite = overwrite
        self._workers = workers
        self._progress = progress

    def attempt(self, action: Callable[[], Result]) -> Result | None:
        """Return the result of ``action``, or None if it raises GaitError, which is recorded as a problem."""
        try:
            return action()
        except GaitError as error:
            self.problems.append(str(error))
            return None

    def run(self, steps: Sequence[Step]) -> list[StepOutput | None]:
        """Return the output of each step, or None of one that fails; several run at a time.

        A step without problems whose repetition would give the same counts as finished, as long as its inputs and its
        files are the same.
        """
        outputs: dict[str, StepOutput] = {}
        for step in steps:
            known = None if self._overwrite else self._finished.get(step.name, step.inputs, step.files)
            if known is not None:
                outputs[step.name] = known
                self._progress(f"{step.name}: already finished")
        problems: dict[str, Sequence[str]] = {}
        for step, result in self._results([step for step in steps if step.name not in outputs]):
            if isinstance(result, str):
                problems[step.name] = (result,)
                self._progress(f"{step.name}: failed: {result}")
                continue
            outputs[step.name], problems[step.name] = result.output, result.problems
            if result.repeatable and not result.problems:
                self.attempt(lambda step=step: self._finished.store(step.name, step.inputs, outputs[step.name]))  # type: ignore[misc]
            self._progress(f"{step.name}: {result.seconds:.0f} s")
        for step in steps:  # in their order, not in that in which they end
            self.problems += problems.get(step.name, ())
            self.remarks += outputs[step.name].remarks if step.name in outputs else ()
        return [outputs.get(step.name) for step in steps]

    def _results(self, steps: Sequence[Step]) -> Iterator[tuple[Step, StepResult | str]]:
        """Yield the result of each step, in any order."""
        allocation = allocate_cores(max(1, len(steps)), self._workers)
        if allocation.workers == 1:
            for step in steps:
                for result in step.run():
                    yield step, result
            return
        with ProcessPool(allocation, MODULE) as pool:
            for step, result in run_tasks(steps, pool, self._progress):
                yield step, f"{step.name}: {result.message}." if isinstance(result, Crashed) else result
