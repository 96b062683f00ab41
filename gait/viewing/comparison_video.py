"""A film of two persons side by side: the window's own contents of each, in step with time."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image

from gait.files.atomic_write import replacing_file
from gait.viewing.png import png_bytes
from gait.viewing.run_viewer import ViewRequest, opened
from gait.viewing.video import FILM_RATE_HZ, drawing, film_file

LETTERS = 1.2
"""How large they are: a half that fills a telephone, 400 pixels across, can be read."""
_STILL_AT = 0.5  # of the film


def film_side_by_side(
    left: ViewRequest, right: ViewRequest, film: Path, still: Path, speed: float = 1.0
) -> tuple[str, ...]:
    """Film both from their first frame until one of the recordings ends, and keep one picture of it.

    Args:
        left: who is seen on the left; both are of the same size, which is that of one half.
        right: on the right.
        film: an .mp4 file.
        still: a .png file: the middle of the film.
        speed: 0.5 is half as fast as life.

    Returns:
        A line on each thing that cannot be shown.

    Raises:
        GaitError: something cannot be opened, explained, drawn or written.
    """
    width, height = (length // 2 * 2 for length in left.size)
    with ExitStack() as stack:
        sessions = [stack.enter_context(opened(look)) for look in (left, right)]
        gaits = [session.body.gait for session in sessions if session.body is not None]
        seconds = min(gait.seconds for gait in gaits)
        moments = np.arange(0.0, seconds, speed / FILM_RATE_HZ)
        draws = [
            stack.enter_context(drawing(session, film.parent, width, height, panel=False, letters=LETTERS))
            for session in sessions
        ]
        write = stack.enter_context(film_file(film, 2 * width, height))
        for draw in draws:  # ImGui knows sizes of texts from the picture before
            draw(0.0)
        for number, moment in enumerate(moments):
            halves = []
            for session, gait, draw in zip(sessions, gaits, draws, strict=True):
                session.seek(float(moment) * gait.rate_hz)
                halves.append(draw(1 / FILM_RATE_HZ))
            picture = np.concatenate(halves, axis=1)
            write(picture)
            if number == int(_STILL_AT * len(moments)):
                with replacing_file(still) as partial:
                    partial.write_bytes(png_bytes(Image.fromarray(picture)))
        return tuple(dict.fromkeys(line for session in sessions for line in session.jobs.lines))
