"""Write folders and files atomically: after a crash or power cut they are complete or absent.

The new folder or file is written to ``.<name>.partial-<random>`` beside its final path, synced to disk, and renamed.
A folder that it replaces is renamed to ``.<name>.old-<random>`` until the new one is in place.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gait.errors import GaitError

_TEMPORARY = re.compile(r"\.(?P<name>.+)\.(?P<kind>partial|old)-[0-9a-f]+")


@contextmanager
def atomic_directory(folder: Path) -> Iterator[Path]:
    """Yield the path of a temporary folder to create; it becomes ``folder`` on success and is removed on an error.

    Raises:
        GaitError: the disk is full or not writable; an existing ``folder`` stays unchanged.
    """
    partial = folder.with_name(f".{folder.name}.partial-{secrets.token_hex(4)}")
    try:
        yield partial
        for path in [*partial.rglob("*"), partial]:
            _fsync(path)
        _replace(partial, folder)
    except OSError as error:
        raise write_error(folder, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file to write; it becomes ``path`` on success and is removed on an error.

    The parent folder is created if it does not exist.

    Raises:
        GaitError: the disk is full or not writable; an existing ``path`` stays unchanged.
    """
    partial = path.with_name(f".{path.name}.partial-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        _fsync(partial)
        partial.replace(path)
        _fsync(path.parent)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        with suppress(OSError):  # the parent may be a file
            partial.unlink(missing_ok=True)


def stale_temporaries(parent: Path) -> list[Path]:
    """Return the temporary paths in a folder: remains of killed runs, or files that other runs are writing."""
    return [path for path in sorted(parent.iterdir()) if _TEMPORARY.fullmatch(path.name)] if parent.is_dir() else []


def remove_stale_temporaries(parent: Path) -> None:
    """Remove temporary files of killed runs from a folder, and restore replaced folders whose replacement is missing.

    Call it only while no other run writes into the folder.

    Raises:
        GaitError: the folder is not writable.
    """
    try:
        for path in stale_temporaries(parent):
            match = _TEMPORARY.fullmatch(path.name)
            assert match is not None
            final = path.with_name(match["name"])
            if match["kind"] == "old" and not final.exists():
                path.rename(final)
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    except OSError as error:
        raise write_error(parent, error) from error


def write_error(path: Path, error: OSError) -> GaitError:
    """Return the GaitError for a folder or file that cannot be written."""
    return GaitError(f"{path}: cannot be written ({error.strerror or error}); check the folder and its free space.")


def _replace(partial: Path, folder: Path) -> None:
    """Rename a finished folder to its final path; keep an older one until then, so that one is always complete."""
    old = folder.with_name(f".{folder.name}.old-{secrets.token_hex(4)}")
    if folder.exists():
        if not folder.is_dir():
            raise FileExistsError(errno.EEXIST, "a file of this name exists")
        folder.rename(old)
    try:
        partial.rename(folder)
    except BaseException:
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise
    for parent in folder.parents[:3]:  # the subject's folder, healthy/ or sick/, the results folder
        _fsync(parent)
    shutil.rmtree(old, ignore_errors=True)


def _fsync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk and survives a power cut."""
    windows = os.name == "nt"
    if windows and path.is_dir():  # it cannot open folders
        return
    descriptor = os.open(path, os.O_RDWR if windows else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot sync folders
            raise
    finally:
        os.close(descriptor)
