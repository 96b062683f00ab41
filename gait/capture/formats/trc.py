"""Read TRC files: tab-separated text, as written by Motion Analysis and OpenSim."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gait.capture.file_format import FileFormat
from gait.capture.raw_recording import RawRecording, check_density, mask_missing
from gait.errors import GaitError

_ENCODINGS = ("utf-8-sig", "latin-1")


def read_trc(path: Path) -> RawRecording:
    """Read the points of a TRC file.

    Header values are matched to their names by order, not by column: some writers put empty columns between the values
    of the third line, so the number of frames can stand under ``Units``.

    Raises:
        GaitError: the file is missing, is not a TRC file, or a line does not have three numbers per marker.
    """
    lines = _text(path).splitlines()
    header = next((k for k, line in enumerate(lines) if line.lower().startswith("frame#")), None)
    if header is None or header < 2:
        raise GaitError(f"{path}: is not a TRC file (no line begins with 'Frame#'); give a file exported as TRC.")
    fields = _header_fields(lines[header - 2], lines[header - 1])
    labels = _labels(lines[header])
    if not labels:
        raise GaitError(f"{path}: has no markers (its line 'Frame#' names none); export it with its markers.")
    stated_markers = _number(fields.get("nummarkers", ""))
    if stated_markers > 0 and stated_markers != len(labels):
        stated = f"its header states {stated_markers:g} markers, {len(labels)} are named"
        raise GaitError(f"{path}: is damaged ({stated}); export it again, or correct NumMarkers.")
    rows, frame_numbers, times = _rows(path, lines, header + 1, len(labels))
    warnings = []
    stated_frames = _number(fields.get("numframes", ""))
    if stated_frames > len(rows):
        stated = f"its header states {stated_frames:g} frames, the file has {len(rows)}"
        raise GaitError(f"{path}: is truncated ({stated}); copy or export it again, or correct NumFrames.")
    if 0 < stated_frames < len(rows):
        warnings.append(f"The header states {int(stated_frames)} frames; the file has {len(rows)}.")
    rate_hz = _number(fields.get("datarate", "")) or _number(fields.get("camerarate", ""))
    if not rate_hz and len(times) > 1 and times[-1] > times[0]:
        rate_hz = (len(times) - 1) / (times[-1] - times[0])
        warnings.append(f"The header has no frame rate; {rate_hz:.4g} Hz follows from the time column.")
    return RawRecording(
        path=path,
        labels=labels,
        positions=mask_missing(_table(path, rows, len(labels))),
        rate_hz=rate_hz,
        first_frame=int(frame_numbers[0]) if np.isfinite(frame_numbers[0]) else 1,
        unit=fields.get("units"),
        warnings=tuple(warnings),
    )


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GaitError(f"{path}: cannot be read ({error.strerror}); check the path.") from error
    if not data.strip():
        raise GaitError(f"{path}: the file is empty; copy or export it again.")
    if b"\0" in data:
        raise GaitError(f"{path}: is not a TRC file (it is binary); give a file exported as TRC.")
    for encoding in _ENCODINGS:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise AssertionError("latin-1 decodes any bytes")


def _header_fields(keys_line: str, values_line: str) -> dict[str, str]:
    """Return the values of the third line by their lower-case names in the second line."""
    keys, values = keys_line.split(), values_line.split()
    if len(keys) != len(values):  # a value is missing: only the columns show which
        keys, values = keys_line.split("\t"), values_line.split("\t")
    return {key.strip().lower(): value.strip() for key, value in zip(keys, values, strict=False) if key.strip()}


def _labels(line: str) -> tuple[str, ...]:
    """Return the names after ``Frame#`` and ``Time``; each heads three columns, two of them empty."""
    fields = line.split("\t") if "\t" in line else line.split()
    return tuple(name.strip() for name in fields[2:] if name.strip())


def _table(path: Path, rows: list[NDArray[np.float64]], markers: int) -> NDArray[np.float64]:
    """Return positions (T, M, 3) of rows that may lack their last markers."""
    check_density(path, len(rows), markers, sum(map(len, rows)) // 3)
    positions = np.full((len(rows), 3 * markers), np.nan)
    for frame, row in enumerate(rows):
        positions[frame, : len(row)] = row
    return positions.reshape(len(rows), markers, 3)


def _rows(
    path: Path, lines: list[str], start: int, markers: int
) -> tuple[list[NDArray[np.float64]], list[float], list[float]]:
    """Return coordinates (3 per marker, the last may be missing), frame number and time of each data line."""
    rows: list[NDArray[np.float64]] = []
    frame_numbers: list[float] = []
    times: list[float] = []
    for number, line in enumerate(lines[start:], start + 1):
        fields = [field.strip() for field in line.split("\t")] if "\t" in line else line.split()
        if not any(fields) or (not rows and fields[-1][:1].upper() in "XYZ" and not fields[0][:1].isdigit()):
            continue  # the line X1 Y1 Z1 ..., and blank lines
        while len(fields) > 2 + 3 * markers and not fields[-1]:
            fields.pop()
        # Trailing markers that are not visible may be missing, but not single coordinates of a marker.
        if not 2 <= len(fields) <= 2 + 3 * markers or (len(fields) - 2) % 3:
            expected = f"{len(fields)} fields, {markers} markers need {2 + 3 * markers}"
            raise GaitError(f"{path}, line {number}: has {expected}; the file is damaged, export it again.")
        read = [_coordinate(field) for field in fields]
        values = [value for value in read if value is not None]
        if len(values) < len(read):  # the field is not shown: it may be a subject's name
            field = read.index(None) + 1
            raise GaitError(f"{path}, line {number}: field {field} is not a number; export the file again.")
        frame_numbers.append(values[0])
        times.append(values[1])
        rows.append(np.array(values[2:], dtype=np.float64))
    if not rows:
        raise GaitError(f"{path}: has no frames; export it again.")
    return rows, frame_numbers, times


def _coordinate(field: str) -> float | None:
    """Return the number in a field (decimal point or comma), NaN if it is empty, None if it is not a number."""
    if not field:
        return np.nan
    try:
        return None if "_" in field else float(field.replace(",", "."))
    except ValueError:
        return None


def _number(text: str) -> float:
    """Return a number of the header, 0 if there is none."""
    value = _coordinate(text)
    return value if value is not None and np.isfinite(value) else 0.0


FORMAT = FileFormat("trc", "TRC", (".trc",), read_trc)
