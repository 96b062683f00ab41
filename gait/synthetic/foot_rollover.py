"""The sole of a foot, and how it rolls over the floor without slipping."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from gait.body.body import Body
from gait.body.skeleton import Joint
from gait.synthetic.leg_kinematics import OUTWARDS, about_x

Vector = NDArray[np.float64]

TOE_BEND_RAD = float(np.radians(30.0))
"""How far the toes bend up against the foot before they leave the floor (Bojsen-Møller & Lamoreux 1979)."""

PRESSED_M = 0.0015
"""How deep the lowest point of a loaded sole lies below the floor: skin gives way, a mesh does not."""

_SOLE_BAND_M = 0.03
_CONTACT_SOFTNESS_M = 0.0015


@dataclass(frozen=True, eq=False)
class Sole:
    """Points of the lower side of one foot at rest, x to the outside."""

    points: Vector  # (S, 3) metres from the ankle
    toe_share: Vector  # (S,) 0 for points that move with the foot, 1 with its front part
    hinge: Vector  # (3,) foot joint from the ankle
    flat_rad: float  # turning the foot that far about x sets heel and ball on a level floor

    def placed(self, pitch_rad: Vector) -> Vector:
        """Points (..., S, 3) from the ankle, of a foot heading +z with its sole pitched (...), toes up positive."""
        R = about_x(self.flat_rad - pitch_rad)
        return self.turned(R, toe_bend(pitch_rad))

    def turned(self, R_foot: Vector, bend_rad: Vector) -> Vector:
        """Points (..., S, 3) from the ankle, of a foot turned by R_foot (..., 3, 3), toes bent up (...)."""
        front = self.hinge + (self.points - self.hinge) @ np.swapaxes(about_x(-bend_rad), -1, -2)
        points = (1 - self.toe_share)[:, None] * self.points + self.toe_share[:, None] * front
        return points @ np.swapaxes(R_foot, -1, -2)

    def roll(self, pitch_rad: Vector) -> tuple[Vector, Vector]:
        """Path of the ankle over a stance, of pitches (T,) in time: forwards (T,) from 0, and height (T,) in metres.

        From instant to instant the points that bear on the floor stay where they are; the lowest lies
        ``PRESSED_M`` deep.
        """
        points = self.placed(pitch_rad)
        height = points[..., 1] - points[..., 1].min(axis=1, keepdims=True)
        bearing = np.exp(-height / _CONTACT_SOFTNESS_M)
        bearing = bearing[1:] * bearing[:-1]
        bearing /= bearing.sum(axis=1, keepdims=True)
        steps = -(bearing * np.diff(points[..., 2], axis=0)).sum(axis=1)
        return np.concatenate([[0.0], np.cumsum(steps)]), -points[..., 1].min(axis=1) - PRESSED_M

    def lowest(self, R_foot: Vector, bend_rad: Vector) -> Vector:
        """Height (...) of the lowest point above the ankle (negative), metres."""
        return self.turned(R_foot, bend_rad)[..., 1].min(axis=-1)


def toe_bend(pitch_rad: Vector) -> Vector:
    """Toes' bend (...) up that keeps them on the floor while the heel rises, up to ``TOE_BEND_RAD``."""
    raised = np.maximum(-pitch_rad, 0.0)
    return TOE_BEND_RAD * np.tanh(raised / TOE_BEND_RAD)


def sole_of(body: Body, betas: Vector, side: str) -> Sole:
    """The sole of one side, "left" or "right", of a body shaped by ``betas`` (B,)."""
    with torch.inference_mode():
        vertices, joints = body.shaped(torch.as_tensor(betas, dtype=body.dtype, device=body.device))
    rest, joint = vertices[0].double().cpu().numpy(), joints[0].double().cpu().numpy()
    weights = body.weights.double().cpu().numpy()
    ankle, foot = Joint[f"{side.upper()}_ANKLE"], Joint[f"{side.upper()}_FOOT"]
    front = [foot, *_below(body, foot)]
    share_front = weights[:, front].sum(axis=1)
    mine = np.flatnonzero(weights[:, ankle] + share_front > 0.98)
    out = OUTWARDS[side]
    points = (rest[mine] - joint[ankle]) * out
    hinge = (joint[foot] - joint[ankle]) * out
    # The lower side: nothing of the foot lies below it, within a thumb's width.
    cell = np.round(points[:, [0, 2]] / 0.012).astype(int)
    _, group = np.unique(cell, axis=0, return_inverse=True)
    floor_of_cell = np.full(group.max() + 1, np.inf)
    np.minimum.at(floor_of_cell, group, points[:, 1])
    lower = (points[:, 1] < floor_of_cell[group] + 0.006) & (points[:, 1] < points[:, 1].min() + _SOLE_BAND_M)
    points, toe_share = points[lower], share_front[mine][lower]
    heel = points[points[:, 2] < 0.2 * hinge[2]]
    ball = points[np.abs(points[:, 2] - hinge[2]) < 0.2 * hinge[2]]
    h, b = heel[heel[:, 1].argmin()], ball[ball[:, 1].argmin()]
    return Sole(points, toe_share, hinge, float(np.arctan2(b[1] - h[1], b[2] - h[2])))


def _below(body: Body, joint: int) -> list[int]:
    """Joints beyond one."""
    found = [joint]
    for j, parent in enumerate(body.parents):
        if parent in found:
            found.append(j)
    return found[1:]
