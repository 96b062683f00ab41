"""Lock a results folder (of one subject or fold), so that runs that share a save folder do not repeat work.

The lock is a file lock of the operating system, on a file beside the folder. It ends when its process ends, in
whatever way. On network file systems it also works between computers. Without support for locks two runs may do the
same work twice; the results stay correct, since they are written atomically and do not depend on the run.
"""

from __future__ import annotations

import errno
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from gait.errors import GaitError
from gait.files.atomic_write import remove_stale_temporaries, stale_temporaries, write_error

_UNSUPPORTED = frozenset([errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL])
_MAX_ATTEMPTS = 100  # to create a lock file in a folder that another run is removing


class LockedError(GaitError):
    """Another run has locked the folder; it can be tried again later."""


@contextmanager
def folder_lock(folder: Path, doing: str = "using it", name: str | None = None) -> Iterator[bool]:
    """Lock a folder, which need not exist yet; yield False if the file system does not support locks.

    The message in another run begins with ``name``, the folder's if None, and says what this one is ``doing``, e.g.
    "fitting this subject".

    Raises:
        LockedError: another run has locked the folder; the message says which.
        GaitError: the parent folder is not writable.
    """
    path = _lock_file(folder)
    lock = FileLock(path, blocking=False, thread_local=False, fallback_to_soft=False)
    try:
        locked = _try_lock(lock, path)
    except Timeout:
        raise LockedError(f"{name or folder.name}: {_lock_holder(path)} is {doing}.") from None
    except OSError as error:
        raise write_error(folder, error) from error
    if locked:
        with suppress(OSError):  # only for the message in another run
            path.write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
    try:
        yield locked
    finally:
        with suppress(OSError):  # Windows removes it only when it is closed
            path.unlink()
        lock.release()
        with suppress(OSError):
            path.parent.rmdir()  # only if it is empty


def cleanup(folder: Path) -> None:
    """Remove the temporary files of killed runs from a folder (see ``remove_stale_temporaries``).

    Do nothing while another run has locked the folder, or if it is not writable.
    """
    with suppress(GaitError, OSError):
        if _lock_file(folder).exists() or stale_temporaries(folder):
            with folder_lock(folder) as locked:
                if locked:
                    remove_stale_temporaries(folder)


def _lock_file(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def _try_lock(lock: FileLock, path: Path) -> bool:
    """Lock the file; return False if the file system does not support it."""
    for attempt in range(_MAX_ATTEMPTS):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
            return True
        except FileNotFoundError:  # another run has just removed the empty folder
            if attempt == _MAX_ATTEMPTS - 1:
                raise
        except Timeout:
            if path.exists():
                raise  # otherwise its last owner has just removed it
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                return False
            raise
    raise Timeout(str(path))


def _lock_holder(path: Path) -> str:
    with suppress(OSError):
        text = path.read_bytes()[:200].decode(errors="replace")
        if text.isprintable() and text:
            return f"another run ({text})"
    return "another run"
