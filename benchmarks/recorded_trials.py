"""The real recordings beside the checkout, person by person, and what their laboratories computed from them.

They are not part of the project (``../shared/captures``); where they are missing, a benchmark says so and leaves out
what needs them.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gait.capture import Recording, read_recording

REPOSITORY = Path(__file__).resolve().parents[1]
CAPTURES = REPOSITORY.parent / "shared" / "captures"
MODEL = REPOSITORY / "data" / "SUPR" / "open_neutral.npz"
ADULT_WALK = "formats/pig35_adult_walk.c3d"
"""Plug-in Gait's 35 markers on an adult: what speed is measured on."""

SIDES = ("left", "right")
CENTRES = ("hip", "knee", "ankle")
CENTRE_NAMES = (("FEP", "FEO", "TIO"), ("HJC", "KJC", "AJC"))
"""Hip, knee and ankle among the model outputs, by preference: Vicon's own first. The second set is written by others
after Vicon, and not always well: in HC036A ``RAJC`` lies 56 mm from ``RTIO``, on the wrong side of the ankle."""


@dataclass(frozen=True)
class RecordedPerson:
    """All recordings of one person, the static trial too."""

    name: str
    paths: tuple[Path, ...]

    def recordings(self) -> tuple[Recording, ...]:
        """Read all of them."""
        return tuple(read_recording(path) for path in self.paths)


def there_or_told(captures: Path, left_out: str) -> bool:
    """Whether the recordings are there; if not, a line on stderr says what is left out."""
    if (captures / ADULT_WALK).is_file():
        return True
    print(f"{captures}: no real recordings there; {left_out}.", file=sys.stderr)
    return False


def recorded_persons(captures: Path) -> tuple[RecordedPerson, ...]:
    """Everybody who walks in ``healthy`` and ``cerebral_palsy`` (a folder a person), and the adult of ``formats``."""
    folders = sorted(path for group in ("healthy", "cerebral_palsy") for path in (captures / group).glob("*/"))
    persons = [
        RecordedPerson(folder.name, tuple(sorted(path for path in folder.iterdir() if path.suffix.lower() == ".c3d")))
        for folder in folders
    ]
    return (*persons, RecordedPerson("pig35_adult", (captures / ADULT_WALK,)))


def is_walk(path: Path) -> bool:
    """Static trials help a fit and are not judged."""
    return not path.stem.startswith("static")


def repeated(recording: Recording, frames: int) -> Recording:
    """A recording of so many frames, there and back again, so that no frame jumps."""
    T = recording.frames
    there_and_back = np.concatenate([np.arange(T), np.arange(T - 2, 0, -1)]) if T > 2 else np.arange(T)
    rows = np.resize(there_and_back, frames)
    return replace(
        recording,
        positions_m=recording.positions_m[rows],
        visible=recording.visible[rows],
        events=(),
        model_outputs={},
    )


def laboratory_centres(recording: Recording, side: str) -> NDArray[np.float64] | None:
    """Hip, knee and ankle (3, T, 3) as the laboratory's own model has them, metres; None where it has not all three."""
    for names in CENTRE_NAMES:
        places = [recording.model_outputs.get(side[0].upper() + name) for name in names]
        found = [place for place in places if place is not None]
        if len(found) == len(names):
            return np.stack(found)
    return None
