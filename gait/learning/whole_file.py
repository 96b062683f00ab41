"""A file that is written whole or not at all, whatever ends the program."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gait.errors import GaitError


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """The path to write a file at, which is moved to ``path`` if all goes well and removed otherwise.

    It keeps the ending of ``path``, as some writers go by it. Its folder is made if need be.

    Raises:
        GaitError: the disk is full or the place cannot be written; what was there stays.
    """
    partial = path.with_name(f".{path.stem}.partial-{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(path)
    except OSError as error:
        raise GaitError(
            f"{path}: cannot be written ({error.strerror or error}); check the place and its space."
        ) from error
    finally:
        with suppress(OSError):  # never made, moved, or its folder is gone
            partial.unlink(missing_ok=True)
