"""Which steps of a run are finished, and what they were made from, so that a second run finds its work done.

``.finished_steps.json`` in the folder of the results holds it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import gait
from gait.errors import GaitError
from gait.files.atomic_write import replacing_file

_FILE = ".finished_steps.json"


@dataclass(frozen=True)
class Said:
    """What a step tells when it ends."""

    lines: tuple[str, ...] = ()  # of its result
    remarks: tuple[str, ...] = ()  # plain lines on what is not as it could be


class StepCache:
    """Of one folder of results."""

    def __init__(self, folder: Path) -> None:
        """What was finished there before; nothing where that cannot be read."""
        self._file = Path(folder) / _FILE
        try:
            content = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            content = {}
        self._steps: dict[str, Any] = content if isinstance(content, dict) else {}

    def said(self, name: str, made_from: str, files: Iterable[Path]) -> Said | None:
        """What a step has said when it was finished from the same; None if it is to be done.

        Args:
            name: of the step.
            made_from: as ``digest`` says it.
            files: that it writes; all must be there.
        """
        step = self._steps.get(name)
        if not isinstance(step, dict) or step.get("made_from") != made_from:
            return None
        lines, remarks = step.get("lines"), step.get("remarks")
        if not isinstance(lines, list) or not isinstance(remarks, list) or not all(file.is_file() for file in files):
            return None
        return Said(tuple(map(str, lines)), tuple(map(str, remarks)))

    def finish(self, name: str, made_from: str, said: Said) -> None:
        """Keep that a step is finished, and what it said.

        Raises:
            GaitError: the place cannot be written.
        """
        self._steps[name] = {"made_from": made_from, "lines": said.lines, "remarks": said.remarks}
        with replacing_file(self._file) as partial:
            partial.write_text(json.dumps(self._steps, indent=1) + "\n", encoding="utf-8")


def digest(files: Iterable[Path], *settings: object) -> str:
    """Of these files' content, the settings, and this suite's own code: equal as long as nothing has changed.

    Raises:
        GaitError: a file cannot be read.
    """
    found = hashlib.sha256(_of_code())
    found.update(repr(settings).encode())
    for file in sorted(map(Path, files)):
        found.update(f"\n{file}\n".encode("utf-8", "surrogateescape"))
        found.update(_of_file(file))
    return found.hexdigest()


def _of_file(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()
    except OSError as error:
        raise GaitError(f"{file}: cannot be read ({error.strerror or error}).") from None


@cache
def _of_code() -> bytes:
    found = hashlib.sha256()
    for file in sorted(Path(gait.__file__).parent.rglob("*.py")):
        found.update(_of_file(file))
    return found.digest()
