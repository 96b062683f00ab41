"""Which way is up in a recording, and the rotation that makes it y.

``POINT:X_SCREEN`` and ``Y_SCREEN`` are wrong in many files, so that up is inferred from the body.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.capture.marker_heights import seen_samples, stature_vector

_UPRIGHT = 0.75  # least share of the stature along one axis for the body to tell up alone
_CLEARLY_TALLER = 1.15  # how much the longest extent must exceed the next to be the vertical
_WALKING_M_S = 0.3  # spread of a foot's speed above which somebody steps


@dataclass(frozen=True)
class UpAxis:
    """The direction away from the floor."""

    axis: int  # 0 x, 1 y, 2 z of the file
    sign: int  # +1 or -1
    note: str  # a sentence: how it was found

    @property
    def name(self) -> str:
        """As people write it: ``+z``."""
        return "+-"[self.sign < 0] + "xyz"[self.axis]


def find_up(labels: Sequence[str], positions_m: NDArray[np.float64], rate_hz: float, y_screen: str = "") -> UpAxis:
    """The up axis of ``positions_m`` (T, M, 3; metres, any axes, NaN where missing).

    The heights at which named markers sit decide; for markers without known names, that a person is taller
    than wide and steps with the lower end. ``y_screen`` (the file's ``POINT:Y_SCREEN``) only breaks a tie.
    """
    stature = stature_vector(labels, positions_m)
    if stature is not None:
        axis = int(np.abs(stature).argmax())
        share = abs(stature[axis]) / np.linalg.norm(stature)
        if share >= _UPRIGHT:
            up = UpAxis(axis, int(np.sign(stature[axis])), "")
            return UpAxis(axis, up.sign, f"Up is {up.name} of the file, by the heights of the named markers.")
    return _up_from_shape(positions_m, rate_hz, y_screen)


def rotation_to_y_up(up: UpAxis) -> NDArray[np.float64]:
    """Proper rotation R (3, 3), determinant +1, with ``p_y_up = R @ p_file``.

    For z up it is the cycle (x, y, z) → (y, z, x), for y up nothing; a downward axis is first turned over.
    """
    cycle = np.roll(np.eye(3), 1 - up.axis, axis=0)
    if up.sign > 0:
        return cycle
    turned = np.diag([-1.0 if k in (up.axis, (up.axis + 1) % 3) else 1.0 for k in range(3)])
    return cycle @ turned


def is_mirrored(labels: Sequence[str], positions_m: NDArray[np.float64]) -> bool:
    """Whether left and right are exchanged in ``positions_m`` (T, M, 3; y up), as in a left-handed recording.

    Left must be up × forward; forward is where toes and the fronts of pelvis, trunk and head point. False
    where the markers do not tell.
    """
    index = {label: m for m, label in enumerate(labels)}

    def difference(pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64] | None:
        present = [(index[a], index[b]) for a, b in pairs if a in index and b in index]
        if not present:
            return None
        steps = np.stack([positions_m[:, a] - positions_m[:, b] for a, b in present])
        return np.where(np.isfinite(steps), steps, 0.0).sum(axis=0)

    forward = difference(
        [(side + front, side + back) for side in "LR" for front, back in _FRONT_BACK]
        + [("CLAV", "C7"), ("STRN", "T10"), ("LASI", "SACR"), ("RASI", "SACR")]
    )
    left = difference([("L" + stem, "R" + stem) for stem in ("ASI", "PSI", "SHO", "KNE", "ANK", "FHD", "BHD")])
    if forward is None or left is None:
        return False
    up_dot = np.cross(forward, left)[:, 1]  # y · (forward × left) > 0 in a right-handed frame
    return bool(np.median(np.sign(up_dot)) < 0)


_FRONT_BACK = (("TOE", "HEE"), ("ASI", "PSI"), ("FHD", "BHD"))


def _up_from_shape(positions_m: NDArray[np.float64], rate_hz: float, y_screen: str) -> UpAxis:
    seen = seen_samples(positions_m)
    count = seen.sum(axis=1)
    rich = positions_m[count >= max(1.0, 0.7 * count.max())]
    present = np.isfinite(rich)
    highest = np.where(present, rich, -np.inf).max(axis=1)  # (T', 3)
    lowest = np.where(present, rich, np.inf).min(axis=1)
    extent = np.median(highest - lowest, axis=0)
    axis, how = int(extent.argmax()), "because the markers stand taller than wide"
    tied = np.flatnonzero(extent >= extent.max() / _CLEARLY_TALLER)
    if len(tied) > 1:
        screen = "XYZ".find(y_screen.strip(" +-").upper()[:1] or "?")
        how = "which is a guess: the markers are as wide as tall"
        if screen in tied:
            axis, how = screen, "by POINT:Y_SCREEN, because the markers are as wide as tall"
    sign = _sign_from_stepping(positions_m, rate_hz, axis)
    if sign == 0:
        # Standing still: the laboratory's origin lies on its floor.
        sign = 1 if abs(np.median(lowest[:, axis])) <= abs(np.median(highest[:, axis])) else -1
    up = UpAxis(axis, sign, "")
    return UpAxis(axis, sign, f"No named markers tell heights; up is taken as {up.name} of the file, {how}.")


def _sign_from_stepping(positions_m: NDArray[np.float64], rate_hz: float, axis: int) -> int:
    """+1 or -1: away from the end whose markers stop and go, as feet do; 0 where nobody steps."""
    if len(positions_m) < 3:
        return 0
    speed = np.linalg.norm(np.diff(positions_m, axis=0), axis=2) * rate_hz  # (T-1, M) m/s
    enough = np.isfinite(speed).sum(axis=0) >= max(3, 0.2 * len(speed))
    if enough.sum() < 4:
        return 0
    unsteadiness = np.nanstd(speed[:, enough], axis=0)
    height = np.nanmedian(positions_m[:, enough, axis], axis=0)
    if unsteadiness.max() < _WALKING_M_S or np.ptp(height) == 0.0:
        return 0
    slope = float(np.polyfit(height - height.mean(), unsteadiness, 1)[0])
    return -int(np.sign(slope))
