"""A video of two trials side by side, each as the window shows it, synchronized in time."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np

from gait.files.atomic_write import atomic_file
from gait.viewing.png import png_bytes
from gait.viewing.run_viewer import ViewRequest, open_viewer_state
from gait.viewing.video import VIDEO_RATE_HZ, render_window, video_writer

FONT_SCALE = 1.2
"""Scale of the text: readable when one half fills the screen of a phone (400 pixels across)."""
_THUMBNAIL_AT = 0.5  # fraction of the video


def export_comparison_video(
    left: ViewRequest, right: ViewRequest, video_file: Path, thumbnail_file: Path, speed: float = 1.0
) -> tuple[str, ...]:
    """Write a video of both trials, from their first frames until the shorter one ends, and a thumbnail of it.

    The left view's size is that of each half. The thumbnail, a PNG file, is the middle frame. A speed of 0.5 is half
    the real one. Return one line on each thing that cannot be shown.

    Raises:
        GaitError: something cannot be opened, explained, drawn or written.
    """
    width, height = (length // 2 * 2 for length in left.view.size)
    with ExitStack() as stack:
        states = [stack.enter_context(open_viewer_state(request)) for request in (left, right)]
        trials = [state.actor.trial for state in states if state.actor is not None]
        seconds = min(trial.duration_s for trial in trials)
        times = np.arange(0.0, seconds, speed / VIDEO_RATE_HZ)
        draws = [
            stack.enter_context(
                render_window(state, video_file.parent, width, height, show_controls=False, font_scale=FONT_SCALE)
            )
            for state in states
        ]
        write = stack.enter_context(video_writer(video_file, 2 * width, height))
        for draw in draws:  # ImGui lays out texts by their size in the last frame
            draw(0.0)
        for number, time in enumerate(times):
            halves = []
            for state, trial, draw in zip(states, trials, draws, strict=True):
                state.seek(float(time) * trial.rate_hz)
                halves.append(draw(1 / VIDEO_RATE_HZ))
            image = np.concatenate(halves, axis=1)
            write(image)
            if number == int(_THUMBNAIL_AT * len(times)):
                with atomic_file(thumbnail_file) as partial:
                    partial.write_bytes(png_bytes(image))
        return tuple(dict.fromkeys(line for state in states for line in state.jobs.messages))
