"""Readers of marker recordings from any laboratory: positions in metres, y up, canonical marker names, NaN in gaps."""

from gait.capture.read_recording import read_recording
from gait.capture.recording import Event, Recording
from gait.cohort.cohort_file import Subject, read_cohort

__all__ = ["Event", "Recording", "Subject", "read_cohort", "read_recording"]
