"""Events of laboratories and force plates: found, compared, and chosen."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gait.body.pose_sequence import RecordedEvents
from gait.capture.recording import GaitEvent, Recording
from gait.kinematics.event_sources import choose_events, with_recorded_events
from gait.kinematics.gait_events import SIDES
from gait.kinematics.plate_contacts import loaded_intervals
from gait.motion.pose_files import read_poses
from gait.motion.pose_npz import write_npz
from gait.synthetic.force_plates import PlatePlan, step_centres
from tests.helpers.plate_cases import ANALOG_HZ, walk, walk_over

pytestmark = pytest.mark.usefixtures("one_thread")


def recorded(recording, **changes):
    return with_recorded_events(walk().ground_truth, replace(recording, **changes)).recorded_events


def test_clean_contacts_are_exact_on_plates_of_each_type(tmp_path):
    steps = step_centres(walk())[1:5]
    plans = [PlatePlan(kind, step[3], reaction=kind == 2) for kind, step in zip((1, 2, 3, 4), steps, strict=True)]
    events = recorded(walk_over(plans, tmp_path), events=())
    assert events.notes == ()
    assert set(events.sources) == {"force plate"}
    expected = [
        (time_s, kind, side)
        for side, contact, off, _ in steps
        for time_s, kind in ((contact, "initial contact"), (off, "foot off"))
    ]
    found = sorted(zip(events.time_s, events.kinds, events.sides, strict=True))
    assert [row[1:] for row in found] == [row[1:] for row in sorted(expected)]
    assert [row[0] for row in found] == pytest.approx([row[0] for row in sorted(expected)], abs=1 / ANALOG_HZ)


def test_double_hits_and_partial_hits_are_refused(tmp_path):
    steps = step_centres(walk())
    centre = steps[2][3]
    ahead = np.array([np.sin(walk().heading_rad), 0, np.cos(walk().heading_rad)])
    plans = [PlatePlan(2, centre, length_m=2.0, width_m=0.8), PlatePlan(2, centre + 0.2 * ahead, length_m=0.3)]
    events = recorded(walk_over(plans, tmp_path), events=())
    assert len(events.time_s) == 0
    both, partial = events.notes
    assert "both feet are on it" in both
    assert f"the {steps[2][0]} foot is not wholly on it" in partial


def test_loads_have_hysteresis_and_need_not_end_in_the_recording():
    load = np.zeros(1000)
    load[100:300] = 500
    load[300:310] = [12, 25, 12, 21, 11, 12, 9, 0, 0, 0]  # above 10 N the contact goes on; it ends where 20 N end
    load[500:520] = 600  # too short
    load[900:] = 400
    assert loaded_intervals(load, 1000.0) == [(0.1, 0.304), (0.9, None)]
    assert loaded_intervals(load[150:], 1000.0)[0] == (None, 0.154)


def test_choice_of_the_source_and_its_notes(tmp_path):
    steps = step_centres(walk())
    recording = walk_over([PlatePlan(2, steps[2][3])], tmp_path)
    late = tuple(replace(event, time_s=event.time_s + 0.02) for event in recording.events)
    sequence = with_recorded_events(walk().ground_truth, replace(recording, events=late))
    chosen = choose_events(sequence)
    for side in SIDES:
        marked = [event.time_s * 100 for event in late if (event.kind, event.side) == ("initial contact", side)]
        assert chosen.initial_contacts[side] == pytest.approx(marked)
        assert set(chosen.contact_sources[side]) == {"laboratory"}
    assert "Foot off, laboratory minus force plate: +19 ms, SD 0 ms (1 event)." in chosen.notes

    few = tuple(event for event in late if event.time_s < 1.2)
    chosen = choose_events(with_recorded_events(walk().ground_truth, replace(recording, events=few)))
    side, contact, off, _ = steps[2]
    sources = list(zip(chosen.initial_contacts[side], chosen.contact_sources[side], strict=True))
    (on_plate,) = [frame for frame, source in sources if source == "force plate"]
    assert on_plate == pytest.approx(100 * contact, abs=0.1)
    assert {source for each in SIDES for source in chosen.off_sources[each]} == {"force plate", "kinematics"}
    assert abs(chosen.foot_offs[side] - 100 * off).min() <= 0.1
    assert any(note.startswith("The laboratory marked") for note in chosen.notes)
    alone = choose_events(sequence, "kinematics")
    assert {source for each in SIDES for source in alone.contact_sources[each]} == {"kinematics"}


def test_laboratory_clock_starts_at_frame_1():
    event, nothing = GaitEvent("LHS", "left", 1.0), np.empty((400, 0, 3))
    recording = Recording(Path("walk.c3d"), (), nothing, nothing.any(axis=2), 100.0, first_frame=51, events=(event,))
    sequence = with_recorded_events(replace(walk().ground_truth, first_frame=61), recording)
    assert sequence.recorded_events.time_s == pytest.approx([1.0 - 0.6])


def test_pose_file_keeps_recorded_events(tmp_path):
    events = RecordedEvents(
        np.array([0.25, 0.5]),
        ("initial contact", "foot off"),
        ("left", "right"),
        ("laboratory", "force plate"),
        ("A note.",),
    )
    write_npz(tmp_path, replace(walk().ground_truth, recorded_events=events))
    again = read_poses(tmp_path).recorded_events
    assert again.time_s.tolist() == [0.25, 0.5]
    assert (again.kinds, again.sides, again.sources, again.notes) == (
        events.kinds,
        events.sides,
        events.sources,
        events.notes,
    )
