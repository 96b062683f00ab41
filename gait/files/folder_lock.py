"""Lock a results folder (of one subject or fold), so that runs that share a save folder do not repeat work.

The lock is a file lock of the operating system, on a file beside the folder. It ends when its process ends, in
whatever way. On network file systems it also works between computers. Without support for locks two runs may do the
same work twice; the results stay correct, since they are written atomically and do not depend on the run.
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
from gait.files.atomic_write import remove_stale_temporaries, stale_temporaries, write_error
from gait.parallel.task_queue import LockedError

_UNSUPPORTED = frozenset([errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL])
_MAX_ATTEMPTS = 100  # to open a lock file that its last owner is removing


@contextmanager
def folder_lock(folder: Path, doing: str = "using it", name: str | None = None) -> Iterator[bool]:
    """Lock a folder, which need not exist yet; yield False if the file system does not support locks.

    Args:
        folder: the results folder.
        doing: what the message in another run says about this one, e.g. "fitting this subject".
        name: the beginning of that message; the folder's name if None.

    Raises:
        LockedError: another run has locked the folder; the message says which.
        GaitError: the parent folder is not writable.
    """
    path = _lock_file(folder)
    try:
        descriptor, locked = _try_lock(path, name or folder.name, doing)
    except OSError as error:
        raise write_error(folder, error) from error
    try:
        yield locked
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)
        with suppress(OSError):
            path.parent.rmdir()  # only if it is empty


def cleanup(folder: Path) -> None:
    """Remove what killed runs have left in a folder (see ``remove_stale_temporaries``).

    Do nothing while another run has locked the folder, or if it is not writable.
    """
    with suppress(GaitError, OSError):
        if _lock_file(folder).exists() or stale_temporaries(folder):
            with folder_lock(folder) as locked:
                if locked:
                    remove_stale_temporaries(folder)


def _lock_file(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def _try_lock(path: Path, name: str, doing: str) -> tuple[int, bool]:
    """Return the descriptor of the lock file, and whether it could be locked."""
    for _ in range(_MAX_ATTEMPTS):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # another run has just removed the empty folder
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = _lock_owner(descriptor)
            os.close(descriptor)
            raise LockedError(f"{name}: {owner} is {doing}.") from error
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                return descriptor, False
            os.close(descriptor)
            raise
        if _is_same(path, descriptor):
            with suppress(OSError):  # only for the message in another run
                os.truncate(descriptor, 0)
                os.write(descriptor, f"process {os.getpid()} on {platform.node()}".encode())
            return descriptor, True
        os.close(descriptor)
    raise OSError(errno.EAGAIN, "its lock file keeps disappearing")


def _is_same(path: Path, descriptor: int) -> bool:
    """Return whether the open file is still the one at ``path``; an owner removes the file when it unlocks it."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _lock_owner(descriptor: int) -> str:
    with suppress(OSError):
        text = os.pread(descriptor, 200, 0).decode(errors="replace")
        if text.isprintable() and text:
            return f"another run ({text})"
    return "another run"
