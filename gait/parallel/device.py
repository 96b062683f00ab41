"""The devices of this computer that torch can compute on."""

from __future__ import annotations

from gait.errors import GaitError


def check_device(device: str) -> None:
    """Refuse a device that this computer has not, listing those that it has."""
    if device == "cpu":
        return
    import torch  # takes seconds, and only a graphics card needs it here

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    there = ["cpu", *(["cuda"] if count else []), *(f"cuda:{k}" for k in range(count))]
    if device not in there:
        raise GaitError(f"--device {device}: there is no such device here; there is {', '.join(there)}.")
