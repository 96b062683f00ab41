"""python benchmarks/viewer_speed.py --json viewer_speed.json

Start and drawing speed of the viewer: a synthetic trial with its attribution by an untrained network, a body of 13,718
vertices in colours, skeleton, floor, panels and heatmap. Prints one JSON object:

 * ``start``: when the window of a new process first showed what, as ``viewer_start.py`` measures it, medians;
   ``first_explanation_s``: from trial and network to the attribution on the body. It needs a display or ``xvfb-run``.
 * ``window_frames_per_second``: during playback, when every image shows another frame, in a window on the screen if
   there is a display, else through EGL; ``window`` says which. ``window_frame_ms`` is the median, ``worst_frame_ms``
   the 99th percentile.
 * ``export_ms_per_frame``: export of an image sequence (PNG), meshes included; ``video_ms_per_frame``: the same as
   H.264.
 * ``static_ms``: redrawing a window in which nothing changes.
 * ``mesh_ms_per_frame``: vertices and normals, in batches, one thread.

Run it on an idle machine; ``load_average`` is the machine's at the start.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from benchmark import BodyArguments, measure_seconds, run
from script_runs import ENVIRONMENT
from untrained_trial import ARCHITECTURES, write_untrained_trial

from gait.body.skeleton import Joint
from gait.cli.arguments import ArgumentError, argument
from gait.viewing.file_backend import FileBackend
from gait.viewing.lazy_imgui import WindowUnavailableError
from gait.viewing.loaded_trial import BodyModelLocator
from gait.viewing.main_window import MainWindow
from gait.viewing.mesh_cache import BATCH, MeshBuilder
from gait.viewing.offscreen_renderer import shared_renderer
from gait.viewing.offscreen_window import OffscreenWindow
from gait.viewing.video import export_images, export_video
from gait.viewing.viewer_state import ViewerState


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    size: str = argument("1280x720", "pixels of the window", metavar="WIDTHxHEIGHT")
    seconds: float = argument(4.0, "length of the trial")
    images: int = argument(200, "images of the playback")
    threads: int = argument(2, "threads of torch")
    starts: int = argument(5, "starts of the window")
    network: str = argument("mlp", "the network that explains", choices=sorted(ARCHITECTURES))

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\d+x\d+", self.size):
            raise ArgumentError("--size is WIDTHxHEIGHT, such as 1280x720")


QUICK = {"size": "480x320", "seconds": 1.5, "images": 8, "starts": 1}


def main(args: Arguments) -> dict[str, Any]:
    width, height = map(int, args.size.split("x"))
    with TemporaryDirectory() as made:
        folder = Path(made)
        trial, network = write_untrained_trial(folder, args.model, args.seconds, args.network)
        start = _measure_start(trial, network, args)
        state = _open_state(trial, network, args)
        assert state.actor is not None
        assert state.actor.trial.body is not None
        maker = MeshBuilder(state.actor.trial.body, state.actor.trial.sequence)
        try:
            while state.actor.mesh_cache is not None and state.actor.mesh_cache.num_ready < state.num_frames:
                time.sleep(0.01)  # a thread computes the meshes ahead; measure after it
            torch.set_num_threads(1)
            mesh_ms = _median_ms(lambda: maker.build(0, BATCH), 5) / BATCH
            torch.set_num_threads(args.threads)
            window, playing = _measure_window(state, folder, width, height, args.images)
            still = _measure_still_ms(state, folder, width, height)
            images_s = measure_seconds(lambda: export_images(state, folder / "images", width, height))
            video_s = measure_seconds(lambda: export_video(state, folder / "video.mp4", width, height))
            images = len(list((folder / "images").iterdir()))
        finally:
            state.close()
    slowest = sorted(playing)
    return {
        **start,
        "window_frames_per_second": len(playing) / sum(playing),
        "window": window,
        "window_frame_ms": 1000 * median(playing),
        "worst_frame_ms": 1000 * slowest[int(0.99 * (len(slowest) - 1))],
        "export_ms_per_frame": 1000 * images_s / images,
        "video_ms_per_frame": 1000 * video_s / images,
        "static_ms": still,
        "mesh_ms_per_frame": mesh_ms,
        "vertices": state.actor.trial.body.num_vertices,
        "frames": state.num_frames,
        "device": shared_renderer().device,
    }


def _measure_start(trial: Path, network: Path, args: Arguments) -> dict[str, Any]:
    """Return the times of ``viewer_start.py`` in new processes, medians; nothing where no window can be shown."""
    screen = [] if os.environ.get("DISPLAY") else ["xvfb-run", "-a", "-s", "-screen 0 1920x1200x24"]
    if screen and shutil.which(screen[0]) is None:
        return {"start": None}
    script = Path(__file__).with_name("viewer_start.py")
    shown = ["--gait", trial, "--network", network, "--base_folder", args.model.parent, "--model", args.model.name]
    runs = []
    for _ in range(args.starts):
        words = [*screen, sys.executable, script, time.time(), *shown, "--size", args.size]
        done = subprocess.run(list(map(str, words)), env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, check=True)
        runs.append(json.loads(done.stdout))
    start = {
        clock: {name: median(run[clock][name] for run in runs) for name in runs[0][clock]}
        for clock in ("wall_s", "processor_s")
    }
    first = median(run["wall_s"]["colours"] - run["wall_s"]["ready"] for run in runs)
    return {"start": start, "first_explanation_s": first}


def _open_state(trial: Path, network: Path, args: Arguments) -> ViewerState:
    """Open a synthetic trial, a network and its attribution."""
    state = ViewerState(FileBackend(BodyModelLocator(args.model.parent, args.model.name)))
    state.open_trial(trial)
    state.open_network(network)
    state.explain()
    state.jobs.wait()
    state.layers.skeleton = True
    state.joint = Joint.LEFT_KNEE
    return state


def _measure_window(state: ViewerState, folder: Path, width: int, height: int, images: int) -> tuple[str, list[float]]:
    """Play the trial; return where the window was, and the seconds of each image."""
    times: list[float] = []
    state.seek(0)

    def next_image() -> None:
        now = time.perf_counter()
        times.append(now)
        state.seek((len(times) * 4) % state.num_frames)

    if os.environ.get("DISPLAY"):
        try:
            _on_screen(state, folder, width, height, next_image, lambda: len(times) > images + 5)
            return "on the screen", [b - a for a, b in pairwise(times[5:])]
        except WindowUnavailableError:
            times.clear()
    with OffscreenWindow(width, height) as stage:
        with stage.context:
            contents = MainWindow(stage.context, state, folder)
        while len(times) <= images + 5:
            next_image()
            stage.draw(lambda: contents.draw(width, height, 1 / 30), 1 / 30)
            stage.context.finish()
        with stage.context:
            contents.release()
    return "EGL", [b - a for a, b in pairwise(times[5:])]


def _on_screen(
    state: ViewerState,
    folder: Path,
    width: int,
    height: int,
    next_image: Callable[[], None],
    done: Callable[[], bool],
) -> None:
    from gait.viewing.glfw_window import GlfwWindow

    stage = GlfwWindow(width, height, state.open_path)
    contents = MainWindow(stage.context, state, folder)

    def draw(width: int, height: int, seconds: float, density: float) -> None:
        next_image()
        contents.draw(width, height, seconds, density)
        if done():
            stage.ask_to_close()

    try:
        stage.run(draw, lambda: True)
        contents.release()
    finally:
        stage.close()


def _measure_still_ms(state: ViewerState, folder: Path, width: int, height: int) -> float:
    with OffscreenWindow(width, height) as stage:
        with stage.context:
            contents = MainWindow(stage.context, state, folder)

        def draw() -> None:
            stage.draw(lambda: contents.draw(width, height, 1 / 30), 1 / 30)
            stage.context.finish()

        for _ in range(4):
            draw()
        still = _median_ms(draw, 20)
        with stage.context:
            contents.release()
    return still


def _median_ms(act: Callable[[], object], times: int) -> float:
    return 1000 * median(measure_seconds(act) for _ in range(times))


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
