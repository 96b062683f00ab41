"""Encode points, events and parameters as a C3D file: little-endian (Intel) floats, points only.

ezc3d can write C3D files too, but neither more than 255 points nor frame numbers above 65535, which occur when points
of several kinds and long recordings are written. Format: https://www.c3d.org/docs/C3D_User_Guide.pdf.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gait.exporting.exporter import NotExportableError

Value = Sequence[str] | NDArray[np.uint8 | np.int16 | np.float32]
"""Of a parameter: a list of texts, or an array whose first index changes fastest in the file."""
Parameters = Mapping[str, Mapping[str, Value]]
"""Values by group and name."""

_BLOCK = 512
_INTEL, _MAGIC = 84, 0x50
_MAX_WORD = 0xFFFF
_MAX_LIST_LENGTH = 255
_MAX_PARAMETER_BLOCKS = 255
_MAX_INTEGER = 32000  # a reader that stores the points as integers divides them by POINT:SCALE
_KINDS = {"u1": 1, "i2": 2, "f4": 4}


def encode_c3d(points: NDArray[np.floating], rate_hz: float, first_frame: int, parameters: Parameters) -> bytes:
    """Return the bytes of a C3D file.

    The parameters of the format itself (counts, scale, rate, place of the data) are added. A list of more than 255
    texts or columns continues in a parameter ``NAME2``, ``NAME3``, ..., as is usual.

    Args:
        points: (T, P, 3) in the unit of the file, T and P at least 1; where a coordinate is NaN, the point is missing:
            zeros with a residual of −1.
        rate_hz: frames per second.
        first_frame: number of frame 0 of ``points``, from 1.
        parameters: further parameters, among them POINT:LABELS with one text per point.

    Raises:
        NotExportableError: the parameters do not fit into the 130 kB that the format has for them.
    """
    T, P, _ = points.shape
    last_frame = first_frame + T - 1
    missing = ~np.isfinite(points).all(axis=2)
    data = np.zeros((T, P, 4), dtype="<f4")
    data[..., :3] = np.where(missing[..., None], 0.0, points)
    data[..., 3] = np.where(missing, -1.0, 0.0)
    scale = -max(0.01, float(np.abs(data[..., :3]).max()) / _MAX_INTEGER)  # negative: the points are floats

    def section(data_start: int) -> bytes:
        own = _format_parameters(P, T, first_frame, rate_hz, scale, data_start)
        merged = {group: {**own.get(group, {}), **parameters.get(group, {})} for group in {**own, **parameters}}
        return _encode_parameters(merged)

    blocks = len(section(2)) // _BLOCK
    if blocks > _MAX_PARAMETER_BLOCKS:
        raise NotExportableError(
            f"its names and events need {blocks} blocks of parameters, a C3D file has {_MAX_PARAMETER_BLOCKS}; "
            "export a shorter part of the recording."
        )
    header = struct.pack("<BB4H", 2, _MAGIC, P, 0, min(first_frame, _MAX_WORD), min(last_frame, _MAX_WORD))
    header += struct.pack("<HfHHf", 0, scale, 2 + blocks, 1, rate_hz)
    content = header.ljust(_BLOCK, b"\0") + section(2 + blocks) + data.tobytes()
    return content + b"\0" * (-len(content) % _BLOCK)


def _format_parameters(
    points: int, frames: int, first_frame: int, rate_hz: float, scale: float, data_start: int
) -> dict[str, dict[str, Value]]:
    """Return the parameters that state how the data are stored."""
    last_frame = first_frame + frames - 1
    start, end = (np.array([f & _MAX_WORD, f >> 16], np.uint16).view(np.int16) for f in (first_frame, last_frame))
    real = lambda number: np.array(number, np.float32)  # noqa: E731
    return {
        "TRIAL": {"ACTUAL_START_FIELD": start, "ACTUAL_END_FIELD": end, "CAMERA_RATE": real(rate_hz)},
        "POINT": {
            "USED": _word(points),
            "FRAMES": _word(min(frames, _MAX_WORD)),
            **({"LONG_FRAMES": real(frames)} if frames > _MAX_WORD else {}),
            "DATA_START": _word(data_start),
            "SCALE": real(scale),
            "RATE": real(rate_hz),
        },
        "ANALOG": {
            "USED": _word(0),
            "RATE": real(rate_hz),
            "GEN_SCALE": real(1.0),
            "LABELS": [],
            "DESCRIPTIONS": [],
            "UNITS": [],
            "SCALE": np.zeros(0, np.float32),
            "OFFSET": np.zeros(0, np.int16),
        },
        "FORCE_PLATFORM": {"USED": _word(0)},
    }


def _word(number: int) -> NDArray[np.int16]:
    """Return an unsigned number of 16 bits, which the format stores as a signed one."""
    return np.array(number, np.uint16).view(np.int16)


def _encode_parameters(parameters: Parameters) -> bytes:
    """Return the parameter section, in whole blocks."""
    records = []
    for number, (group, values) in enumerate(parameters.items(), start=1):
        records.append((group, -number, b""))
        for name, value in values.items():
            for suffix, part in _continued(value):
                records.append((f"{name}{suffix}", number, _encode_value(part)))
    encoded = []
    for name, number, content in records:
        text = name.encode("ascii")
        after = content + b"\0"  # no description
        encoded.append(struct.pack("<bb", len(text), number) + text + struct.pack("<H", 2 + len(after)) + after)
    body = b"".join(encoded) + b"\0\0"
    blocks = -(-(4 + len(body)) // _BLOCK)
    head = bytes([1, _MAGIC, min(blocks, _MAX_PARAMETER_BLOCKS), _INTEL])
    return (head + body).ljust(blocks * _BLOCK, b"\0")


def _continued(value: Value) -> list[tuple[str, Value]]:
    """Return the parts of a parameter with the suffixes of their names; the length of each is at most 255."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return [("", value)]
    length = value.shape[-1] if isinstance(value, np.ndarray) else len(value)
    parts: list[tuple[str, Value]] = []
    for start in range(0, max(length, 1), _MAX_LIST_LENGTH):
        chosen = slice(start, start + _MAX_LIST_LENGTH)
        parts.append(
            (
                str(len(parts) + 1) if parts else "",
                value[..., chosen] if isinstance(value, np.ndarray) else value[chosen],
            )
        )
    return parts


def _encode_value(value: Value) -> bytes:
    """Return type, dimensions and data of a parameter."""
    if isinstance(value, np.ndarray):
        kind = _KINDS[value.dtype.str[1:]]
        return struct.pack("bB", kind, value.ndim) + bytes(value.shape) + value.tobytes(order="F")
    texts = [text.encode()[:_MAX_LIST_LENGTH] for text in value]
    width = max(map(len, texts), default=0)
    data = b"".join(text.ljust(width) for text in texts)
    return struct.pack("bBBB", -1, 2, width, len(texts)) + data
