"""Kinds of bad marker data, and the record of one marker error."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

MarkerErrorKind = Literal[
    "label_swap",  # two markers have each other's labels
    "jump",  # the marker is displaced suddenly, for some time or until the end
    "frozen",  # the marker stays at one point in space while the body moves on
    "drift",  # the marker is displaced gradually
    "detached",  # the marker falls to the floor
    "ghost",  # the label belongs to another point in single frames
    "left_right_swap",  # every left marker has the label of its right counterpart and vice versa
    "mirrored",  # one axis of the file is reversed
    "left_right_swap_or_mirrored",  # the two cannot be distinguished without an asymmetric marker
    "unit_mismatch",  # the file states another unit than its values have
]
MarkerErrorAction = Literal["excluded", "corrected", "reported"]

_PHRASES: dict[MarkerErrorKind, str] = {
    "label_swap": "label swap of",
    "jump": "jump of",
    "frozen": "frozen marker",
    "drift": "drift of",
    "detached": "detached marker",
    "ghost": "ghost marker",
    "left_right_swap": "left-right swap",
    "mirrored": "mirrored data",
    "left_right_swap_or_mirrored": "left-right swap or mirrored data",
    "unit_mismatch": "unit mismatch",
}
_OLD_KEYS = {"evidence_mm": "mean_error_mm", "line": "message"}
_OLD_WORDS = {
    "exchanged": "label_swap",
    "jumped": "jump",
    "stuck": "frozen",
    "slid": "drift",
    "fell": "detached",
    "all sides exchanged": "left_right_swap",
    "all sides exchanged or mirrored": "left_right_swap_or_mirrored",
    "wrong unit": "unit_mismatch",
    "left out": "excluded",
}
"""Kinds and actions in older report files, which are still read."""


@dataclass(frozen=True)
class MarkerError:
    """One error in the marker data of a recording, in the frame numbers of the recording."""

    kind: MarkerErrorKind
    marker: str | None  # None: the whole recording
    other: str | None  # the second marker of a label swap
    first_frame: int
    last_frame: int  # included
    mean_error_mm: float | None  # mean distance from the position predicted by the fit; None if found otherwise
    action: MarkerErrorAction
    hint: str = ""  # what to do about it, or how it was found

    @property
    def num_frames(self) -> int:
        """Number of frames from the first to the last one."""
        return self.last_frame - self.first_frame + 1

    @property
    def message(self) -> str:
        """One line of text: kind, markers, frames, mean error, action and hint."""
        markers = " and ".join(label for label in (self.marker, self.other) if label is not None)
        what = f"{_PHRASES[self.kind]} {markers}".strip()
        distance = "" if self.mean_error_mm is None else f", mean error {self.mean_error_mm:.0f} mm"
        hint = f" ({self.hint})" if self.hint else ""
        return f"{what}, frames {self.first_frame} to {self.last_frame}{distance}: {self.action}{hint}"

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for a JSON file."""
        return {**asdict(self), "message": self.message}


def with_new_words(content: dict[str, Any]) -> dict[str, Any]:
    """Return a marker error from a report file, which may be an old one, with the keys and values of ``as_dict``."""
    content = {_OLD_KEYS.get(key, key): value for key, value in content.items()}
    for key in ("kind", "action"):
        if isinstance(content.get(key), str):
            content[key] = _OLD_WORDS.get(content[key], content[key])
    return content
