"""Synthetic subjects and trials with known ground truth, generated from a seed; for tests, benchmarks and the demo."""

from gait.synthetic.cohort import Variety, make_cohort, parse_subject_name, write_recordings
from gait.synthetic.pathologies import PATHOLOGY_NAMES, Pathology, make_pathology
from gait.synthetic.peculiarities import PECULIARITY_NAMES, draw_peculiarities, make_peculiarity
from gait.synthetic.played_curves import play_curves
from gait.synthetic.recording_files import ground_truth_path, read_ground_truth, write_recording
from gait.synthetic.subject import SyntheticSubject, make_subject, vary_subject
from gait.synthetic.trial import SyntheticTrial, make_trial
from gait.synthetic.virtual_markers import NO_ERRORS, MeasurementErrors, SimulatedMarkers, record_markers

__all__ = [
    "NO_ERRORS",
    "PATHOLOGY_NAMES",
    "PECULIARITY_NAMES",
    "MeasurementErrors",
    "Pathology",
    "SimulatedMarkers",
    "SyntheticSubject",
    "SyntheticTrial",
    "Variety",
    "draw_peculiarities",
    "ground_truth_path",
    "make_cohort",
    "make_pathology",
    "make_peculiarity",
    "make_subject",
    "make_trial",
    "parse_subject_name",
    "play_curves",
    "read_ground_truth",
    "record_markers",
    "vary_subject",
    "write_recording",
    "write_recordings",
]
