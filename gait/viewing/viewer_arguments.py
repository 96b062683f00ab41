"""The flags of attention_viewer.py that say what is looked at, and how it is drawn without a window."""

from __future__ import annotations

import argparse
import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path

from gait.learning.training_arguments import number_or_nan, positive
from gait.viewing.file_backend import FileBackend
from gait.viewing.run_viewer import ViewRequest, draw_without_a_window, joint_named, show_window

_LAYERS = ("skeleton", "markers", "path", "confidence")
_LEAST, _MOST = 200, 7680


@dataclass(frozen=True)
class ViewerArguments:
    """What the command line says of the view."""

    video: Path | None
    screenshot: Path | None
    frames: Path | None
    size: tuple[int, int]  # pixels
    speed: float
    at: float  # seconds
    beside: Path | None
    joint: str | None
    show: tuple[str, ...]  # layers

    @property
    def without_a_window(self) -> bool:
        """Whether pictures or a film are asked for."""
        return any((self.video, self.screenshot, self.frames))

    def look(self, workbench: FileBackend, gait: Path | None, network: Path | None, method: str | None) -> ViewRequest:
        """What is looked at.

        Raises:
            GaitError: there is no such joint.
        """
        joint = None if self.joint is None else joint_named(self.joint)
        return ViewRequest(workbench, gait, network, method, self.beside, self.size, self.at, joint, self.show)


def add_viewing_flags(parser: argparse.ArgumentParser) -> None:
    """Add them in a group of their own."""
    add = parser.add_argument_group("the view").add_argument
    add("--video", type=Path, metavar="FILE.mp4", help="film the walk, without a screen")
    add("--screenshot", type=Path, metavar="FILE.png", help="the window at one moment, without a screen")
    add("--frames", type=Path, metavar="DIR", help="the film's pictures, without a screen")
    add("--size", type=_size, default=(1280, 720), metavar="WxH", help="of window, film, pictures (default 1280x720)")
    add("--speed", type=positive, default=1.0, help="of film and pictures: 0.5 is half as fast as life")
    add("--at", type=_seconds, default=0.0, metavar="SECONDS", help="where the screenshot is taken")
    add("--beside", type=Path, metavar="FOLDER", help="a second gait, or a folder of gaits for its healthy mean")
    add("--joint", metavar="NAME", help='chosen, such as "left knee"')
    add("--show", nargs="+", choices=_LAYERS, default=(), help="what else is shown")


def viewing_arguments(fields: dict[str, object]) -> ViewerArguments:
    """Take these flags out of a parsed command line."""
    own = {field.name: fields.pop(field.name) for field in dataclasses.fields(ViewerArguments)}
    own["show"] = tuple(own["show"])  # type: ignore[arg-type]
    return ViewerArguments(**own)  # type: ignore[arg-type]


def show(view: ViewerArguments, look: ViewRequest) -> tuple[str, ...]:
    """Films and pictures if they are asked for, the window if not. Returns a line on each that was written.

    Raises:
        GaitError: as of either.
    """
    if view.without_a_window:
        return draw_without_a_window(
            look, pictures=view.frames, film=view.video, still=view.screenshot, speed=view.speed
        )
    show_window(look)
    return ()


def _size(word: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,5})[xX×](\d{1,5})", word)
    if found is None or not all(_LEAST <= int(part) <= _MOST for part in found.groups()):
        raise argparse.ArgumentTypeError(f"WIDTHxHEIGHT is needed, {_LEAST} to {_MOST} each, not {word!r}")
    return int(found[1]), int(found[2])


def _seconds(word: str) -> float:
    seconds = number_or_nan(word)
    if not 0 <= seconds < 1e6:
        raise argparse.ArgumentTypeError(f"seconds from 0 on are needed, not {word!r}")
    return seconds
