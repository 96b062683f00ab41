"""A walk whose joint rotations are changed over the gait cycle, with the feet where they were on the floor.

The change is added to the rotations of the joints, frame by frame at the time of the cycle of each joint's side. In
stance the points of the soles that are on the floor then stay where they were: the pelvis is moved, and hips, knees and
ankles give way, each the more the more controls differ in it; the motions that are to change give way least. That is a
nonlinear least-squares problem in each frame, which Gauss and Newton's method solves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from gait.arrays import Vector
from gait.body.pose_prior import default_pose_prior
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import BODY_PARENTS, NUM_BODY_JOINTS, Joint
from gait.errors import GaitError
from gait.explaining.evidence.cycle_motion import SIDE_OF_JOINT, harmonics
from gait.kinematics.gait_events import SIDES, GaitEvents, sole_paths
from gait.motion.inputs.rotations import SPINE
from gait.motion.walking_frame import walking_frames

MAX_SLIDE_MM = 10.0
LIMIT_TOLERANCE_DEG = 0.5

_ITERATIONS = 10
_ON_FLOOR_M = 0.001
"""Standard error of a point on the floor; of one in the air it is exp(``_FREE``) times as much."""
_FREE = 6.0
_LIFTED_M = 0.015  # a point of the sole so far above its lowest height in stance is free
_RELEASE_S = 0.12  # after foot off and before initial contact, in which a foot becomes free and is held again
_BELOW_FLOOR_M = 0.002  # standard error of a point below the floor
_PELVIS_M = 0.2  # standard deviation of the pelvis's movement
_STIFFNESS = 0.15  # of the standard deviation, for motions that are to change
_HINGE = 0.3  # knees give way in flexion: about other axes the fit itself is uncertain
_KNEES = [Joint.LEFT_KNEE, Joint.RIGHT_KNEE]
_SMOOTHING_S = 0.04  # standard deviation of the Gaussian by which joints give way smoothly
_UNKNOWNS = 21  # of a frame: pelvis 3, then hip, knee and ankle of the left and the right leg
_LEG = ("HIP", "KNEE", "ANKLE", "FOOT")


@dataclass(frozen=True, eq=False)
class ChangedWalk:
    """The walk after a change."""

    sequence: PoseSequence
    slide_mm: float  # largest horizontal distance of a point of the sole on the floor from where it was
    beyond_limits: tuple[Joint, ...]  # joints that the change takes beyond the limits of the body


class WalkChanger:
    """One trial's poses, prepared so that changes can be tried one after another."""

    def __init__(
        self,
        sequence: PoseSequence,
        events: GaitEvents,
        cycles: Mapping[str, Vector],
        reference: Vector,
        spread_rad: Vector,
    ):
        """Prepare poses.

        Args:
            sequence: of the trial.
            events: initial contacts and foot offs, in frames of the sequence.
            cycles: by side, cycles (T,) at each frame of the sequence, as ``cycles_of_sides`` returns them.
            reference: mean rotations (22, 4) of the network's input.
            spread_rad: (22, 3) standard deviation of controls, radians, by which joints give way.

        Raises:
            GaitError: the poses have no rotations, no anatomy, or are those of a body with hinges.
        """
        if sequence.local_rotations is None or sequence.anatomy is None:
            raise GaitError("the poses have no joint rotations or no anatomy; fit the trial again.")
        if sequence.constrained:
            raise GaitError(
                "the joints of a constrained body model are hinges, whose rotations cannot be changed freely."
            )
        self._sequence = sequence
        self._local = sequence.local_rotations
        self._rest = sequence.anatomy.joints_m.astype(np.float64)
        self._functions = {side: harmonics(cycles[side]) for side in SIDES}
        self._reference = Rotation.from_quat(reference)
        self._spread = np.maximum(spread_rad, np.radians(0.5))
        self._spread[_KNEES, 1:] *= _HINGE
        self._walking = walking_frames(sequence.joints_m, sequence.rate_hz)
        prior = default_pose_prior()
        self._limits = prior.lower, prior.upper
        self._axis_angle = _axis_angles(self._local)
        paths = sole_paths(sequence)
        assert paths is not None
        self._soles = {side: _Sole(sequence, side, paths[side], events) for side in SIDES}

    def change(self, coefficients: Vector) -> ChangedWalk:
        """Return the walk after a change (22, 3, C) of the motions, radians."""
        wanted = np.abs(coefficients).max(axis=-1) > 0
        local = self._with_change(coefficients, wanted.any(axis=1))
        local, shift = self._on_floor(local, wanted)
        rotations = _world(local)
        joints = self._joints(rotations, shift)
        return ChangedWalk(
            self._as_sequence(local, joints, shift),
            1000 * max(self._soles[side].slide_m(joints, rotations) for side in SIDES),
            self._beyond_limits(local),
        )

    def within_limits(self, coefficients: Vector) -> bool:
        """Return whether a change (22, 3, C) leaves its joints within the limits of the body, or no farther beyond."""
        joints = np.abs(coefficients).max(axis=(1, 2)) > 0
        local = self._with_change(coefficients, joints)
        return not self._beyond_limits(local, np.flatnonzero(joints | _in_spine(joints)))

    def _with_change(self, coefficients: Vector, changed: NDArray[np.bool_]) -> Vector:
        """Return the local rotations (T, 22, 3, 3) with the change of the ``changed`` joints (22,) in them."""
        left, right = (np.einsum("tc,jac->tja", self._functions[side], coefficients) for side in SIDES)
        added = np.where((SIDE_OF_JOINT == 1)[:, None], right, left)
        local = self._local.copy()

        def turn(values: Vector, joint: int) -> Vector:
            vector = (Rotation.from_matrix(values) * self._reference[joint].inv()).as_rotvec()
            return (Rotation.from_rotvec(vector + added[:, joint]) * self._reference[joint]).as_matrix()

        for joint in np.flatnonzero(changed):
            if joint == Joint.PELVIS:
                frame = self._walking
                local[:, joint] = frame @ turn(frame.swapaxes(1, 2) @ local[:, joint], joint)
            elif joint not in SPINE:
                local[:, joint] = turn(local[:, joint], joint)
        if changed[list(SPINE)].any():  # whose values are against the pelvis
            before = after = np.broadcast_to(np.eye(3), (len(local), 3, 3))
            for joint in SPINE:
                before = before @ local[:, joint]
                next_after = turn(before, joint) if changed[joint] else after @ local[:, joint]
                local[:, joint], after = after.swapaxes(1, 2) @ next_after, next_after
        return local

    def _on_floor(self, local: Vector, wanted: NDArray[np.bool_]) -> tuple[Vector, Vector]:
        """Return local rotations and the pelvis's shift (T, 3) with the points of the soles on the floor held."""
        local, T = local.copy(), len(local)
        sd = np.concatenate([np.full(3, _PELVIS_M), *(self._give_way(side, wanted) for side in SIDES)])
        total = np.zeros((T, _UNKNOWNS))  # small rotations of a joint add up
        width = _SMOOTHING_S * self._sequence.rate_hz
        for _ in range(_ITERATIONS):
            rotations = _world(local)
            joints = self._joints(rotations, total[:, :3])
            normal = np.zeros((T, _UNKNOWNS, _UNKNOWNS))
            right = np.zeros((T, _UNKNOWNS))
            for number, side in enumerate(SIDES):
                rows, residuals = self._soles[side].equations(joints, rotations, 3 + 9 * number)
                normal += rows.swapaxes(1, 2) @ rows
                right += (rows.swapaxes(1, 2) @ residuals[..., None])[..., 0]
            normal[:, range(_UNKNOWNS), range(_UNKNOWNS)] += sd**-2
            smooth = gaussian_filter1d(total, width, axis=0, mode="nearest")
            step = np.linalg.solve(normal, (right + (smooth - total) / sd**2)[..., None])[..., 0]
            total += step
            for number, joint in enumerate(j for side in SIDES for j in _leg_joints(side)[:3]):
                turn = Rotation.from_rotvec(step[:, 3 + 3 * number : 6 + 3 * number]).as_matrix()
                local[:, joint] = turn @ local[:, joint]
        return local, total[:, :3]

    def _give_way(self, side: str, wanted: NDArray[np.bool_]) -> Vector:
        """Return by how much hip, knee and ankle give way about each axis, (9,) radians."""
        joints = _leg_joints(side)[:3]
        return (self._spread[joints] * np.where(wanted[joints], _STIFFNESS, 1.0)).ravel()

    def _joints(self, rotations: Vector, shift: Vector) -> Vector:
        """Return the joints (T, 22, 3) of world rotations (T, 22, 3, 3), metres."""
        joints = np.empty((*rotations.shape[:2], 3))
        joints[:, 0] = self._sequence.joints_m[:, 0] + shift
        for joint, parent in enumerate(BODY_PARENTS):
            if parent >= 0:
                joints[:, joint] = joints[:, parent] + rotations[:, parent] @ (self._rest[joint] - self._rest[parent])
        return joints

    def _beyond_limits(self, local: Vector, joints: NDArray[np.int64] | None = None) -> tuple[Joint, ...]:
        chosen = np.arange(NUM_BODY_JOINTS) if joints is None else joints
        lower, upper = (limit[chosen] for limit in self._limits)
        before, values = self._axis_angle[:, chosen], _axis_angles(local[:, chosen])
        tolerance = np.radians(LIMIT_TOLERANCE_DEG)
        beyond = (values > np.maximum(upper, before) + tolerance) | (values < np.minimum(lower, before) - tolerance)
        return tuple(Joint(int(joint)) for joint in chosen[beyond.any(axis=(0, 2))])

    def _as_sequence(self, local: Vector, joints: Vector, shift: Vector) -> PoseSequence:
        old = self._sequence
        vectors = _axis_angles(local).astype(np.float32)
        poses = old.poses.copy()
        if old.body_rotations is None:
            poses[:, : 3 * NUM_BODY_JOINTS] = vectors.reshape(len(poses), -1)
        return replace(
            old,
            poses=poses,
            translation_m=(old.translation_m + shift).astype(np.float32),
            joints_m=joints.astype(np.float32),
            body_rotations=None if old.body_rotations is None else vectors,
            rotation_error=None,
            recorded_events=None,
            extra={},
        )


class _Sole:
    """Heel, ball and toe of one foot: where they were, and how firmly the floor holds each in each frame."""

    def __init__(self, sequence: PoseSequence, side: str, path_m: Vector, events: GaitEvents):
        anatomy = sequence.anatomy
        assert anatomy is not None
        self._chain = _leg_joints(side)
        self._points = []
        for name in ("HEEL", "BALL", "TOE"):
            landmark = f"{side[0].upper()}{name}_SOLE"
            joint = int(anatomy.moves_with[anatomy.landmarks.index(landmark)])
            self._points.append((joint, anatomy.position_m(landmark) - anatomy.joints_m[joint].astype(np.float64)))
        self._path = path_m
        T = len(path_m)
        distance_s = _time_from_stance(events, side, T) / sequence.rate_hz
        stance = distance_s == 0
        heights = path_m[..., 1]
        lowest = _lowest_of_stance(heights, stance)
        lifted = np.clip((heights - lowest) / _LIFTED_M, 0, 1)
        free = np.maximum(lifted, np.clip(distance_s / _RELEASE_S, 0, 1)[:, None])
        self._weight = np.exp(-_FREE * free) / _ON_FLOOR_M  # (T, 3)
        self._held = free < 0.15
        self._floor = heights.min(axis=0)

    def positions(self, joints: Vector, rotations: Vector) -> Vector:
        """Return heel, ball and toe (T, 3, 3), metres."""
        return np.stack([joints[:, joint] + rotations[:, joint] @ arm for joint, arm in self._points], axis=1)

    def slide_m(self, joints: Vector, rotations: Vector) -> float:
        """Return how far a point on the floor is from where it was, horizontally, at most; 0 if none is."""
        away = (self.positions(joints, rotations) - self._path)[..., [0, 2]]
        return float(np.where(self._held, np.linalg.norm(away, axis=-1), 0.0).max())

    def equations(self, joints: Vector, rotations: Vector, first: int) -> tuple[Vector, Vector]:
        """Return weighted rows (T, 12, 21) and residuals (T, 12): points held, and points not below the floor."""
        points = self.positions(joints, rotations)
        T = len(points)
        jacobian = np.zeros((T, 3, 3, _UNKNOWNS))
        jacobian[..., :3] = np.eye(3)
        for number, joint in enumerate(self._chain[:3]):
            axes = rotations[:, BODY_PARENTS[joint]]  # (T, 3, 3), columns
            arm = points - joints[:, None, joint]
            moved = np.cross(axes.swapaxes(1, 2)[:, None], arm[:, :, None])  # (T, points, axis, xyz)
            begin = first + 3 * number
            jacobian[..., begin : begin + 3] = moved.swapaxes(2, 3)
        residual = self._path - points
        below = self._floor - points[..., 1]
        floor_weight = np.where(below > 0, 1 / _BELOW_FLOOR_M, 0.0)
        rows = np.concatenate(
            [
                (jacobian * self._weight[..., None, None]).reshape(T, 9, _UNKNOWNS),
                jacobian[:, :, 1] * floor_weight[..., None],
            ],
            axis=1,
        )
        residuals = np.concatenate([(residual * self._weight[..., None]).reshape(T, 9), below * floor_weight], axis=1)
        return rows, residuals


def _time_from_stance(events: GaitEvents, side: str, num_frames: int) -> Vector:
    """Return how many frames (T,) a frame is away from the nearest stance of a side, 0 within it.

    A frame is in stance if the event before it is an initial contact, or the one after it a foot off.
    """
    rows = sorted(
        [(float(frame), True) for frame in events.initial_contacts[side]]
        + [(float(frame), False) for frame in events.foot_offs[side]]
    )
    frames = np.arange(num_frames)
    distance = np.full(num_frames, np.inf)
    begin = -np.inf
    for time, is_contact in rows:
        if is_contact:
            begin = time
            continue
        distance = np.minimum(distance, np.maximum(np.maximum(begin - frames, frames - time), 0))
        begin = np.inf
    if rows and rows[-1][1]:
        distance = np.minimum(distance, np.maximum(rows[-1][0] - frames, 0))
    return distance


def _lowest_of_stance(heights: Vector, stance: NDArray[np.bool_]) -> Vector:
    """Return the lowest height (T, points) of each point in the stance that a frame belongs to, or is next to."""
    lowest = np.broadcast_to(heights.min(axis=0), heights.shape).copy()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], stance.astype(int), [0]])))
    for begin, end in edges.reshape(-1, 2):
        lowest[begin:end] = heights[begin:end].min(axis=0)
    return lowest


def _leg_joints(side: str) -> list[int]:
    return [int(Joint[f"{side.upper()}_{name}"]) for name in _LEG]


def _in_spine(joints: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the joints (22,) of the spine if one of them is among the joints (22,), as each is against the pelvis."""
    spine = np.zeros(NUM_BODY_JOINTS, dtype=bool)
    spine[list(SPINE)] = joints[list(SPINE)].any()
    return spine


def _axis_angles(local: Vector) -> Vector:
    return Rotation.from_matrix(local.reshape(-1, 3, 3)).as_rotvec().reshape(*local.shape[:2], 3)


def _world(local: Vector) -> Vector:
    world = local.copy()
    for joint, parent in enumerate(BODY_PARENTS):
        if parent >= 0:
            world[:, joint] = world[:, parent] @ local[:, joint]
    return world
