"""Encode a scene as binary glTF 2.0 (GLB): JSON that describes it, and one buffer of numbers.

Format: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

_COMPONENTS = {"u1": 5121, "u2": 5123, "u4": 5125, "f4": 5126}
_SHAPES = {(): "SCALAR", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
VERTICES, INDICES = 34962, 34963
"""Targets of the parts of the buffer that a graphics card reads."""


class GlbBuffer:
    """The numbers of a GLB file, and their description."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, values: NDArray[Any], *, target: int | None = None, bounds: bool = False) -> int:
        """Append an array (n, ...) of single precision or unsigned integers; return the number of its accessor.

        Args:
            values: scalars (n,), vectors (n, 3) or (n, 4), or matrices (n, 4, 4).
            target: ``VERTICES`` or ``INDICES`` of a mesh; None for other data.
            bounds: also write the least and largest values, which positions and times must have.
        """
        kind = values.dtype.str[1:]
        stored = values.swapaxes(1, 2) if values.ndim == 3 else values  # matrices are stored by column
        content = np.ascontiguousarray(stored, dtype=f"<{kind}").tobytes()
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(content)}
        self.views.append(view if target is None else {**view, "target": target})
        self.data += content + b"\0" * (-len(content) % 4)
        accessor = {
            "bufferView": len(self.views) - 1,
            "componentType": _COMPONENTS[kind],
            "count": len(values),
            "type": _SHAPES[values.shape[1:]],
        }
        if bounds:
            accessor |= {"min": np.atleast_1d(values.min(axis=0)).tolist()}
            accessor |= {"max": np.atleast_1d(values.max(axis=0)).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def encode(self, scene: dict[str, Any]) -> bytes:
        """Return the bytes of a file with this buffer and the other properties of a glTF object."""
        content = {
            **scene,
            "buffers": [{"byteLength": len(self.data)}],
            "bufferViews": self.views,
            "accessors": self.accessors,
        }
        text = json.dumps(content, separators=(",", ":"), allow_nan=False).encode()
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<I4s", len(text), b"JSON") + text
        chunks += struct.pack("<I4s", len(self.data), b"BIN\0") + bytes(self.data)
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks
