"""Run the viewer: open the window, or render images and videos without a screen."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from gait.errors import GaitError
from gait.files.atomic_write import atomic_file
from gait.viewing.file_backend import FileBackend
from gait.viewing.png import png_bytes
from gait.viewing.video import export_images, export_video, screenshot
from gait.viewing.viewer_arguments import ViewerArguments
from gait.viewing.viewer_state import ViewerState


@dataclass(frozen=True)
class ViewRequest:
    """Trial, network and settings to show."""

    backend: FileBackend
    trial: Path | None = None  # a fitted trial, or a folder of trials
    network: Path | None = None
    method: str | None = None  # None: the default of the network
    view: ViewerArguments = field(default_factory=ViewerArguments)


def run_viewer(request: ViewRequest) -> tuple[str, ...]:
    """Render the requested files, or open the window if there are none. Return one line on each file.

    Raises:
        GaitError: something cannot be opened, explained, drawn or written.
    """
    if request.view.is_offscreen:
        return _render_offscreen(request)
    _show_window(request)
    return ()


def exit_immediately(code: int) -> NoReturn:
    """End the process at once, without waiting for a job that still runs in a thread."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


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


def _show_window(request: ViewRequest) -> None:
    """Open the window, and return when it is closed."""
    from gait.viewing.glfw_window import GlfwWindow  # imports ImGui and GLFW
    from gait.viewing.main_window import MainWindow

    # Read when torch is loaded: its threads would spin between small operations on the cores that draw the window.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    gc.disable()  # until all is loaded: imports leave no garbage, and the search for it takes a sixth of their time
    state = ViewerState(request.backend)
    window = GlfwWindow(*request.view.size, on_drop=state.open_path)
    state.jobs.on_finished = window.wake
    main_window = MainWindow(window.context, state, request.trial.parent if request.trial else Path.cwd())
    opening = iter([request])  # after the first picture, which loading would delay

    def draw(width: int, height: int, seconds: float, density: float) -> None:
        main_window.draw(width, height, seconds, density)
        for each in opening:
            _open(state, each)
        if not gc.isenabled() and not state.is_working():
            gc.freeze()
            gc.enable()

    try:
        window.run(draw, state.is_animating, state.is_working)
        main_window.release()
    finally:
        gc.enable()
        state.close()
        window.close()
    if state.jobs.current_job:
        exit_immediately(0)


def _render_offscreen(request: ViewRequest) -> tuple[str, ...]:
    view = request.view
    with open_viewer_state(request) as state:
        assert request.trial is not None
        assert state.actor is not None
        trial = state.actor.trial
        state.seek(view.at_s * trial.rate_hz)
        done = []
        if view.screenshot is not None:
            image = screenshot(state, request.trial.parent, *view.size)
            with atomic_file(view.screenshot) as partial:
                partial.write_bytes(png_bytes(image))
            done.append(f"{view.screenshot}: the window at {state.frame / trial.rate_hz:.2f} s")
        if view.image_dir is not None:
            files = export_images(state, view.image_dir, *view.size, speed=view.speed)
            done.append(f"{view.image_dir}: {len(files)} images")
        if view.video is not None:
            export_video(state, view.video, *view.size, speed=view.speed)
            done.append(f"{view.video}: {trial.duration_s / view.speed:.1f} s of video")
        return (*done, *state.jobs.messages)


def _open(state: ViewerState, request: ViewRequest) -> None:
    for layer in request.view.show:
        setattr(state.layers, layer, True)
    state.joint = request.view.joint
    if request.trial is not None:  # first, so that the body is drawn while the network is loaded
        state.open_path(request.trial)
    if request.network is not None:
        state.open_network(request.network, request.method)
    if request.view.comparison is not None:
        state.open_comparison(request.view.comparison)
    if request.network is not None and request.trial is not None:
        state.explain()
