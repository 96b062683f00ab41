"""Walkers of known truth, from a seed: for tests, benchmarks and the demonstration only."""

from gait.synthetic.cohort import make_cohort, walker, write_recordings
from gait.synthetic.pathologies import DISORDER_NAMES, Pathology, disorder
from gait.synthetic.recording_files import read_truth, truth_path, write_walk
from gait.synthetic.subject import Person, make_person
from gait.synthetic.virtual_markers import NO_ERRORS, MarkerErrors, MarkerTracks, record_markers
from gait.synthetic.walk import GaitEvent, Walk, make_walk

__all__ = [
    "DISORDER_NAMES",
    "NO_ERRORS",
    "Disorder",
    "GaitEvent",
    "MarkerErrors",
    "MarkerTracks",
    "Person",
    "Walk",
    "disorder",
    "make_cohort",
    "make_person",
    "make_walk",
    "read_truth",
    "record_markers",
    "truth_path",
    "walker",
    "write_recordings",
    "write_walk",
]
