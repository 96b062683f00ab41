"""Recordings and cohort files of any laboratory, made alike: metres, y up, known marker names, gaps."""

from gait.capture.read_recording import read_recording
from gait.capture.recording import Event, Recording
from gait.cohort.cohort_file import Subject, read_cohort

__all__ = ["Event", "Recording", "Subject", "read_cohort", "read_recording"]
