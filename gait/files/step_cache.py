"""Cache of the finished steps of a run and their inputs, so that a second run skips them.

They are stored in ``.step_cache.json`` in the results folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gait.files.atomic_write import atomic_file
from gait.files.fingerprint import changed_inputs

_FILE = ".step_cache.json"


@dataclass(frozen=True)
class StepOutput:
    """Result of a step, apart from its files."""

    result: Any = None  # plain data, as JSON holds it
    remarks: tuple[str, ...] = ()  # on limitations and missing parts


class StepCache:
    """The finished steps of one results folder."""

    def __init__(self, folder: Path) -> None:
        """Read the cache of ``folder``; start empty if it is missing or unreadable."""
        self._file = Path(folder) / _FILE
        try:
            content = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            content = {}
        self._steps: dict[str, Any] = content if isinstance(content, dict) else {}

    def get(self, name: str, inputs: Mapping[str, Any], files: Iterable[Path]) -> StepOutput | None:
        """Return the output of a step that is already finished with the same inputs; None if it must be done.

        ``inputs`` is its ``fingerprint``; ``files`` are its output files, all of which must exist.
        """
        step = self._steps.get(name)
        if not isinstance(step, dict) or changed_inputs(step.get("inputs"), inputs):
            return None
        remarks = step.get("remarks")
        if "result" not in step or not isinstance(remarks, list) or not all(file.is_file() for file in files):
            return None
        return StepOutput(step["result"], tuple(map(str, remarks)))

    def store(self, name: str, inputs: Mapping[str, Any], output: StepOutput) -> None:
        """Record a step as finished, with its output.

        Raises:
            GaitError: the results folder is not writable.
        """
        self._steps[name] = {"inputs": dict(inputs), "result": output.result, "remarks": output.remarks}
        with atomic_file(self._file) as partial:
            partial.write_text(json.dumps(self._steps, indent=1) + "\n", encoding="utf-8")
