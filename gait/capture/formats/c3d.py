"""Read C3D files: parameters with a parser of our own, points with ezc3d or, where it cannot, with that parser.

ezc3d fills truncated files with zeros, checks no counts, refuses parameters of unusual types, and crashes or hangs on
some damaged files. A file in which header, parameters and size agree is read by ezc3d.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gait.capture.c3d_file import C3dFile, Parameter
from gait.capture.event_labels import parse_event_label
from gait.capture.file_format import FileFormat
from gait.capture.force_plates import read_force_plates
from gait.capture.marker_names import split_prefixes, strip_label
from gait.capture.parse_c3d import parse_c3d
from gait.capture.raw_recording import RawRecording, mask_missing
from gait.capture.recording import GaitEvent

_OUTPUT_GROUPS = ("ANGLES", "FORCES", "MOMENTS", "POWERS", "SCALARS", "REACTIONS")


def read_c3d(path: Path) -> RawRecording:
    """Read the points and events of a C3D file, with ezc3d if it can.

    Raises:
        GaitError: the file is missing, is not a C3D file, or its points cannot be found.
    """
    parsed = parse_c3d(path)
    if not parsed.regular:
        return _to_raw_recording(path, parsed)
    import ezc3d  # only the process that parses files needs it

    try:
        content = ezc3d.c3d(str(path))
    except MemoryError:
        raise
    except Exception as error:  # from C++: OSError, RuntimeError, ValueError, ...
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        note = f"ezc3d cannot read this file ({reason}); its points were read without ezc3d."
        return _to_raw_recording(path, replace(parsed, notes=(*parsed.notes, note)))
    positions = np.moveaxis(content["data"]["points"][:3], 0, -1).swapaxes(0, 1)
    residuals = np.asarray(content["data"]["meta_points"]["residuals"])[0].T  # (T, P)
    # ezc3d drops empty frames at the end.
    if positions.shape[1] != parsed.layout.points or residuals.shape != positions.shape[:2]:
        note = "ezc3d reads another number of points; they were read without ezc3d."
        return _to_raw_recording(path, replace(parsed, notes=(*parsed.notes, note)))
    positions = np.where((residuals < 0)[..., None], np.nan, positions)[: parsed.frames]
    return _to_raw_recording(path, parsed, np.ascontiguousarray(positions, dtype=np.float64))


def read_c3d_without_ezc3d(path: Path) -> RawRecording:
    """Read the points and events of a C3D file without ezc3d, which crashes or hangs on some.

    Raises:
        GaitError: the file is missing, is not a C3D file, or its points cannot be found.
    """
    parsed = parse_c3d(path)
    note = "ezc3d cannot read this file; its points were read without ezc3d."
    return _to_raw_recording(path, replace(parsed, notes=(*parsed.notes, note)))


def _to_raw_recording(path: Path, parsed: C3dFile, positions: NDArray[np.float64] | None = None) -> RawRecording:
    """Return the recording of a parsed file, with the positions (T, P, 3) that ezc3d read or its own."""
    if positions is None:
        positions = parsed.positions()
    point = parsed.parameters.get("POINT", {})
    labels = _texts(point, "LABELS")[: positions.shape[1]]
    labels += [""] * (positions.shape[1] - len(labels))
    events, event_subjects = _events(parsed.parameters.get("EVENT", {}))
    plates, plate_notes = read_force_plates(parsed)
    units, y_screen = _texts(point, "UNITS"), _texts(point, "Y_SCREEN")
    return RawRecording(
        path=path,
        labels=tuple(labels),
        positions=mask_missing(positions),
        rate_hz=parsed.rate_hz,
        first_frame=parsed.first_frame,
        unit=units[0] if units else None,
        y_screen=y_screen[0] if y_screen else "",
        listed_outputs=_listed_names(point, _output_groups(point)),
        modeled_markers=_listed_names(point, ("MODELED_MARKERS",)),
        events=events,
        event_subjects=event_subjects,
        force_plates=plates,
        notes=(*parsed.notes, *plate_notes),
        warnings=parsed.warnings,
    )


def _texts(group: Mapping[str, Parameter], key: str) -> list[str]:
    """Return the texts of a parameter and its continuations ``KEY2``, ``KEY3``, ... (a list has at most 255)."""
    texts: list[str] = []
    name, number = key, 1
    while name in group:
        value = group[name].value
        texts.extend(value if isinstance(value, list) else map(str, value.ravel(order="F").tolist()))
        number += 1
        name = f"{key}{number}"
    return texts


def _output_groups(point: Mapping[str, Parameter]) -> tuple[str, ...]:
    """Return the lists of POINT that name model outputs: the usual ones and those in TYPE_GROUPS."""
    declared = [strip_label(name) for name in _texts(point, "TYPE_GROUPS")][::2]
    return (*_OUTPUT_GROUPS, *(name for name in declared if name and name != "MODELED_MARKERS"))


def _listed_names(point: Mapping[str, Parameter], groups: tuple[str, ...]) -> frozenset[str]:
    names = [text for group in dict.fromkeys(groups) for text in _texts(point, group)]
    return frozenset(name.name for name in split_prefixes(names) if name.name)


def _events(group: Mapping[str, Parameter]) -> tuple[tuple[GaitEvent, ...], tuple[str, ...]]:
    """Return the events sorted by time, and the subject of each ("" if the file gives none)."""
    tables: list[NDArray[np.float64]] = []
    for number in ("", "2", "3", "4"):
        times = group[f"TIMES{number}"].value if f"TIMES{number}" in group else []
        if not isinstance(times, list) and times.size and times.size % 2 == 0:
            tables.append(times.astype(np.float64).reshape((2, -1), order="F"))
    if not tables:
        return (), ()
    minutes, seconds = np.concatenate(tables, axis=1)
    used = group["USED"].first if "USED" in group else 0.0
    count = int(used) if 1 <= used <= len(seconds) else len(seconds)
    labels, contexts, subjects = (
        [*map(strip_label, _texts(group, key)), *[""] * count] for key in ("LABELS", "CONTEXTS", "SUBJECTS")
    )
    times_s = (60.0 * minutes + seconds)[:count].tolist()
    found = [
        (GaitEvent(label, parse_event_label(label, context)[1], time_s), subject)
        for time_s, label, context, subject in zip(times_s, labels, contexts, subjects, strict=False)
        if np.isfinite(time_s)
    ]
    found.sort(key=lambda pair: pair[0].time_s)
    return tuple(event for event, _ in found), tuple(subject for _, subject in found)


FORMAT = FileFormat("c3d", "C3D", (".c3d",), read_c3d, read_c3d_without_ezc3d)
