"""Injection of marker errors into a recording, drawn from a seed, so that quality control can be tested."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from gait.arrays import Vector
from gait.capture.marker_names import contralateral_marker
from gait.capture.read_recording import read_recording
from gait.capture.recording import Recording
from gait.constants import GRAVITY_M_S2
from gait.exporting.joints_trc import write_trc

MIN_DETECTABLE_M = 0.020
"""An injected error counts in the frames in which it displaces its marker by more than this. A linear fill counts in
all of its frames, if it displaces its marker by more than this in some."""


@dataclass(frozen=True)
class InjectedError:
    """The marker error that was injected into a recording."""

    kind: str  # a key of INJECTORS or FILE_INJECTORS
    markers: tuple[str, ...]  # empty: all
    first_frame: int  # in the recording's own numbering; the first frame in which it counts, see MIN_DETECTABLE_M
    last_frame: int  # the last such frame


def inject_error(
    recording: Recording, kind: str, labels: Sequence[str], random: np.random.Generator
) -> tuple[Recording, InjectedError]:
    """Inject one marker error; return the changed recording and the injected error.

    Args:
        recording: data without errors, metres, y up.
        kind: a key of ``INJECTORS`` or ``FILE_INJECTORS``.
        labels: markers to choose from; only those visible in more than 90 % of the frames are used.
        random: draws marker, frames and size.
    """
    first, last = recording.first_frame, recording.first_frame + recording.num_frames - 1
    if kind in FILE_INJECTORS:
        with TemporaryDirectory() as folder:
            path = Path(folder) / recording.path.with_suffix(".trc").name
            FILE_INJECTORS[kind](recording, path, random)
            return read_recording(path), InjectedError(kind, (), first, last)
    mostly_visible = recording.visible.mean(axis=0) > 0.9
    columns = [m for m, label in enumerate(recording.labels) if label in labels and mostly_visible[m]]
    while True:
        bad = recording.positions_m.copy()
        chosen = INJECTORS[kind](recording, bad, columns, random)
        distance = np.linalg.norm(bad - recording.positions_m, axis=-1)  # NaN where not visible
        displaced = distance > MIN_DETECTABLE_M
        if kind in FILLS:
            chosen = [m for m in chosen if displaced[:, m].sum() >= 3]
            displaced = distance > 0
        frames = np.flatnonzero(displaced[:, chosen].any(axis=1))
        if len(frames) >= 3:
            break
    names = () if kind in ALL_MARKERS else tuple(recording.labels[m] for m in chosen)
    if kind not in WHOLE_TRIAL:
        first, last = first + int(frames[0]), first + int(frames[-1])
    visible = np.asarray(np.isfinite(bad).all(axis=-1))
    return replace(recording, positions_m=bad, visible=visible), InjectedError(kind, names, first, last)


def _jump(recording: Recording, bad: Vector, columns: list[int], random: np.random.Generator) -> list[int]:
    """Displace a marker abruptly by 40 to 300 mm relative to its neighbours, for an interval or to the end."""
    m = int(random.choice(columns))
    first, last = _draw_interval(recording, random, 0.2, 0.6)
    if random.random() < 0.5:
        last = recording.num_frames
    shift = random.uniform(0.04, 0.30) * _direction(random)
    bad[first:last, m] += (_neighbour_rotations(recording, m) @ shift)[first:last]
    return [m]


def _freeze(recording: Recording, bad: Vector, columns: list[int], random: np.random.Generator) -> list[int]:
    """Keep a marker at one position for 0.3 to 1.5 seconds."""
    m = int(random.choice(columns))
    length = round(random.uniform(0.3, 1.5) * recording.rate_hz)
    first = int(random.integers(5, max(6, recording.num_frames - length)))
    bad[first : first + length, m] = bad[first, m]
    return [m]


def _fill_linearly(recording: Recording, bad: Vector, columns: list[int], random: np.random.Generator) -> list[int]:
    """Replace 0.15 to 0.6 seconds of a marker, or of all markers of one leg, by straight lines."""
    m = int(random.choice(columns))
    chosen = [m]
    if random.random() < 0.5:
        side = str(random.choice(["L", "R"]))
        chosen = [c for c in columns if recording.labels[c] in {side + landmark for landmark in LEG_LANDMARKS}] or [m]
    length = round(random.uniform(0.15, 0.6) * recording.rate_hz)
    first = int(random.integers(5, recording.num_frames - length - 5))
    ends = [first - 1, first + length]
    for c in chosen:
        if np.isfinite(bad[ends, c]).all():
            bad[ends[0] : ends[1] + 1, c] = np.linspace(bad[ends[0], c], bad[ends[1], c], length + 2)
    return chosen


def _drift(recording: Recording, bad: Vector, columns: list[int], random: np.random.Generator) -> list[int]:
    """Displace a marker gradually, within 0.5 to 2 seconds, by 60 to 250 mm, to the end."""
    m = int(random.choice(columns))
    T = recording.num_frames
    first = int(random.integers(T // 10, 6 * T // 10))
    duration = random.uniform(0.5, 2.0) * recording.rate_hz
    progress = np.clip((np.arange(T) - first) / duration, 0, 1)
    progress = progress**2 * (3 - 2 * progress)
    shift = random.uniform(0.06, 0.25) * _direction(random)
    bad[:, m] += progress[:, None] * (_neighbour_rotations(recording, m) @ shift)
    return [m]


def _detach(recording: Recording, bad: Vector, columns: list[int], random: np.random.Generator) -> list[int]:
    """Let a marker fall freely, from 0.3 m or higher if possible, keeping its horizontal velocity."""
    T, dt = recording.num_frames, 1 / recording.rate_hz
    floor = float(np.nanquantile(recording.positions_m[..., 1], 0.002)) - 0.01
    first = int(random.integers(T // 10, 7 * T // 10))
    y = recording.positions_m[first, columns, 1]
    high = [m for m, height in zip(columns, y, strict=True) if height - floor > 0.3]
    m = int(random.choice(high or columns))
    start = recording.positions_m[first, m]
    speed = (start - recording.positions_m[first - 2, m]) / (2 * dt)
    time = dt * np.arange(T - first)
    landed = time[min(int(np.argmax(start[1] - floor - 0.5 * GRAVITY_M_S2 * time**2 < 0)), len(time) - 1)] or time[-1]
    time = np.minimum(time, landed)
    bad[first:, m] = start + time[:, None] * speed * [1, 0, 1]
    bad[first:, m, 1] = np.maximum(start[1] - 0.5 * GRAVITY_M_S2 * time**2, floor)
    return [m]


def _ghost(recording: Recording, bad: Vector, columns: list[int], random: np.random.Generator) -> list[int]:
    """Replace a marker by spurious points in 3 to 12 frames, 50 to 500 mm away, in a random direction per frame."""
    m = int(random.choice(columns))
    length = int(random.integers(3, 13))
    first = int(random.integers(5, recording.num_frames - length - 5))
    for t in range(first, first + length):
        bad[t, m] += random.uniform(0.05, 0.5) * _direction(random)
    return [m]


def _swap_labels(recording: Recording, bad: Vector, columns: list[int], random: np.random.Generator) -> list[int]:
    """Swap the labels of a marker and one of its four neighbours or its contralateral marker, for an interval."""
    m = int(random.choice(columns))
    median_offset = np.nanmedian(recording.positions_m - recording.positions_m[:, m, None], axis=0)
    near = sorted((c for c in columns if c != m), key=lambda c: float(np.linalg.norm(median_offset[c])))[:4]
    contralateral = [c for c in columns if recording.labels[c] == contralateral_marker(recording.labels[m])]
    other = int(random.choice(near + 2 * contralateral))
    first, last = _draw_interval(recording, random, 0.08, 0.6)
    bad[first:last, [m, other]] = bad[first:last, [other, m]]
    return [m, other]


def _swap_pair(recording: Recording, bad: Vector, columns: list[int], random: np.random.Generator) -> list[int]:
    """Swap the labels of a left marker and its contralateral marker in all frames."""
    pairs = _pairs(recording, columns)
    pair = list(pairs[int(random.integers(len(pairs)))])
    bad[:, pair] = bad[:, pair[::-1]]
    return pair


def _swap_sides(recording: Recording, bad: Vector, columns: list[int], random: np.random.Generator) -> list[int]:
    """Swap the labels of all left and right markers in all frames."""
    pairs = _pairs(recording, list(range(len(recording.labels))))
    for a, b in pairs:
        bad[:, [a, b]] = bad[:, [b, a]]
    return [m for pair in pairs for m in pair]


def _reverse_axis(recording: Recording, path: Path, random: np.random.Generator) -> None:
    """Write a file in millimetres, z up, with one axis reversed."""
    signs = np.ones(3)
    signs[int(random.integers(3))] = -1
    write_z_up(path, recording, signs * 1000, "mm")


def _mismatch_unit(recording: Recording, path: Path, random: np.random.Generator) -> None:
    """Write a file that states another unit than its values have."""
    per_metre = {"mm": 1000.0, "cm": 100.0, "m": 1.0, "in": 1 / 0.0254}
    stated, actual = random.choice(["mm", "cm", "m"]), random.choice(list(per_metre))
    while actual == stated:
        actual = random.choice(list(per_metre))
    write_z_up(path, recording, per_metre[str(actual)], str(stated))


def write_z_up(path: Path, recording: Recording, per_metre: float | Vector, unit: str) -> None:
    """Write a recording as TRC, z up; its values per metre (one or three) need not match the unit that it states."""
    points = recording.positions_m[..., [2, 0, 1]] * per_metre
    write_trc(path, recording.labels, points, recording.rate_hz, unit=unit, first_frame=recording.first_frame)


INJECTORS: dict[str, Callable[[Recording, Vector, list[int], np.random.Generator], list[int]]] = {
    "jump": _jump,
    "frozen": _freeze,
    "linear_fill": _fill_linearly,
    "drift": _drift,
    "detached": _detach,
    "ghost": _ghost,
    "label_swap": _swap_labels,
    "pair_swap": _swap_pair,
    "left_right_swap": _swap_sides,
}
"""Functions by kind of error; each changes a copy ``bad`` (T, M, 3) of the positions and returns the columns."""
FILE_INJECTORS: dict[str, Callable[[Recording, Path, np.random.Generator], None]] = {
    "mirrored": _reverse_axis,
    "unit_mismatch": _mismatch_unit,
}
"""Functions by kind of error that arises on reading a file; each writes such a file, which is then read."""
WHOLE_TRIAL = ("pair_swap", "left_right_swap")
"""Kinds that affect all frames."""
ALL_MARKERS = ("left_right_swap",)
"""Kinds that affect all markers."""
FILLS = ("linear_fill",)
"""Kinds of gap filling, which count in all filled frames."""
LEG_LANDMARKS = ("THI", "KNE", "TIB", "ANK", "HEE", "TOE")
"""Plug-in Gait markers of one leg, without the side."""


def _draw_interval(
    recording: Recording, random: np.random.Generator, min_fraction: float, max_fraction: float
) -> tuple[int, int]:
    """Draw an interval of a recording: its first frame and the one after its last."""
    T = recording.num_frames
    length = round(random.uniform(min_fraction, max_fraction) * T)
    first = int(random.integers(5, T - length))
    return first, first + length


def _direction(random: np.random.Generator) -> Vector:
    v = random.standard_normal(3)
    return v / np.linalg.norm(v)


def _pairs(recording: Recording, columns: list[int]) -> list[tuple[int, int]]:
    """Return the columns of all pairs of a left marker and its contralateral marker."""
    column = {recording.labels[m]: m for m in columns}
    return [
        (m, column[other])
        for label, m in column.items()
        if label < (other := contralateral_marker(label) or "") in column
    ]


def _neighbour_rotations(recording: Recording, marker: int) -> Vector:
    """Return the rotation (T, 3, 3) of the nearest markers since the first frame (Kabsch 1976)."""
    x = np.where(recording.visible[..., None], recording.positions_m, np.nan)
    distance = np.nanmedian(np.linalg.norm(x - x[:, marker, None], axis=-1), axis=0)
    distance[recording.visible.mean(axis=0) < 0.9] = np.inf
    near = x[:, np.argsort(distance)[:5]]  # includes the marker itself
    rotations = np.tile(np.eye(3), (recording.num_frames, 1, 1))
    start = next((t for t in range(len(near)) if np.isfinite(near[t]).all()), 0)
    a = near[start] - near[start].mean(axis=0)
    for t in range(recording.num_frames):
        if np.isfinite(near[t]).all():
            U, _, Vh = np.linalg.svd((near[t] - near[t].mean(axis=0)).T @ a)
            rotations[t] = U @ np.diag([1, 1, np.linalg.det(U @ Vh)]) @ Vh
        elif t:
            rotations[t] = rotations[t - 1]
    return rotations
