"""Recordings and cohort files of any laboratory, made alike: metres, y up, known marker names, gaps."""

from gait.capture.cohort_file import Subject, read_cohort
from gait.capture.reading import read_recording
from gait.capture.recording import Event, Recording

__all__ = ["Event", "Recording", "Subject", "read_cohort", "read_recording"]
