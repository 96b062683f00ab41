"""A C3D file as it was parsed: its parameters, where its points are, and how points and analog channels are decoded.

Format: https://www.c3d.org/docs/C3D_User_Guide.pdf.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

DEC, SGI = 85, 86
PROCESSORS = (84, DEC, SGI)
"""Processors, by whose numbers a file is written; 84: Intel."""
KINDS = (-1, 1, 2, 4)
"""Types of parameters: text, byte, 2-byte integer, 4-byte float; bytes per value."""


@dataclass(frozen=True)
class Parameter:
    """One parameter: its type and values."""

    kind: int  # one of KINDS
    value: list[str] | NDArray[Any]  # texts, or numbers in the stored dimensions; integers are signed
    first: float = math.nan  # the first value if numeric, integers unsigned; NaN if there is none
    words: tuple[int, ...] = ()  # the first two values if 2-byte integers, unsigned

    @property
    def count(self) -> int:
        """Number of texts or numbers."""
        return len(self.value) if isinstance(self.value, list) else self.value.size


@dataclass(frozen=True)
class Layout:
    """Where the points are in the file, and how they are stored."""

    start: int  # byte of the first frame
    points: int
    analog_words: int  # after the points of each frame
    real: bool  # 4-byte floats, else scaled 2-byte integers

    @property
    def frame_bytes(self) -> int:
        """Bytes per frame."""
        return (4 * self.points + self.analog_words) * (4 if self.real else 2)


@dataclass(frozen=True)
class C3dFile:
    """A parsed C3D file. Never print it: its parameters may hold a subject's name."""

    data: bytes = field(repr=False)
    processor: int
    parameters: dict[str, dict[str, Parameter]] = field(repr=False)
    layout: Layout
    frames: int  # complete frames that the file holds
    first_frame: int  # 1-based
    rate_hz: float
    scale: float  # of integer samples
    regular: bool  # header, parameters and size agree, so that every reader finds the same points
    notes: tuple[str, ...]  # what is wrong elsewhere than in the points, one sentence each
    warnings: tuple[str, ...]  # what was lost or overruled, one sentence each

    def positions(self) -> NDArray[np.float64]:
        """Return the points, (T, P, 3) in the unit of the file; NaN where their residual is negative."""
        xyz, residual = read_samples(self.data, self.processor, self.layout, self.frames)
        with np.errstate(invalid="ignore"):  # signalling NaN
            positions = xyz.astype(np.float64)
        if not self.layout.real:
            positions *= self.scale
        positions[residual < 0] = np.nan
        return positions

    @property
    def num_channels(self) -> int:
        """Number of analog channels; 0 if the stated number does not divide the analog words of a frame."""
        used = self.parameters.get("ANALOG", {}).get("USED")
        stated = used.first if used is not None else 0.0
        words = self.layout.analog_words
        return int(stated) if 1 <= stated <= words and words % int(stated) == 0 else 0

    def analog(self, channels: Sequence[int]) -> NDArray[np.float64] | None:
        """Return some analog channels, numbered from 0, (S, C) in their units, at a multiple of the camera rate.

        A value is (stored - OFFSET) · SCALE · GEN_SCALE, also if that is not finite. None if a channel does not exist,
        or if the file's factors are missing.
        """
        group = self.parameters.get("ANALOG", {})
        count, chosen = self.num_channels, list(channels)
        if not chosen or min(chosen) < 0 or max(chosen) >= count:
            return None
        scale, offset = (self._analog_factors(name, count) for name in ("SCALE", "OFFSET"))
        general = group["GEN_SCALE"].first if "GEN_SCALE" in group else 1.0
        if scale is None or offset is None or not math.isfinite(general):
            return None
        texts = group["FORMAT"].value if "FORMAT" in group else []
        unsigned = not self.layout.real and isinstance(texts, list) and [*map(str.upper, texts)] == ["UNSIGNED"]
        table = read_words(self.data, self.processor, self.layout, self.frames)[:, 4 * self.layout.points :]
        table = table.reshape(-1, count)[:, chosen]
        if self.layout.real:
            stored = to_reals(np.ascontiguousarray(table), self.processor)
        else:
            stored = table.view(f"{table.dtype.byteorder}u2") if unsigned else table
        with np.errstate(invalid="ignore", over="ignore"):
            return np.asarray((stored.astype(np.float64) - offset[chosen]) * scale[chosen] * general)

    def _analog_factors(self, name: str, channels: int) -> NDArray[np.float64] | None:
        """Return SCALE or OFFSET of each channel, (C,); None if the file has too few or one is not a number."""
        group = self.parameters.get("ANALOG", {})
        lists = [group[key].value for key in (name, *(f"{name}{k}" for k in range(2, 9))) if key in group]
        numbers = [values.ravel(order="F").astype(np.float64) for values in lists if not isinstance(values, list)]
        factors = np.concatenate(numbers)[:channels] if numbers else np.empty(0)
        return factors if len(factors) == channels and np.isfinite(factors).all() else None


def read_real(data: bytes, at: int, processor: int) -> float:
    """Return the 4-byte float at byte ``at``."""
    order = ">" if processor == SGI else "<"
    return float(to_reals(np.frombuffer(data, f"{order}u4", 1, at), processor)[0])


def to_reals(words: NDArray[Any], processor: int) -> NDArray[np.float32]:
    """Return the 4-byte floats in ``words`` of 4 bytes; a DEC float has swapped halves and is 4 times too large."""
    if processor != DEC:
        return words.view(np.dtype("f4").newbyteorder(words.dtype.byteorder))
    with np.errstate(invalid="ignore"):
        return np.asarray(((words >> 16) | (words << 16)).view("<f4") / np.float32(4))


def read_words(data: bytes, processor: int, layout: Layout, frames: int) -> NDArray[Any]:
    """Return the words of each frame, (T, W) as stored: the points, then the analog channels."""
    order = ">" if processor == SGI else "<"
    width = layout.frame_bytes // (4 if layout.real else 2)
    table = np.frombuffer(data, f"{order}{'u4' if layout.real else 'i2'}", frames * width, layout.start)
    return table.reshape(frames, width)


def read_samples(
    data: bytes, processor: int, layout: Layout, frames: int
) -> tuple[NDArray[np.float32] | NDArray[np.int16], NDArray[np.float32] | NDArray[np.int16]]:
    """Return coordinates (T, P, 3) as stored, and the fourth word of each point (T, P): negative if it is missing."""
    points = read_words(data, processor, layout, frames)[:, : 4 * layout.points].reshape(frames, layout.points, 4)
    if not layout.real:
        return points[..., :3], points[..., 3]
    values = to_reals(np.ascontiguousarray(points), processor)
    return values[..., :3], values[..., 3]
