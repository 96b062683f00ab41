"""The torch devices of this computer."""

from __future__ import annotations

from gait.errors import GaitError


def check_device(device: str) -> None:
    """Raise GaitError, listing the available devices, if this computer lacks ``device``."""
    if device == "cpu":
        return
    import torch  # takes seconds; not needed for the CPU

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    available = ["cpu", *(["cuda"] if count else []), *(f"cuda:{k}" for k in range(count))]
    if device not in available:
        raise GaitError(f"--device {device}: not available on this computer; available: {', '.join(available)}.")
