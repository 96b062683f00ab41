"""Gait features of synthetic trials with known steps, speed and pathology."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from gait.body.skeleton import Joint
from gait.cohort.cohort_file import read_cohort
from gait.cohort.fit_settings import FitSettings
from gait.kinematics.gait_features import FEATURE_NAMES, compute_gait_features
from gait.kinematics.walking import Activity, find_activity
from gait.learning.baselines import compute_feature_table
from gait.motion.dataset import AcquisitionInfo, Trial
from gait.motion.read_dataset import read_dataset
from gait.synthetic import PATHOLOGY_NAMES
from gait.synthetic.pathologies import UNILATERAL
from gait.synthetic.standing import add_standing
from tests.helpers.fit_cohort import fit_cohort
from tests.helpers.motion_cases import mirror_joints
from tests.helpers.paths import REPOSITORY
from tests.helpers.synthetic_cases import body, on_treadmill, synthetic_trial

RATE_HZ = 100.0

pytestmark = pytest.mark.usefixtures("one_thread")


@cache
def features(name: str | None = None, seed: int = 2) -> dict[str, float]:
    return compute_gait_features(synthetic_trial(name, seed).ground_truth.joints_m, RATE_HZ)


@pytest.mark.parametrize("name", [None, *PATHOLOGY_NAMES])
def test_compute_gait_features_of_synthetic_steps(name: str | None) -> None:
    pattern, found = synthetic_trial(name).pattern, features(name)
    assert found["walking_speed"] == pytest.approx(pattern.stride_length_m / pattern.stride_time_s, rel=0.04)
    assert found["cadence"] == pytest.approx(120 / pattern.stride_time_s, rel=0.04)
    double = pattern.left.stance_fraction + pattern.right.stance_fraction - 1
    assert found["double_support"] == pytest.approx(double, abs=0.05)
    right = pattern.right_step_fraction
    assert found["step_length_asymmetry"] == pytest.approx(2 * abs(2 * right - 1), abs=0.12)
    assert found["stance_asymmetry"] == pytest.approx(
        abs(pattern.left.stance_fraction - pattern.right.stance_fraction), abs=0.05
    )


@pytest.mark.parametrize("name", [None, "parkinsonian", "antalgic"])
def test_compute_gait_features_on_treadmill(name: str | None) -> None:
    found = compute_gait_features(on_treadmill(synthetic_trial(name).ground_truth.joints_m), RATE_HZ)
    for feature in ("walking_speed", "cadence", "step_length"):
        assert found[feature] == pytest.approx(features(name)[feature], rel=0.06)
    for feature in ("hip_range", "knee_range", "ankle_range", "swing_knee_flexion", "trunk_lean"):
        assert found[feature] == pytest.approx(features(name)[feature], abs=2.5)


@pytest.mark.parametrize(
    ("name", "feature", "by"),
    [
        ("parkinsonian", "step_length", -0.2),
        ("parkinsonian", "arm_swing", -8),
        ("parkinsonian", "trunk_lean", 5),
        ("stiff_knee", "swing_knee_flexion", -15),
        ("stiff_knee", "swing_knee_asymmetry", 15),
        ("drop_foot", "swing_ankle_asymmetry", 6),
        ("crouch", "stance_knee_flexion", 15),
        ("antalgic", "step_length_asymmetry", 0.2),
        ("antalgic", "stance_asymmetry", 0.05),
        ("duchenne_trendelenburg", "trunk_sway", 3),
    ],
)
def test_compute_gait_features_shows_pathologies(name: str, feature: str, by: float) -> None:
    """Compared with the same subject without the pathology."""
    assert (features(name)[feature] - features()[feature]) / by >= 1


@pytest.mark.parametrize("seed", [2, 7, 12])
def test_compute_gait_features_of_controls_are_normative(seed: int) -> None:
    """Adults: Winter 1991; Perry & Burnfield 2010; Murray 1967 for the arms."""
    normative = {
        "walking_speed": (1.0, 1.6),
        "dimensionless_speed": (0.37, 0.52),
        "cadence": (95, 130),
        "step_length": (0.7, 1.0),
        "step_width": (0.03, 0.2),
        "double_support": (0.15, 0.3),
        "hip_range": (35, 55),
        "knee_range": (50, 72),
        "ankle_range": (20, 38),
        "swing_knee_flexion": (52, 72),
        "stance_knee_flexion": (5, 22),
        "arm_swing": (15, 65),
    }
    for feature, (low, high) in normative.items():
        assert low <= features(None, seed)[feature] <= high, feature


@pytest.mark.parametrize("name", [None, *sorted(UNILATERAL)])
def test_compute_gait_features_is_invariant_to_side_and_heading(name: str | None) -> None:
    joints = synthetic_trial(name).ground_truth.joints_m
    rotated = joints @ np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]], np.float32)
    for other in (mirror_joints(torch.from_numpy(joints)).numpy(), rotated):
        assert compute_gait_features(other, RATE_HZ) == pytest.approx(features(name), rel=1e-3, abs=1e-3)


def test_compute_gait_features_without_strides_is_nan() -> None:
    joints = synthetic_trial().ground_truth.joints_m
    standing = np.repeat(joints[:1], 300, axis=0)
    for few in (joints[:1], joints[:50], standing):
        found = compute_gait_features(few, RATE_HZ)
        assert tuple(found) == FEATURE_NAMES
        assert np.isnan(list(found.values())).all()
    short = compute_gait_features(joints[:170], RATE_HZ)
    assert np.isfinite([short["walking_speed"], short["cadence"]]).all()


def test_compute_gait_features_ignores_standing_pauses() -> None:
    joints = synthetic_trial().ground_truth.joints_m
    pause = np.concatenate([joints[:250], np.repeat(joints[250:251], 400, axis=0), joints[250:]])
    assert compute_gait_features(pause, RATE_HZ)["cadence"] == pytest.approx(features()["cadence"], rel=0.03)


def test_compute_gait_features_without_undetermined_joints() -> None:
    joints = synthetic_trial().ground_truth.joints_m
    without_arms = compute_gait_features(joints, RATE_HZ, (Joint.RIGHT_WRIST, Joint.LEFT_ELBOW))
    assert {name for name, value in without_arms.items() if np.isnan(value)} == {"arm_swing"}
    legs_alone = compute_gait_features(joints, RATE_HZ, (Joint.NECK, Joint.HEAD, Joint.LEFT_SHOULDER))
    gone = {"trunk_lean", "trunk_sway", "arm_swing"}
    assert {name for name, value in legs_alone.items() if np.isnan(value)} == gone
    assert all(legs_alone[name] == value for name, value in features().items() if name not in gone)
    assert np.isnan(list(compute_gait_features(joints, RATE_HZ, (Joint.LEFT_ANKLE,)).values())).all()


@pytest.mark.slow
@pytest.mark.captures
def test_compute_feature_table_of_lower_body_trial(captures: Path, tmp_path: Path) -> None:
    """A trial with sixteen lower-body markers, fitted and read again."""
    recording = captures / "formats" / "lowerbody_clinic_walk.c3d"
    cohort = {"A": {"trials": [str(recording)], "healthy": True, "model_file": "open_neutral.npz"}}
    (tmp_path / "cohort.json").write_text(json.dumps(cohort), encoding="utf-8")
    settings = FitSettings(model_folder=REPOSITORY / "data", save_folder=tmp_path / "poses", figures=False)
    assert [outcome.message for outcome in fit_cohort(read_cohort(tmp_path / "cohort.json"), settings)] == [""]
    (trial,) = read_dataset(tmp_path / "poses").trials
    assert {Joint.NECK, Joint.LEFT_WRIST, Joint.RIGHT_WRIST} <= set(trial.unobserved_joints)
    assert not {Joint.PELVIS, Joint.LEFT_KNEE, Joint.RIGHT_ANKLE} & set(trial.unobserved_joints)
    missing = np.isnan(compute_feature_table([trial])[0])
    assert {n for n, gone in zip(FEATURE_NAMES, missing, strict=True) if gone} >= {"arm_swing", "trunk_sway"}
    assert not missing[FEATURE_NAMES.index("walking_speed")]


def test_compute_feature_table_has_one_row_per_trial() -> None:
    acquisition = AcquisitionInfo(RATE_HZ, 450, 0.0, (), 1.7)
    trials = [
        Trial("P", str(k), False, synthetic_trial(None, seed).ground_truth.joints_m, RATE_HZ, acquisition, Path())
        for k, seed in enumerate((2, 7))
    ]
    table = compute_feature_table(trials)
    assert table.shape == (2, len(FEATURE_NAMES))
    assert table[1].tolist() == list(features(None, 7).values())
    assert compute_feature_table([]).shape == (0, len(FEATURE_NAMES))


def test_compute_gait_features_of_a_walk_between_two_stands_are_those_of_the_walk() -> None:
    walk = synthetic_trial()
    joints = add_standing(walk, body(), 5.0, 5.0).ground_truth.joints_m
    found = compute_gait_features(joints, RATE_HZ, activity=find_activity(joints, RATE_HZ))
    assert {k: found[k] for k in ("walking_speed", "cadence", "knee_range", "hip_range")} == pytest.approx(
        {k: features()[k] for k in ("walking_speed", "cadence", "knee_range", "hip_range")}, rel=0.04
    )
    every = compute_gait_features(joints, RATE_HZ, activity=np.zeros(len(joints), np.uint8))
    assert every == pytest.approx(compute_gait_features(joints, RATE_HZ), nan_ok=True)
    none = compute_gait_features(joints, RATE_HZ, activity=np.full(len(joints), Activity.STANDING, np.uint8))
    assert np.isnan(list(none.values())).all()
