"""Bad data of every kind, planted into a good recording from a seed: what laboratories send, with the truth known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from gait.capture.marker_names import other_side
from gait.capture.read_recording import read_recording
from gait.capture.recording import Recording

Vector = NDArray[np.float64]

TOLD_M = 0.020
"""A planted fault counts from where its marker is farther than this from where it was."""
GRAVITY_M_S2 = 9.81


@dataclass(frozen=True)
class Planted:
    """What was done to a recording."""

    kind: str  # a name of PLANTS
    markers: tuple[str, ...]  # empty: all
    first_frame: int  # as the laboratory counts; of the samples that are off by more than TOLD_M
    last_frame: int


def plant(
    recording: Recording, kind: str, labels: Sequence[str], random: np.random.Generator
) -> tuple[Recording, Planted]:
    """Plant one fault.

    Args:
        recording: good data, metres, y up.
        kind: a name of ``PLANTS`` or ``PLANTS_IN_FILES``.
        labels: markers that may be chosen; of them those seen in nine frames of ten.
        random: draws marker, frames and size.
    """
    first, last = recording.first_frame, recording.first_frame + recording.frames - 1
    if kind in PLANTS_IN_FILES:
        with TemporaryDirectory() as folder:
            path = Path(folder) / recording.path.with_suffix(".trc").name
            PLANTS_IN_FILES[kind](recording, path, random)
            return read_recording(path), Planted(kind, (), first, last)
    often = recording.visible.mean(axis=0) > 0.9
    columns = [m for m, label in enumerate(recording.labels) if label in labels and often[m]]
    while True:
        chosen, bad = PLANTS[kind](recording, columns, random)
        away = np.linalg.norm(bad - recording.positions_m, axis=-1) > TOLD_M  # unseen is not
        frames = np.flatnonzero(away[:, chosen].any(axis=1))
        if len(frames) >= 3:
            break
    names = () if len(chosen) > 2 else tuple(recording.labels[m] for m in chosen)
    if kind not in THROUGHOUT:
        first, last = first + int(frames[0]), first + int(frames[-1])
    visible = np.asarray(np.isfinite(bad).all(axis=-1))
    return replace(recording, positions_m=bad, visible=visible), Planted(kind, names, first, last)


def _jumped(recording: Recording, columns: list[int], random: np.random.Generator) -> tuple[list[int], Vector]:
    """Displaced by 40 to 300 mm, turning with its neighbours, for a while or for good."""
    m = int(random.choice(columns))
    first, last = _while(recording, random, 0.2, 0.6)
    if random.random() < 0.5:
        last = recording.frames
    shift = random.uniform(0.04, 0.30) * _direction(random)
    bad = recording.positions_m.copy()
    bad[first:last, m] += (_turning(recording, m) @ shift)[first:last]
    return [m], bad


def _stuck(recording: Recording, columns: list[int], random: np.random.Generator) -> tuple[list[int], Vector]:
    """Stays for 0.3 to 1.5 seconds where it was."""
    m = int(random.choice(columns))
    length = round(random.uniform(0.3, 1.5) * recording.rate_hz)
    first = int(random.integers(5, max(6, recording.frames - length)))
    bad = recording.positions_m.copy()
    bad[first : first + length, m] = bad[first, m]
    return [m], bad


def _slid(recording: Recording, columns: list[int], random: np.random.Generator) -> tuple[list[int], Vector]:
    """Leaves its place within 0.5 to 2 seconds, by 60 to 250 mm, and does not come back."""
    m = int(random.choice(columns))
    T = recording.frames
    first = int(random.integers(T // 10, 6 * T // 10))
    over = random.uniform(0.5, 2.0) * recording.rate_hz
    share = np.clip((np.arange(T) - first) / over, 0, 1)
    share = share**2 * (3 - 2 * share)
    shift = random.uniform(0.06, 0.25) * _direction(random)
    bad = recording.positions_m.copy()
    bad[:, m] += share[:, None] * (_turning(recording, m) @ shift)
    return [m], bad


def _fell(recording: Recording, columns: list[int], random: np.random.Generator) -> tuple[list[int], Vector]:
    """Falls freely from 0.3 m or higher, with the speed that it had, and lies where it lands."""
    T, dt = recording.frames, 1 / recording.rate_hz
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
    bad = recording.positions_m.copy()
    bad[first:, m] = start + time[:, None] * speed * [1, 0, 1]
    bad[first:, m, 1] = np.maximum(start[1] - 0.5 * GRAVITY_M_S2 * time**2, floor)
    return [m], bad


def _ghost(recording: Recording, columns: list[int], random: np.random.Generator) -> tuple[list[int], Vector]:
    """Another point has its name in 3 to 12 frames, each time 50 to 500 mm away in another direction."""
    m = int(random.choice(columns))
    length = int(random.integers(3, 13))
    first = int(random.integers(5, recording.frames - length - 5))
    bad = recording.positions_m.copy()
    for t in range(first, first + length):
        bad[t, m] += random.uniform(0.05, 0.5) * _direction(random)
    return [m], bad


def _exchanged_for_a_while(
    recording: Recording, columns: list[int], random: np.random.Generator
) -> tuple[list[int], Vector]:
    """A marker and one of its four neighbours, or its partner of the other side, have each other's names."""
    m = int(random.choice(columns))
    middle = np.nanmedian(recording.positions_m - recording.positions_m[:, m, None], axis=0)
    near = sorted((c for c in columns if c != m), key=lambda c: float(np.linalg.norm(middle[c])))[:4]
    partner = [c for c in columns if recording.labels[c] == other_side(recording.labels[m])]
    other = int(random.choice(near + 2 * partner))
    first, last = _while(recording, random, 0.08, 0.6)
    bad = recording.positions_m.copy()
    bad[first:last, [m, other]] = bad[first:last, [other, m]]
    return [m, other], bad


def _pair_exchanged(recording: Recording, columns: list[int], random: np.random.Generator) -> tuple[list[int], Vector]:
    """A left marker and its right partner have each other's names throughout."""
    pairs = _pairs(recording, columns)
    pair = list(pairs[int(random.integers(len(pairs)))])
    bad = recording.positions_m.copy()
    bad[:, pair] = bad[:, pair[::-1]]
    return pair, bad


def _sides_exchanged(recording: Recording, columns: list[int], random: np.random.Generator) -> tuple[list[int], Vector]:
    """All left and right markers have each other's names."""
    bad = recording.positions_m.copy()
    pairs = _pairs(recording, list(range(len(recording.labels))))
    for a, b in pairs:
        bad[:, [a, b]] = bad[:, [b, a]]
    return [m for pair in pairs for m in pair], bad


def _axis_reversed(recording: Recording, path: Path, random: np.random.Generator) -> None:
    """One axis of a file in millimetres, z up, counts backwards."""
    signs = np.ones(3)
    signs[int(random.integers(3))] = -1
    write_trc(path, recording, signs * 1000, "mm")


def _wrong_unit(recording: Recording, path: Path, random: np.random.Generator) -> None:
    """The file states one unit and has its numbers in another."""
    in_a_metre = {"mm": 1000.0, "cm": 100.0, "m": 1.0, "in": 1 / 0.0254}
    stated, meant = random.choice(["mm", "cm", "m"]), random.choice(list(in_a_metre))
    while meant == stated:
        meant = random.choice(list(in_a_metre))
    write_trc(path, recording, np.full(3, in_a_metre[str(meant)]), str(stated))


def write_trc(path: Path, recording: Recording, scale: Vector, unit: str) -> None:
    """A recording as TRC, z up; ``scale`` (3,) is each of its axes in units a metre, whatever ``unit`` says."""
    points = recording.positions_m[..., [2, 0, 1]] * scale
    T, M = points.shape[:2]
    rate = f"{recording.rate_hz:.6g}"
    names = ("DataRate", "CameraRate", "NumFrames", "NumMarkers", "Units", "OrigDataRate", "OrigDataStartFrame")
    values = [rate, rate, str(T), str(M), unit, rate, str(recording.first_frame)]
    lines = [f"PathFileType\t4\t(X/Y/Z)\t{path.name}", "\t".join(names), "\t".join(values)]
    lines.append("Frame#\tTime\t" + "\t\t\t".join(recording.labels))
    lines.append("\t\t" + "\t".join(f"{axis}{m + 1}" for m in range(M) for axis in "XYZ"))
    for t, frame in enumerate(points.reshape(T, -1)):
        numbers = ["" if np.isnan(x) else f"{x:.7g}" for x in frame]
        lines.append("\t".join([str(recording.first_frame + t), f"{t / recording.rate_hz:.5f}", *numbers]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


PLANTS: dict[str, Callable[[Recording, list[int], np.random.Generator], tuple[list[int], Vector]]] = {
    "jumped": _jumped,
    "stuck": _stuck,
    "slid": _slid,
    "fell": _fell,
    "ghost": _ghost,
    "exchanged": _exchanged_for_a_while,
    "pair exchanged": _pair_exchanged,
    "all sides exchanged": _sides_exchanged,
}
"""How each kind of bad data is made of a good recording: the columns that it befalls, and all positions (T, M, 3)."""
PLANTS_IN_FILES: dict[str, Callable[[Recording, Path, np.random.Generator], None]] = {
    "mirrored": _axis_reversed,
    "wrong unit": _wrong_unit,
}
"""Bad data that reading a file meets first: the file is written, and read as a user's is."""
THROUGHOUT = ("pair exchanged", "all sides exchanged")
"""Kinds that befall every frame."""


def _while(recording: Recording, random: np.random.Generator, least: float, most: float) -> tuple[int, int]:
    """First frame, and the one after the last, of a part of a recording."""
    T = recording.frames
    length = round(random.uniform(least, most) * T)
    first = int(random.integers(5, T - length))
    return first, first + length


def _direction(random: np.random.Generator) -> Vector:
    v = random.standard_normal(3)
    return v / np.linalg.norm(v)


def _pairs(recording: Recording, columns: list[int]) -> list[tuple[int, int]]:
    """Columns of left markers with their right partners."""
    column = {recording.labels[m]: m for m in columns}
    return [(m, column[other]) for label, m in column.items() if label < (other := other_side(label) or "") in column]


def _turning(recording: Recording, marker: int) -> Vector:
    """(T, 3, 3) how the nearest markers turn from the first frame on (Kabsch 1976)."""
    x = np.where(recording.visible[..., None], recording.positions_m, np.nan)
    apart = np.nanmedian(np.linalg.norm(x - x[:, marker, None], axis=-1), axis=0)
    apart[recording.visible.mean(axis=0) < 0.9] = np.inf
    near = x[:, np.argsort(apart)[:5]]  # itself too
    rotations = np.tile(np.eye(3), (recording.frames, 1, 1))
    start = next((t for t in range(len(near)) if np.isfinite(near[t]).all()), 0)
    a = near[start] - near[start].mean(axis=0)
    for t in range(recording.frames):
        if np.isfinite(near[t]).all():
            U, _, Vh = np.linalg.svd((near[t] - near[t].mean(axis=0)).T @ a)
            rotations[t] = U @ np.diag([1, 1, np.linalg.det(U @ Vh)]) @ Vh
        elif t:
            rotations[t] = rotations[t - 1]
    return rotations
