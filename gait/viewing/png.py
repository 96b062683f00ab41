"""A fast PNG encoder for rendered images."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def png_bytes(image: Image.Image | NDArray[np.uint8], *, delta_filter: bool = False) -> bytes:
    """Encode an RGB image as PNG (W3C 2003, 9.2).

    Pillow tries five filters on every row. This helps with photographs; on rendered images the file becomes no smaller
    and encoding takes three times as long.

    Args:
        image: RGB; an array has the shape (height, width, 3).
        delta_filter: encode each row as its difference from the row above. Use it if most rows are similar, as in the
            viewer's window.
    """
    pixels = np.asarray(image)
    height, width = pixels.shape[:2]
    pixels = pixels.reshape(height, 3 * width)
    rows = np.empty((height, 1 + 3 * width), dtype=np.uint8)
    rows[:, 0] = 2 if delta_filter else 0  # PNG filter type: Up or None
    rows[:, 1:] = pixels
    if delta_filter:
        rows[1:, 1:] -= pixels[:-1]
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits per channel, RGB
    body = zlib.compress(rows.tobytes(), level=1 if delta_filter else 3)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
