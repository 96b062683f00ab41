"""Rollover of the foot during stance: the sole rolls over the floor without slipping."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from gait.arrays import Vector
from gait.body.body import Body
from gait.body.skeleton import Joint
from gait.synthetic.leg_kinematics import LATERAL_SIGNS, rot_x, rot_y, rotate

MAX_TOE_EXTENSION_RAD = float(np.radians(30.0))
"""Maximum extension of the toes before they leave the floor (Bojsen-Møller & Lamoreux 1979)."""

SOLE_COMPRESSION_M = 0.0015
"""Depth of a loaded sole's lowest point below the floor: stands for soft tissue compression, which the mesh lacks."""

_SOLE_BAND_M = 0.03
_CONTACT_SOFTNESS_M = 0.0015


@dataclass(frozen=True, eq=False)
class Sole:
    """Plantar surface of one foot in the rest pose, metres relative to the ankle, x lateral."""

    points: Vector  # (S, 3)
    toe_weight: Vector  # (S,) skinning weight of the toes: 0 moves with the foot, 1 with the toes
    toe_joint: Vector  # (3,)
    flat_rad: float  # rotation of the foot about x that puts heel and ball on level ground

    def points_at_pitch(self, pitch_rad: Vector) -> Vector:
        """Return the points (..., S, 3) of a foot heading +z at sole pitches (...), toes up positive."""
        R = rot_x(self.flat_rad - pitch_rad)
        return self.rotated_points(R, toe_extension(pitch_rad))

    def rotated_points(self, R_foot: Vector, toe_extension_rad: Vector) -> Vector:
        """Return the points (..., S, 3) of a foot rotated by R_foot (..., 3, 3) with its toes extended (...)."""
        front = self.toe_joint + (self.points - self.toe_joint) @ np.swapaxes(rot_x(-toe_extension_rad), -1, -2)
        points = (1 - self.toe_weight)[:, None] * self.points + self.toe_weight[:, None] * front
        return points @ np.swapaxes(R_foot, -1, -2)

    def rollover(self, pitch_rad: Vector) -> tuple[Vector, Vector]:
        """Compute the ankle's path over a stance from the pitches (T,): forward from 0, and height, both (T,) metres.

        Points in contact with the floor do not slip; the lowest point is ``SOLE_COMPRESSION_M`` below the floor.
        """
        points = self.points_at_pitch(pitch_rad)
        height = points[..., 1] - points[..., 1].min(axis=1, keepdims=True)
        contact = np.exp(-height / _CONTACT_SOFTNESS_M)
        contact = contact[1:] * contact[:-1]
        contact /= contact.sum(axis=1, keepdims=True)
        steps = -(contact * np.diff(points[..., 2], axis=0)).sum(axis=1)
        return np.concatenate([[0.0], np.cumsum(steps)]), -points[..., 1].min(axis=1) - SOLE_COMPRESSION_M

    def pivot(self, pitch_rad: Vector, turn_rad: Vector) -> Vector:
        """Return by how much the ankle moves (T, 3) as the foot turns outwards (T,) about the ball, at pitches (T,)."""
        moved = self.toe_joint - self.toe_joint @ np.swapaxes(rot_y(turn_rad), -1, -2)
        return rotate(rot_x(self.flat_rad - pitch_rad), moved)

    def lowest_m(self, R_foot: Vector, toe_extension_rad: Vector) -> Vector:
        """Return the height (...) of the lowest point relative to the ankle (negative), metres."""
        return self.rotated_points(R_foot, toe_extension_rad)[..., 1].min(axis=-1)


def toe_extension(pitch_rad: Vector) -> Vector:
    """Return the toe extension (...) that keeps the toes on the floor at heel rise, up to ``MAX_TOE_EXTENSION_RAD``."""
    rise = np.maximum(-pitch_rad, 0.0)
    return MAX_TOE_EXTENSION_RAD * np.tanh(rise / MAX_TOE_EXTENSION_RAD)


def extract_sole(body: Body, betas: Vector, side: str, *, toe_out_rad: float = 0.0) -> Sole:
    """Extract the sole of one side, "left" or "right", of a body with shape ``betas`` (B,), turned outwards."""
    with torch.inference_mode():
        vertices, joints = body.rest_body(torch.as_tensor(betas, dtype=body.dtype, device=body.device))
    rest, joint = vertices[0].double().cpu().numpy(), joints[0].double().cpu().numpy()
    weights = body.weights.double().cpu().numpy()
    ankle, foot = Joint[f"{side.upper()}_ANKLE"], Joint[f"{side.upper()}_FOOT"]
    front = [foot, *_descendants(body, foot)]
    toe_weights = weights[:, front].sum(axis=1)
    of_foot = np.flatnonzero(weights[:, ankle] + toe_weights > 0.98)
    out = LATERAL_SIGNS[side]
    points = (rest[of_foot] - joint[ankle]) * out
    toe_joint = (joint[foot] - joint[ankle]) * out
    if toe_out_rad:
        points, toe_joint = points @ rot_y(toe_out_rad).T, rot_y(toe_out_rad) @ toe_joint
    # The plantar surface: the lowest vertices of each 12 mm cell of the floor.
    cell = np.round(points[:, [0, 2]] / 0.012).astype(int)
    _, group = np.unique(cell, axis=0, return_inverse=True)
    floor_of_cell = np.full(group.max() + 1, np.inf)
    np.minimum.at(floor_of_cell, group, points[:, 1])
    lower = (points[:, 1] < floor_of_cell[group] + 0.006) & (points[:, 1] < points[:, 1].min() + _SOLE_BAND_M)
    points, toe_weight = points[lower], toe_weights[of_foot][lower]
    heel = points[points[:, 2] < 0.2 * toe_joint[2]]
    ball = points[np.abs(points[:, 2] - toe_joint[2]) < 0.2 * toe_joint[2]]
    h, b = heel[heel[:, 1].argmin()], ball[ball[:, 1].argmin()]
    return Sole(points, toe_weight, toe_joint, float(np.arctan2(b[1] - h[1], b[2] - h[2])))


def _descendants(body: Body, joint: int) -> list[int]:
    """Return the joints distal to one."""
    found = [joint]
    for j, parent in enumerate(body.parents):
        if parent in found:
            found.append(j)
    return found[1:]
