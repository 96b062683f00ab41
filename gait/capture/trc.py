"""TRC files: tab-separated text as Motion Analysis and OpenSim write it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gait.capture.raw_recording import RawRecording, check_not_hollow, mask_missing
from gait.errors import GaitError

_ENCODINGS = ("utf-8-sig", "latin-1")


def read_trc(path: Path) -> RawRecording:
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
    markers_promised = _number(fields.get("nummarkers", ""))
    if markers_promised > 0 and markers_promised != len(labels):
        raise GaitError(
            f"{path}: is damaged (its header promises {markers_promised:g} markers, {len(labels)} are named); "
            "export it again, or correct NumMarkers."
        )
    rows, frame_numbers, times = _rows(path, lines, header + 1, len(labels))
    notes = []
    promised = _number(fields.get("numframes", ""))
    if promised > len(rows):
        raise GaitError(
            f"{path}: is cut short (its header promises {promised:g} frames, {len(rows)} are there); "
            "copy or export it again, or correct NumFrames."
        )
    if 0 < promised < len(rows):
        notes.append(f"The header promises {int(promised)} frames; the file holds {len(rows)}.")
    rate_hz = _number(fields.get("datarate", "")) or _number(fields.get("camerarate", ""))
    if not rate_hz and len(times) > 1 and times[-1] > times[0]:
        rate_hz = (len(times) - 1) / (times[-1] - times[0])
        notes.append(f"The header gives no rate; {rate_hz:.4g} Hz follows from the column of times.")
    return RawRecording(
        path=path,
        labels=labels,
        positions=mask_missing(_table(path, rows, len(labels))),
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


def _table(path: Path, rows: list[NDArray[np.float64]], markers: int) -> NDArray[np.float64]:
    """Positions (T, M, 3) of rows that may lack their last markers."""
    check_not_hollow(path, len(rows), markers, sum(map(len, rows)) // 3)
    positions = np.full((len(rows), 3 * markers), np.nan)
    for frame, row in enumerate(rows):
        positions[frame, : len(row)] = row
    return positions.reshape(len(rows), markers, 3)


def _rows(
    path: Path, lines: list[str], start: int, markers: int
) -> tuple[list[NDArray[np.float64]], list[float], list[float]]:
    """Coordinates (3 a marker, the last ones may be missing), frame number and time of every line of data."""
    rows: list[NDArray[np.float64]] = []
    frame_numbers: list[float] = []
    times: list[float] = []
    for number, line in enumerate(lines[start:], start + 1):
        fields = [field.strip() for field in line.split("\t")] if "\t" in line else line.split()
        if not any(fields) or (not rows and fields[-1][:1].upper() in "XYZ" and not fields[0][:1].isdigit()):
            continue  # the line X1 Y1 Z1 ..., and blank ones
        while len(fields) > 2 + 3 * markers and not fields[-1]:
            fields.pop()
        # Trailing markers that were not seen may be left out, though never a part of one.
        if not 2 <= len(fields) <= 2 + 3 * markers or (len(fields) - 2) % 3:
            raise GaitError(
                f"{path}, line {number}: has {len(fields)} fields, {markers} markers need {2 + 3 * markers}; "
                "the file is cut short or damaged, export it again."
            )
        read = [_coordinate(field) for field in fields]
        values = [value for value in read if value is not None]
        if len(values) < len(read):  # what stands there may be a person's name
            raise GaitError(f"{path}, line {number}: field {read.index(None) + 1} is no number; export the file again.")
        frame_numbers.append(values[0])
        times.append(values[1])
        rows.append(np.array(values[2:], dtype=np.float64))
    if not rows:
        raise GaitError(f"{path}: holds no frames; export it again.")
    return rows, frame_numbers, times


def _coordinate(field: str) -> float | None:
    """A number, NaN for an empty field, None where it is none; a decimal comma is understood."""
    if not field:
        return np.nan
    try:
        return None if "_" in field else float(field.replace(",", "."))
    except ValueError:
        return None


def _number(text: str) -> float:
    """A number of the header, 0 where there is none."""
    value = _coordinate(text)
    return value if value is not None and np.isfinite(value) else 0.0
