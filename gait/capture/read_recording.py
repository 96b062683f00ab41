"""From a file of any laboratory to a Recording: metres, y up, canonical labels, gaps as gaps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gait.capture.file_formats import READERS
from gait.capture.marker_heights import seen_samples
from gait.capture.marker_names import (
    CANONICAL_MARKERS,
    canonical_marker,
    is_model_position,
    is_unlabelled,
    model_outputs,
    own_marker,
    split_prefixes,
)
from gait.capture.raw_recording import RawRecording
from gait.capture.recording import Recording
from gait.capture.sandboxed_reader import read_points
from gait.capture.select_subject import choose_subject
from gait.capture.units import find_unit
from gait.capture.up_axis import find_up, is_mirrored, rotation_to_y_up
from gait.errors import GaitError


def read_recording(path: str | Path, *, subject: str | None = None) -> Recording:
    """Read a marker recording: ``.c3d``, ``.trc`` or ``.json`` (a plain-text marker file).

    Gives positions in metres with y up, whatever the file's unit and axes; markers under their Plug-in Gait
    names where they have one, else their own in upper case; NaN where a marker was not seen. What had to be
    guessed stands in the recording's notes.

    ``subject`` picks a person in a file of several: the prefix of the labels, or the person's number from 1.
    Without it the one with most markers is read.

    Raises GaitError where the file is missing, foreign, damaged or holds no marker that was ever seen.
    """
    path = Path(path)
    if path.suffix.lower() not in READERS:
        raise GaitError(f"{path}: a recording is a {', '.join(READERS)} file; this is {path.suffix or path.name}.")
    try:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "there is no such file"
            raise GaitError(f"{path}: {what}; check the path.")
    except OSError as error:  # a name that the file system cannot have
        raise GaitError(f"{path}: {error.strerror}; check the path.") from error
    return _recording(read_points(path), subject)


def _recording(raw: RawRecording, subject: str | None) -> Recording:
    names = split_prefixes(raw.labels)
    bare = np.array([name.name for name in names], dtype=object)
    seen = seen_samples(raw.positions)  # (T, P)
    outputs = model_outputs(bare, raw.listed_outputs)
    declared = np.array([name in raw.modeled_markers and name not in outputs for name in bare], dtype=bool)
    computed = declared | np.array([name in outputs for name in bare], dtype=bool)
    unlabelled = np.array([is_unlabelled(name) for name in bare], dtype=bool)
    choice = choose_subject(names, ~(computed | unlabelled), seen.sum(axis=0), subject, raw.path)
    notes = [*raw.notes, *filter(None, [choice.note])]

    measured = np.flatnonzero(choice.mine & ~computed & ~unlabelled)
    modeled = np.flatnonzero(choice.mine & declared & ~unlabelled)
    columns, marker_notes = _marker_columns(raw, bare, measured, modeled, seen)
    notes += marker_notes
    if not columns:
        there = f"{len(names)} points, {int(unlabelled.sum())} of them unlabelled, {int(computed.sum())} computed"
        raise GaitError(f"{raw.path}: holds no marker that was ever seen ({there}); label them and export it again.")

    labels = tuple(columns)
    file_positions = raw.positions[:, list(columns.values())]
    unit = find_unit(raw.unit, labels, file_positions)
    positions_m = file_positions * unit.metres
    up = find_up(labels, positions_m, raw.rate_hz, raw.y_screen)
    rotation = rotation_to_y_up(up)
    positions_m = positions_m @ rotation.T
    notes += [note for note in (unit.note, up.note) if note]
    if is_mirrored(labels, positions_m):
        notes.append("Left and right look exchanged: the recording is mirrored or its labels are; it is read as it is.")
    if not any(label in CANONICAL_MARKERS for label in labels):
        notes.append("No marker has a name that Plug-in Gait knows; a constraint file must say where they sit.")

    used = set(columns.values())
    places = {
        str(bare[k]): (raw.positions[:, k] * unit.metres) @ rotation.T
        for k in np.flatnonzero(choice.mine & computed)
        if k not in used
        and seen[:, k].any()
        and (is_model_position(bare[k]) or (k in modeled and canonical_marker(bare[k]) not in columns))
    }
    prefixes = {name.prefix for name in names}
    events = tuple(
        event
        for k, event in enumerate(raw.events)
        if not choice.prefix
        or k >= len(raw.event_subjects)
        or not _names_another(raw.event_subjects[k], choice.prefix, prefixes)
    )
    return Recording(
        path=raw.path,
        labels=labels,
        positions_m=positions_m,
        visible=seen_samples(positions_m),
        rate_hz=raw.rate_hz,
        first_frame=raw.first_frame,
        events=events,
        unused_labels=tuple(str(name) for k, name in enumerate(bare) if k not in used),
        model_outputs=places,
        notes=tuple(notes),
        source_unit=unit.name,
        source_up=up.name,
        stated_unit=unit.contradicts,
    )


def _marker_columns(
    raw: RawRecording,
    bare: NDArray[np.object_],
    measured: NDArray[np.intp],
    modeled: NDArray[np.intp],
    seen: NDArray[np.bool_],
) -> tuple[dict[str, int], list[str]]:
    """Which point of the file is which marker, by marker name in the file's order; and notes on the choice.

    A point under its own canonical name goes before one under another name of it, a measured one before a
    computed one, and among namesakes the one seen more often counts.
    """
    notes: list[str] = []
    never = [str(bare[k]) for k in measured if not seen[:, k].any()]
    if never:
        notes.append(f"Never seen and left out: {', '.join(never)}.")

    best: dict[str, int] = {}
    doubled: list[str] = []
    for k in measured:
        if not seen[:, k].any():
            continue
        marker = canonical_marker(bare[k]) or own_marker(bare[k])
        if marker in best:
            doubled.append(marker)
            if _rank(bare, seen, k, marker) <= _rank(bare, seen, best[marker], marker):
                continue
        best[marker] = int(k)
    if doubled:
        notes.append(f"Several points mean the same marker, the best seen is read: {', '.join(sorted(set(doubled)))}.")

    if _is_middle(raw.positions, best, "SACR", "LPSI", "RPSI"):
        del best["SACR"]
        notes.append("SACR is computed as the middle of LPSI and RPSI and left out.")

    restored = []
    for k in modeled:
        known = canonical_marker(bare[k])
        if known is not None and known not in best and seen[:, k].any():
            best[known] = int(k)
            restored.append(known)
    if restored:
        notes.append(f"Computed by the laboratory's model, read as markers: {', '.join(restored)}.")

    renamed = [f"{bare[k]} as {marker}" for marker, k in best.items() if str(bare[k]).upper() != marker]
    renamed = [text for text in renamed if text.rpartition(" as ")[2] in CANONICAL_MARKERS]
    if renamed:
        notes.append(f"Read under Plug-in Gait's names: {', '.join(renamed)}.")
    return dict(sorted(best.items(), key=lambda item: item[1])), notes


def _rank(bare: NDArray[np.object_], seen: NDArray[np.bool_], k: int, marker: str) -> tuple[bool, int]:
    return str(bare[k]).upper() == marker, int(seen[:, k].sum())


def _is_middle(positions: NDArray[np.float64], columns: Mapping[str, int], point: str, a: str, b: str) -> bool:
    """Whether ``point`` is exactly half-way between ``a`` and ``b`` wherever all three are seen."""
    if not {point, a, b} <= columns.keys():
        return False
    gap = positions[:, columns[a]] - positions[:, columns[b]]
    off = positions[:, columns[point]] - 0.5 * (positions[:, columns[a]] + positions[:, columns[b]])
    both = np.isfinite(gap).all(axis=1) & np.isfinite(off).all(axis=1)
    if not both.any():
        return False
    return bool(np.linalg.norm(off[both], axis=1).max() <= 1e-3 * np.linalg.norm(gap[both], axis=1).mean())


def _names_another(event_subject: str, chosen: str, prefixes: set[str]) -> bool:
    """Whether an event says that it belongs to another subject of the file than the chosen one."""
    others = {prefix.casefold() for prefix in prefixes if prefix and prefix != chosen}
    return event_subject.casefold() in others
