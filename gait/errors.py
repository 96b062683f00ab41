"""The one error class that a user sees, and the one-line message for any other error."""

from __future__ import annotations

import traceback
from pathlib import Path

_MAX_LENGTH = 4000


class GaitError(Exception):
    """A wrong input; ``str(error)`` is one line that says what is wrong, where, and what to do.

    Every package raises this class, or a subclass, for any error that a user can cause. A script prints the line
    without a traceback and continues with the next trial, or ends with exit code 2. Line breaks and control characters
    are escaped, since text from files can be part of the line; a very long line is cut.
    """

    def __str__(self) -> str:
        text = super().__str__()
        if len(text) > _MAX_LENGTH:
            text = text[:_MAX_LENGTH] + " ..."
        if text.isprintable():
            return text
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def error_message(error: Exception, name: str, task: str, memory_hint: str) -> str:
    """Return one line that describes an error; for an unforeseen error it says where it happened.

    Args:
        error: the error as it was caught.
        name: of what was computed; the line begins with it.
        task: what was being done, e.g. "the fit".
        memory_hint: what to do if there is too little memory, e.g. "use fewer --workers".
    """
    if isinstance(error, GaitError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or name}: {error.strerror}; check the file and its folder."
    if isinstance(error, MemoryError) or "memory" in str(error):  # torch raises a RuntimeError of its own
        return f"{name}: there is too little memory for {task}; {memory_hint}."
    origin = traceback.extract_tb(error.__traceback__)[-1]
    reason = " ".join(str(error).split())
    return (
        f"{name}: {task} failed unexpectedly ({type(error).__name__}: {reason}, in {Path(origin.filename).name}, line "
        f"{origin.lineno}); please report this."
    )
