"""Input and output of the pose solver: the observed markers, the data of each frame, poses, options and results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gait.fitting.joint_parametrization import Pose
from gait.fitting.per_frame import PerFrame


@dataclass(frozen=True)
class ObservedMarkers(PerFrame):
    """Observed markers of T frames, in the order of the reduced body's markers."""

    markers: Tensor  # (T, M, 3) metres; any value where not visible
    visible: Tensor  # (T, M) bool


@dataclass(frozen=True)
class QuaternionPose(PerFrame):
    """Poses of T frames as unit quaternions, the form in which the solver computes (see ``Pose``)."""

    frame_axis: ClassVar = {"rotations": 2}

    rotations: Tensor  # (4, J, T) unit quaternions x, y, z, w of each joint relative to its parent
    translation: Tensor  # (T, 3) metres, relative to the centroid of the frame's markers
    angles: Tensor | None  # (T, J, 2) angles of hinge joints, radians


@dataclass(frozen=True)
class FrameData(PerFrame):
    """Observed markers of T frames and R reference rotations of each joint, prepared for the solver."""

    frame_axis: ClassVar = {"reference_rotations": 3, "reference_precision": 3}

    centroid: Tensor  # (T, 3) mean of the visible markers, metres, double precision
    markers: Tensor  # (T, 3, M) metres, relative to the centroid; zero where not visible
    marker_precision: Tensor  # (T, M) 1/m², zero where not visible
    reference_rotations: Tensor  # (4, R, J, T) inverse quaternions: identity, prior mean, those of the pose targets
    reference_precision: Tensor  # (3, R, J, T) 1/rad²: of the range of motion, of the prior, of the pose targets
    target_translations: Tensor  # (T, R − 2, 3) of the pose targets, metres, relative to the centroid
    translation_precision: Tensor  # (T, R − 2) 1/m²


@dataclass(frozen=True)
class SolverOptions:
    """Stopping rule and damping of the solver."""

    max_iterations: int = 30
    tolerance: float = 1e-2
    """A frame takes its last step when the step is predicted to lower the objective by less than this fraction. Close
    to the minimum convergence is quadratic, so the poses are more accurate than this value suggests."""
    damping: float = 1e-2
    """Damping of the first step; a start close to the solution needs less."""
    reuse_factors: bool = False
    """If True, the second step has the curvature of the first, which is close to it, with the gradient of its own pose
    (simplified Newton method; Kelley 1995, Iterative Methods for Linear and Nonlinear Equations, sec. 5.4.1). A frame
    ends without evaluation after a small first step, or a small second one if the first lowered the objective."""
    marker_curvature: bool = False
    """Return also the curvature that the markers give each joint at the start."""


USUAL_OPTIONS = SolverOptions()


@dataclass(frozen=True)
class SolverResult:
    """Poses found by the solver."""

    pose: Pose
    cost: Tensor  # (T,) objective at the last evaluated pose
    iterations: Tensor  # (T,) number of steps tried in each frame
    start_curvature: Tensor | None = None  # (T, J + 1, 3, 3) of the markers, if it was wanted (``Linearization``)
