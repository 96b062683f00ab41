"""What a user reads of an error that ended a task."""

from __future__ import annotations

import traceback
from pathlib import Path

from gait.errors import GaitError


def failure_line(error: Exception, name: str, what: str, needs_less: str) -> str:
    """One line; of an error that nobody foresaw it says where it happened.

    Args:
        error: as it was caught.
        name: of the task.
        what: was done: "the fit".
        needs_less: what to do where memory is too little: "use fewer --workers".
    """
    if isinstance(error, GaitError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or name}: {error.strerror}; check the file and its place."
    if isinstance(error, MemoryError) or "memory" in str(error):  # torch raises a RuntimeError of its own
        return f"{name}: there is too little memory for {what}; {needs_less}."
    place = traceback.extract_tb(error.__traceback__)[-1]
    said = " ".join(str(error).split())
    return (
        f"{name}: {what} broke off ({type(error).__name__}: {said}, in {Path(place.filename).name}, line "
        f"{place.lineno}); please report this."
    )
