"""Read C3D files with ezc3d, after a check of their structure.

ezc3d fills truncated files with zeros, does not check counts and can crash on a damaged parameter section. All of these
are detected here first.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ezc3d
import numpy as np
from numpy.typing import NDArray

from gait.capture.file_format import FileFormat
from gait.capture.marker_names import split_prefixes, strip_label
from gait.capture.raw_recording import RawRecording, mask_missing
from gait.capture.recording import GaitEvent
from gait.errors import GaitError

_BLOCK = 512
_MAGIC = 0x50
_INTEL, _DEC, _SGI = 84, 85, 86
_MAX_PARAMETER_VALUES = 1 << 20  # of one parameter; a larger count occurs only in damaged files
_MAX_PARAMETER_BYTES = 0xFFFF * _BLOCK  # the data must start within the blocks that a header can count
_MAX_HEADER_FRAMES = 0xFFFF
_MAX_LIST_LENGTH = 255  # a longer list continues in KEY2
_OUTPUT_GROUPS = ("ANGLES", "FORCES", "MOMENTS", "POWERS", "SCALARS", "REACTIONS")

_SIDE_WORDS = {"left": "left", "right": "right", "l": "left", "r": "right"}
_SIDE_IN_LABEL = re.compile(r"^(left|right|l|r)(?=[\s_\-]|HS|TO|FS|FO|IC|HC)", re.IGNORECASE)


def read_c3d(path: Path) -> RawRecording:
    """Read the points and events of a C3D file.

    Raises:
        GaitError: the file is missing, is not a C3D file, is truncated or damaged, or ezc3d cannot read it.
    """
    layout = _check_structure(path)
    try:
        content = ezc3d.c3d(str(path))
    except MemoryError:
        raise
    except Exception as error:  # from C++: OSError, RuntimeError, ValueError, ...
        reason = " ".join(str(error).split()) or type(error).__name__
        message = f"{path}: ezc3d cannot read this C3D file ({reason}); export it again in another variant."
        raise GaitError(message) from error
    parameters = content["parameters"]
    point = parameters["POINT"]
    positions = np.ascontiguousarray(np.moveaxis(content["data"]["points"][:3], 0, -1).swapaxes(0, 1), dtype=np.float64)
    residuals = np.asarray(content["data"]["meta_points"]["residuals"])[0].T  # (T, P)
    # ezc3d drops empty frames at the end, and reads one frame too many if no field counts the frames.
    if positions.shape[1] != layout.points or residuals.shape != positions.shape[:2]:
        counts = f"{layout.points} points stated, {positions.shape[1]} read"
        raise GaitError(f"{path}: is damaged ({counts}); export it again.")
    positions = np.where((residuals < 0)[..., None], np.nan, positions)[: layout.frames]
    warnings = layout.warnings
    if len(positions) == _MAX_HEADER_FRAMES < layout.frames:
        warnings += (f"The file has more than {_MAX_HEADER_FRAMES} frames; the first {_MAX_HEADER_FRAMES} are read.",)
    labels = [_text(label) for label in _values(point, "LABELS")][: positions.shape[1]]
    labels += [""] * (positions.shape[1] - len(labels))
    rate_hz = _first_number(point, "RATE") or float(content["header"]["points"]["frame_rate"])
    events, event_subjects = _events(parameters.get("EVENT", {}))
    units = _values(point, "UNITS")
    y_screen = _values(point, "Y_SCREEN")
    return RawRecording(
        path=path,
        labels=tuple(labels),
        positions=mask_missing(positions),
        rate_hz=rate_hz,
        first_frame=int(content["header"]["points"]["first_frame"]) + 1,
        unit=_text(units[0]) if units else None,
        y_screen=_text(y_screen[0]) if y_screen else "",
        listed_outputs=_listed_names(point, _output_groups(point)),
        modeled_markers=_listed_names(point, ("MODELED_MARKERS",)),
        events=events,
        event_subjects=event_subjects,
        warnings=warnings,
    )


def _text(value: Any) -> str:
    """Return a text of the file; ezc3d decodes it as UTF-8, and what is not UTF-8 is decoded as Western European."""
    text = str(value)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("cp1252", "replace")
    return text


def _output_groups(point: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the lists of POINT that name model outputs: the usual ones and those in TYPE_GROUPS."""
    declared = [strip_label(_text(name)) for name in _values(point, "TYPE_GROUPS")][::2]
    return (*_OUTPUT_GROUPS, *(name for name in declared if name and name != "MODELED_MARKERS"))


def _listed_names(point: Mapping[str, Any], groups: tuple[str, ...]) -> frozenset[str]:
    names = [_text(value) for group in dict.fromkeys(groups) for value in _values(point, group)]
    return frozenset(name.name for name in split_prefixes(names) if name.name)


def _values(group: Mapping[str, Any], key: str) -> list[Any]:
    """Return the values of a parameter and its continuations ``KEY2``, ``KEY3``, ... (a list has at most 255)."""
    values: list[Any] = []
    name, number = key, 1
    while name in group:
        values.extend(np.ravel(np.asarray(group[name]["value"], dtype=object)).tolist())
        number += 1
        name = f"{key}{number}"
    return values


def _first_number(group: Mapping[str, Any], key: str) -> float:
    """Return the first value of a numeric parameter, 0 if there is none or it is not a number."""
    values = _values(group, key)
    try:
        return float(values[0]) if values and np.isfinite(float(values[0])) else 0.0
    except (TypeError, ValueError):
        return 0.0


def _events(group: Mapping[str, Any]) -> tuple[tuple[GaitEvent, ...], tuple[str, ...]]:
    """Return the events sorted by time, and the subject of each ("" if the file gives none)."""
    tables: list[NDArray[np.float64]] = []
    for number in ("", "2", "3", "4"):
        if f"TIMES{number}" in group:
            times = np.asarray(group[f"TIMES{number}"]["value"])
            if times.size and times.size % 2 == 0 and times.dtype.kind in "if":
                tables.append(times if times.ndim == 2 and times.shape[0] == 2 else times.reshape(-1, 2).T)
    if not tables:
        return (), ()
    minutes, seconds = np.concatenate(tables, axis=1)
    count = max(0, int(_first_number(group, "USED"))) or len(seconds)

    def text_of(key: str, k: int) -> str:
        return strip_label(_text(values[k])) if k < len(values := _values(group, key)) else ""

    found: list[tuple[GaitEvent, str]] = []
    for k, time_s in enumerate((60.0 * minutes + seconds)[:count].tolist()):
        if np.isfinite(time_s):
            label = text_of("LABELS", k)
            found.append((GaitEvent(label, _side(text_of("CONTEXTS", k), label), time_s), text_of("SUBJECTS", k)))
    found.sort(key=lambda pair: pair[0].time_s)
    return tuple(event for event, _ in found), tuple(subject for _, subject in found)


def _side(context: str, label: str) -> str:
    """Return ``left``, ``right`` or "", from the context of the event, else from the start of its label (``LHS``)."""
    if side := _SIDE_WORDS.get(context.lower()):
        return side
    match = _SIDE_IN_LABEL.match(label)
    return _SIDE_WORDS[match[1].lower()] if match and not context else ""


@dataclass(frozen=True)
class _Layout:
    """Layout of the data of a file, on which header and parameters agree."""

    frames: int
    points: int
    warnings: tuple[str, ...] = ()


def _check_structure(path: Path) -> _Layout:
    """Return the layout of a C3D file; raise GaitError if the file is not a complete C3D file.

    ezc3d takes every count from the parameters and checks neither the header nor the file size. If these disagree, it
    misreads all samples or allocates memory for data that do not exist.
    """
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            data = stream.read(_MAX_PARAMETER_BYTES)  # the data that follow are not checked
    except OSError as error:
        raise GaitError(f"{path}: cannot be read ({error.strerror}); check the path.") from error

    def damaged(problem: str) -> GaitError:
        return GaitError(f"{path}: is damaged ({problem}); export it again.")

    if not size:
        raise GaitError(f"{path}: the file is empty; copy or export it again.")
    if len(data) < 2 * _BLOCK or data[1] != _MAGIC:
        raise GaitError(f"{path}: is not a C3D file (its second byte is not 0x50); give a file exported as C3D.")
    section = (data[0] - 1) * _BLOCK
    if section < _BLOCK or section + 4 > len(data):
        raise damaged(f"its parameters should start at byte {section}")
    processor = data[section + 3]
    if processor not in (_INTEL, _DEC, _SGI):
        raise damaged(f"its processor type is {processor}, not 84, 85 or 86")
    order = ">" if processor == _SGI else "<"
    parameters = _parameters(damaged, data, section + 4, processor)
    header_points, analog_words, first, last = struct.unpack_from(f"{order}4H", data, 2)
    start_block, analog_samples = struct.unpack_from(f"{order}2H", data, 16)
    header_scale, header_rate = _real(data, 12, processor), _real(data, 20, processor)
    start = (start_block - 1) * _BLOCK
    if start < section + 4 or last < first:
        raise damaged(f"frames {first} to {last}, data in block {start_block}")

    def number(group: str, name: str, missing: float) -> float:
        """Return the first value of a numeric parameter; an empty one is refused, as ezc3d would read past its end."""
        parameter = parameters.get((group, name))
        if parameter is None:
            return missing
        if not parameter.count or not math.isfinite(parameter.first):
            raise damaged(f"{group}:{name} has no number")
        return parameter.first

    points = int(number("POINT", "USED", 0))
    if not points:
        raise GaitError(f"{path}: holds no points ({last - first + 1} frames, no marker); no body can be fitted to it.")
    channels = int(number("ANALOG", "USED", 0))
    rate_hz = number("POINT", "RATE", 0.0) or (header_rate if math.isfinite(header_rate) else 0.0)
    analog_rate_hz = number("ANALOG", "RATE", 0.0)
    number("ANALOG", "GEN_SCALE", 1.0)
    if any(group == "SHADOW" for group, _ in parameters) and analog_samples == 1:
        words = channels  # these files have no ANALOG:RATE
    else:
        words = channels * int(analog_rate_hz / rate_hz if abs(rate_hz) >= 1.0 else analog_samples)
    if points != header_points or words != analog_words:
        stated = f"its header counts {header_points} points, {analog_words} analog samples per frame, its parameters"
        raise damaged(f"{stated} {points} points, {words} samples of {channels} channels")
    for name in ("SCALE", "OFFSET") if analog_words else ():  # without them ezc3d crashes
        keys = (name, *(f"{name}{k}" for k in range(2, 9)))
        num_values = sum(parameters.get(("ANALOG", key), _NONE).count for key in keys)
        if num_values < min(channels, 8 * _MAX_LIST_LENGTH):
            raise damaged(f"ANALOG:{name} has {num_values} values for {channels} channels")

    scale = number("POINT", "SCALE", -1.0)
    if parameters.get(("POINT", "SCALE"), _Parameter(1)).count > 1:
        raise damaged("POINT:SCALE has more than one value")
    if not scale or not header_scale or not math.isfinite(header_scale) or (scale < 0) != (header_scale < 0):
        raise damaged(f"its header scales points by {header_scale:g}, its parameters by {scale:g}")
    warnings = []
    if scale > 0 and abs(scale - header_scale) > 1e-3 * scale:
        warnings.append(f"The header scales points by {header_scale:g}, the parameters by {scale:g}, which is used.")
    if header_rate > 0 and rate_hz > 0 and abs(rate_hz - header_rate) > 1e-3 * rate_hz:
        stated = f"The header states {header_rate:g} frames per second, the parameters {rate_hz:g}"
        warnings.append(f"{stated}, which is used.")

    word_bytes = 4 if scale < 0 else 2
    frame_bytes = (4 * points + analog_words) * word_bytes
    frames = _frames(damaged, parameters, first, last, number("POINT", "FRAMES", 0))
    if frames is None:
        frames = max(last - first + 1, (size - start) // frame_bytes)
    if (needed := frames * frame_bytes) > size - start:
        sizes = f"its header states {frames} frames, {needed} bytes, the file has {max(size - start, 0)}"
        raise GaitError(f"{path}: is truncated ({sizes}); copy or export it again.")
    _check_rotations(damaged, number, parameters, frames, size)
    return _Layout(frames, points, tuple(warnings))


def _frames(
    damaged: Callable[[str], GaitError],
    parameters: Mapping[tuple[str, str], _Parameter],
    first: int,
    last: int,
    stated: float,
) -> int | None:
    """Return the number of frames, None if no field counts them; raise an error if two counts disagree.

    A header counts to 65535. For a longer recording, POINT:FRAMES is a float, or TRIAL:ACTUAL_START_FIELD and
    ACTUAL_END_FIELD have two words each (the lower one first), or the file size gives the number.
    """
    counted = last - first + 1
    if stated not in (0, counted) and (min(last, stated) < _MAX_HEADER_FRAMES or stated != int(stated)):
        raise damaged(f"its header counts {counted} frames, its parameters {stated:g}")
    if last < _MAX_HEADER_FRAMES or stated > _MAX_HEADER_FRAMES:
        return int(stated or counted)
    ends = [parameters.get(("TRIAL", f"ACTUAL_{end}_FIELD"), _NONE).words for end in ("START", "END")]
    if all(len(words) == 2 for words in ends):
        begin, end = (words[0] + (words[1] << 16) for words in ends)
        if end <= begin:
            raise damaged(f"its trial starts at frame {begin} and ends at {end}")
        return end - begin + 1
    return None


def _check_rotations(
    damaged: Callable[[str], GaitError],
    number: Callable[[str, str, float], float],
    parameters: Mapping[tuple[str, str], _Parameter],
    frames: int,
    size: int,
) -> None:
    """Raise an error if rotations (a newer part of the format, not used here) need more data than the file has."""
    if not any(group == "ROTATION" for group, _ in parameters):
        return
    used, block = number("ROTATION", "USED", 0), number("ROTATION", "DATA_START", 0)
    rate_hz, rotation_rate_hz = number("POINT", "RATE", 0), number("ROTATION", "RATE", 0)
    ratio = number("ROTATION", "RATIO", int(rotation_rate_hz / rate_hz) if rate_hz else 0)
    if min(used, ratio, block) < 0 or used * ratio * frames * 17 * 4 > max(0, size - (block - 1) * _BLOCK):
        raise damaged(f"ROTATION states {used:g} rotations in {frames} frames")


def _real(data: bytes, at: int, processor: int) -> float:
    """Return the 4-byte float at byte ``at``; a DEC float has swapped words and a quarter of the resulting value."""
    if processor == _DEC:
        swapped = data[at + 2 : at + 4] + data[at : at + 2]
        return float(struct.unpack("<f", swapped)[0]) / 4
    return float(struct.unpack_from(">f" if processor == _SGI else "<f", data, at)[0])


@dataclass(frozen=True)
class _Parameter:
    count: int  # number of values
    first: float = 0.0  # the first value if numeric
    words: tuple[int, ...] = ()  # the first two values if 2-byte integers


_NONE = _Parameter(0)


def _parameters(
    damaged: Callable[[str], GaitError], data: bytes, at: int, processor: int
) -> dict[tuple[str, str], _Parameter]:
    """Return the parameters by group and name, read from the records that start at byte ``at``."""
    order = ">" if processor == _SGI else "<"
    groups: dict[int, str] = {}
    parameters: dict[tuple[int, str], _Parameter] = {}
    while at + 2 <= len(data):
        incomplete = f"its parameter section breaks off at byte {at}"
        name_length, group = struct.unpack_from("bb", data, at)
        if name_length == 0 or group == 0:
            break
        name = data[at + 2 : at + 2 + abs(name_length)].partition(b"\0")[0].decode("latin-1").upper()
        at += 2 + abs(name_length)
        if at + 4 > len(data):
            raise damaged(incomplete)
        (offset,) = struct.unpack_from(f"{order}H", data, at)
        if group < 0:
            if name in groups.values() and groups.get(-group) != name:
                raise damaged("two of its parameter groups have the same name")
            groups[-group] = name
        else:
            kind, dimensions = struct.unpack_from("bB", data, at + 2)
            sizes = data[at + 4 : at + 4 + dimensions]
            count, values = math.prod(sizes), at + 4 + dimensions
            end = values + count * abs(kind)
            if kind not in (-1, 1, 2, 4) or dimensions > 7 or count > _MAX_PARAMETER_VALUES or end > len(data):
                raise damaged(incomplete)
            if (offset and end > at + offset) or (kind == -1 and not dimensions):  # the latter crashes ezc3d
                raise damaged(incomplete)
            parameters[group, name] = _parameter(data, values, kind, count, processor)
        if offset == 0:
            break
        if offset < 3:
            raise damaged(incomplete)
        at += offset
    else:
        raise damaged(f"its parameter section breaks off at byte {at}")
    if not {group for group, _ in parameters} <= groups.keys():
        raise damaged("it has parameters of unnamed groups")
    return {(groups[group], name): parameter for (group, name), parameter in parameters.items()}


def _parameter(data: bytes, at: int, kind: int, count: int, processor: int) -> _Parameter:
    if kind == 2 and count:
        words = struct.unpack_from(f"{'>' if processor == _SGI else '<'}{min(count, 2)}H", data, at)
        return _Parameter(count, words[0], words)
    if kind == 4 and count:
        return _Parameter(count, _real(data, at, processor))
    return _Parameter(count, data[at] if kind == 1 and count else 0.0)


FORMAT = FileFormat("c3d", "C3D", (".c3d",), read_c3d)
