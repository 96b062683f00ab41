"""Command-line flags of attention_viewer.py for the window and for rendering without a screen."""

from __future__ import annotations

import argparse
import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path

from gait.cli.arguments import number_or_nan, positive_number
from gait.viewing.file_backend import FileBackend
from gait.viewing.run_viewer import ViewRequest, parse_joint, render_offscreen, show_window

_LAYERS = {"skeleton": "skeleton", "markers": "markers", "path": "path", "confidence": "uncertainty"}  # --show: layer
_MIN_SIZE, _MAX_SIZE = 200, 7680


@dataclass(frozen=True)
class ViewerArguments:
    """The flags, parsed."""

    video: Path | None
    screenshot: Path | None
    frames: Path | None
    size: tuple[int, int]  # pixels
    speed: float
    at: float  # seconds
    beside: Path | None
    joint: str | None
    show: tuple[str, ...]  # keys of _LAYERS

    @property
    def is_offscreen(self) -> bool:
        """Whether a video, images or a screenshot are requested."""
        return any((self.video, self.screenshot, self.frames))

    def view_request(
        self, backend: FileBackend, trial: Path | None, network: Path | None, method: str | None
    ) -> ViewRequest:
        """Return what to show.

        Raises:
            GaitError: there is no such joint.
        """
        joint = None if self.joint is None else parse_joint(self.joint)
        layers = tuple(_LAYERS[name] for name in self.show)
        return ViewRequest(backend, trial, network, method, self.beside, self.size, self.at, joint, layers)


def add_viewer_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags as a group."""
    add = parser.add_argument_group("window and rendering").add_argument
    add("--video", type=Path, metavar="FILE.mp4", help="render a video of the trial; needs no screen")
    add("--screenshot", type=Path, metavar="FILE.png", help="render the window at one time; needs no screen")
    add("--frames", type=Path, metavar="DIR", help="render the frames of the video as PNG files; needs no screen")
    add("--size", type=_size, default=(1280, 720), metavar="WxH", help="window and image size (default 1280x720)")
    add("--speed", type=positive_number, default=1.0, help="playback speed of the video; 0.5 is half the real speed")
    add("--at", type=_seconds, default=0.0, metavar="SECONDS", help="time of the screenshot")
    add("--beside", type=Path, metavar="FOLDER", help="trial to compare with, or a folder for its mean control stride")
    add("--joint", metavar="NAME", help='joint to select, such as "left knee"')
    add("--show", nargs="+", choices=tuple(_LAYERS), default=(), help="further layers to show")


def parse_viewer_arguments(fields: dict[str, object]) -> ViewerArguments:
    """Remove these flags from the fields of a parsed command line and return them."""
    own = {field.name: fields.pop(field.name) for field in dataclasses.fields(ViewerArguments)}
    own["show"] = tuple(own["show"])  # type: ignore[arg-type]
    return ViewerArguments(**own)  # type: ignore[arg-type]


def run_viewer(view: ViewerArguments, request: ViewRequest) -> tuple[str, ...]:
    """Render the requested files, or open the window if there are none. Return one line on each file.

    Raises:
        GaitError: something cannot be opened, explained, drawn or written.
    """
    if view.is_offscreen:
        return render_offscreen(
            request,
            image_dir=view.frames,
            video_file=view.video,
            screenshot_file=view.screenshot,
            speed=view.speed,
        )
    show_window(request)
    return ()


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,5})[xX×](\d{1,5})", text)
    if found is None or not all(_MIN_SIZE <= int(part) <= _MAX_SIZE for part in found.groups()):
        raise argparse.ArgumentTypeError(f"expected WIDTHxHEIGHT, each {_MIN_SIZE} to {_MAX_SIZE}, not {text!r}")
    return int(found[1]), int(found[2])


def _seconds(text: str) -> float:
    seconds = number_or_nan(text)
    if not 0 <= seconds < 1e6:
        raise argparse.ArgumentTypeError(f"expected seconds, 0 or more, not {text!r}")
    return seconds
