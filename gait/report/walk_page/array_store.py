"""The arrays of a page: integers of 8 to 32 bits, compressed together, in text."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

Reference = dict[str, Any]
"""Where the page finds an array: ``at`` (byte), ``type``, ``shape``; and where they matter ``delta``, ``scale``,
``offset`` and ``missing``."""

MISSING = -32768
"""The 16-bit number that stands for NaN."""
_LARGEST = 32767
_LEVEL = 9  # of deflate


class ArrayStore:
    """Collects arrays; ``text`` is all of them. Values are ``integer * scale + offset``."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.num_bytes = 0  # of all arrays together, before compression

    @property
    def text(self) -> str:
        """All arrays as one zlib stream (RFC 1950) in Base64."""
        return base64.b64encode(zlib.compress(b"".join(self._parts), _LEVEL)).decode("ascii")

    def add(self, integers: NDArray[np.integer] | NDArray[np.bool_], *, delta: bool = False) -> Reference:
        """Store integers or a mask of any shape; with ``delta``, as differences along the first axis, which wrap."""
        array = np.ascontiguousarray(integers)
        if array.dtype == bool:
            array = array.view(np.uint8)
        kind = array.dtype.newbyteorder("<")
        reference: Reference = {"at": self.num_bytes, "type": array.dtype.name, "shape": list(array.shape)}
        if delta:
            reference["delta"] = True
            array = np.concatenate([array[:1], array[1:] - array[:-1]])
        data = array.astype(kind).tobytes()
        data += bytes(-len(data) % 4)  # typed arrays begin at multiples of their size
        self._parts.append(data)
        self.num_bytes += len(data)
        return reference

    def add_values(self, values: NDArray[np.floating], *, symmetric: bool = False, delta: bool = False) -> Reference:
        """Store numbers of any shape in 16 bits, over their range; NaN stay NaN.

        ``symmetric``: zero stays exactly zero.
        """
        values = np.asarray(values, np.float64)
        known = values[np.isfinite(values)]
        low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
        offset = 0.0 if symmetric else (low + high) / 2
        scale = max(high - offset, offset - low) / _LARGEST or 1.0
        integers = np.where(np.isfinite(values), np.rint((np.nan_to_num(values) - offset) / scale), MISSING)
        reference = self.add(integers.astype(np.int16), delta=delta)
        return {
            **reference,
            "scale": scale,
            "offset": offset,
            **({} if known.size == values.size else {"missing": MISSING}),
        }
