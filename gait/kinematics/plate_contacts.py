"""Contacts of single feet with force plates: from when to when a foot, and nothing else, loads a plate.

A plate is loaded above 20 N, the usual threshold, until the force has fallen below 10 N, so that noise ends no
contact; contact and foot off are where the force crosses 20 N. Whose foot it is follows from the fitted feet. What is
not a clean hit of one whole foot is refused, with a note.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from gait.arrays import Vector
from gait.body.pose_sequence import PoseSequence
from gait.capture.recording import ForcePlate
from gait.kinematics.gait_events import SIDES, GaitEvents

LOADED_N, UNLOADED_N = 20.0, 10.0
MIN_CONTACT_S = 0.1
"""A shorter load is noise or a stumble."""
_MIN_OVERLAP_S = 0.03  # of a stance and a load; less is a step to the next plate
_INSIDE_MARGIN_M = 0.01  # the whole sole is within the plate, or so little beside it
_MAX_DIFFERENCE_S = 0.06
"""From kinematics to the plate: farther apart, the foot has landed beside the plate, or leaves it there."""
_OTHER_MARGIN_M = 0.02  # the other foot is farther from it
_MAX_COP_M = 0.1  # from the line under the foot, heel to toe, to the centre of pressure
_FLAT_PHASE = (0.25, 0.6)  # of the stance


@dataclass(frozen=True)
class PlateContact:
    """Load of one plate by one foot; times in seconds from frame 0 of the sequence."""

    plate: int  # number in the file, from 1
    side: str  # "left" or "right"
    contact_s: float | None  # None if it is not in the recording
    foot_off_s: float | None


def loaded_intervals(vertical_n: Vector, rate_hz: float) -> list[tuple[float | None, float | None]]:
    """Return the seconds from sample 0 at which each load begins and ends; None if it is beyond the recording."""
    above, below = vertical_n > LOADED_N, vertical_n < UNLOADED_N
    found: list[tuple[float | None, float | None]] = []
    k, S = 0, len(vertical_n)
    while k < S:
        rises = np.flatnonzero(above[k:])
        if not len(rises):
            break
        first = k + int(rises[0])
        falls = np.flatnonzero(below[first:])
        k = first + int(falls[0]) if len(falls) else S
        last = first + int(np.flatnonzero(above[first:k])[-1])
        if (last + 1 - first) / rate_hz >= MIN_CONTACT_S:
            found.append((first / rate_hz if first > 0 else None, (last + 1) / rate_hz if k < S else None))
    return found


def find_plate_contacts(
    plates: Sequence[ForcePlate],
    sequence: PoseSequence,
    events: GaitEvents,
    soles_m: Mapping[str, Vector],
    offset_s: float = 0.0,
) -> tuple[tuple[PlateContact, ...], tuple[str, ...]]:
    """Return the clean contacts of single feet, in temporal order, and a note for each load that is refused.

    Args:
        plates: with sample 0 at frame 0 of the recording.
        sequence: the fitted poses.
        events: those of the same sequence by kinematics; they tell which foot stands when.
        soles_m: side -> (T, 3, 3) heel, ball and toe of the sole, metres, y up.
        offset_s: time of frame 0 of the sequence, from frame 0 of the recording.
    """
    found: list[PlateContact] = []
    notes: list[str] = []
    stances = [(side, *each) for side in SIDES for each in _stances(events, side, sequence.num_frames)]
    for plate in plates if stances else ():
        for begin_s, end_s in loaded_intervals(plate.vertical_n, plate.rate_hz):
            duration_s = len(plate.vertical_n) / plate.rate_hz
            begin = ((0.0 if begin_s is None else begin_s) - offset_s) * sequence.rate_hz
            end = ((duration_s if end_s is None else end_s) - offset_s) * sequence.rate_hz
            if end <= 0 or begin >= sequence.num_frames - 1:
                continue
            where = f"Force plate {plate.number}, {max(begin, 0) / sequence.rate_hz:.2f} s"
            contact = _attribute(plate, (begin, end), stances, soles_m, sequence, offset_s)
            if isinstance(contact, str):
                notes.append(f"{where}: {contact}.")
                continue
            side, start, stop = contact
            tolerance = _MAX_DIFFERENCE_S * sequence.rate_hz
            contact_s = begin / sequence.rate_hz if begin_s is not None and abs(begin - start) <= tolerance else None
            off_s = end / sequence.rate_hz if end_s is not None and abs(end - stop) <= tolerance else None
            if contact_s is None and off_s is None:
                notes.append(f"{where}: its load begins and ends at other times than the {side} foot's stance.")
                continue
            found.append(PlateContact(plate.number, side, contact_s, off_s))
    found.sort(key=lambda each: each.contact_s if each.contact_s is not None else each.foot_off_s or 0.0)
    return tuple(found), tuple(notes)


def _stances(events: GaitEvents, side: str, num_frames: int) -> list[tuple[float, float]]:
    """Return from when to when a foot is on the floor, in frames; at the ends of the trial also without an event."""
    contacts, offs = events.initial_contacts[side].tolist(), events.foot_offs[side].tolist()
    if not contacts and not offs:
        return []
    marks = sorted([(frame, True) for frame in contacts] + [(frame, False) for frame in offs])
    if not marks[0][1]:
        marks.insert(0, (-np.inf, True))
    if marks[-1][1]:
        marks.append((np.inf, False))
    return [
        (start, end)
        for (start, begins), (end, still) in pairwise(marks)
        if begins and not still and end > 0 and start < num_frames
    ]


def _attribute(
    plate: ForcePlate,
    load: tuple[float, float],
    stances: Sequence[tuple[str, float, float]],
    soles_m: Mapping[str, Vector],
    sequence: PoseSequence,
    offset_s: float,
) -> tuple[str, float, float] | str:
    """Return the stance (side, begin, end; frames) whose foot alone loads the plate, or why there is none."""
    rate_hz, last = sequence.rate_hz, sequence.num_frames - 1
    on_plate = []
    for side, start, stop in stances:
        begin, end = max(load[0], start, 0.0), min(load[1], stop, last)
        if end - begin < _MIN_OVERLAP_S * rate_hz:
            continue
        frames = slice(int(np.ceil(begin)), int(end) + 1)
        if plate.contains(soles_m[side][frames], _OTHER_MARGIN_M).any():
            on_plate.append((side, start, stop))
    if not on_plate:
        return "no foot stands on it"
    if len(on_plate) > 1:
        both = len({side for side, *_ in on_plate}) > 1
        return "both feet are on it" if both else "two steps of one foot are on it"
    side, start, stop = on_plate[0]
    first, final = max(start, load[0], 0.0), min(stop, load[1], last)
    flat = slice(*(round(first + part * (final - first)) for part in _FLAT_PHASE))
    sole = soles_m[side][flat.start : max(flat.stop, flat.start + 1)]
    if plate.contains(sole, _INSIDE_MARGIN_M).mean(axis=0).min() < 0.5:
        return f"the {side} foot is not wholly on it"
    samples = np.arange(flat.start, max(flat.stop, flat.start + 1)) / rate_hz + offset_s
    rows = np.clip(np.rint(samples * plate.rate_hz).astype(np.int64), 0, len(plate.vertical_n) - 1)
    away = _distance_to_line(plate.cop_m[rows], sole[:, 0], sole[:, 2])
    if not np.isfinite(away).any() or np.nanmedian(away) > _MAX_COP_M:
        return f"its centre of pressure is not under the {side} foot"
    return side, start, stop


def _distance_to_line(points: Vector, start: Vector, end: Vector) -> Vector:
    """Return the horizontal distance (N,) of points (N, 3) from the lines between start and end, (N, 3) each."""
    points, start, end = (each[:, [0, 2]] for each in (points, start, end))
    along = end - start
    length = np.maximum((along**2).sum(axis=1), 1e-12)
    t = np.clip(((points - start) * along).sum(axis=1) / length, 0.0, 1.0)
    return np.asarray(np.linalg.norm(points - start - t[:, None] * along, axis=1))
