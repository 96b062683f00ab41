"""Every weight of the fit, in one place.

Each term of the objective is a negative log-probability: a residual divided by what it may be, so that the numbers
below read as lengths and angles and none has to be traded against another by trial.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ResidualScales:
    """What each residual may be, one standard deviation unless said otherwise. Metres and radians."""

    marker_m: float = 0.006
    """Soft tissue and measurement under one marker in one frame."""
    marker_robust_m: float = 0.010
    """Distance beyond which a marker counts by its distance, no longer by its square (Huber)."""
    pose_prior: float = 1.0
    """Strength of the Gaussian around natural poses; its deviations are in ``gait.body.pose_prior``."""
    calibration_pose_prior: float = 0.5
    """The same while shape and placement are solved, where a person's own posture, which all frames share, would
    otherwise count as often as there are frames, and the shape would make up for it."""
    learned_rad: float = 0.3
    """How far a joint may be from what a learned prior (VPoser) makes of the pose."""
    limit_rad: float = 0.03
    """How far a joint may exceed its range of motion."""
    shape: float = 1.0
    """Standard deviation of each shape coefficient; the bodies' directions have unit deviation."""
    anatomical_offset_m: float = 0.005
    """How far, along each axis, a hand misplaces a marker on a bony landmark: nine millimetres in all."""
    technical_along_m: float = 0.08
    """How far a technical marker may sit along its segment from where the layout has it."""
    technical_around_m: float = 0.04
    """The same around the segment."""
    technical_off_skin_m: float = 0.03
    """The same away from the skin: thigh and shank markers often stand on wands."""
    same_session_m: float = 0.002
    """How far a marker moves between recordings of a session."""
    replaced_m: float = 0.006
    """Distance beyond which it counts as put on anew, in another session or after it fell off."""
    calibration_frames_worth: float = 6.0
    """Independent observations that a recording's calibration frames amount to. Residuals of one marker repeat from
    frame to frame, so a hundred frames say no more about its placement than a few do."""
    smooth_rad: float = 0.05
    """How far a joint may be from the smooth course of its neighbouring frames."""
    smooth_m: float = 0.01
    """The same for the place of the body."""
