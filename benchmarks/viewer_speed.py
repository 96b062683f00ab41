"""python benchmarks/viewer_speed.py --json viewer_speed.json

How fast the viewer draws a made-up walk with its explanation by an untrained network: the body of 13,718 vertices in
colours, skeleton, floor, panel and map. Prints one JSON object:

 * ``window_frames_per_second``: while the walk plays, each picture another frame: of a window on the screen where there
   is one, else through EGL; ``window`` says which. ``window_frame_ms`` is the median picture, ``worst_frame_ms`` the
   slowest of a hundred.
 * ``export_ms_per_frame``: pictures of the film as PNG files, from the first to the last, skins too;
   ``film_ms_per_frame``: the same as H.264.
 * ``still_ms``: a window in which nothing moves, drawn again.
 * ``skin_ms_per_frame``: vertices and normals, in batches, one thread.

Run it on a machine that does nothing else; ``load_average`` is the machine's when the measurement starts.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from bench_args import benchmark_parser, values
from bench_output import load_average, made_by, publish

from gait.body.model_file import load_body
from gait.body.skeleton import BODY_JOINTS, NUM_BODY_JOINTS, Joint
from gait.learning.architecture import MLPArchitecture
from gait.learning.checkpoint import Checkpoint, save_checkpoint
from gait.motion.common_frame import NORMALISATION
from gait.motion.pose_files import write_npz
from gait.synthetic.subject import make_person
from gait.synthetic.walk import make_walk
from gait.viewing.file_backend import FileBackend
from gait.viewing.lazy_imgui import WindowUnavailableError
from gait.viewing.loaded_trial import BodyModelLocator
from gait.viewing.main_window import MainWindow
from gait.viewing.mesh_cache import BATCH, MeshBuilder
from gait.viewing.offscreen_renderer import shared_renderer
from gait.viewing.offscreen_window import OffscreenWindow
from gait.viewing.video import export_film, export_pictures
from gait.viewing.viewer_state import ViewerState

_MODELS = Path(__file__).resolve().parents[1] / "data" / "SUPR"
_WINDOW = 64  # frames, of the network


@dataclass(frozen=True)
class Arguments:
    """Of the command line."""

    size: str = "1280x720"
    seconds: float = 4.0
    """Of the walk."""
    pictures: int = 200
    """Of the window that plays."""
    threads: int = 2
    """That torch uses."""
    json: Path | None = None
    """File for the result."""


QUICK: dict[str, Any] = {"size": "480x320", "seconds": 1.5, "pictures": 8}
"""What ``--quick`` changes."""


def measured(arguments: Arguments) -> dict[str, Any]:
    """All figures."""
    width, height = map(int, arguments.size.split("x"))
    load = load_average()
    torch.set_num_threads(arguments.threads)
    bodies = BodyModelLocator(_MODELS, "open_neutral.npz")
    with TemporaryDirectory() as made:
        folder = Path(made)
        session = _session(folder, bodies, arguments.seconds)
        assert session.body is not None
        assert session.body.gait.body is not None
        maker = MeshBuilder(session.body.gait.body, session.body.gait.sequence)
        try:
            while session.body.course is not None and session.body.course.ready < session.frames:
                time.sleep(0.01)  # its thread makes them ahead; what is measured here comes after
            torch.set_num_threads(1)
            skin_ms = _milliseconds(lambda: maker.skins(0, BATCH), 5) / BATCH
            torch.set_num_threads(arguments.threads)
            window, playing = _window(session, folder, width, height, arguments.pictures)
            still = _still(session, folder, width, height)
            start = time.perf_counter()
            pictures = len(export_pictures(session, folder / "pictures", width, height))
            middle = time.perf_counter()
            export_film(session, folder / "film.mp4", width, height)
            end = time.perf_counter()
        finally:
            session.close()
    slowest = sorted(playing)
    return {
        "window_frames_per_second": len(playing) / sum(playing),
        "window": window,
        "window_frame_ms": 1000 * median(playing),
        "worst_frame_ms": 1000 * slowest[int(0.99 * (len(slowest) - 1))],
        "export_ms_per_frame": 1000 * (middle - start) / pictures,
        "film_ms_per_frame": 1000 * (end - middle) / pictures,
        "still_ms": still,
        "skin_ms_per_frame": skin_ms,
        "vertices": session.body.gait.body.num_vertices,
        "frames": session.frames,
        "device": shared_renderer().device,
        "load_average": load,
        **made_by(arguments, session.body.gait.body),
    }


def _session(folder: Path, bodies: BodyModelLocator, seconds: float) -> ViewerState:
    """A walk, explained."""
    body = load_body(_MODELS / "open_neutral.npz")
    walk = folder / "sick" / "P01" / "walk1"
    walk.mkdir(parents=True)
    write_npz(walk, make_walk(body, make_person(body, 1), seconds=seconds).truth)
    torch.manual_seed(0)
    architecture = MLPArchitecture("sequential_mlp", _WINDOW, (16, 16), (16,))
    save_checkpoint(
        folder / "mlp.ckpt",
        Checkpoint(
            architecture=architecture,
            weights=architecture.build().state_dict(),
            window_length=_WINDOW,
            frame_rate_hz=100.0,
            normalisation=NORMALISATION,
            joints=tuple(joint.name for joint in BODY_JOINTS),
            mean_window=torch.zeros(_WINDOW, NUM_BODY_JOINTS, 3),
        ),
    )
    session = ViewerState(FileBackend(bodies))
    session.open_gait(walk)
    session.open_network(folder / "mlp.ckpt")
    session.want_explanation()
    session.jobs.finish()
    session.layers.skeleton = True
    session.joint = Joint.LEFT_KNEE
    return session


def _window(session: ViewerState, folder: Path, width: int, height: int, pictures: int) -> tuple[str, list[float]]:
    """Where the window was, and seconds of each of its pictures while the walk plays."""
    times: list[float] = []
    session.seek(0)

    def next_picture() -> None:
        now = time.perf_counter()
        times.append(now)
        session.seek((len(times) * 4) % session.frames)

    if os.environ.get("DISPLAY"):
        try:
            _on_screen(session, folder, width, height, next_picture, lambda: len(times) > pictures + 5)
            return "on the screen", [b - a for a, b in pairwise(times[5:])]
        except WindowUnavailableError:
            times.clear()
    with OffscreenWindow(width, height) as stage:
        with stage.context:
            contents = MainWindow(stage.context, session, folder)
        while len(times) <= pictures + 5:
            next_picture()
            stage.draw(lambda: contents.draw(width, height, 1 / 30), 1 / 30)
            stage.context.finish()
        with stage.context:
            contents.release()
    return "EGL", [b - a for a, b in pairwise(times[5:])]


def _on_screen(
    session: ViewerState,
    folder: Path,
    width: int,
    height: int,
    next_picture: Callable[[], None],
    done: Callable[[], bool],
) -> None:
    from gait.viewing.glfw_window import GlfwWindow

    stage = GlfwWindow(width, height, session.open_path)
    contents = MainWindow(stage.context, session, folder)

    def draw(width: int, height: int, seconds: float, density: float) -> None:
        next_picture()
        contents.draw(width, height, seconds, density)
        if done():
            stage.ask_to_close()

    try:
        stage.run(draw, lambda: True)
        contents.release()
    finally:
        stage.close()


def _still(session: ViewerState, folder: Path, width: int, height: int) -> float:
    with OffscreenWindow(width, height) as stage:
        with stage.context:
            contents = MainWindow(stage.context, session, folder)

        def draw() -> None:
            stage.draw(lambda: contents.draw(width, height, 1 / 30), 1 / 30)
            stage.context.finish()

        for _ in range(4):
            draw()
        still = _milliseconds(draw, 20)
        with stage.context:
            contents.release()
    return still


def _milliseconds(act: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        act()
        taken.append(time.perf_counter() - start)
    return 1000 * median(taken)


def parse_arguments() -> Arguments:
    """Read the command line."""
    parser = benchmark_parser("How fast the viewer draws, as JSON.", "small and short, to see that it runs")
    parser.add_argument("--size", help="WIDTHxHEIGHT in pixels (default 1280x720)")
    parser.add_argument("--seconds", type=float, help="of the walk (default 4)")
    parser.add_argument("--pictures", type=int, help="of the window that plays (default 200)")
    parser.add_argument("--threads", type=int, help="that torch uses (default 2)")
    arguments = Arguments(**values(parser, None, QUICK))
    if not re.fullmatch(r"\d+x\d+", arguments.size):
        parser.error("--size is WIDTHxHEIGHT, such as 1280x720")
    return arguments


if __name__ == "__main__":
    arguments = parse_arguments()
    publish(measured(arguments), arguments.json)
