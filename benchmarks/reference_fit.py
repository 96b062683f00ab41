"""The published method, written from its description: every frame alone, first-order steps, the whole mesh.

It stands here to be measured beside the suite's own fit. All pose numbers, the shape and the place of the body are free
in every frame; the objective is Σ ‖virtual − observed‖ over the markers seen, plus a penalty outside of angle bounds,
plus a weight times mean(exp((β/σ)²)); Adam from a learning rate of 1e-3, divided by ten after ten steps without gain,
until it is below 1e-6.

Where its description leaves a choice, or its code a mistake, the choice here is the one that serves it better:
 * the marker stands off along the unit normal of its own face (the published code normalises across the markers by
   mistake, which misplaces every marker by a part of its distance to the skin);
 * the first frame starts from a body already turned and moved to the markers, not from the origin;
 * every other frame starts from the result of the frame before.
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
from gait.capture import Recording


@dataclass(frozen=True)
class PublishedSettings:
    """Numbers of the published method; those of the shape's penalty are not published and are ours."""

    learning_rate: float = 1e-3
    lowest_learning_rate: float = 1e-6
    factor: float = 0.1
    patience: int = 10
    beta_weight: float = 1.0
    beta_sigma: float = 2.0
    most_iterations: int = 20_000


@dataclass(frozen=True)
class BodyState:
    """The unknowns of one frame."""

    pose: Tensor  # (1, P) radians
    betas: Tensor  # (B,)
    translation: Tensor  # (1, 3) metres


@dataclass(frozen=True)
class PublishedFrame:
    """One frame, fitted."""

    state: BodyState
    residual_m: NDArray[np.float64]  # (M,) NaN where unseen
    iterations: int
    seconds: float
    converged: bool  # False: time or iterations were up first


@dataclass(frozen=True)
class MarkerPlaces:
    """A layout as tensors on the body's device."""

    corners: Tensor  # (M, 3) vertices of each marker's face
    bary: Tensor  # (M, 3)
    distance_m: Tensor  # (M,)


def fit_frames(
    body: Body,
    layout: MarkerLayout,
    recording: Recording,
    frames: Sequence[int],
    *,
    seconds_a_frame: float,
    bounds: AngleBounds | None = None,
    settings: PublishedSettings = PublishedSettings(),
) -> tuple[PublishedFrame, ...]:
    """Fit these frames one after another, each from the one before.

    Args:
        body: of the free tree; all of it is posed in every step.
        layout: where its markers are; those that the recording lacks are left out.
        recording: observed markers, metres, y up.
        frames: which of its frames.
        seconds_a_frame: a frame that takes longer is left as it is then, which flatters the method's speed.
        bounds: of pose numbers, where a constraints file has some.
        settings: of the method.
    """
    layout = layout.select([label for label in layout.labels if label in recording.labels])
    places = marker_places(body, layout)
    columns = [recording.labels.index(label) for label in layout.labels]
    fitted: list[PublishedFrame] = []
    for frame in frames:
        seen = torch.as_tensor(recording.visible[frame, columns], device=body.device)
        observed = torch.as_tensor(recording.positions_m[frame, columns]).to(body.v_template)
        start = fitted[-1].state if fitted else state_near(body, places, observed, seen)
        fitted.append(_fit_frame(body, places, observed, seen, start, bounds, settings, seconds_a_frame))
    return tuple(fitted)


def _fit_frame(
    body: Body,
    places: MarkerPlaces,
    observed: Tensor,
    seen: Tensor,
    start: BodyState,
    bounds: AngleBounds | None,
    settings: PublishedSettings,
    most_seconds: float,
) -> PublishedFrame:
    began = time.perf_counter()
    pose, betas, translation = (
        part.detach().clone().requires_grad_() for part in (start.pose, start.betas, start.translation)
    )
    optimizer = torch.optim.Adam([pose, betas, translation], lr=settings.learning_rate)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=settings.factor, patience=settings.patience
    )
    iterations, converged = 0, False
    while not converged and iterations < settings.most_iterations and time.perf_counter() - began < most_seconds:
        optimizer.zero_grad()
        virtual = virtual_markers(body(pose, betas, translation).vertices, places)[0]
        loss = (
            marker_distance(virtual, observed, seen)
            + angle_penalty(pose, bounds)
            + beta_penalty(betas, settings.beta_weight, settings.beta_sigma)
        )
        loss.backward()
        optimizer.step()
        scheduler.step(loss.detach())
        iterations += 1
        converged = optimizer.param_groups[0]["lr"] < settings.lowest_learning_rate
    seconds = time.perf_counter() - began
    with torch.no_grad():
        virtual = virtual_markers(body(pose, betas, translation).vertices, places)[0]
        residual = torch.where(seen, (virtual - observed).norm(dim=-1), torch.nan)
    state = BodyState(pose.detach(), betas.detach(), translation.detach())
    return PublishedFrame(state, residual.double().cpu().numpy(), iterations, seconds, converged)


def marker_places(body: Body, layout: MarkerLayout) -> MarkerPlaces:
    """A layout's faces and weights, ready for ``virtual_markers``."""
    face = torch.as_tensor(layout.face, device=body.device)
    return MarkerPlaces(
        corners=body.faces[face],
        bary=torch.as_tensor(layout.bary).to(body.v_template),
        distance_m=torch.as_tensor(layout.distance_m).to(body.v_template),
    )


def virtual_markers(vertices: Tensor, places: MarkerPlaces) -> Tensor:
    """Markers (N, M, 3) on posed vertices (N, V, 3), metres: barycentric point + distanceToSkin · unit face normal."""
    corner = vertices[:, places.corners]  # (N, M, 3 corners, 3)
    normal = torch.linalg.cross(corner[:, :, 1] - corner[:, :, 0], corner[:, :, 2] - corner[:, :, 0])
    normal = normal / normal.norm(dim=-1, keepdim=True)
    return (places.bary[..., None] * corner).sum(-2) + places.distance_m[:, None] * normal


def marker_distance(virtual: Tensor, observed: Tensor, seen: Tensor) -> Tensor:
    """Σ over seen markers of ‖virtual − observed‖, metres; both (M, 3), seen (M,)."""
    return (virtual[seen] - observed[seen]).norm(dim=-1).sum()


def angle_penalty(pose: Tensor, bounds: AngleBounds | None) -> Tensor:
    """Σ 2·excess² of the pose numbers (1, P) outside of their bounds, rad²; zero without bounds."""
    if bounds is None:
        return pose.new_zeros(())
    angle = pose[0, torch.as_tensor(bounds.indices, device=pose.device)]
    below = (torch.as_tensor(bounds.lower).to(pose) - angle).clamp(min=0)
    above = (angle - torch.as_tensor(bounds.upper).to(pose)).clamp(min=0)
    return 2 * (below**2 + above**2).sum()


def beta_penalty(betas: Tensor, weight: float, sigma: float) -> Tensor:
    """weight · mean(exp((β/σ)²)) of the shape (B,)."""
    return weight * torch.exp((betas / sigma) ** 2).mean()


def state_near(body: Body, places: MarkerPlaces, observed: Tensor, seen: Tensor) -> BodyState:
    """The mean body in T-pose, turned and moved to the markers seen (Kabsch 1976, Acta Cryst. A32:922)."""
    zeros = body.v_template.new_zeros
    state = BodyState(zeros(1, body.num_pose), zeros(body.num_betas), zeros(1, 3))
    with torch.no_grad():
        out = body(state.pose, state.betas, state.translation)
        at_rest = virtual_markers(out.vertices, places)[0][seen]
        root = out.joints[0, body.root]
        there = observed[seen]
        u, _, vt = torch.linalg.svd((there - there.mean(0)).T @ (at_rest - at_rest.mean(0)))
        sign = torch.linalg.det(u @ vt).sign()
        R_world_body = u @ torch.diag(torch.stack([sign.new_ones(()), sign.new_ones(()), sign])) @ vt
        pose = state.pose.clone()
        pose[0, 3 * body.root : 3 * body.root + 3] = matrix_to_axis_angle(R_world_body)
        place = there.mean(0) - R_world_body @ (at_rest.mean(0) - root) - root
    return BodyState(pose, state.betas, place[None])
