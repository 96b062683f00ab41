"""Read a recording file of any laboratory: positions in metres, y up, canonical labels, NaN in gaps."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gait.capture.force_plates import to_force_plate
from gait.capture.formats import FORMATS, file_format
from gait.capture.marker_heights import visible_mask
from gait.capture.marker_names import (
    canonical_markers,
    find_model_outputs,
    is_model_position,
    is_unlabelled,
    sanitize_marker_name,
    split_prefixes,
)
from gait.capture.merge_tracks import merge_tracks
from gait.capture.raw_recording import RawRecording
from gait.capture.recording import GaitEvent, Recording
from gait.capture.sandboxed_reader import read_raw_recording
from gait.capture.select_subject import select_subject
from gait.capture.units import infer_unit
from gait.capture.up_axis import infer_up_axis, is_mirrored, rotation_to_y_up
from gait.errors import GaitError
from gait.marker_sets import MARKERS, set_of_recording


def read_recording(
    path: str | Path, *, subject_index: int | None = None, subject_prefix: str | None = None
) -> Recording:
    """Read the marker recording in a file of one of the ``gait.capture.formats``.

    Positions are converted to metres with y up from any unit and axes. Markers get the canonical name of their
    marker set, else their own name in upper case. Positions are NaN where a marker is not visible. What was inferred is
    listed in the notes of the recording, what was lost, guessed or overruled in its warnings.

    Args:
        path: the file.
        subject_index: number of the subject, from 1, in a file with several; ignored if the file has only one.
        subject_prefix: label prefix of the subject, in place of its number. With neither, the subject with most markers
            is read.

    Raises:
        GaitError: the file is missing, damaged, of another format, or has no visible marker.
    """
    path = Path(path)
    if file_format(path) is None:
        known = ", ".join(f"{each.title} ({', '.join(each.suffixes)})" for each in FORMATS.values())
        raise GaitError(f"{path}: {path.suffix or path.name} is not a format of recordings; give a file in {known}.")
    try:
        if not path.is_file():
            problem = "is a folder" if path.is_dir() else "does not exist"
            raise GaitError(f"{path}: {problem}; check the path.")
    except OSError as error:  # a name that the file system cannot have
        raise GaitError(f"{path}: {error.strerror}; check the path.") from error
    return _to_recording(read_raw_recording(path), subject_index, subject_prefix)


def _to_recording(raw: RawRecording, subject_index: int | None, subject_prefix: str | None) -> Recording:
    names = split_prefixes(raw.labels)
    bare = np.array([name.name for name in names], dtype=object)
    visible = visible_mask(raw.positions)  # (T, P)
    outputs = find_model_outputs(bare, raw.listed_outputs)
    declared = np.array([name in raw.modeled_markers and name not in outputs for name in bare], dtype=bool)
    computed = declared | np.array([name in outputs for name in bare], dtype=bool)
    unlabelled = np.array([is_unlabelled(name) for name in bare], dtype=bool)
    num_visible = visible.sum(axis=0)
    try:
        selection = select_subject(names, ~(computed | unlabelled), num_visible, subject_index, subject_prefix)
    except GaitError as error:
        raise GaitError(f"{raw.path}: {error}") from None
    notes = list(raw.notes)
    warnings = list(raw.warnings)
    if selection.note:
        (warnings if selection.guessed else notes).append(selection.note)

    measured = np.flatnonzero(selection.selected & ~computed & ~unlabelled)
    modeled = np.flatnonzero(selection.selected & declared & ~unlabelled)
    known = canonical_markers(str(bare[k]) for k in (*measured, *modeled) if visible[:, k].any())
    raw, absorbed = _merge_tracks(raw, bare, known, measured[num_visible[measured] > 0], warnings)
    visible, measured = visible_mask(raw.positions), measured[~np.isin(measured, list(absorbed))]
    columns = _select_columns(raw, bare, known, measured, modeled, visible, notes, warnings)
    if not columns:
        counts = f"{len(names)} points, {int(unlabelled.sum())} of them unlabelled, {int(computed.sum())} computed"
        raise GaitError(f"{raw.path}: has no visible marker ({counts}); label the markers and export it again.")

    labels = tuple(columns)
    file_positions = raw.positions[:, list(columns.values())]
    unit = infer_unit(raw.unit, labels, file_positions)
    positions_m = file_positions * unit.metres
    up = infer_up_axis(labels, positions_m, raw.rate_hz, raw.y_screen)
    rotation = rotation_to_y_up(up)
    positions_m = positions_m @ rotation.T
    warnings += filter(None, [unit.note])
    (warnings if up.uncertain else notes).append(up.note)
    _describe_labels(labels, positions_m, notes, warnings)

    used = {*columns.values(), *absorbed}
    outputs_m = {
        str(bare[k]): (raw.positions[:, k] * unit.metres) @ rotation.T
        for k in np.flatnonzero(selection.selected & computed)
        if k not in used
        and visible[:, k].any()
        and (is_model_position(bare[k]) or (k in modeled and known.get(bare[k]) not in columns))
    }
    return Recording(
        path=raw.path,
        labels=labels,
        positions_m=positions_m,
        visible=visible_mask(positions_m),
        rate_hz=raw.rate_hz,
        first_frame=raw.first_frame,
        events=_events_of_subject(raw, selection.prefix, {name.prefix for name in names}),
        force_plates=tuple(to_force_plate(plate, unit.metres, rotation) for plate in raw.force_plates),
        unused_labels=tuple(str(name) for k, name in enumerate(bare) if k not in used),
        model_outputs=outputs_m,
        notes=tuple(notes),
        warnings=tuple(warnings),
        marker_set=set_of_recording((str(bare[k]) for k in columns.values()), labels).path.stem,
        source_unit=unit.name,
        source_up=up.name,
        stated_unit=unit.overruled,
    )


def _merge_tracks(
    raw: RawRecording,
    bare: NDArray[np.object_],
    known: Mapping[str, str],
    measured: NDArray[np.intp],
    warnings: list[str],
) -> tuple[RawRecording, set[int]]:
    """Merge tracks of the same marker that complement each other; return also the columns that others absorbed.

    ``known`` has the canonical marker of each bare name that means one. Added to ``warnings`` is which were merged.
    """
    tracks: dict[str, list[int]] = {}
    markers = {k: known.get(bare[k]) or sanitize_marker_name(bare[k]) for k in measured}
    for k in sorted(markers, key=lambda k: (str(bare[k]).upper() != markers[k], k)):  # the canonical name first
        tracks.setdefault(markers[k], []).append(int(k))
    positions, merged = merge_tracks(tracks, raw.positions, raw.rate_hz)
    if merged:
        counts = ", ".join(f"{len(others) + 1} of {marker}" for marker, others in sorted(merged.items()))
        warnings.append(f"Tracks that complement each other are read as one marker: {counts}.")
    return replace(raw, positions=positions), {k for columns in merged.values() for k in columns}


def _describe_labels(
    labels: Sequence[str], positions_m: NDArray[np.float64], notes: list[str], warnings: list[str]
) -> None:
    """Add to ``notes`` and ``warnings`` what the markers' names mean for the fit."""
    if is_mirrored(labels, positions_m):
        warnings.append(
            "Left and right seem swapped: the recording is mirrored or its labels are wrong; it is read unchanged."
        )
    centres = [label for label in labels if label in MARKERS and MARKERS[label].kind == "joint_centre"]
    if 2 * len(centres) > len(labels):
        notes.append("Its points are joint centres, not markers on the skin, and are fitted as such.")
    if not any(label in MARKERS for label in labels):
        warnings.append("No marker has a known name; a marker layout file must place the markers on the body.")


def _events_of_subject(raw: RawRecording, prefix: str, prefixes: Collection[str]) -> tuple[GaitEvent, ...]:
    """Return the events without those that name another subject of the file; ``prefixes`` are those of all."""
    others = {each.casefold() for each in prefixes if each and each != prefix}
    subjects = (*raw.event_subjects, *[""] * len(raw.events))
    return tuple(
        event
        for event, subject in zip(raw.events, subjects, strict=False)
        if not prefix or subject.casefold() not in others
    )


def _select_columns(
    raw: RawRecording,
    bare: NDArray[np.object_],
    known: Mapping[str, str],
    measured: NDArray[np.intp],
    modeled: NDArray[np.intp],
    visible: NDArray[np.bool_],
    notes: list[str],
    warnings: list[str],
) -> dict[str, int]:
    """Return the column of each marker, by marker name in the order of the file; add to ``notes`` and ``warnings``.

    ``known`` has the canonical marker of each bare name that means one.

    If several points are the same marker, a point with the canonical name has precedence over one with an alias, then
    the point that is visible in more frames. A measured point has precedence over a computed one.
    """
    never = [str(bare[k]) for k in measured if not visible[:, k].any()]
    if never:
        notes.append(f"Never visible, excluded: {', '.join(never)}.")

    best: dict[str, int] = {}
    duplicates: list[str] = []
    for k in measured:
        if not visible[:, k].any():
            continue
        marker = known.get(bare[k]) or sanitize_marker_name(bare[k])
        if marker in best:
            duplicates.append(marker)
            ranks = [(str(bare[j]).upper() == marker, visible[:, j].sum()) for j in (k, best[marker])]
            if ranks[0] <= ranks[1]:
                continue
        best[marker] = int(k)
    if duplicates:
        names = ", ".join(sorted(set(duplicates)))
        warnings.append(f"Several points are the same marker, the most visible is read: {names}.")

    for name in [name for name in best if name in MARKERS and MARKERS[name].midpoint_of]:
        a, b = MARKERS[name].midpoint_of
        if _is_midpoint(raw.positions, best, name, a, b):
            del best[name]
            notes.append(f"{name} is computed as the midpoint of {a} and {b} and is excluded.")

    restored = []
    for k in modeled:
        marker = known.get(bare[k], "")
        if marker and marker not in best and visible[:, k].any():
            best[marker] = int(k)
            restored.append(marker)
    if restored:
        notes.append(f"Computed by the laboratory model, read as markers: {', '.join(restored)}.")

    changed = {marker: bare[k] for marker, k in best.items() if marker in MARKERS and str(bare[k]).upper() != marker}
    if renamed := [f"{name} as {marker}" for marker, name in changed.items()]:
        notes.append(f"Renamed: {', '.join(renamed)}.")
    if unknown := [str(bare[k]) for marker, k in best.items() if marker not in MARKERS]:
        warnings.append(f"Of unknown names, fitted only if they move with a segment: {', '.join(unknown)}.")
    return dict(sorted(best.items(), key=lambda item: item[1]))


def _is_midpoint(positions: NDArray[np.float64], columns: Mapping[str, int], point: str, a: str, b: str) -> bool:
    """Return True if ``point`` is the midpoint of ``a`` and ``b`` in every frame in which all three are visible."""
    if not {point, a, b} <= columns.keys():
        return False
    gap = positions[:, columns[a]] - positions[:, columns[b]]
    deviation = positions[:, columns[point]] - 0.5 * (positions[:, columns[a]] + positions[:, columns[b]])
    complete = np.isfinite(gap).all(axis=1) & np.isfinite(deviation).all(axis=1)
    if not complete.any():
        return False
    away, distance = (np.linalg.norm(vectors[complete], axis=1) for vectors in (deviation, gap))
    return bool(away.max() <= 1e-3 * distance.mean())
