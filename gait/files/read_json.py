"""Read a JSON file that a user gave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gait.errors import GaitError


def read_json(path: Path, kind: str, *, max_bytes: int | None = 16 << 20, **options: Any) -> Any:
    """Return the content of a JSON file of at most ``max_bytes``, with the options of ``json.loads``.

    ``kind`` is what the file should be, for messages, e.g. "cohort file".

    Raises:
        GaitError: the file is missing, larger than ``max_bytes``, not text or not JSON; no content is shown.
    """
    try:
        if max_bytes is not None and path.stat().st_size > max_bytes:
            raise GaitError(f"{path}: is not a {kind} (larger than {max_bytes >> 20} MiB).")
        return json.loads(path.read_text(encoding="utf-8-sig"), **options)
    except OSError as error:
        raise GaitError(f"{path}: the {kind} cannot be read ({error.strerror}); check the path.") from error
    except UnicodeDecodeError as error:
        raise GaitError(
            f"{path}: is not text (byte {error.start} is not UTF-8); name a {kind}, saved as UTF-8."
        ) from error
    except json.JSONDecodeError as error:
        raise GaitError(f"{path}, line {error.lineno}, column {error.colno}: is not JSON ({error.msg}).") from error
    except RecursionError as error:
        raise GaitError(f"{path}: is not a {kind} (nested too deeply).") from error
    except ValueError as error:  # an integer of thousands of digits
        raise GaitError(f"{path}: is not a {kind} (a number in it is too long).") from error
