"""Flags of attention_viewer.py for the window and for rendering without a screen."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path

from gait.body.skeleton import BODY_JOINTS, Joint, display_name
from gait.cli.arguments import argument, number_or_nan, positive_number

_LAYERS = ("skeleton", "markers", "path", "uncertainty")  # fields of VisibleLayers
_MIN_SIZE, _MAX_SIZE = 200, 7680


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


def _joint(name: str) -> Joint:
    names = {display_name(joint): joint for joint in BODY_JOINTS}
    if name.lower() not in names:
        raise argparse.ArgumentTypeError(f"no such joint: {name}; choose one of {', '.join(names)}")
    return names[name.lower()]


def _layer(text: str) -> str:
    return "uncertainty" if text == "confidence" else text  # the name in earlier versions


@dataclass(frozen=True, kw_only=True)
class ViewerArguments:
    """Requested renderings, and the settings of the view."""

    video: Path | None = argument(None, "render a video of the trial; needs no screen", metavar="FILE.mp4")
    screenshot: Path | None = argument(None, "render the window at one time; needs no screen", metavar="FILE.png")
    image_dir: Path | None = argument(
        None, "render the frames of the video as PNG files; needs no screen", flag="--frames",
        aliases=("--image_dir",), metavar="DIR",
    )  # fmt: skip
    size: tuple[int, int] = argument(
        (1280, 720), "window and image size in pixels (default 1280x720)", type=_size, nargs=None, metavar="WxH"
    )
    speed: float = argument(1.0, "playback speed of the video; 0.5 is half the real speed", type=positive_number)
    at_s: float = argument(0.0, "time of the screenshot", flag="--at", type=_seconds, metavar="SECONDS")
    comparison: Path | None = argument(
        None, "trial to compare with, or a folder for its mean control stride", flag="--beside",
        aliases=("--compare",), metavar="FOLDER",
    )  # fmt: skip
    joint: Joint | None = argument(None, 'joint to select, such as "left knee"', type=_joint, metavar="NAME")
    show: tuple[str, ...] = argument((), "further layers to show", type=_layer, choices=_LAYERS)

    @property
    def is_offscreen(self) -> bool:
        """True if a video, images or a screenshot are requested."""
        return any((self.video, self.screenshot, self.image_dir))
