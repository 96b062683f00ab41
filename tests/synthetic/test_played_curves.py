"""Walks made from joint angle curves: their angles, their feet, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gait.errors import GaitError
from gait.kinematics.joint_angles import compute_joint_angles
from gait.kinematics.norms import GDI_ANGLES, read_angle_norm
from gait.synthetic import make_subject
from gait.synthetic.played_curves import mean_stride, play_curves
from gait.synthetic.trial import pose_tensors

SIDES = ("left", "right")


@pytest.fixture(scope="module")
def curves():
    """The mean curves of adults (Pinzone 2014), with a straighter knee, so that it passes full extension."""
    mean = read_angle_norm("pinzone2014_centre1").at_speed(None).mean_deg
    percent = np.linspace(0, 100, 101)
    found = {
        (angle, side): np.interp(percent, np.linspace(0, 100, len(mean[angle])), mean[angle])
        for angle in GDI_ANGLES
        for side in SIDES
    }
    return found | {("knee_flexion", side): found["knee_flexion", side] - 5 for side in SIDES}


@pytest.fixture(scope="module")
def subject(open_body):
    return make_subject(open_body, 11, adult=True)


@pytest.fixture(scope="module")
def played(open_body, subject, curves):
    return play_curves(open_body, subject, curves, seconds=3.0)


def test_angles_are_those_of_the_curves(played, curves):
    limits = {"hip_flexion": 4, "hip_adduction": 4, "hip_rotation": 2.5, "knee_flexion": 6, "ankle_dorsiflexion": 5}
    angles = compute_joint_angles(played.ground_truth).degrees
    for (angle, side), wanted in curves.items():
        curve = mean_stride(played, angles[angle, side], side)
        assert np.sqrt(np.mean((curve - wanted) ** 2)) < limits.get(angle, 2)
        assert np.corrcoef(curve, wanted)[0, 1] > 0.9 or np.ptp(wanted) < 8


def test_feet_are_on_the_floor_and_hardly_slip(open_body, played):
    poses, betas, translation = pose_tensors(played.ground_truth, open_body)
    with torch.inference_mode():
        vertices = open_body(poses[:150], betas, translation[:150]).vertices.numpy()
    lowest = vertices[..., 1].min(axis=1)
    assert lowest.min() > -0.006
    assert lowest.max() < 0.002
    loaded = (vertices[1:, :, 1] < 0.001) & (vertices[:-1, :, 1] < 0.001)
    speed = 100 * np.linalg.norm(np.diff(vertices[..., [0, 2]], axis=0), axis=-1)
    assert np.median(speed[loaded]) < 0.05


def test_pace_is_the_subjects_and_steps_follow_from_the_angles(open_body, subject, curves, played):
    pattern = played.pattern
    assert pattern.stride_time_s == subject.stride_time_s
    assert 1.1 < pattern.stride_length_m / subject.leg_length_m < 1.7
    half = {key: curve.mean() + 0.5 * (curve - curve.mean()) for key, curve in curves.items()}
    shorter = play_curves(open_body, subject, half, seconds=3.0).pattern
    assert shorter.stride_length_m < 0.7 * pattern.stride_length_m
    slower = replace(subject, dimensionless_cadence=0.8 * subject.dimensionless_cadence)
    paced = play_curves(open_body, slower, curves, seconds=3.0).pattern
    assert paced.stride_length_m == pattern.stride_length_m
    assert paced.stride_time_s == pytest.approx(pattern.stride_time_s / 0.8)


def test_sides_have_their_own_curves(open_body, subject, curves):
    toe_in = {**curves, ("foot_progression", "left"): curves["foot_progression", "left"] + 10}
    trial = play_curves(open_body, subject, toe_in, seconds=3.0)
    angles = compute_joint_angles(trial.ground_truth).degrees
    left, right = (mean_stride(trial, angles["foot_progression", side], side) for side in SIDES)
    assert np.mean(left - right) == pytest.approx(10, abs=1)


@pytest.mark.parametrize("change", ["missing", "short", "gap"])
def test_incomplete_curves_are_refused(open_body, subject, curves, change):
    key = ("hip_rotation", "right")
    wrong = {"missing": (), "short": np.zeros(51), "gap": np.where(np.arange(101) == 7, np.nan, curves[key])}[change]
    with pytest.raises(GaitError, match=r"hip_rotation, right: needs 101 numbers"):
        play_curves(open_body, subject, {**curves, key: wrong})
