"""Output of a benchmark: one JSON object with the metrics and their provenance."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from gait.body.body import Body

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def provenance(arguments: DataclassInstance, body: Body | None = None) -> dict[str, Any]:
    """Return arguments, versions, machine, and the body model if one is used."""
    model = {} if body is None else {"model": body.name, "model_sha256": body.sha256}
    return {
        "arguments": {name: plain(value) for name, value in dataclasses.asdict(arguments).items()},
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        **model,
    }


def publish(result: dict[str, Any], file: Path | None) -> None:
    """Print the JSON object, and also write it to a file if given."""
    text = json.dumps(round_floats(result), indent=2, allow_nan=False)
    print(text)
    if file is not None:
        file.write_text(text + "\n", encoding="utf-8")


def load_average() -> float | None:
    """Return the mean number of running or waiting processes in the last minute; None if not available."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def plain(value: Any) -> Any:
    """Convert an argument to JSON; of a path only its name, because folders can contain user names."""
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value.name if isinstance(value, Path) else value


def round_floats(value: Any) -> Any:
    """Round all floats to five significant digits; values that are not finite become null."""
    if isinstance(value, dict):
        return {str(key): round_floats(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [round_floats(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value
