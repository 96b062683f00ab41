"""Helpers for tests of motion: synthetic stick figures, slow reference implementations, and trials on disk."""

from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from gait.body.joint_status import JointStatus
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import MIRROR_ORDER, NUM_BODY_JOINTS, Joint
from gait.motion import common_frame
from gait.motion.dataset import AcquisitionInfo, Trial
from gait.motion.pose_npz import write_npz
from gait.motion.rotation_samples import continuous_quaternions

_SIDED = ("HIP", "KNEE", "ANKLE", "FOOT", "COLLAR", "SHOULDER", "ELBOW", "WRIST")


def stick_figure(frames=40, *, speed=1.2, rate_hz=100.0, lean_deg=8.0, height=1.0, phase=0.3, turn_deg=0.0):
    """Return joints (T, 22, 3) in metres of a stick figure that walks from the origin along +x, y up, right side at +z.

    Left and right differ in phase and arm posture, so that a test can distinguish them. ``turn_deg`` is the angle by
    which the figure turns to the right over the trial, at constant rate.
    """
    time = np.arange(frames) / rate_hz
    swing = 0.35 * np.sin(2 * np.pi * 0.9 * time + phase)
    joints = np.zeros((frames, NUM_BODY_JOINTS, 3))
    spine = [(Joint.SPINE1, 0.1), (Joint.SPINE2, 0.22), (Joint.SPINE3, 0.3), (Joint.NECK, 0.48), (Joint.HEAD, 0.6)]
    for joint, up in spine:
        joints[:, joint, 1] = up
    for name, side in (("LEFT", -1), ("RIGHT", 1)):
        of = {part: Joint[f"{name}_{part}"] for part in _SIDED}
        bend = 0.3 + 0.25 * np.cos(2 * np.pi * 0.9 * time + phase + np.pi * (side > 0))
        joints[:, of["HIP"]] = [0, -0.08, 0.1 * side]
        thigh, shank = side * swing + bend / 2, side * swing - bend / 2
        joints[:, of["KNEE"]] = joints[:, of["HIP"]] + 0.4 * _hanging(thigh)
        joints[:, of["ANKLE"]] = joints[:, of["KNEE"]] + 0.4 * _hanging(shank)
        joints[:, of["FOOT"]] = joints[:, of["ANKLE"]] + [0.12, -0.05, 0.02 * side]
        joints[:, of["COLLAR"]] = [0, 0.42, 0.06 * side]
        joints[:, of["SHOULDER"]] = [0, 0.44, 0.18 * side]
        arm = -side * swing + (0.4 if side < 0 else 0.0)
        joints[:, of["ELBOW"]] = joints[:, of["SHOULDER"]] + 0.28 * _hanging(arm)
        joints[:, of["WRIST"]] = joints[:, of["ELBOW"]] + 0.25 * _hanging(arm + 0.5)
    lean = np.radians(lean_deg)
    trunk = [joint for joint in Joint if joint < NUM_BODY_JOINTS and joints[0, joint, 1] > 0.05]
    joints[:, trunk, 0] += joints[:, trunk, 1] * np.sin(lean)
    joints[..., 1] += 0.95
    turn = np.radians(turn_deg) * time / max(time[-1], 1e-9)
    c, s = np.cos(turn)[:, None], np.sin(turn)[:, None]
    joints[..., 0], joints[..., 2] = (
        c * joints[..., 0] - s * joints[..., 2],
        s * joints[..., 0] + c * joints[..., 2],
    )
    step = speed / rate_hz * np.stack([np.cos(turn), 0 * turn, np.sin(turn)], axis=1)
    joints += np.cumsum(step, axis=0)[:, None] - step[0]
    return joints * height


def swinging_rotations(frames=40, *, rate_hz=100.0, phase=0.3, turn_deg=0.0):
    """Return axis-angle vectors (T, 22, 3) of joints against their parents, for the walk of ``stick_figure``.

    The limbs swing with its stride, left and right half a stride apart; the pelvis turns with its path.
    """
    angle = 2 * np.pi * 0.9 * np.arange(frames) / rate_hz + phase
    rotations = np.random.default_rng(0).normal(0, 0.05, (NUM_BODY_JOINTS, 3)) + np.zeros((frames, 1, 1))
    for name, side in (("LEFT", 1), ("RIGHT", -1)):
        for number, part in enumerate(_SIDED):
            joint = Joint[f"{name}_{part}"]
            rotations[:, joint, 0] += 0.1 * (1 + number) / 2 * side * np.sin(angle + 0.4 * number)
            rotations[:, joint, 2] += 0.03 * np.sin(2 * angle + side)
    turn = np.radians(turn_deg) * np.arange(frames) / max(frames - 1, 1)
    rotations[:, Joint.PELVIS] = np.stack([0 * turn, np.pi / 2 - turn, 0 * turn], axis=1)
    return rotations


def _hanging(angle):
    """Return directions (T, 3) of a limb that hangs down and swings forward by an angle."""
    return np.stack([np.sin(angle), -np.cos(angle), 0 * angle], axis=-1)


def rot_y(angle_rad):
    """Return the rotation matrix about the vertical; a positive angle rotates +x towards −z."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def align_window_slowly(window):
    """Return one window (L, 22, 3) in the common frame, computed frame by frame and joint by joint."""
    axes = [sign * np.eye(3)[k] for k in range(3) for sign in (1, -1)]
    statures = [frame[Joint.HEAD] - (frame[Joint.LEFT_ANKLE] + frame[Joint.RIGHT_ANKLE]) / 2 for frame in window]
    up = max(axes, key=lambda axis: axis @ np.mean(statures, axis=0))
    vote, facing = 0.0, np.zeros(3)
    for frame in window:
        right = (
            frame[Joint.RIGHT_HIP] - frame[Joint.LEFT_HIP] + frame[Joint.RIGHT_SHOULDER] - frame[Joint.LEFT_SHOULDER]
        )
        feet = frame[Joint.LEFT_FOOT] - frame[Joint.LEFT_ANKLE] + frame[Joint.RIGHT_FOOT] - frame[Joint.RIGHT_ANKLE]
        vote += np.cross(feet, up) @ right
        facing += np.cross(up, right) / len(window)
    if vote < 0:
        return align_window_slowly(window * [1, 1, -1])
    displacement = window[-1, Joint.PELVIS] - window[0, Joint.PELVIS]
    displacement = displacement - (displacement @ up) * up
    if np.linalg.norm(displacement) <= 0.1 * max(np.linalg.norm(stature) for stature in statures):
        displacement = facing
    elif displacement @ facing < 0:
        displacement = -displacement
    forward = displacement / np.linalg.norm(displacement)
    right = np.cross(forward, up)
    result = np.zeros_like(window)
    for t, frame in enumerate(window):
        for j, joint in enumerate(frame):
            relative = joint - window[0, Joint.PELVIS]
            result[t, j] = [relative @ forward, relative @ up, relative @ right]
    return result


def normalize_window_slowly(window):
    """Normalize one window (L, 22, 3) in the common frame as the original implementation does."""
    sizes = [
        np.linalg.norm(frame[Joint.HEAD] - (frame[Joint.LEFT_ANKLE] + frame[Joint.RIGHT_ANKLE]) / 2) for frame in window
    ]
    result = np.zeros_like(window)
    result[..., 0] = window[..., 0] / max(sizes)
    for k in (1, 2):
        low, high = window[..., k].min(), window[..., k].max()
        result[..., k] = 2 * (window[..., k] - low) / (high - low) - 1
    return result


def status_without(frames, joints, missing=slice(None)):
    """Return the joint status (T, 22) of a trial that observes all joints but some, these in ``missing`` frames."""
    status = np.full((frames, NUM_BODY_JOINTS), JointStatus.OBSERVED, np.uint8)
    for joint in joints:
        status[missing, joint] = JointStatus.NOT_OBSERVED
    return status


def make_trial(
    joints_m, subject="P01", trial_name="walk1", *, sick=False, rate_hz=100.0, joint_status=None, axis_angle=None
):
    """Return a trial with these joints, and rotations (T, 22, 3) against the parents if given."""
    joints = np.asarray(joints_m, dtype=np.float32)
    acquisition = AcquisitionInfo(rate_hz, len(joints), 0.0, (), 1.7)
    rotations = None
    if axis_angle is not None:
        quaternions = Rotation.from_rotvec(np.reshape(axis_angle, (-1, 3))).as_quat().reshape(-1, NUM_BODY_JOINTS, 4)
        rotations = continuous_quaternions(quaternions).astype(np.float32)
    return Trial(
        subject, trial_name, sick, joints, rate_hz, acquisition, Path("poses"), joint_status, rotations=rotations
    )


def write_trial(base, name, joints_m, *, rate_hz=100.0, num_visible_markers=None, joint_status=None, axis_angle=None):
    """Write ``poses.npz`` of a fitted trial into ``<base>/<name>`` and return its folder."""
    joints = np.asarray(joints_m, dtype=np.float32)
    T = len(joints)
    folder = base / name
    folder.mkdir(parents=True)
    extra = {} if num_visible_markers is None else {"num_visible_markers": np.asarray(num_visible_markers)}
    poses, translation, betas = np.zeros((T, 225), np.float32), np.zeros((T, 3), np.float32), np.zeros(10, np.float32)
    if axis_angle is not None:
        poses[:, : 3 * NUM_BODY_JOINTS] = axis_angle.reshape(T, -1)
    write_npz(
        folder,
        PoseSequence(poses, betas, translation, joints, rate_hz, "open.npz", joint_status=joint_status, extra=extra),
    )
    return folder


def align_windows(windows: Tensor) -> Tensor:
    """Return windows (N, L, 22, 3) in the common frame, in metres; ``window_transforms`` defines it."""
    centered = _subtract_start(windows)
    rotations = common_frame._common_frame_rotations(centered)
    return _to_frames_first(common_frame._rotate(centered, rotations, torch.empty_like(centered)))


def normalize_windows(windows: Tensor) -> Tensor:
    """Return windows (N, L, 22, 3) in the common frame normalized, unitless."""
    centered = windows.permute(0, 3, 2, 1).contiguous()
    center, half_range = common_frame._center_and_half_range(centered)
    return _to_frames_first((centered - center[:, :, None, None]) / half_range[:, :, None, None])


def to_common_frame(windows: Tensor) -> Tensor:
    """Return windows (N, L, 22, 3) of joints in metres as network input.

    The same as ``normalize_windows(align_windows(windows))``.
    """
    result = torch.empty_like(windows, memory_format=torch.contiguous_format)
    centered = _subtract_start(windows)
    scratch = torch.empty_like(centered)
    transforms = common_frame.window_transforms(centered, scratch)
    tracks = centered.transpose(1, 2).contiguous()
    common_frame.apply_transforms(tracks, transforms, scratch.view_as(tracks), result)
    return result


def mirror_joints(joints: Tensor) -> Tensor:
    """Return the mirror image of joints (…, 22, 3): left and right exchanged, the last axis negated.

    Mirroring and ``align_windows`` commute. Exchanging the sides alone is enough before ``align_windows``, which
    detects the mirror image and reflects it: ``align_windows(windows[..., MIRROR_ORDER, :])`` is the mirrored window.
    """
    return joints[..., list(MIRROR_ORDER), :] * joints.new_tensor([1, 1, -1])


def _subtract_start(windows: Tensor) -> Tensor:
    """Return a copy of windows (N, L, 22, 3) relative to the pelvis of their first frame, as (N, 3, 22, L)."""
    joints_first = windows.permute(0, 3, 2, 1)
    centered = torch.empty_like(joints_first, memory_format=torch.contiguous_format)
    return torch.sub(joints_first, joints_first[:, :, Joint.PELVIS, 0][:, :, None, None], out=centered)


def _to_frames_first(windows: Tensor) -> Tensor:
    return windows.permute(0, 3, 2, 1).contiguous()


def stand_walk_stand(walk, before, after):
    """Return joints (T, 22, 3): a walk whose first and last frames are held for so many frames."""
    return np.concatenate([np.repeat(walk[:1], before, axis=0), walk, np.repeat(walk[-1:], after, axis=0)])
