"""Frames whose pose is determined by the markers, short gaps to be filled, and long gaps that split a trial.

A pose that no marker determines is unreliable. A short gap can be filled, because human motion is smooth and both sides
of the gap are known: splines are the best method to fill gaps in marker trajectories of up to 200 ms, but not of longer
ones (Howarth and Callaghan 2010, Comput. Methods Biomech. Biomed. Eng. 13:847). A longer gap ends one segment of the
trial and begins another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.arrays import true_runs
from gait.body.skeleton import Joint

MAX_FILLED_GAP_S = 0.2
"""Longest gap that is filled: 20 frames at 100 Hz, half of a swing phase."""
MIN_SEGMENT_S = 0.25
"""A shorter run of valid frames between two gaps is excluded."""
LOST_TRACK_M = 0.05
"""A joint is lost in a frame if its uncertainty is above this and above ``LOST_TRACK_RATIO`` times its baseline."""
LOST_TRACK_RATIO = 2.0
"""Factor over the baseline uncertainty of a joint, see ``LOST_TRACK_M``."""
LOST_TRACK_PELVIS_M = 0.1
"""The pelvis, and with it the whole body, is lost above this uncertainty, whatever its baseline is."""
BASELINE_QUANTILE = 0.05
"""Quantile over the frames that is taken as the baseline uncertainty of a joint: only few frames may be good."""


@dataclass(frozen=True)
class ValidFrames:
    """Classification of the T frames of a trial by whether their pose can be used."""

    valid: NDArray[np.bool_]  # (T,) the pose is determined by the markers of the frame itself
    gap_filled: NDArray[np.bool_]  # (T,) not valid, but in a short gap between valid frames
    segments: tuple[slice, ...]  # runs of frames without a long gap, in order; at least one

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Frames (T,) that are in a segment."""
        kept = np.zeros(len(self.valid), dtype=bool)
        for segment in self.segments:
            kept[segment] = True
        return kept

    @property
    def excluded(self) -> tuple[slice, ...]:
        """Runs of frames that are in no segment."""
        return true_runs(~self.kept)


def baseline_sigma(sigma_single_frame_m: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the uncertainty (J,) that each joint has in its best frames, from (T, J) in metres."""
    return np.quantile(sigma_single_frame_m, BASELINE_QUANTILE, axis=0)


def lost_joints(sigma_single_frame_m: NDArray[np.floating], baseline_m: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return the joints (T, J) that are lost in a frame, from their uncertainty and its baseline (J,) in metres."""
    return np.asarray(sigma_single_frame_m > np.maximum(LOST_TRACK_M, LOST_TRACK_RATIO * baseline_m))


def frames_determined_by_markers(
    determined: NDArray[np.bool_], sigma_single_frame_m: NDArray[np.floating]
) -> NDArray[np.bool_]:
    """Return the frames (T,) whose own markers determine the pose of the body.

    In ``determined`` (T,) frames enough markers are visible for a rigid alignment; the uncertainty of joints is (T, J).
    """
    baseline = baseline_sigma(sigma_single_frame_m[determined] if determined.any() else sigma_single_frame_m)
    lost = lost_joints(sigma_single_frame_m, baseline)
    pelvis_lost = sigma_single_frame_m[:, Joint.PELVIS] > LOST_TRACK_PELVIS_M
    if not pelvis_lost[determined].all():  # else no frame is better; the residuals show the problem
        lost[:, Joint.PELVIS] |= pelvis_lost
    trackable = baseline < LOST_TRACK_M  # a joint that markers never determine cannot distinguish good from bad frames
    mostly_lost = lost[:, trackable].mean(axis=1) > 0.5 if trackable.any() else np.zeros(len(lost), dtype=bool)
    return determined & ~lost[:, Joint.PELVIS] & ~mostly_lost


def split_at_gaps(valid: NDArray[np.bool_], rate_hz: float) -> ValidFrames:
    """Mark the short gaps between valid frames (T,) to be filled and split the trial at the long ones.

    Frames before the first valid frame and after the last one are in no segment. If no run of frames is long enough for
    a segment, the longest one becomes the only segment.
    """
    gaps = [gap for gap in true_runs(~valid) if gap.start > 0 and gap.stop < len(valid)]
    gap_filled = np.zeros(len(valid), dtype=bool)
    for gap in gaps:
        if gap.stop - gap.start <= max(1, round(MAX_FILLED_GAP_S * rate_hz)):
            gap_filled[gap] = True
    runs = true_runs(valid | gap_filled)
    segments = [run for run in runs if run.stop - run.start >= MIN_SEGMENT_S * rate_hz]
    segments = segments or [max(runs, key=lambda run: run.stop - run.start, default=slice(0, len(valid)))]
    for gap in true_runs(gap_filled):
        if not any(segment.start <= gap.start < segment.stop for segment in segments):
            gap_filled[gap] = False
    return ValidFrames(valid, gap_filled, tuple(segments))
