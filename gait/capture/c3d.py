"""C3D files, read with ezc3d after a look at their structure.

ezc3d zero-fills a file that was cut short and can crash on one whose parameter section is damaged, so that
both are recognised here first.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ezc3d
import numpy as np
from numpy.typing import NDArray

from gait.capture.labels import cleaned, split_prefixes
from gait.capture.raw_points import RawPoints, mask_missing
from gait.capture.recording import Event
from gait.errors import GaitError

_BLOCK = 512
_MAGIC = 0x50
_INTEL, _DEC, _SGI = 84, 85, 86
_LARGEST_PARAMETER = 1 << 20  # values in one parameter; a larger count only occurs in damaged files
_LONGEST_LIST = 255  # a longer list goes on in KEY2
_OUTPUT_GROUPS = ("ANGLES", "FORCES", "MOMENTS", "POWERS", "SCALARS", "REACTIONS")

_SIDE_WORDS = {"left": "left", "right": "right", "l": "left", "r": "right"}
_SIDE_IN_LABEL = re.compile(r"^(left|right|l|r)(?=[\s_\-]|HS|TO|FS|FO|IC|HC)", re.IGNORECASE)


def read_c3d(path: Path) -> RawPoints:
    """The points and events of a C3D file.

    Raises GaitError where the file is missing, no C3D file, cut short, damaged, or refused by ezc3d.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GaitError(f"{path}: cannot be read ({error.strerror}); check the path.") from error
    frames_promised = _check_structure(path, data)
    try:
        content = ezc3d.c3d(str(path))
    except Exception as error:  # ezc3d raises whatever its C++ threw: OSError, RuntimeError, ValueError, ...
        reason = " ".join(str(error).split()) or type(error).__name__
        raise GaitError(
            f"{path}: ezc3d cannot read this C3D file ({reason}); export it again in another variant."
        ) from error
    parameters = content["parameters"]
    point = parameters["POINT"]
    positions = np.ascontiguousarray(np.moveaxis(content["data"]["points"][:3], 0, -1).swapaxes(0, 1), dtype=np.float64)
    if positions.size == 0:
        raise GaitError(f"{path}: holds no points ({frames_promised} frames, no marker); nothing can be fitted to it.")
    residuals = np.asarray(content["data"]["meta_points"]["residuals"])[0].T  # (T, P)
    if residuals.shape == positions.shape[:2]:
        positions = np.where((residuals < 0)[..., None], np.nan, positions)
    labels = [str(label) for label in _values(point, "LABELS")][: positions.shape[1]]
    labels += [""] * (positions.shape[1] - len(labels))
    rate_hz = _first_number(point, "RATE") or float(content["header"]["points"]["frame_rate"])
    events, event_subjects = _events(parameters.get("EVENT", {}))
    units = _values(point, "UNITS")
    y_screen = _values(point, "Y_SCREEN")
    return RawPoints(
        path=path,
        labels=tuple(labels),
        positions=mask_missing(positions),
        rate_hz=rate_hz,
        first_frame=int(content["header"]["points"]["first_frame"]) + 1,
        unit=str(units[0]) if units else None,
        y_screen=str(y_screen[0]) if y_screen else "",
        listed_outputs=_listed_names(point, _output_groups(point)),
        modeled_markers=_listed_names(point, ("MODELED_MARKERS",)),
        events=events,
        event_subjects=event_subjects,
    )


def _output_groups(point: Mapping[str, Any]) -> tuple[str, ...]:
    """Lists of POINT that name model outputs: the usual ones and those that TYPE_GROUPS announces."""
    announced = [cleaned(str(name)) for name in _values(point, "TYPE_GROUPS")][::2]
    return (*_OUTPUT_GROUPS, *(name for name in announced if name and name != "MODELED_MARKERS"))


def _listed_names(point: Mapping[str, Any], groups: tuple[str, ...]) -> frozenset[str]:
    names = [str(value) for group in dict.fromkeys(groups) for value in _values(point, group)]
    return frozenset(name.name for name in split_prefixes(names) if name.name)


def _values(group: Mapping[str, Any], key: str) -> list[Any]:
    """Values of a parameter and of its continuations ``KEY2``, ``KEY3``, ... (a list holds 255 at most)."""
    values: list[Any] = []
    name, number = key, 1
    while name in group:
        values.extend(np.ravel(np.asarray(group[name]["value"], dtype=object)).tolist())
        number += 1
        name = f"{key}{number}"
    return values


def _first_number(group: Mapping[str, Any], key: str) -> float:
    """First value of a numeric parameter, 0 where there is none or it is no number."""
    values = _values(group, key)
    try:
        return float(values[0]) if values and np.isfinite(float(values[0])) else 0.0
    except (TypeError, ValueError):
        return 0.0


def _events(group: Mapping[str, Any]) -> tuple[tuple[Event, ...], tuple[str, ...]]:
    """Events in the order of time, and the subject of each ("" where the file gives none)."""
    tables: list[NDArray[np.float64]] = []
    for number in ("", "2", "3", "4"):
        if f"TIMES{number}" in group:
            times = np.asarray(group[f"TIMES{number}"]["value"], dtype=np.float64)
            if times.size and times.size % 2 == 0:
                tables.append(times if times.ndim == 2 and times.shape[0] == 2 else times.reshape(-1, 2).T)
    if not tables:
        return (), ()
    minutes, seconds = np.concatenate(tables, axis=1)
    count = len(seconds)
    if used := int(_first_number(group, "USED")):
        count = min(count, used)
    words = {key: [cleaned(str(value)) for value in _values(group, key)] for key in ("LABELS", "CONTEXTS", "SUBJECTS")}

    def word(key: str, k: int) -> str:
        return words[key][k] if k < len(words[key]) else ""

    found = []
    for k in range(count):
        time_s = float(60.0 * minutes[k] + seconds[k])
        if np.isfinite(time_s):
            found.append(
                (
                    Event(word("LABELS", k), _side(word("CONTEXTS", k), word("LABELS", k)), time_s),
                    word("SUBJECTS", k),
                )
            )
    found.sort(key=lambda pair: pair[0].time_s)
    return tuple(event for event, _ in found), tuple(subject for _, subject in found)


def _side(context: str, label: str) -> str:
    """``left``, ``right`` or "": the event's context, else a side that its label begins with (``LHS``)."""
    if side := _SIDE_WORDS.get(context.lower()):
        return side
    match = _SIDE_IN_LABEL.match(label)
    return _SIDE_WORDS[match[1].lower()] if match and not context else ""


def _check_structure(path: Path, data: bytes) -> int:
    """Refuse what is no whole C3D file; gives the number of frames that the header promises."""
    if not data:
        raise GaitError(f"{path}: the file is empty; copy or export it again.")
    if len(data) < 2 * _BLOCK or data[1] != _MAGIC:
        raise GaitError(f"{path}: is no C3D file (its second byte is not 0x50); give a file exported as C3D.")
    section = (data[0] - 1) * _BLOCK
    if section < _BLOCK or section + 4 > len(data):
        raise GaitError(f"{path}: is damaged (its parameters should begin at byte {section}); export it again.")
    processor = data[section + 3]
    if processor not in (_INTEL, _DEC, _SGI):
        raise GaitError(f"{path}: is damaged (its processor type is {processor}, not 84, 85 or 86); export it again.")
    order = ">" if processor == _SGI else "<"
    parameters = _parameters(path, data, section + 4, order)
    points, analog_words, first, last = struct.unpack_from(f"{order}4H", data, 2)
    (start_block,) = struct.unpack_from(f"{order}H", data, 16)
    if start_block < 2 or last < first:
        raise GaitError(f"{path}: is damaged (frames {first} to {last}, data in block {start_block}); export it again.")
    # Every sample's place follows from these counts: where they disagree all of them would be misread.
    points_used = parameters.get(("POINT", "USED"), _Parameter(1, points)).first
    channels = max(1, parameters.get(("ANALOG", "USED"), _Parameter(1, 1)).first)
    if points_used != points or analog_words % channels:
        raise GaitError(
            f"{path}: is damaged (its header counts {points} points, {analog_words} analog samples a frame, "
            f"its parameters {points_used} points and {channels} channels); export it again."
        )
    for name in ("SCALE", "OFFSET") if analog_words else ():  # ezc3d crashes without them
        given = parameters.get(("ANALOG", name), _Parameter(0, 0)).count
        if given < min(channels, _LONGEST_LIST):
            raise GaitError(
                f"{path}: is damaged (ANALOG:{name} has {given} values for {channels} channels); export it again."
            )
    frames = last - first + 1
    # The sign of the scale factor says whether samples are floats (4 bytes) or integers (2 bytes).
    sign_byte = {_INTEL: 15, _DEC: 13, _SGI: 12}[processor]
    word_bytes = 4 if data[sign_byte] & 0x80 else 2
    needed = frames * (4 * points + analog_words) * word_bytes
    available = len(data) - (start_block - 1) * _BLOCK
    if needed > available and last != 0xFFFF:
        raise GaitError(
            f"{path}: is cut short (its header promises {frames} frames of {points} points, {needed} bytes, "
            f"but {max(available, 0)} are there); copy or export it again."
        )
    return frames


@dataclass(frozen=True)
class _Parameter:
    count: int  # number of values
    first: int  # the first one where they are integers, else 0


def _parameters(path: Path, data: bytes, at: int, order: str) -> dict[tuple[str, str], _Parameter]:
    """What is needed of the parameters, by group and name; walks their records from byte ``at``.

    Raises GaitError where a record runs out of the file or belongs to no group.
    """

    def damaged(record: int) -> GaitError:
        return GaitError(f"{path}: is damaged (its parameter section breaks off at byte {record}); export it again.")

    groups: dict[int, str] = {}
    parameters: dict[tuple[int, str], _Parameter] = {}
    while at + 2 <= len(data):
        record = at
        name_length, group = struct.unpack_from("bb", data, at)
        if name_length == 0 or group == 0:
            break
        name = data[at + 2 : at + 2 + abs(name_length)].decode("latin-1").upper()
        at += 2 + abs(name_length)
        if at + 4 > len(data):
            raise damaged(record)
        (offset,) = struct.unpack_from(f"{order}H", data, at)
        if group < 0:
            groups[-group] = name
        else:
            kind, dimensions = struct.unpack_from("bB", data, at + 2)
            sizes = data[at + 4 : at + 4 + dimensions]
            count = math.prod(sizes)
            end = at + 4 + dimensions + count * abs(kind)
            if kind not in (-1, 1, 2, 4) or dimensions > 7 or count > _LARGEST_PARAMETER or end > len(data):
                raise damaged(record)
            if offset and end > at + offset:
                raise damaged(record)
            integer = kind == 2 and count > 0
            first = struct.unpack_from(f"{order}H", data, at + 4 + dimensions)[0] if integer else 0
            parameters[group, name] = _Parameter(count, first)
        if offset == 0:
            break
        if offset < 3:
            raise damaged(record)
        at += offset
    else:
        raise damaged(at)
    if not {group for group, _ in parameters} <= groups.keys():
        raise GaitError(f"{path}: is damaged (it has parameters of groups that it does not name); export it again.")
    return {(groups[group], name): parameter for (group, name), parameter in parameters.items()}
