"""Infer the up axis of a recording, and rotate it to y.

``POINT:X_SCREEN`` and ``Y_SCREEN`` are wrong in many files, so the up axis is inferred from the body.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gait.capture.marker_heights import marker_bounds, stature_vector
from gait.marker_sets import MARKERS, marker_pairs
from gait.marker_sets.marker_set import HEIGHT_GROUPS

_MIN_UPRIGHT_FRACTION = 0.75  # of the stature that must lie along one axis for it to be the up axis
_MIN_EXTENT_RATIO = 1.15  # of the longest extent to the next for it to be the vertical
_MIN_STEPPING_M_S = 0.3  # standard deviation of a foot's speed above which the subject is stepping


@dataclass(frozen=True)
class UpAxis:
    """Direction away from the floor."""

    axis: int  # of the file: 0 x, 1 y, 2 z
    sign: int  # +1 or -1
    note: str  # one sentence on the basis of the inference
    uncertain: bool = False  # the heights of the markers did not decide

    @property
    def name(self) -> str:
        """Name of the axis with its sign, such as ``+z``."""
        return "+-"[self.sign < 0] + "xyz"[self.axis]


def infer_up_axis(
    labels: Sequence[str], positions_m: NDArray[np.float64], rate_hz: float, y_screen: str = ""
) -> UpAxis:
    """Return the up axis of ``positions_m`` (T, M, 3; metres, any axes, NaN where missing).

    It is inferred from the relative heights of markers with known names. Without such markers, the longest extent of
    the markers is the vertical, and its lower end is the one that moves like stepping feet. ``y_screen`` (the
    ``POINT:Y_SCREEN`` of the file) only breaks a tie.
    """
    stature = stature_vector(labels, positions_m)
    if stature is not None:
        axis = int(np.abs(stature).argmax())
        fraction = abs(stature[axis]) / np.linalg.norm(stature)
        if fraction >= _MIN_UPRIGHT_FRACTION:
            up = UpAxis(axis, int(np.sign(stature[axis])), "")
            note = f"Up is {up.name} of the file, inferred from the heights of the named markers."
            return replace(up, note=note)
    return _up_from_shape(positions_m, rate_hz, y_screen)


def rotation_to_y_up(up: UpAxis) -> NDArray[np.float64]:
    """Return the proper rotation R (3, 3; determinant +1) with ``p_y_up = R @ p_file``.

    It permutes the axes cyclically ((x, y, z) → (y, z, x) for z up, identity for y up). A downward axis is reversed
    first, by a half turn about another axis.
    """
    cycle = np.roll(np.eye(3), 1 - up.axis, axis=0)
    if up.sign > 0:
        return cycle
    half_turn = np.diag([-1.0 if k in (up.axis, (up.axis + 1) % 3) else 1.0 for k in range(3)])
    return cycle @ half_turn


def is_mirrored(labels: Sequence[str], positions_m: NDArray[np.float64]) -> bool:
    """Return True if left and right are swapped in ``positions_m`` (T, M, 3; y up), as in left-handed coordinates.

    Left must be up × forward. Forward is the mean direction from back to front markers of feet, pelvis, trunk and
    head. False if the needed markers are missing, and of markers of the head alone: they do not show which way is up,
    and upside down they look mirrored.
    """
    index = {label: m for m, label in enumerate(labels)}
    known = [MARKERS[label] for label in labels if label in MARKERS]

    def difference(pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64] | None:
        if not pairs:
            return None
        steps = np.stack([positions_m[:, index[a]] - positions_m[:, index[b]] for a, b in pairs])
        return np.where(np.isfinite(steps), steps, 0.0).sum(axis=0)

    forward_pairs = [
        (front.name, back.name)
        for front in known
        for back in known
        if (front.facing, back.facing) == ("front", "back")
        and front.group == back.group
        and (front.side == back.side or not (front.side and back.side))
    ]
    left_pairs = marker_pairs(labels, HEIGHT_GROUPS)
    forward, left = difference(forward_pairs), difference(left_pairs)
    used = {MARKERS[name].group for pair in (*forward_pairs, *left_pairs) for name in pair}
    if forward is None or left is None or used == {"head"}:
        return False
    up_dot = np.cross(forward, left)[:, 1]  # y · (forward × left) > 0 in a right-handed frame
    return bool(np.median(np.sign(up_dot)) < 0)


def _up_from_shape(positions_m: NDArray[np.float64], rate_hz: float, y_screen: str) -> UpAxis:
    lowest, highest = marker_bounds(positions_m)
    extent = np.median(highest - lowest, axis=0)
    axis, reason = int(extent.argmax()), "because the markers extend farthest along it"
    tied = np.flatnonzero(extent >= extent.max() / _MIN_EXTENT_RATIO)
    if len(tied) > 1:
        screen = "XYZ".find(y_screen.strip(" +-").upper()[:1] or "?")
        reason = "which is uncertain: the markers extend as far along another axis"
        if screen in tied:
            axis, reason = screen, "by POINT:Y_SCREEN, because the markers extend as far along another axis"
    sign = _sign_from_stepping(positions_m, rate_hz, axis)
    if sign == 0:
        # Standing still: the origin of the laboratory lies on the floor.
        sign = 1 if abs(np.median(lowest[:, axis])) <= abs(np.median(highest[:, axis])) else -1
    up = UpAxis(axis, sign, "", uncertain=True)
    return replace(up, note=f"No marker has a known height; up is taken as {up.name} of the file, {reason}.")


def _sign_from_stepping(positions_m: NDArray[np.float64], rate_hz: float, axis: int) -> int:
    """Return +1 or -1, away from the end whose markers stop and go like feet; 0 if nothing moves like stepping."""
    if len(positions_m) < 3:
        return 0
    speed = np.linalg.norm(np.diff(positions_m, axis=0), axis=2) * rate_hz  # (T-1, M) m/s
    enough = np.isfinite(speed).sum(axis=0) >= max(3, 0.2 * len(speed))
    if enough.sum() < 4:
        return 0
    speed_sd = np.nanstd(speed[:, enough], axis=0)
    height = np.nanmedian(positions_m[:, enough, axis], axis=0)
    if speed_sd.max() < _MIN_STEPPING_M_S or np.ptp(height) == 0.0:
        return 0
    slope = float(np.polyfit(height - height.mean(), speed_sd, 1)[0])
    return -int(np.sign(slope))
