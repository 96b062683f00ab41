"""A folder, or a file, that is written whole or not at all, whatever ends the program.

It is made as ``.<name>.partial-<anything>`` beside its place and moved there; one that it replaces is put aside as
``.<name>.old-<anything>`` meanwhile. Everything is on the disk before it is moved.
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

_LEFT_OVER = re.compile(r"\.(?P<name>.+)\.(?P<what>partial|old)-[0-9a-f]+")


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """The path to make a folder at, which is moved to ``folder`` if all goes well and removed otherwise.

    Raises:
        GaitError: the disk is full or the place cannot be written; what was there stays.
    """
    partial = folder.with_name(f".{folder.name}.partial-{secrets.token_hex(4)}")
    try:
        yield partial
        for path in [*partial.rglob("*"), partial]:
            _to_disk(path)
        _replace(partial, folder)
    except OSError as error:
        raise unwritable(folder, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """The path to write a file at, which is moved to ``path`` if all goes well and removed otherwise.

    Its folder is made if need be.

    Raises:
        GaitError: the disk is full or the place cannot be written; what was there stays.
    """
    partial = path.with_name(f".{path.name}.partial-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        _to_disk(partial)
        partial.replace(path)
        _to_disk(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with suppress(OSError):  # its folder may be a file
            partial.unlink(missing_ok=True)


def left_over(parent: Path) -> list[Path]:
    """What killed runs have left in a folder, or what others are just making there."""
    return [path for path in sorted(parent.iterdir()) if _LEFT_OVER.fullmatch(path.name)] if parent.is_dir() else []


def clear_left_over(parent: Path) -> None:
    """Undo what killed runs have left in a folder; only where nobody else is at work in it.

    What they were making is removed; what they had put aside without putting anything in its place is put back.

    Raises:
        GaitError: the place cannot be written.
    """
    try:
        for path in left_over(parent):
            match = _LEFT_OVER.fullmatch(path.name)
            assert match is not None
            place = path.with_name(match["name"])
            if match["what"] == "old" and not place.exists():
                path.rename(place)
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    except OSError as error:
        raise unwritable(parent, error) from error


def unwritable(folder: Path, error: OSError) -> GaitError:
    """The plain line for a place that cannot be written."""
    return GaitError(f"{folder}: cannot be written ({error.strerror or error}); check the place and its space.")


def _replace(partial: Path, folder: Path) -> None:
    """Move a finished folder into place; an older one is put aside first, so that one of them is always whole."""
    old = folder.with_name(f".{folder.name}.old-{secrets.token_hex(4)}")
    if folder.exists():
        if not folder.is_dir():
            raise FileExistsError(errno.EEXIST, "a file lies in its place")
        folder.rename(old)
    try:
        partial.rename(folder)
    except BaseException:
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise
    for parent in folder.parents[:3]:  # of the person, of the healthy or sick, of all
        _to_disk(parent)
    shutil.rmtree(old, ignore_errors=True)


def _to_disk(path: Path) -> None:
    """Wait until a file, or a folder's list of names, has reached the disk: a power cut would empty it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems say so of folders
            raise
    finally:
        os.close(descriptor)
