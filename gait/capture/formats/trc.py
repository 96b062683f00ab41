"""Read TRC files: tab-separated text, as written by Motion Analysis and OpenSim.

The table counts. A header that states other numbers of frames or markers, or a frame rate that contradicts the time
column, is noted; a field that is no number is a sample that is not visible.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gait.capture.file_format import FileFormat
from gait.capture.raw_recording import MAX_FRAME_NUMBER, RawRecording, check_density, mask_missing
from gait.errors import GaitError

_ENCODINGS = ("utf-8-sig", "latin-1")
_MAX_TIME_ERROR_S = 0.011  # of a time that is rounded to 10 ms
_MAX_TIME_ERROR = 0.01  # of the duration; a larger error contradicts the stated rate
_PLAUSIBLE_RATE_HZ = (10.0, 10_000.0)  # of a time column; outside it counts something else than seconds


def read_trc(path: Path) -> RawRecording:
    """Read the points of a TRC file.

    Header values are matched to their names by order, not by column: some writers put empty columns between the values
    of the third line, so the number of frames can stand under ``Units``.

    Raises:
        GaitError: the file is missing, is not a TRC file, or has no markers or no frames.
    """
    text = _text(path)
    lines = text.splitlines()
    header = next((k for k, line in enumerate(lines) if line.strip().lower().startswith("frame#")), None)
    if header is None:
        raise GaitError(f"{path}: is not a TRC file (no line begins with 'Frame#'); give a file exported as TRC.")
    fields = _header_fields(lines[:header])
    names = _fields(lines[header])
    has_times = len(names) < 2 or not names[1] or names[1].lower().startswith("time")
    names = names[2:] if has_times else names[1:]
    if not any(names):
        raise GaitError(f"{path}: has no markers (its line 'Frame#' names none); export it with its markers.")
    stated_frames, stated_markers = (_count(fields.get(key, "")) for key in ("numframes", "nummarkers"))
    notes: list[str] = []
    warnings: list[str] = []
    table = _read_table(lines, header + 1, 2 if has_times else 1)
    if table.rows and not text.endswith(("\n", "\r")) and table.last_is_incomplete(stated_frames):
        warnings.append("The last line breaks off and is not read.")
        table.rows.pop()
    if not table.rows:
        raise GaitError(f"{path}: has no frames; export it again.")
    labels = _labels(names, table.width, tabs="\t" in lines[header])
    positions = _positions(path, table, len(labels))
    while len(labels) > 1 and not labels[-1] and not np.isfinite(positions[:, -1]).any():
        labels, positions = labels[:-1], positions[:, :-1]

    if stated_frames > len(table.rows):
        warnings.append(f"The file breaks off: it holds {len(table.rows)} of {stated_frames} frames.")
    elif 0 < stated_frames < len(table.rows):
        notes.append(f"The header states {stated_frames} frames; the file has {len(table.rows)}.")
    if stated_markers > 0 and stated_markers != len(labels):
        notes.append(f"The header states {stated_markers} markers; the file has {len(labels)}.")
    if unnamed := sum(not label for label in labels):
        warnings.append(f"{unnamed} of {len(labels)} markers have no name and are not used.")
    warnings += table.warnings()
    rate_hz, rate_warning = _rate(fields, table.times() if has_times else np.empty(0))
    warnings += filter(None, [rate_warning])
    first = table.rows[0].numbers[0]
    return RawRecording(
        path=path,
        labels=tuple(labels),
        positions=mask_missing(positions),
        rate_hz=rate_hz,
        first_frame=int(first) if 0 <= first <= MAX_FRAME_NUMBER else 1,
        unit=fields.get("units"),
        notes=tuple(notes),
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


def _fields(line: str) -> list[str]:
    return [field.strip() for field in (line.split("\t") if "\t" in line else line.split())]


def _header_fields(lines: Sequence[str]) -> dict[str, str]:
    """Return the values of the header by their lower-case names, which stand in the line before them."""
    for keys_line, values_line in itertools.pairwise(lines):
        if not {"datarate", "camerarate", "numframes", "units"} & set(keys_line.lower().split()):
            continue
        keys, values = keys_line.split(), values_line.split()
        if len(keys) != len(values):  # a value is missing: only the columns show which
            keys, values = keys_line.split("\t"), values_line.split("\t")
        return {key.strip().lower(): value.strip() for key, value in zip(keys, values, strict=False) if key.strip()}
    return {}


def _labels(names: Sequence[str], width: int, *, tabs: bool) -> list[str]:
    """Return one name per marker, "" where it has none.

    A name heads three columns, two of them empty, or one; in the latter case, their order counts. It also counts if
    the names stand in other columns and there is one per marker of the table (``width`` columns).
    """
    in_order = [name for name in names if name]
    markers = -(-width // 3)
    while names and not names[-1]:
        names = names[:-1]
    every_third = not any(name for k, name in enumerate(names) if k % 3)
    if not tabs or all(names) or (len(in_order) == markers and not every_third):
        return in_order + [""] * (markers - len(in_order))
    markers = max(markers, -(-len(names) // 3))
    return ["_".join(filter(None, names[3 * k : 3 * k + 3])) for k in range(markers)]


@dataclass(frozen=True)
class _Row:
    numbers: NDArray[np.float64]  # frame number, time if the table has it, coordinates; NaN where there is none
    line: int
    not_numbers: int  # fields that are text


@dataclass(frozen=True)
class _Table:
    rows: list[_Row]
    first: int  # columns before the coordinates
    width: int  # columns of coordinates in most rows

    def last_is_incomplete(self, stated_frames: int) -> bool:
        return len(self.rows) < stated_frames or len(self.rows[-1].numbers) < self.first + self.width

    def times(self) -> NDArray[np.float64]:
        return np.array([row.numbers[1] if len(row.numbers) > 1 else np.nan for row in self.rows])

    def warnings(self) -> list[str]:
        """Return a sentence on the fields that are text, and one on rows of another length."""
        texts = []
        damaged = [row for row in self.rows if row.not_numbers]
        if damaged:
            count = sum(row.not_numbers for row in damaged)
            texts.append(
                f"{count} fields are not numbers, first in line {damaged[0].line}; such samples are not visible."
            )
        longer = [row for row in self.rows if len(row.numbers) > self.first + self.width]
        if longer:
            texts.append(
                f"{len(longer)} lines are too long, the first is line {longer[0].line}; their ends are not read."
            )
        return texts


def _read_table(lines: Sequence[str], start: int, first: int) -> _Table:
    """Read the data lines; lines without a number, such as X1 Y1 Z1 ..., are no rows."""
    rows: list[_Row] = []
    for number, line in enumerate(lines[start:], start + 1):
        fields = _fields(line)
        while fields and not fields[-1]:
            fields.pop()
        values = [_coordinate(field) for field in fields]
        if not any(value is not None and np.isfinite(value) for value in values[:first]):
            continue
        not_numbers = sum(value is None for value in values)
        rows.append(_Row(np.array([np.nan if v is None else v for v in values]), number, not_numbers))
    widths = Counter(len(row.numbers) - first for row in rows)
    width = max(widths, key=lambda each: (widths[each], each), default=0)
    return _Table(rows, first, max(width, 0))


def _positions(path: Path, table: _Table, markers: int) -> NDArray[np.float64]:
    """Return positions (T, M, 3); NaN where a row ends before a marker, or in it."""
    num_samples = sum(max(len(row.numbers) - table.first, 0) for row in table.rows) // 3
    check_density(path, len(table.rows), markers, num_samples)
    positions = np.full((len(table.rows), 3 * markers), np.nan)
    for frame, row in enumerate(table.rows):
        coordinates = row.numbers[table.first : table.first + 3 * markers]
        positions[frame, : len(coordinates)] = coordinates
    return positions.reshape(len(table.rows), markers, 3)


def _rate(fields: dict[str, str], times: NDArray[np.float64]) -> tuple[float, str]:
    """Return the frame rate, and a sentence if the header's is missing or contradicts the time column."""
    stated = _number(fields.get("datarate", "")) or _number(fields.get("camerarate", ""))
    known = np.flatnonzero(np.isfinite(times))
    if len(known) < 2:
        return stated, ""
    frames, seconds = known - known[0], times[known] - times[known[0]]
    if seconds[-1] <= 0:
        return stated, ""
    low, high = _PLAUSIBLE_RATE_HZ
    rate = float(frames[-1] / seconds[-1])
    allowed_s = max(_MAX_TIME_ERROR_S, _MAX_TIME_ERROR * seconds[-1])
    even = np.abs(frames / rate - seconds).max() <= allowed_s
    if not 1.0 <= stated <= high:
        return rate, f"The header has no frame rate; {rate:.4g} Hz follows from the time column."
    if np.abs(frames / stated - seconds).max() <= allowed_s or not even or not low <= rate <= high:
        return stated, ""
    multiple = rate / stated if rate > stated else stated / rate
    if abs(multiple - round(multiple)) < 1e-3 * multiple:  # times are rounded
        rate = stated * round(multiple) if rate > stated else stated / round(multiple)
    return rate, f"The header states {stated:g} frames per second, the time column {rate:.5g}, which is used."


def _coordinate(field: str) -> float | None:
    """Return the number in a field (decimal point or comma), NaN if it is empty, None if it is not a number."""
    if not field:
        return np.nan
    try:
        return None if "_" in field else float(field.replace(",", "."))
    except ValueError:
        return None


def _count(text: str) -> int:
    """Return a count of the header, 0 if there is none."""
    number = _number(text)
    return int(number) if 0 < number < 1e9 else 0


def _number(text: str) -> float:
    """Return a number of the header, 0 if there is none."""
    value = _coordinate(text)
    return value if value is not None and np.isfinite(value) else 0.0


FORMAT = FileFormat("trc", "TRC", (".trc",), read_trc)
