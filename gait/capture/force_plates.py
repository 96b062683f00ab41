"""Force plates of a recording: vertical force and centre of pressure from the analog channels of a C3D file.

``FORCE_PLATFORM`` describes each plate (C3D User Guide, https://www.c3d.org/docs/C3D_User_Guide.pdf): its ``TYPE``, its
``CHANNEL`` numbers, its ``CORNERS`` in the file's axes, and its ``ORIGIN``. The axes of a plate are x from corner 2 to
corner 1, y from corner 3 to corner 2, and z into the floor. Types 1 to 4 are read:

| type | channels |
|---|---|
| 1 | Fx, Fy, Fz, x and y of the centre of pressure, Tz |
| 2 | Fx, Fy, Fz, Mx, My, Mz about an origin below the surface |
| 3 | Fx12, Fx34, Fy14, Fy23, Fz1, Fz2, Fz3, Fz4 of four sensors; ``ORIGIN`` has their distances from the centre |
| 4 | as type 2, after multiplication by the 6 × 6 ``CAL_MATRIX`` |

Laboratories store the force on the plate or the one on the body; whoever stands on a plate loads it, so the sign
follows from the data. The centre of pressure does not depend on it.
"""

from __future__ import annotations

import math

import numpy as np

from gait.arrays import Vector
from gait.capture.c3d_file import C3dFile, Parameter
from gait.capture.raw_recording import RawForcePlate
from gait.capture.recording import ForcePlate

CHANNELS = {1: 6, 2: 6, 3: 8, 4: 6}
"""Number of channels by type of plate."""
UNLOADED_N = 50.0
"""A smaller force is an unloaded plate, whose median is its zero level."""
_MIN_UNLOADED_FRACTION = 0.05
_MIN_COP_N = 20.0  # a smaller force has no meaningful centre of pressure
_MAX_OUTSIDE_M = 0.05  # of a centre of pressure beside the plate
_MIN_INSIDE_FRACTION = 0.8  # of the centres of pressure, in the right unit of moments
_MOMENT_UNITS_M = {"nmm": 1e-3, "n.mm": 1e-3, "n*mm": 1e-3, "nm": 1.0, "n.m": 1.0, "n*m": 1.0, "n-m": 1.0}
_MAX_PLATES = 32


def read_force_plates(file: C3dFile) -> tuple[tuple[RawForcePlate, ...], tuple[str, ...]]:
    """Return the force plates of a file, and one note for each that cannot be read."""
    group = file.parameters.get("FORCE_PLATFORM", {})
    used = group["USED"].first if "USED" in group else 0.0
    if not 1 <= used <= _MAX_PLATES:
        return (), ()
    if not file.num_channels:
        return (), (f"Its {int(used)} force plates cannot be read: its analog channels are missing or damaged.",)
    units = file.parameters.get("ANALOG", {}).get("UNITS")
    texts = units.value if units is not None and isinstance(units.value, list) else []
    plates, notes = [], []
    for k in range(int(used)):
        plate = _read_plate(file, group, texts, k)
        if isinstance(plate, str):
            notes.append(f"Force plate {k + 1} is not read: {plate}.")
        else:
            plates.append(plate)
    return tuple(plates), tuple(notes)


def to_force_plate(raw: RawForcePlate, metres: float, rotation: Vector) -> ForcePlate:
    """Convert a plate: ``metres`` per unit of the file, ``rotation`` (3, 3) from the file's axes to y up."""
    with np.errstate(all="ignore"):  # a damaged file may hold any number
        return _to_force_plate(raw, metres, rotation)


def _to_force_plate(raw: RawForcePlate, metres: float, rotation: Vector) -> ForcePlate:
    corners_m, origin_m = raw.corners * metres, raw.origin * metres
    force = _without_offset(raw.force_n, raw.force_n[:, 2])
    moment = _without_offset(raw.moment, raw.force_n[:, 2])
    loaded = np.abs(force[:, 2]) > UNLOADED_N
    stated = _MOMENT_UNITS_M.get(raw.moment_unit.lower().replace(" ", ""), metres)
    candidates = [_centre_of_pressure(force, moment * unit, origin_m) for unit in (stated, metres, 1.0, 1e-3)]
    half = np.linalg.norm([corners_m[0] - corners_m[1], corners_m[1] - corners_m[2]], axis=1) / 2 + _MAX_OUTSIDE_M
    inside = [float((np.abs(cop[loaded]) < half).all(axis=1).mean()) if loaded.any() else 1.0 for cop in candidates]
    best = 0 if inside[0] >= _MIN_INSIDE_FRACTION else int(np.argmax(inside))
    cop = candidates[best]
    x, y = _unit(corners_m[0] - corners_m[1]), _unit(corners_m[1] - corners_m[2])
    cop_m = (corners_m.mean(axis=0) + cop[:, :1] * x + cop[:, 1:] * y) @ rotation.T
    sign = math.copysign(1.0, float(force[loaded, 2].sum()))
    vertical = sign * force[:, 2]
    cop_m[vertical < _MIN_COP_N] = np.nan
    return ForcePlate(raw.number, corners_m @ rotation.T, vertical, cop_m, raw.rate_hz)


def _read_plate(file: C3dFile, group: dict[str, Parameter], units: list[str], k: int) -> RawForcePlate | str:
    """Return plate k, from 0, or why it cannot be read."""
    kinds, numbers = _numbers(group, "TYPE"), _numbers(group, "CHANNEL")
    kind = int(kinds[k]) if len(kinds) > k and kinds[k] in CHANNELS else 0
    if not kind:
        stated = f"{kinds[k]:g}" if len(kinds) > k else "missing"
        return f"its type is {stated}; types {', '.join(map(str, CHANNELS))} are known"
    count = CHANNELS[kind]
    stored = group["CHANNEL"].value if "CHANNEL" in group else []
    rows = stored.shape[0] if not isinstance(stored, list) and stored.ndim > 1 else count
    channels = numbers[k * rows : k * rows + count]
    if len(channels) < count or not ((channels >= 1) & (channels <= file.num_channels)).all():
        return "its channel numbers are missing or too large"
    columns = (channels.astype(np.int64) - 1).tolist()
    corners, origins = _numbers(group, "CORNERS")[12 * k : 12 * k + 12], _numbers(group, "ORIGIN")[3 * k : 3 * k + 3]
    if len(corners) < 12 or not np.isfinite(corners).all():
        return "its corners are missing"
    corners = corners.reshape(4, 3)
    if min(np.linalg.norm(corners[0] - corners[1]), np.linalg.norm(corners[1] - corners[2])) < 1e-6:
        return "its corners are one point"
    origin = origins if len(origins) == 3 and np.isfinite(origins).all() else np.zeros(3)
    values = file.analog(columns)
    if values is None or not np.isfinite(values).all():
        return "its channels have no factors, or hold values that are not finite"
    values = values - _zero_level(file, group, values, kind)
    if kind == 4:
        matrices = _numbers(group, "CAL_MATRIX")[36 * k : 36 * k + 36]
        if len(matrices) < 36 or not np.isfinite(matrices).all():
            return "its calibration matrix is missing"
        values = values @ matrices.reshape(6, 6)  # stored column by column
    force, moment, origin = _force_and_moment(kind, values, origin)
    unit = units[columns[3]] if kind in (2, 4) and len(units) > columns[3] else ""
    rate_hz = file.rate_hz * len(values) / file.frames
    return RawForcePlate(k + 1, corners, origin, force, moment, unit, rate_hz)


def _force_and_moment(kind: int, values: Vector, origin: Vector) -> tuple[Vector, Vector, Vector]:
    """Return force (S, 3), moment (S, 3), and the vector (3,) from the moments' point to the centre of the surface."""
    if kind == 1:  # the centre of pressure is measured on the surface
        force = values[:, :3]
        x, y = (values[:, 3 + k] + origin[k] for k in (0, 1))
        moment = np.stack([y * force[:, 2], -x * force[:, 2], values[:, 5]], axis=1)
        return force, moment, np.zeros(3)
    if kind == 3:
        a, b, below = origin
        fx12, fx34, fy14, fy23, fz1, fz2, fz3, fz4 = values.T
        force = np.stack([fx12 + fx34, fy14 + fy23, fz1 + fz2 + fz3 + fz4], axis=1)
        moment = np.stack(
            [b * (fz1 + fz2 - fz3 - fz4), a * (-fz1 + fz2 + fz3 - fz4), b * (fx34 - fx12) + a * (fy14 - fy23)], axis=1
        )
        return force, moment, np.array([0.0, 0.0, -abs(below)])
    # z points into the floor and the sensors are below the surface; some laboratories store the opposite vector.
    return values[:, :3], values[:, 3:6], -origin if origin[2] > 0 else origin


def _centre_of_pressure(force: Vector, moment_nm: Vector, origin_m: Vector) -> Vector:
    """Return the centre of pressure (S, 2) on the surface, metres from its centre in the plate's axes."""
    about_surface = moment_nm - np.cross(origin_m, force)
    fz = np.where(np.abs(force[:, 2]) < 1e-9, np.nan, force[:, 2])
    return np.stack([-about_surface[:, 1] / fz, about_surface[:, 0] / fz], axis=1)


def _zero_level(file: C3dFile, group: dict[str, Parameter], values: Vector, kind: int) -> Vector:
    """Return the mean of each channel over the frames that ``ZERO`` names, (C,); zero if it names none."""
    limits = _numbers(group, "ZERO")
    level = np.zeros(values.shape[1])
    if len(limits) != 2 or not 1 <= limits[0] <= limits[1] <= file.frames:
        return level
    per_frame = len(values) // file.frames
    rows = values[(int(limits[0]) - 1) * per_frame : int(limits[1]) * per_frame]
    vertical = slice(4, 8) if kind == 3 else slice(2, 3)
    if kind != 4 and abs(rows[:, vertical].sum(axis=1).mean()) > UNLOADED_N:
        return level  # the plate is loaded in these frames
    level = rows.mean(axis=0)
    if kind == 1:
        level[3:5] = 0.0  # positions, not forces
    return level


def _without_offset(values: Vector, vertical_n: Vector) -> Vector:
    """Return values (S, 3) minus their median over the samples of the unloaded plate, if there are enough."""
    unloaded = np.abs(vertical_n) < UNLOADED_N
    return values - np.median(values[unloaded], axis=0) if unloaded.mean() >= _MIN_UNLOADED_FRACTION else values


def _numbers(group: dict[str, Parameter], name: str) -> Vector:
    """Return the numbers of a parameter in the order of the file; none if it is missing or a text."""
    value = group[name].value if name in group else []
    return np.empty(0) if isinstance(value, list) else value.ravel(order="F").astype(np.float64)


def _unit(vector: Vector) -> Vector:
    return np.asarray(vector / np.linalg.norm(vector))
