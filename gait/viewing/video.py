"""Pictures and films of a session, without a screen: the window's own contents, frame after frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gait.errors import GaitError
from gait.files.atomic_write import replacing_file
from gait.viewing.png import png_bytes
from gait.viewing.viewer_state import ViewerState

FILM_RATE_HZ = 30.0
_AHEAD = 8  # pictures that may wait to be written

Picture = NDArray[np.uint8]


def screenshot(session: ViewerState, folder: Path, width: int, height: int, *, panel: bool = True) -> Picture:
    """The window as it would look, (height, width, 3).

    Args:
        session: whose jobs are finished.
        folder: where browsing would begin.
        width: pixels.
        height: pixels.
        panel: with the controls.

    Raises:
        NoDrawingError: this machine cannot draw.
        NoWindowError: imgui-bundle is missing.
    """
    with drawing(session, folder, width, height, panel=panel) as draw:
        for _ in range(3):  # ImGui knows sizes of texts from the picture before; the last one is drawn smoothly
            draw(0.0)
        return draw(0.0)


def film_frames(session: ViewerState, *, speed: float = 1.0) -> NDArray[np.float64]:
    """Places in the recording, in frames, of a film of ``FILM_RATE_HZ`` pictures a second."""
    if session.body is None:
        raise GaitError("There is no walk to film; name one with --gait.")
    gait = session.body.gait
    return np.arange(0.0, float(gait.frames), gait.rate_hz / FILM_RATE_HZ * speed, dtype=np.float64)


def export_pictures(
    session: ViewerState,
    into: Path,
    width: int,
    height: int,
    *,
    speed: float = 1.0,
    told: Callable[[int, int], None] = lambda done, count: None,
) -> list[Path]:
    """The film's pictures as ``frame_00001.png`` and so on, numbered as the recording counts. Returns the files.

    Raises:
        GaitError: no walk is open, the folder cannot be written, or this machine cannot draw.
    """
    assert session.body is not None
    places = film_frames(session, speed=speed)
    first = session.body.gait.sequence.first_frame
    files: list[Path] = []
    try:
        into.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(2) as pool, drawing(session, into, width, height, panel=False) as draw:
            waiting: list[Future[int]] = []
            draw(0.0)
            # Slower than the recording, the film shows frames several times; as pictures they are there once.
            frames = list(dict.fromkeys(int(place) for place in places))
            for done, frame in enumerate(frames):
                session.seek(frame)
                files.append(into / f"frame_{session.frame + first:05d}.png")
                waiting.append(pool.submit(_write, files[-1], draw(1 / FILM_RATE_HZ)))
                if len(waiting) > _AHEAD:
                    waiting.pop(0).result()
                told(done + 1, len(frames))
            for last in waiting:
                last.result()
    except OSError as error:
        raise GaitError(f"{into}: the pictures cannot be written there ({error.strerror or error}).") from None
    return files


def export_film(
    session: ViewerState,
    file: Path,
    width: int,
    height: int,
    *,
    speed: float = 1.0,
    told: Callable[[int, int], None] = lambda done, count: None,
) -> None:
    """A film (H.264) of the walk, whole or not at all; its width and height are made even, as films need it.

    Raises:
        GaitError: no walk is open, imageio-ffmpeg is missing or fails, the file cannot be written, or this machine
            cannot draw.
    """
    width, height = width // 2 * 2, height // 2 * 2
    places = film_frames(session, speed=speed)
    with drawing(session, file.parent, width, height, panel=False) as draw, film_file(file, width, height) as write:
        draw(0.0)
        for done, place in enumerate(places):
            session.seek(place)
            write(draw(1 / FILM_RATE_HZ))
            told(done + 1, len(places))


@contextmanager
def film_file(file: Path, width: int, height: int) -> Iterator[Callable[[Picture], None]]:
    """A film (H.264) of ``FILM_RATE_HZ`` pictures a second, whole or not at all: a function that takes the next one.

    Args:
        file: an .mp4 file; its folder is made if need be.
        width: of each picture, an even number of pixels.
        height: likewise.

    Raises:
        GaitError: imageio-ffmpeg is missing or fails, or the file cannot be written.
    """
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise GaitError(
            f"No film without imageio-ffmpeg ({error}); install it with: bash setup.sh, or draw pictures with --export."
        ) from error
    if file.suffix.lower() != ".mp4":
        raise GaitError(f"{file}: films are .mp4 files; name it {file.with_suffix('.mp4').name}.")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing_file(file) as partial:
            # The partial file's name has no ending that says what it is.
            writer = imageio_ffmpeg.write_frames(
                str(partial),
                (width, height),
                fps=FILM_RATE_HZ,
                macro_block_size=2,
                quality=6,  # of 10; with 8 a film is nearly twice as large, and looks the same
                output_params=["-f", "mp4", "-movflags", "+faststart", "-preset", "veryfast"],
                ffmpeg_log_level="error",
            )
            writer.send(None)
            try:
                yield lambda picture: writer.send(np.ascontiguousarray(picture))
            finally:
                writer.close()
            if not partial.is_file() or not partial.stat().st_size:
                raise GaitError(f"{file}: the film cannot be written there.")
    except OSError as error:
        raise GaitError(f"{file}: the film cannot be written there ({' '.join(str(error).split())[:300]}).") from None


@contextmanager
def drawing(
    session: ViewerState, folder: Path, width: int, height: int, *, panel: bool, letters: float | None = None
) -> Iterator[Callable[[float], Picture]]:
    """A window without a screen: a function that lets seconds pass and gives the picture then, (height, width, 3).

    Several may be open at a time. ``letters`` is how large they are; as the picture's size asks for if None.

    Raises:
        NoDrawingError: this machine cannot draw.
        NoWindowError: imgui-bundle is missing.
    """
    from gait.viewing.main_window import MainWindow
    from gait.viewing.offscreen_window import OffscreenWindow  # with it comes ImGui

    with OffscreenWindow(width, height) as stage:
        with stage.context:
            contents = MainWindow(stage.context, session, folder, panel=panel, letters=letters)

        def draw(seconds: float) -> Picture:
            stage.draw(lambda: contents.draw(width, height, seconds), seconds)
            return stage.picture()

        try:
            yield draw
        finally:
            with stage.context:
                contents.release()


def _write(file: Path, picture: Picture) -> int:
    return file.write_bytes(png_bytes(picture, rows_alike=True))
