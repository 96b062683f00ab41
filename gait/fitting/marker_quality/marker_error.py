"""What can be wrong with a marker, and how it is told."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

FaultKind = Literal[
    "exchanged",  # two markers bear each other's names
    "jumped",  # displaced all at once, for a while or for good
    "stuck",  # stays where it is in space while the body moves on
    "slid",  # leaves its place little by little
    "fell",  # drops to the floor and lies there
    "ghost",  # another point bears its name for some frames, here and there
    "all sides exchanged",  # every left marker bears its right partner's name
    "mirrored",  # an axis of the file is reversed
    "all sides exchanged or mirrored",  # the two look alike without a marker that has no partner
    "wrong unit",  # the file states another unit than its numbers have
]
FaultAction = Literal["left out", "corrected", "reported"]


@dataclass(frozen=True)
class MarkerError:
    """One piece of bad data. Frames are numbered as the laboratory counts them, the first and last one included."""

    kind: FaultKind
    marker: str | None  # None: the whole recording
    other: str | None  # what it was exchanged with
    first_frame: int
    last_frame: int
    evidence_mm: float | None  # mean distance from where the body has the marker; None where another thing tells
    action: FaultAction
    hint: str = ""  # what a person can do, or what told

    @property
    def frames(self) -> int:
        """How many frames it lasts."""
        return self.last_frame - self.first_frame + 1

    @property
    def line(self) -> str:
        """One plain line for a person."""
        who = "" if self.marker is None else self.marker
        if self.other is not None:
            who += f" and {self.other}"
        what = " ".join(word for word in (who, self.kind) if word)
        how_far = "" if self.evidence_mm is None else f", {self.evidence_mm:.0f} mm off"
        hint = f" ({self.hint})" if self.hint else ""
        return f"{what}, frames {self.first_frame} to {self.last_frame}{how_far}: {self.action}{hint}"

    def as_dict(self) -> dict[str, Any]:
        """As plain data, for a JSON file."""
        return {**asdict(self), "line": self.line}
