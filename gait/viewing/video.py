"""Screenshots, image sequences and videos of the window, rendered without a screen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gait.errors import GaitError
from gait.files.atomic_write import atomic_file
from gait.viewing.png import png_bytes
from gait.viewing.viewer_state import ViewerState

VIDEO_RATE_HZ = 30.0
_MAX_QUEUED = 8  # images that wait to be written

RgbImage = NDArray[np.uint8]
"""(height, width, 3)"""


def screenshot(state: ViewerState, folder: Path, width: int, height: int) -> RgbImage:
    """Render the window with its controls when all jobs are done; sizes and errors as ``render_window``."""
    with render_window(state, folder, width, height, show_controls=True) as draw:
        for _ in range(3):  # ImGui lays out texts by their size in the last frame; the final frame is anti-aliased
            draw(0.0)
        return draw(0.0)


def video_frame_positions(state: ViewerState, *, speed: float = 1.0) -> NDArray[np.float64]:
    """Return the position in the trial, in frames, of each frame of a video of ``VIDEO_RATE_HZ`` frames per second."""
    if state.actor is None:
        raise GaitError("There is no trial to render; name one with --gait.")
    trial = state.actor.trial
    return np.arange(0.0, float(trial.num_frames), trial.rate_hz / VIDEO_RATE_HZ * speed, dtype=np.float64)


def export_images(state: ViewerState, folder: Path, width: int, height: int, *, speed: float = 1.0) -> list[Path]:
    """Write the frames of the video as ``frame_00001.png`` and so on, numbered as in the trial; return the files.

    Raises:
        GaitError: no trial is open, the folder cannot be written, or this machine cannot render.
    """
    assert state.actor is not None
    positions = video_frame_positions(state, speed=speed)
    first = state.actor.trial.sequence.first_frame
    files: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(2) as pool, render_window(state, folder, width, height, show_controls=False) as draw:
            waiting: list[Future[int]] = []
            draw(0.0)
            # In slow motion a video repeats frames; here each frame of the trial is written once.
            frames = list(dict.fromkeys(int(position) for position in positions))
            for frame in frames:
                state.seek(frame)
                files.append(folder / f"frame_{state.frame + first:05d}.png")
                waiting.append(pool.submit(_write, files[-1], draw(1 / VIDEO_RATE_HZ)))
                if len(waiting) > _MAX_QUEUED:
                    waiting.pop(0).result()
            for last in waiting:
                last.result()
    except OSError as error:
        raise GaitError(f"{folder}: the images cannot be written there ({error.strerror or error}).") from None
    return files


def export_video(state: ViewerState, file: Path, width: int, height: int, *, speed: float = 1.0) -> None:
    """Write a video (H.264) of the trial atomically. Odd width and height are rounded down, as H.264 needs even ones.

    Raises:
        GaitError: no trial is open, imageio-ffmpeg is missing or fails, the file cannot be written, or this machine
            cannot render.
    """
    width, height = width // 2 * 2, height // 2 * 2
    positions = video_frame_positions(state, speed=speed)
    with (
        render_window(state, file.parent, width, height, show_controls=False) as draw,
        video_writer(file, width, height) as write,
    ):
        draw(0.0)
        for position in positions:
            state.seek(position)
            write(draw(1 / VIDEO_RATE_HZ))


@contextmanager
def video_writer(file: Path, width: int, height: int) -> Iterator[Callable[[RgbImage], None]]:
    """Yield a function that adds an image to a video (H.264, ``VIDEO_RATE_HZ``), which is written atomically.

    Width and height are even numbers of pixels; the folder of ``file`` is created if needed.

    Raises:
        GaitError: imageio-ffmpeg is missing or fails, or the file cannot be written.
    """
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise GaitError(
            f"No video without imageio-ffmpeg ({error}); install it with: bash setup.sh, or use --export for figures."
        ) from error
    if file.suffix.lower() != ".mp4":
        raise GaitError(f"{file}: videos are .mp4 files; name it {file.with_suffix('.mp4').name}.")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(file) as partial:
            # The name of the partial file does not end in .mp4, so the format is given to ffmpeg.
            writer = imageio_ffmpeg.write_frames(
                str(partial),
                (width, height),
                fps=VIDEO_RATE_HZ,
                macro_block_size=2,
                quality=6,  # of 10; with 8 the file is nearly twice as large and looks the same
                output_params=["-f", "mp4", "-movflags", "+faststart", "-preset", "veryfast"],
                ffmpeg_log_level="error",
            )
            writer.send(None)
            try:
                yield lambda image: writer.send(np.ascontiguousarray(image))
            finally:
                writer.close()
            if not partial.is_file() or not partial.stat().st_size:
                raise GaitError(f"{file}: the video cannot be written there.")
    except OSError as error:
        raise GaitError(f"{file}: the video cannot be written there ({' '.join(str(error).split())[:300]}).") from None


@contextmanager
def render_window(
    state: ViewerState, folder: Path, width: int, height: int, *, show_controls: bool, font_scale: float | None = None
) -> Iterator[Callable[[float], RgbImage]]:
    """Open an offscreen window; yield a function that advances it by some seconds and returns its image.

    Several may be open at a time. ``font_scale`` scales texts and controls; if None, it follows from the window size.

    Raises:
        RenderingUnavailableError: this machine cannot render.
        WindowUnavailableError: imgui-bundle is missing.
    """
    from gait.viewing.main_window import MainWindow
    from gait.viewing.offscreen_window import OffscreenWindow  # imports ImGui

    with OffscreenWindow(width, height) as window:
        with window.context:
            main_window = MainWindow(window.context, state, folder, show_controls=show_controls, font_scale=font_scale)

        def draw(seconds: float) -> RgbImage:
            window.draw(lambda: main_window.draw(width, height, seconds), seconds)
            return window.image()

        try:
            yield draw
        finally:
            with window.context:
                main_window.release()


def _write(file: Path, image: RgbImage) -> int:
    return file.write_bytes(png_bytes(image))
