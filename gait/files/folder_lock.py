"""One run at a time for each folder of results, a person's or a fold's, so that two runs share the work, not repeat it.

The lock is the operating system's, on a file beside the folder: it ends with the process that holds it,
however that ends. On network file systems it holds between computers too. A file system that knows no locks costs
nothing but doubled work: what is written is moved into place whole, and the same input gives the same results.
"""

from __future__ import annotations

import errno
import fcntl
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gait.errors import GaitError
from gait.files.atomic_write import clear_left_over, left_over, unwritable
from gait.parallel.task_queue import LockedError

_UNKNOWN_HERE = frozenset([errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL])
_TRIES = 100  # of taking a lock file that its last holder is just removing


@contextmanager
def folder_lock(folder: Path, doing: str = "at it", name: str | None = None) -> Iterator[bool]:
    """Hold the lock of a folder, which need not exist; False where the file system knows no locks.

    Args:
        folder: of results.
        doing: what the line of another run says that this one is: "fitting this person".
        name: with which the line begins; else the folder's.

    Raises:
        TakenError: another run holds it, with a line that says which.
        GaitError: nothing can be written there.
    """
    path = _lock_file(folder)
    try:
        descriptor, held = _taken(path, name or folder.name, doing)
    except OSError as error:
        raise unwritable(folder, error) from error
    try:
        yield held
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)
        with suppress(OSError):
            path.parent.rmdir()  # nothing was written into it


def tidy(folder: Path) -> None:
    """Remove what killed runs have left of a folder, and put back what they had put aside.

    Nothing happens while another run is at it, or where nothing can be written.
    """
    with suppress(GaitError, OSError):
        if _lock_file(folder).exists() or left_over(folder):
            with folder_lock(folder) as held:
                if held:
                    clear_left_over(folder)


def _lock_file(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def _taken(path: Path, name: str, doing: str) -> tuple[int, bool]:
    """The lock file's descriptor, and whether it is locked."""
    for _ in range(_TRIES):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # the folder was empty and another run removed it
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise LockedError(f"{name}: {holder} is {doing}.") from error
        except OSError as error:
            if error.errno in _UNKNOWN_HERE:
                return descriptor, False
            os.close(descriptor)
            raise
        if _is_same(path, descriptor):
            with suppress(OSError):  # for another run's line only
                os.truncate(descriptor, 0)
                os.write(descriptor, f"process {os.getpid()} on {platform.node()}".encode())
            return descriptor, True
        os.close(descriptor)
    raise OSError(errno.EAGAIN, "its lock file comes and goes")


def _is_same(path: Path, descriptor: int) -> bool:
    """Whether the open file is still the one of that name: a holder removes it before others may have it."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _holder(descriptor: int) -> str:
    with suppress(OSError):
        text = os.pread(descriptor, 200, 0).decode(errors="replace")
        if text.isprintable() and text:
            return f"another run ({text})"
    return "another run"
