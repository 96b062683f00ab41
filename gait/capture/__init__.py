"""Readers of marker recordings from any laboratory: positions in metres, y up, canonical marker names, NaN in gaps."""

from gait.capture.read_recording import read_recording
from gait.capture.recording import GaitEvent, Recording

__all__ = ["GaitEvent", "Recording", "read_recording"]
