"""Expected size of every residual of the fit, in one place.

Each term of the objective is a negative log-probability: a residual divided by its standard deviation. So the scales
are lengths and angles with a physical meaning, and no weight has to be tuned against another one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ResidualScales:
    """Scale of each residual, one standard deviation unless stated otherwise; metres and radians.

    Fit reports store these names: renaming a field makes every finished fit out of date.
    """

    marker_m: float = 0.0045
    """Soft-tissue and measurement error of one marker in one frame.

    Residuals of recorded trials are 2 to 3.5 mm; motion of the skin that the markers of a segment share leaves none."""
    marker_robust_m: float = 0.010
    """Distance beyond which the cost of a marker grows linearly instead of quadratically (Huber)."""
    joint_centre_m: float = 0.008
    """Error along each axis of one joint centre in one frame, as cameras without markers estimate it."""
    joint_centre_robust_m: float = 0.025
    """Distance beyond which the cost of a joint centre grows linearly."""
    pose_prior: float = 1.0
    """Weight of the Gaussian pose prior; its standard deviations are in ``gait.body.pose_prior``."""
    calibration_pose_prior: float = 0.5
    """Weight of the pose prior during calibration. It is lower because all frames share the posture of the subject: at
    full weight the posture would be penalized once per frame, and the shape would absorb it."""
    learned_rad: float = 0.3
    """Rotation of a joint away from the pose that VPoser predicts."""
    limit_rad: float = 0.0225
    """Rotation of a joint beyond its range of motion."""
    shape: float = 1.0
    """Shape coefficient; the shape directions of the body models are scaled to unit standard deviation."""
    anatomical_offset_m: float = 0.005
    """Placement error of a marker on a bony landmark along each axis; 9 mm in three dimensions."""
    technical_along_m: float = 0.08
    """Offset of a technical marker from its place in the layout, along its segment."""
    technical_around_m: float = 0.04
    """Offset of a technical marker around its segment."""
    technical_off_skin_m: float = 0.03
    """Offset of a technical marker away from the skin: thigh and shank markers are often on wands."""
    joint_centre_offset_m: float = 0.010
    """Distance along each axis between the joint that such cameras mean and the joint of the body model."""
    hip_centre_offset_m: float = 0.030
    """The same of the hips, which are marked farther from each other than the centres of the femoral heads."""
    same_session_m: float = 0.002
    """Displacement of a marker between trials of one session."""
    replaced_m: float = 0.006
    """Displacement beyond which a marker counts as reattached, in another session or after it fell off."""
    calibration_frames_worth: float = 6.0
    """Number of independent observations that the calibration frames of one trial are worth. Residuals of a marker are
    similar from frame to frame, so a hundred frames add little information about its placement to that of a few."""
    smooth_rad: float = 0.05
    """Rotation of a joint away from the smoothed trajectory."""
    smooth_m: float = 0.01
    """Translation of the body away from the smoothed trajectory."""
