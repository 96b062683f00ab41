"""TRC files: tab-separated text as Motion Analysis and OpenSim write it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gait.capture.raw_points import RawPoints, mask_missing
from gait.errors import GaitError

_ENCODINGS = ("utf-8-sig", "latin-1")


def read_trc(path: Path) -> RawPoints:
    """The points of a TRC file.

    Fields are matched by their order, not their column: some writers put empty columns between the values of
    the third line, so that the number of frames stands under ``Units``. Raises GaitError where the file is
    missing, no TRC file, or a line does not hold three numbers a marker.
    """
    lines = _text(path).splitlines()
    header = next((k for k, line in enumerate(lines) if line.lower().startswith("frame#")), None)
    if header is None or header < 2:
        raise GaitError(f"{path}: is no TRC file (no line begins with 'Frame#'); give a file exported as TRC.")
    fields = _header_fields(lines[header - 2], lines[header - 1])
    labels = _labels(lines[header])
    if not labels:
        raise GaitError(f"{path}: holds no markers (its line 'Frame#' names none); export it with its markers.")
    rows, frame_numbers, times = _rows(path, lines, header + 1, len(labels))
    notes = []
    promised = _number(fields.get("numframes", ""))
    if promised > len(rows):
        raise GaitError(
            f"{path}: is cut short (its header promises {promised:.0f} frames, {len(rows)} are there); "
            "copy or export it again, or correct NumFrames."
        )
    if 0 < promised < len(rows):
        notes.append(f"The header promises {int(promised)} frames; the file holds {len(rows)}.")
    rate_hz = _number(fields.get("datarate", "")) or _number(fields.get("camerarate", ""))
    if not rate_hz and len(times) > 1 and times[-1] > times[0]:
        rate_hz = (len(times) - 1) / (times[-1] - times[0])
        notes.append(f"The header gives no rate; {rate_hz:.4g} Hz follows from the column of times.")
    return RawPoints(
        path=path,
        labels=labels,
        positions=mask_missing(np.array(rows, dtype=np.float64).reshape(len(rows), len(labels), 3)),
        rate_hz=rate_hz,
        first_frame=int(frame_numbers[0]) if np.isfinite(frame_numbers[0]) else 1,
        unit=fields.get("units"),
        notes=tuple(notes),
    )


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GaitError(f"{path}: cannot be read ({error.strerror}); check the path.") from error
    if not data.strip():
        raise GaitError(f"{path}: the file is empty; copy or export it again.")
    if b"\0" in data:
        raise GaitError(f"{path}: is no TRC file (it is binary); give a file exported as TRC.")
    for encoding in _ENCODINGS:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise AssertionError("latin-1 decodes any bytes")


def _header_fields(keys_line: str, values_line: str) -> dict[str, str]:
    """Values of the third line by their lower-case names in the second."""
    keys, values = keys_line.split(), values_line.split()
    if len(keys) != len(values):  # a value is left out: only the columns can tell which
        keys, values = keys_line.split("\t"), values_line.split("\t")
    return {key.strip().lower(): value.strip() for key, value in zip(keys, values, strict=False) if key.strip()}


def _labels(line: str) -> tuple[str, ...]:
    """Names after ``Frame#`` and ``Time``; each stands over three columns, two of them left empty."""
    fields = line.split("\t") if "\t" in line else line.split()
    return tuple(name.strip() for name in fields[2:] if name.strip())


def _rows(path: Path, lines: list[str], start: int, markers: int) -> tuple[list[list[float]], list[float], list[float]]:
    """Coordinates (3 a marker), frame number and time of every line of data."""
    rows: list[list[float]] = []
    frame_numbers: list[float] = []
    times: list[float] = []
    for number, line in enumerate(lines[start:], start + 1):
        fields = [field.strip() for field in line.split("\t")] if "\t" in line else line.split()
        if not any(fields) or (not rows and fields[-1][:1].upper() in "XYZ" and not fields[0][:1].isdigit()):
            continue  # the line X1 Y1 Z1 ..., and blank ones
        while len(fields) > 2 + 3 * markers and not fields[-1]:
            fields.pop()
        # Trailing markers that were not seen may be left out, though never a part of one.
        if len(fields) > 2 + 3 * markers or (len(fields) - 2) % 3:
            raise GaitError(
                f"{path}, line {number}: has {len(fields)} fields, {markers} markers need {2 + 3 * markers}; "
                "the file is cut short or damaged, export it again."
            )
        try:
            values = [_coordinate(field) for field in fields]
        except ValueError as error:
            raise GaitError(f"{path}, line {number}: {error}; export the file again.") from error
        frame_numbers.append(values[0])
        times.append(values[1])
        rows.append(values[2:] + [np.nan] * (2 + 3 * markers - len(values)))
    if not rows:
        raise GaitError(f"{path}: holds no frames; export it again.")
    return rows, frame_numbers, times


def _coordinate(field: str) -> float:
    """A number, NaN for an empty field; a decimal comma is understood."""
    if not field:
        return np.nan
    try:
        return float(field.replace(",", "."))
    except ValueError:
        raise ValueError(f"{field[:20]!r} is no number") from None


def _number(text: str) -> float:
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return 0.0
    return value if np.isfinite(value) else 0.0
