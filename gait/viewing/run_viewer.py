"""The viewer as a command runs it: a window, or pictures and films without one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from gait.body.skeleton import BODY_JOINTS, Joint, plain_name
from gait.errors import GaitError
from gait.files.atomic_write import replacing_file
from gait.viewing.file_backend import FileBackend
from gait.viewing.png import png_bytes
from gait.viewing.video import export_film, export_pictures, screenshot
from gait.viewing.viewer_state import ViewerState


@dataclass(frozen=True)
class ViewRequest:
    """What is looked at."""

    workbench: FileBackend
    gait: Path | None = None  # a fitted gait, or a folder of them
    network: Path | None = None
    method: str | None = None  # the network's default if None
    beside: Path | None = None  # a second person, or a folder whose healthy mean is taken
    size: tuple[int, int] = (1280, 720)  # pixels
    seconds: float = 0.0  # where in the recording
    joint: Joint | None = None  # chosen
    layers: tuple[str, ...] = ()  # switched on besides those that are


def show_window(look: ViewRequest) -> None:
    """Open the window, and return when it is closed.

    Raises:
        NoWindowError: there is no screen, or imgui-bundle is missing.
    """
    from gait.viewing.glfw_window import GlfwWindow  # with it come ImGui and GLFW
    from gait.viewing.main_window import MainWindow

    session = ViewerState(look.workbench)
    stage = GlfwWindow(*look.size, dropped=session.open_path)
    contents = MainWindow(stage.context, session, look.gait.parent if look.gait else Path.cwd())
    try:
        _open(session, look)
        stage.run(contents.draw, session.moving)
        contents.release()
    finally:
        session.close()
        stage.close()
    if session.jobs.busy:
        end_process(0)


def end_process(code: int) -> NoReturn:
    """End at once: a step of what still runs in a thread may take long, and nobody waits for it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def draw_without_a_window(
    look: ViewRequest,
    *,
    pictures: Path | None = None,
    film: Path | None = None,
    still: Path | None = None,
    speed: float = 1.0,
) -> tuple[str, ...]:
    """Pictures and films of the same contents, and a line on each.

    Args:
        look: at what; it names a gait.
        pictures: a folder for the film's pictures.
        film: an .mp4 file.
        still: a .png file: the window at one moment, with its controls.
        speed: of pictures and film, 0.5 for half as fast as life.

    Raises:
        GaitError: something cannot be opened, explained, drawn or written.
    """
    with opened(look) as session:
        assert look.gait is not None
        assert session.body is not None
        session.seek(look.seconds * session.body.gait.rate_hz)
        done = []
        if still is not None:
            picture = screenshot(session, look.gait.parent, *look.size)
            with replacing_file(still) as partial:
                partial.write_bytes(png_bytes(picture, rows_alike=True))
            done.append(f"{still}: the window at {session.frame / session.body.gait.rate_hz:.2f} s")
        if pictures is not None:
            files = export_pictures(session, pictures, *look.size, speed=speed)
            done.append(f"{pictures}: {len(files)} pictures")
        if film is not None:
            export_film(session, film, *look.size, speed=speed)
            done.append(f"{film}: {session.body.gait.seconds / speed:.1f} s of film")
        return (*done, *session.jobs.lines)


@contextmanager
def opened(look: ViewRequest) -> Iterator[ViewerState]:
    """A session in which all that was named is open and, with a network, explained.

    Raises:
        GaitError: no gait is named, or something cannot be opened or explained.
    """
    if look.gait is None:
        raise GaitError("There is nothing to draw; name a walk with --gait.")
    session = ViewerState(look.workbench)
    try:
        _open(session, look)
        session.jobs.finish()
        if session.body is None:
            raise GaitError(f"{look.gait}: this is no fitted gait; name the folder of one.")
        yield session
    finally:
        session.close()


def joint_named(words: str) -> Joint:
    """The body joint that is called so, "left knee".

    Raises:
        GaitError: none is; the line names them all.
    """
    names = {plain_name(joint): joint for joint in BODY_JOINTS}
    if words.lower() not in names:
        raise GaitError(f"--joint {words}: there is no such joint; there are {', '.join(names)}.")
    return names[words.lower()]


def _open(session: ViewerState, look: ViewRequest) -> None:
    for layer in look.layers:
        setattr(session.layers, layer, True)
    session.joint = look.joint
    if look.network is not None:
        session.open_network(look.network, look.method)
    if look.gait is not None:
        session.open_path(look.gait)
    if look.beside is not None:
        session.open_beside(look.beside)
    if look.network is not None and look.gait is not None:
        session.want_explanation()
