"""Run the viewer: open the window, or render images and videos without a screen."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from gait.body.skeleton import BODY_JOINTS, Joint, display_name
from gait.errors import GaitError
from gait.files.atomic_write import atomic_file
from gait.viewing.file_backend import FileBackend
from gait.viewing.png import png_bytes
from gait.viewing.video import export_images, export_video, screenshot
from gait.viewing.viewer_state import ViewerState


@dataclass(frozen=True)
class ViewRequest:
    """What to show: files, and the settings of the view."""

    backend: FileBackend
    trial: Path | None = None  # a fitted trial, or a folder of trials
    network: Path | None = None
    method: str | None = None  # None: the default of the network
    comparison: Path | None = None  # a second trial, or a folder of trials for its mean control stride
    size: tuple[int, int] = (1280, 720)  # pixels
    time_s: float = 0.0  # from the first frame
    joint: Joint | None = None  # selected
    layers: tuple[str, ...] = ()  # fields of VisibleLayers to switch on, besides the default ones


def show_window(request: ViewRequest) -> None:
    """Open the window, and return when it is closed.

    Raises:
        WindowUnavailableError: there is no screen, or imgui-bundle is missing.
    """
    from gait.viewing.glfw_window import GlfwWindow  # imports ImGui and GLFW
    from gait.viewing.main_window import MainWindow

    state = ViewerState(request.backend)
    window = GlfwWindow(*request.size, on_drop=state.open_path)
    main_window = MainWindow(window.context, state, request.trial.parent if request.trial else Path.cwd())
    try:
        _open(state, request)
        window.run(main_window.draw, state.is_animating)
        main_window.release()
    finally:
        state.close()
        window.close()
    if state.jobs.current_job:
        exit_immediately(0)


def exit_immediately(code: int) -> NoReturn:
    """End the process at once, without waiting for a job that still runs in a thread."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def render_offscreen(
    request: ViewRequest,
    *,
    image_dir: Path | None = None,
    video_file: Path | None = None,
    screenshot_file: Path | None = None,
    speed: float = 1.0,
) -> tuple[str, ...]:
    """Render files without a screen; return one line on each.

    Args:
        request: what to show; it names a trial.
        image_dir: folder for the frames of the video as PNG files.
        video_file: an .mp4 file.
        screenshot_file: a .png file of the window with its controls, at ``request.time_s``.
        speed: playback speed of video and images; 0.5 is half the real speed.

    Raises:
        GaitError: something cannot be opened, explained, drawn or written.
    """
    with open_viewer_state(request) as state:
        assert request.trial is not None
        assert state.actor is not None
        state.seek(request.time_s * state.actor.trial.rate_hz)
        done = []
        if screenshot_file is not None:
            image = screenshot(state, request.trial.parent, *request.size)
            with atomic_file(screenshot_file) as partial:
                partial.write_bytes(png_bytes(image))
            done.append(f"{screenshot_file}: the window at {state.frame / state.actor.trial.rate_hz:.2f} s")
        if image_dir is not None:
            files = export_images(state, image_dir, *request.size, speed=speed)
            done.append(f"{image_dir}: {len(files)} images")
        if video_file is not None:
            export_video(state, video_file, *request.size, speed=speed)
            done.append(f"{video_file}: {state.actor.trial.duration_s / speed:.1f} s of video")
        return (*done, *state.jobs.messages)


@contextmanager
def open_viewer_state(request: ViewRequest) -> Iterator[ViewerState]:
    """Open everything that is requested and, if there is a network, explain the trial; yield the state of the viewer.

    Raises:
        GaitError: the request names no trial, or something cannot be opened or explained.
    """
    if request.trial is None:
        raise GaitError("There is nothing to render; name a trial with --gait.")
    state = ViewerState(request.backend)
    try:
        _open(state, request)
        state.jobs.wait()
        if state.actor is None:
            raise GaitError(f"{request.trial}: no fitted trial there; name the folder of one.")
        yield state
    finally:
        state.close()


def parse_joint(name: str) -> Joint:
    """Return the body joint with a display name, such as "left knee".

    Raises:
        GaitError: there is none; the message lists all names.
    """
    names = {display_name(joint): joint for joint in BODY_JOINTS}
    if name.lower() not in names:
        raise GaitError(f"--joint {name}: no such joint; choose one of {', '.join(names)}.")
    return names[name.lower()]


def _open(state: ViewerState, request: ViewRequest) -> None:
    for layer in request.layers:
        setattr(state.layers, layer, True)
    state.joint = request.joint
    if request.network is not None:
        state.open_network(request.network, request.method)
    if request.trial is not None:
        state.open_path(request.trial)
    if request.comparison is not None:
        state.open_comparison(request.comparison)
    if request.network is not None and request.trial is not None:
        state.request_explanation()
