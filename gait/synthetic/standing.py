"""Standing before and after a synthetic walk, with ground truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.integrate import cumulative_trapezoid
from scipy.spatial.transform import Rotation

from gait.arrays import Vector
from gait.body.body import Body
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import NUM_BODY_JOINTS
from gait.synthetic.trial import SyntheticTrial, pose_tensors

START_S = 0.8
"""From standing to the walk's own pace, and back; about two steps (Breniere & Do 1986, J. Biomech. 19:1035)."""


def add_standing(trial: SyntheticTrial, body: Body, before_s: float, after_s: float) -> SyntheticTrial:
    """Return the trial with so many seconds of standing before and after the walk.

    The subject passes through the same poses and changes its pace alone, linearly: it stands in the walk's first and
    last pose, with both feet where they are.
    """
    truth = trial.ground_truth
    walk_s = (truth.num_frames - 1) / truth.rate_hz
    durations = [before_s, START_S, walk_s - START_S, START_S, after_s]
    times = np.cumsum([0.0, *durations])
    time = np.arange(round(times[-1] * truth.rate_hz) + 1) / truth.rate_hz
    pace = np.interp(time, times, [0, 0, 1, 1, 0, 0])
    walked_s = np.minimum(cumulative_trapezoid(pace, time, initial=0), walk_s)
    events = tuple(replace(event, time_s=float(np.interp(event.time_s, walked_s, time))) for event in trial.events)
    return replace(trial, ground_truth=_at_times(truth, walked_s, body), events=events)


def _at_times(truth: PoseSequence, time_s: Vector, body: Body) -> PoseSequence:
    """Return the poses at times (S,) within the sequence, interpolated by the shortest rotations."""
    at = np.minimum(time_s * truth.rate_hz, truth.num_frames - 1)
    before = np.minimum(at.astype(np.intp), truth.num_frames - 2)
    t = at - before
    first, second = (
        Rotation.from_rotvec(truth.poses[frames].astype(np.float64).reshape(-1, 3)) for frames in (before, before + 1)
    )
    steps = (first.inv() * second).as_rotvec() * np.repeat(t, truth.poses.shape[1] // 3)[:, None]
    poses = (first * Rotation.from_rotvec(steps)).as_rotvec().reshape(len(at), -1)
    path = truth.translation_m[before] * (1 - t[:, None]) + truth.translation_m[before + 1] * t[:, None]
    moved = replace(truth, poses=poses.astype(np.float32), translation_m=path.astype(np.float32))
    with torch.inference_mode():
        joints = body.posed_joints(*pose_tensors(moved, body))[:, :NUM_BODY_JOINTS]
    return replace(moved, joints_m=joints.float().cpu().numpy())
