"""Kinds of bad marker data, and the record of one marker error."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

MarkerErrorKind = Literal[
    "label_swap",  # two markers have each other's labels
    "jump",  # the marker is displaced suddenly, for some time or until the end
    "linear_fill",  # a gap of the marker was filled by a straight line
    "frozen",  # the marker stays at one point in space while the body moves on
    "drift",  # the marker is displaced gradually
    "detached",  # the marker falls to the floor
    "ghost",  # the label belongs to another point in single frames
    "one_of_two",  # one of two markers is displaced relative to the other, and nothing shows which
    "left_right_swap",  # every left marker has the label of its right counterpart and vice versa
    "mirrored",  # one axis of the file is reversed
    "left_right_swap_or_mirrored",  # the two cannot be distinguished without an asymmetric marker
    "unit_mismatch",  # the file states another unit than its values have
]
MarkerErrorAction = Literal["excluded", "corrected", "reported"]

_PHRASES: dict[MarkerErrorKind, str] = {
    "label_swap": "label swap of",
    "jump": "jump of",
    "linear_fill": "linear fill of",
    "frozen": "frozen marker",
    "drift": "drift of",
    "detached": "detached marker",
    "ghost": "ghost marker",
    "one_of_two": "displacement of one of",
    "left_right_swap": "left-right swap",
    "mirrored": "mirrored data",
    "left_right_swap_or_mirrored": "left-right swap or mirrored data",
    "unit_mismatch": "unit mismatch",
}
_OLD_KEYS = {"evidence_mm": "mean_error_mm", "line": "stored_message", "message": "stored_message"}
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
    other: str | None  # the second marker of a label swap, or of two of which one is displaced
    first_frame: int
    last_frame: int  # included
    mean_error_mm: float | None  # mean distance from the position predicted by the fit; None if found otherwise
    action: MarkerErrorAction
    too_little_data: bool = False  # it is not excluded, because too little data would remain
    stated_unit: str = ""  # of the file, in a unit mismatch
    body_unit: str = ""  # the unit in which the body has a plausible size
    stored_message: str = ""  # of a report that does not have the fields above

    @property
    def num_frames(self) -> int:
        """Number of frames from the first to the last one."""
        return self.last_frame - self.first_frame + 1

    @property
    def message(self) -> str:
        """One line of text: kind, markers, frames, mean error, action, and the reason or what to do."""
        if self.stored_message:
            return self.stored_message
        markers = " and ".join(label for label in (self.marker, self.other) if label is not None)
        what = f"{_PHRASES[self.kind]} {markers}".strip()
        distance = "" if self.mean_error_mm is None else f", mean error {self.mean_error_mm:.0f} mm"
        hint = ""
        if self.too_little_data:
            hint = " (too little data would remain without it)"
        elif self.kind == "one_of_two":
            hint = " (no other marker shows which)"
        elif self.kind == "unit_mismatch":
            hint = f" (the file states {self.stated_unit}, the size of the body requires {self.body_unit})"
        elif self.action == "excluded" and self.marker is None:
            hint = " (left and right are swapped; --repair corrects it)"
        elif self.action == "excluded" and self.other is not None:
            hint = " (--repair corrects it)"
        return f"{what}, frames {self.first_frame} to {self.last_frame}{distance}: {self.action}{hint}"

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for a JSON file; fields that do not apply are left out."""
        return {name: value for name, value in asdict(self).items() if value is not False and value != ""}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> MarkerError:
        """Return the marker error of a report file, which may be an old one; further keys are ignored.

        Raises:
            KeyError: a key is missing.
        """
        content = {_OLD_KEYS.get(key, key): value for key, value in content.items()}
        for key in ("kind", "action"):
            content[key] = _OLD_WORDS.get(content[key], content[key])
        if content["kind"] != "unit_mismatch" and content["action"] != "reported":
            content.pop("stored_message", None)  # the fields say the same
        return cls(**{name: content[name] for name in cls.__dataclass_fields__ if name in content})
