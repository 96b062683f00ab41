"""The fitting method of the original implementation, written from its description.

It serves as the reference that our fit is compared with. Every frame is fitted alone with first-order steps on the full
mesh. All pose parameters, the shape and the translation of the body are free in every frame. The objective is
Σ ‖virtual − observed‖ over the visible markers, plus a penalty outside of angle bounds, plus a weight times
mean(exp((β/σ)²)). The optimizer is Adam with a learning rate of 1e-3, which is divided by ten after ten steps without
improvement, until it is below 1e-6.

Where the description leaves a choice, or its code has an error, the choice that favours the method is used:
 * the marker is displaced along the unit normal of its own face (the original code normalizes across the markers by
   mistake, which misplaces every marker by a part of its distance to the skin);
 * the first frame starts from a body that is already rigidly aligned with the markers, not from the origin;
 * every other frame starts from the result of the previous frame.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait.body.body import Body
from gait.body.constraints_file import AngleBounds
from gait.body.marker_layout import MarkerLayout
from gait.body.rotations import matrix_to_axis_angle
from gait.capture.recording import Recording


@dataclass(frozen=True)
class ReferenceSettings:
    """Settings of the method; those of the shape penalty are not published and were chosen here."""

    learning_rate: float = 1e-3
    min_learning_rate: float = 1e-6
    factor: float = 0.1
    patience: int = 10
    beta_weight: float = 1.0
    beta_sigma: float = 2.0
    max_iterations: int = 20_000


@dataclass(frozen=True)
class BodyState:
    """Unknowns of one frame."""

    pose: Tensor  # (1, P) radians
    betas: Tensor  # (B,)
    translation: Tensor  # (1, 3) metres


@dataclass(frozen=True)
class ReferenceFrame:
    """Result of one frame."""

    state: BodyState
    residual_m: NDArray[np.float64]  # (M,) NaN where not visible
    iterations: int
    seconds: float
    converged: bool  # False if the limit of time or iterations was reached


@dataclass(frozen=True)
class MarkerPlacement:
    """A layout as tensors on the body's device."""

    corners: Tensor  # (M, 3) vertices of each marker's face
    barycentric: Tensor  # (M, 3)
    distance_m: Tensor  # (M,)


def fit_frames(
    body: Body,
    layout: MarkerLayout,
    recording: Recording,
    frames: Sequence[int],
    *,
    timeout_s: float,
    bounds: AngleBounds | None = None,
    settings: ReferenceSettings = ReferenceSettings(),
) -> tuple[ReferenceFrame, ...]:
    """Fit frames one after another, each starting from the result of the previous one.

    Markers that the recording lacks are ignored. Reaching ``timeout_s``, the time limit per frame, overestimates the
    method's speed. ``bounds`` of the pose parameters are from a constraints file.
    """
    layout = layout.select([label for label in layout.labels if label in recording.labels])
    markers = place_markers(body, layout)
    columns = [recording.labels.index(label) for label in layout.labels]
    fitted: list[ReferenceFrame] = []
    for frame in frames:
        visible = torch.as_tensor(recording.visible[frame, columns], device=body.device)
        observed = torch.as_tensor(recording.positions_m[frame, columns]).to(body.v_template)
        start = fitted[-1].state if fitted else initial_state(body, markers, observed, visible)
        fitted.append(_fit_frame(body, markers, observed, visible, start, bounds, settings, timeout_s))
    return tuple(fitted)


def _fit_frame(
    body: Body,
    markers: MarkerPlacement,
    observed: Tensor,
    visible: Tensor,
    start: BodyState,
    bounds: AngleBounds | None,
    settings: ReferenceSettings,
    timeout_s: float,
) -> ReferenceFrame:
    began = time.perf_counter()
    pose, betas, translation = (
        part.detach().clone().requires_grad_() for part in (start.pose, start.betas, start.translation)
    )
    optimizer = torch.optim.Adam([pose, betas, translation], lr=settings.learning_rate)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=settings.factor, patience=settings.patience
    )
    iterations, converged = 0, False
    while not converged and iterations < settings.max_iterations and time.perf_counter() - began < timeout_s:
        optimizer.zero_grad()
        virtual = virtual_markers(body(pose, betas, translation).vertices, markers)[0]
        loss = (
            marker_distance(virtual, observed, visible)
            + angle_penalty(pose, bounds)
            + beta_penalty(betas, settings.beta_weight, settings.beta_sigma)
        )
        loss.backward()
        optimizer.step()
        scheduler.step(loss.detach())
        iterations += 1
        converged = optimizer.param_groups[0]["lr"] < settings.min_learning_rate
    seconds = time.perf_counter() - began
    with torch.no_grad():
        virtual = virtual_markers(body(pose, betas, translation).vertices, markers)[0]
        residual = torch.where(visible, (virtual - observed).norm(dim=-1), torch.nan)
    state = BodyState(pose.detach(), betas.detach(), translation.detach())
    return ReferenceFrame(state, residual.double().cpu().numpy(), iterations, seconds, converged)


def place_markers(body: Body, layout: MarkerLayout) -> MarkerPlacement:
    """Convert a layout's faces and weights to tensors."""
    face = torch.as_tensor(layout.face, device=body.device)
    return MarkerPlacement(
        corners=body.faces[face],
        barycentric=torch.as_tensor(layout.barycentric).to(body.v_template),
        distance_m=torch.as_tensor(layout.height_above_skin_m).to(body.v_template),
    )


def virtual_markers(vertices: Tensor, markers: MarkerPlacement) -> Tensor:
    """Return markers (N, M, 3), metres, on vertices (N, V, 3): barycentric point + height above skin · unit normal."""
    corner = vertices[:, markers.corners]  # (N, M, 3 corners, 3)
    normal = torch.linalg.cross(corner[:, :, 1] - corner[:, :, 0], corner[:, :, 2] - corner[:, :, 0])
    normal = normal / normal.norm(dim=-1, keepdim=True)
    return (markers.barycentric[..., None] * corner).sum(-2) + markers.distance_m[:, None] * normal


def marker_distance(virtual: Tensor, observed: Tensor, visible: Tensor) -> Tensor:
    """Return Σ ‖virtual − observed‖ over the visible markers, metres; both (M, 3), visible (M,)."""
    return (virtual[visible] - observed[visible]).norm(dim=-1).sum()


def angle_penalty(pose: Tensor, bounds: AngleBounds | None) -> Tensor:
    """Return Σ 2·violation² of the pose parameters (1, P) outside of their bounds, rad²; zero without bounds."""
    if bounds is None:
        return pose.new_zeros(())
    angle = pose[0, torch.as_tensor(bounds.indices, device=pose.device)]
    below = (torch.as_tensor(bounds.lower).to(pose) - angle).clamp(min=0)
    above = (angle - torch.as_tensor(bounds.upper).to(pose)).clamp(min=0)
    return 2 * (below**2 + above**2).sum()


def beta_penalty(betas: Tensor, weight: float, sigma: float) -> Tensor:
    """Return weight · mean(exp((β/σ)²)) of the shape (B,)."""
    return weight * torch.exp((betas / sigma) ** 2).mean()


def initial_state(body: Body, markers: MarkerPlacement, observed: Tensor, visible: Tensor) -> BodyState:
    """Align the mean body in T-pose rigidly with the visible markers (Kabsch 1976, Acta Cryst. A32:922)."""
    zeros = body.v_template.new_zeros
    state = BodyState(zeros(1, body.num_pose), zeros(body.num_betas), zeros(1, 3))
    with torch.no_grad():
        out = body(state.pose, state.betas, state.translation)
        rest_markers = virtual_markers(out.vertices, markers)[0][visible]
        root = out.joints[0, body.root]
        seen_markers = observed[visible]
        u, _, vt = torch.linalg.svd((seen_markers - seen_markers.mean(0)).T @ (rest_markers - rest_markers.mean(0)))
        sign = torch.linalg.det(u @ vt).sign()
        R_world_body = u @ torch.diag(torch.stack([sign.new_ones(()), sign.new_ones(()), sign])) @ vt
        pose = state.pose.clone()
        pose[0, 3 * body.root : 3 * body.root + 3] = matrix_to_axis_angle(R_world_body)
        translation = seen_markers.mean(0) - R_world_body @ (rest_markers.mean(0) - root) - root
    return BodyState(pose, state.betas, translation[None])
