"""What a benchmark prints: one JSON object, the figures together with what made them."""

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


def made_by(arguments: DataclassInstance, body: Body | None = None) -> dict[str, Any]:
    """Arguments, versions, machine, and the body model if one took part."""
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
    """Print the object; write it into a file too if one is named."""
    text = json.dumps(rounded(result), indent=2, allow_nan=False)
    print(text)
    if file is not None:
        file.write_text(text + "\n", encoding="utf-8")


def load_average() -> float | None:
    """Processes that ran or waited in the last minute, on average; None where the system does not count them."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def plain(value: Any) -> Any:
    """An argument as JSON can have it; of a path its name alone, as folders say who works there."""
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value.name if isinstance(value, Path) else value


def rounded(value: Any) -> Any:
    """Plain data with floats of five significant digits; what is no finite number becomes null."""
    if isinstance(value, dict):
        return {str(key): rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value
