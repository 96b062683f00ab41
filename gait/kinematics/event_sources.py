"""Events of one trial from its laboratory, its force plates and kinematics: collected, compared, and one set chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

import numpy as np

from gait.arrays import Vector
from gait.body.joint_status import unobserved_joints
from gait.body.pose_sequence import PoseSequence, RecordedEvents
from gait.capture.event_labels import FOOT_OFF, INITIAL_CONTACT
from gait.capture.recording import Recording
from gait.kinematics.gait_events import (
    MAX_EVENT_DIFFERENCE_S,
    SIDES,
    EventSource,
    GaitEvents,
    detect_gait_events,
    sole_paths,
)
from gait.kinematics.plate_contacts import find_plate_contacts
from gait.text import pluralize

MIN_COVERED_FRACTION = 2 / 3
"""Of the events of whole strides, for the laboratory's own events to be used."""
_KINDS = (INITIAL_CONTACT, FOOT_OFF)
_KEYS = tuple((kind, side) for kind in _KINDS for side in SIDES)

_Table = Mapping[tuple[str, str], Vector]
"""(kind, side) -> (n,) frames."""
_Chosen = dict[tuple[str, str], list[tuple[float, EventSource]]]


def with_recorded_events(sequence: PoseSequence, recording: Recording) -> PoseSequence:
    """Return the fitted poses of a recording, or of a segment of it, with the events that the recording has."""
    begin_s = (sequence.first_frame - 1) / sequence.rate_hz  # frame f of the file is at (f - 1) / rate
    last_s = (sequence.num_frames - 1) / sequence.rate_hz
    rows: list[tuple[float, str, str, str]] = [
        (event.time_s - begin_s, event.kind, event.side, "laboratory")
        for event in recording.events
        if event.kind is not None and event.side in SIDES
    ]
    notes: tuple[str, ...] = ()
    soles = sole_paths(sequence)
    if recording.force_plates and soles is not None:
        offset_s = (sequence.first_frame - recording.first_frame) / sequence.rate_hz
        events = _kinematic_events(sequence)
        contacts, notes = find_plate_contacts(recording.force_plates, sequence, events, soles, offset_s)
        for contact in contacts:
            for kind, time_s in ((INITIAL_CONTACT, contact.contact_s), (FOOT_OFF, contact.foot_off_s)):
                if time_s is not None:
                    rows.append((time_s, kind, contact.side, "force plate"))
    rows = sorted(row for row in rows if 0 <= row[0] <= last_s)
    if not rows and not notes:
        return sequence
    kinds, sides, sources = (tuple(str(row[k]) for row in rows) for k in (1, 2, 3))
    recorded = RecordedEvents(np.array([row[0] for row in rows]), kinds, sides, sources, notes)
    return replace(sequence, recorded_events=recorded)


def choose_events(sequence: PoseSequence, source: EventSource | None = None) -> GaitEvents:
    """Return the events of a trial from the best source that it has, with notes on the choice and the differences.

    * The laboratory's own events are used where they cover the trial: between its first and its last mark no event of a
      whole stride is left out, and it marked at least two thirds of these. A reader then finds the strides that the
      laboratory analysed.
    * Else events are those of kinematics, which are complete, and a clean contact with a force plate replaces the event
      that it determines better. ``contact_sources`` and ``off_sources`` tell which.

    Sources are mixed in no other way: an incomplete set of marks would give strides that begin with one source and end
    with another. With ``source``, that one alone is used.
    """
    tables = {"kinematics": _table(_kinematic_events(sequence))}
    recorded = sequence.recorded_events
    notes = [] if recorded is None else list(recorded.notes)
    for name in ("laboratory", "force plate"):
        table = {} if recorded is None else _recorded_table(recorded, name, sequence.rate_hz)
        if any(len(frames) for frames in table.values()):
            tables[name] = table
    tolerance = MAX_EVENT_DIFFERENCE_S * sequence.rate_hz
    marked, expected, has_gap = _coverage(tables["kinematics"], tables.get("laboratory", {}), tolerance)
    chosen: _Chosen
    if source is not None:
        chosen = _all_of(tables.get(source, {}), source)
        notes.append(f"Events are those of one source, as asked for: {source}.")
    elif "laboratory" in tables and not has_gap and marked >= MIN_COVERED_FRACTION * expected:
        chosen = _all_of(tables["laboratory"], "laboratory")
        notes.append(f"Events are the laboratory's, which marked {marked} of {expected} in whole strides.")
    else:
        if "laboratory" in tables:
            notes.append(
                f"The laboratory marked {marked} of {expected} events in whole strides; they are compared only."
            )
        chosen = _all_of(tables["kinematics"], "kinematics")
        replaced = sum(_replace_events(chosen[key], tables.get("force plate", {}).get(key), tolerance) for key in _KEYS)
        total = sum(len(events) for events in chosen.values())
        notes.append(f"Events are from kinematics{f', {replaced} of {total} from force plates' if replaced else ''}.")
    for first, second in combinations(tables, 2):
        notes += _difference_notes(first, tables[first], second, tables[second], sequence.rate_hz)
    frames = {key: np.array([frame for frame, _ in events]) for key, events in chosen.items()}
    sources = {key: tuple(name for _, name in events) for key, events in chosen.items()}
    contacts, offs = ({side: (kind, side) for side in SIDES} for kind in _KINDS)
    return GaitEvents(
        initial_contacts={side: frames[key] for side, key in contacts.items()},
        foot_offs={side: frames[key] for side, key in offs.items()},
        contact_sources={side: sources[key] for side, key in contacts.items()},
        off_sources={side: sources[key] for side, key in offs.items()},
        notes=tuple(notes),
    )


def _kinematic_events(sequence: PoseSequence) -> GaitEvents:
    unobserved = unobserved_joints(sequence.joint_status)
    return detect_gait_events(sequence.joints_m, sequence.rate_hz, unobserved, sole_paths(sequence))


def _table(events: GaitEvents) -> _Table:
    by_kind = {INITIAL_CONTACT: events.initial_contacts, FOOT_OFF: events.foot_offs}
    return {(kind, side): by_kind[kind][side] for kind, side in _KEYS}


def _recorded_table(recorded: RecordedEvents, source: str, rate_hz: float) -> _Table:
    rows = list(zip(recorded.kinds, recorded.sides, recorded.sources, strict=True))
    return {key: np.sort(recorded.time_s[[row == (*key, source) for row in rows]]) * rate_hz for key in _KEYS}


def _coverage(kinematic: _Table, marks: _Table, tolerance: float) -> tuple[int, int, bool]:
    """Return how many events of whole strides are marked, how many there are, and whether the marks have a gap.

    Whole strides are those of either side by kinematics; a mark is within a tolerance in frames. A gap is an event
    without a mark between the first and the last mark.
    """
    contacts = [kinematic[INITIAL_CONTACT, side] for side in SIDES]
    whole = [(own[0], own[-1]) for own in contacts if len(own) > 1]
    found = [
        (frame, bool((np.abs(marks.get(key, np.empty(0)) - frame) <= tolerance).any()))
        for key, frames in kinematic.items()
        for frame in frames
        if any(first <= frame <= last for first, last in whole)
    ]
    every = np.concatenate([np.empty(0), *marks.values()])
    has_gap = any(not is_marked and every.min() < frame < every.max() for frame, is_marked in found if len(every))
    return sum(is_marked for _, is_marked in found), len(found), has_gap


def _all_of(table: _Table, source: EventSource) -> _Chosen:
    return {key: [(float(frame), source) for frame in table.get(key, np.empty(0))] for key in _KEYS}


def _replace_events(events: list[tuple[float, EventSource]], better: Vector | None, tolerance: float) -> int:
    """Replace events by those of force plates within a tolerance in frames; return how many."""
    frames = np.array([frame for frame, _ in events])
    count = 0
    for frame in better if better is not None and len(frames) else ():
        nearest = int(np.abs(frames - frame).argmin())
        if abs(frames[nearest] - frame) <= tolerance:
            events[nearest] = (float(frame), "force plate")
            count += 1
    return count


def _difference_notes(first: str, one: _Table, second: str, other: _Table, rate_hz: float) -> list[str]:
    """Return a sentence for each kind of event that two sources have in common."""
    notes = []
    for kind in _KINDS:
        found = []
        for side in SIDES:
            for frame in other[kind, side]:
                away_s = (one[kind, side] - frame) / rate_hz
                if len(away_s) and np.abs(away_s).min() <= MAX_EVENT_DIFFERENCE_S:
                    found.append(1e3 * float(away_s[np.abs(away_s).argmin()]))
        if found:
            values = f"{np.mean(found):+.0f} ms, SD {np.std(found):.0f} ms ({pluralize(len(found), 'event')})"
            notes.append(f"{kind.capitalize()}, {first} minus {second}: {values}.")
    return notes
