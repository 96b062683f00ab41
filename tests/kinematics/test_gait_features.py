"""Features of a walk against walkers whose steps, speed and disorder are known."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gait.body.body import Body
from gait.body.model_file import load_body
from gait.body.skeleton import Joint
from gait.cohort.cohort_file import read_cohort
from gait.cohort.fit_settings import FitSettings
from gait.cohort.fit_subject import fit_cohort
from gait.kinematics.gait_features import FEATURE_NAMES, feature_table, gait_features
from gait.motion.common_frame import mirrored
from gait.motion.dataset import AcquisitionInfo, Trial, read_gaits
from gait.synthetic import DISORDER_NAMES, Walk, disorder, make_person, make_walk
from gait.synthetic.pathologies import ONE_SIDED
from tests.helpers.paths import REPOSITORY

RATE_HZ = 100.0

pytestmark = pytest.mark.usefixtures("one_thread")


@cache
def body() -> Body:
    return load_body(REPOSITORY / "data" / "SUPR" / "open_neutral.npz")


@cache
def walked(name: str | None = None, seed: int = 2, seconds: float = 4.5) -> Walk:
    what = disorder(name) if name else None
    return make_walk(body(), make_person(body(), seed, adult=True), what, seconds=seconds, seed=seed)


@cache
def features(name: str | None = None, seed: int = 2) -> dict[str, float]:
    return gait_features(walked(name, seed).truth.joints_m, RATE_HZ)


def on_a_treadmill(joints: NDArray[np.floating]) -> NDArray[np.floating]:
    pelvis = joints[:, Joint.PELVIS]
    even = np.linspace(0, 1, len(joints))[:, None] * (pelvis[-1] - pelvis[0]) * [1, 0, 1]
    return joints - even[:, None]


@pytest.mark.parametrize("name", [None, *DISORDER_NAMES])
def test_steps_are_those_of_the_walk(name: str | None) -> None:
    pattern, found = walked(name).pattern, features(name)
    assert found["walking_speed"] == pytest.approx(pattern.stride_length_m / pattern.stride_time_s, rel=0.04)
    assert found["cadence"] == pytest.approx(120 / pattern.stride_time_s, rel=0.04)
    double = pattern.left.stance_share + pattern.right.stance_share - 1
    assert found["double_support"] == pytest.approx(double, abs=0.05)
    right = pattern.right_step_share
    assert found["step_length_asymmetry"] == pytest.approx(2 * abs(2 * right - 1), abs=0.12)
    assert found["stance_asymmetry"] == pytest.approx(
        abs(pattern.left.stance_share - pattern.right.stance_share), abs=0.05
    )


@pytest.mark.parametrize("name", [None, "parkinsonian", "stance_avoidance"])
def test_a_treadmill_changes_little(name: str | None) -> None:
    found = gait_features(on_a_treadmill(walked(name).truth.joints_m), RATE_HZ)
    for feature in ("walking_speed", "cadence", "step_length"):
        assert found[feature] == pytest.approx(features(name)[feature], rel=0.06)
    for feature in ("hip_range", "knee_range", "ankle_range", "swing_knee_flexion", "trunk_lean_ahead"):
        assert found[feature] == pytest.approx(features(name)[feature], abs=2.5)


@pytest.mark.parametrize(
    ("name", "feature", "by"),
    [
        ("parkinsonian", "step_length", -0.2),
        ("parkinsonian", "arm_swing", -8),
        ("parkinsonian", "trunk_lean_ahead", 5),
        ("stiff_knee", "swing_knee_flexion", -15),
        ("stiff_knee", "swing_knee_asymmetry", 15),
        ("drop_foot", "swing_ankle_asymmetry", 6),
        ("crouch", "stance_knee_flexion", 15),
        ("stance_avoidance", "step_length_asymmetry", 0.2),
        ("stance_avoidance", "stance_asymmetry", 0.05),
        ("trunk_lean", "trunk_sway", 3),
    ],
)
def test_a_disorder_changes_what_it_is_known_for(name: str, feature: str, by: float) -> None:
    """Against the same person in health."""
    assert (features(name)[feature] - features()[feature]) / by >= 1


@pytest.mark.parametrize("seed", [2, 7, 12])
def test_the_healthy_are_in_the_usual_ranges(seed: int) -> None:
    """Adults: Winter 1991; Perry & Burnfield 2010; Murray 1967 for the arms."""
    usual = {
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
    for feature, (low, high) in usual.items():
        assert low <= features(None, seed)[feature] <= high, feature


@pytest.mark.parametrize("name", [None, *sorted(ONE_SIDED)])
def test_neither_side_nor_direction_matters(name: str | None) -> None:
    joints = walked(name).truth.joints_m
    quarter = joints @ np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]], np.float32)
    for other in (mirrored(torch.from_numpy(joints)).numpy(), quarter):
        assert gait_features(other, RATE_HZ) == pytest.approx(features(name), rel=1e-3, abs=1e-3)


def test_what_is_not_shown_is_no_number() -> None:
    joints = walked().truth.joints_m
    standing = np.repeat(joints[:1], 300, axis=0)
    for few in (joints[:1], joints[:50], standing):
        found = gait_features(few, RATE_HZ)
        assert tuple(found) == FEATURE_NAMES
        assert np.isnan(list(found.values())).all()
    short = gait_features(joints[:170], RATE_HZ)
    assert np.isfinite([short["walking_speed"], short["cadence"]]).all()


def test_standing_between_two_walks_is_no_stride() -> None:
    joints = walked().truth.joints_m
    pause = np.concatenate([joints[:250], np.repeat(joints[250:251], 400, axis=0), joints[250:]])
    assert gait_features(pause, RATE_HZ)["cadence"] == pytest.approx(features()["cadence"], rel=0.03)


def test_joints_that_no_marker_saw_show_nothing() -> None:
    joints = walked().truth.joints_m
    without_arms = gait_features(joints, RATE_HZ, (Joint.RIGHT_WRIST, Joint.LEFT_ELBOW))
    assert {name for name, value in without_arms.items() if np.isnan(value)} == {"arm_swing"}
    legs_alone = gait_features(joints, RATE_HZ, (Joint.NECK, Joint.HEAD, Joint.LEFT_SHOULDER))
    gone = {"trunk_lean_ahead", "trunk_sway", "arm_swing"}
    assert {name for name, value in legs_alone.items() if np.isnan(value)} == gone
    assert all(legs_alone[name] == value for name, value in features().items() if name not in gone)
    assert np.isnan(list(gait_features(joints, RATE_HZ, (Joint.LEFT_ANKLE,)).values())).all()


@pytest.mark.slow
@pytest.mark.captures
def test_a_recording_of_legs_alone_shows_no_arms(captures: Path, tmp_path: Path) -> None:
    """Sixteen markers of the lower body, through fit and pose files."""
    recording = captures / "formats" / "lowerbody_clinic_walk.c3d"
    cohort = {"A": {"gaits": [str(recording)], "healthy": True, "model_file": "open_neutral.npz"}}
    (tmp_path / "cohort.json").write_text(json.dumps(cohort), encoding="utf-8")
    settings = FitSettings(model_folder=REPOSITORY / "data", save_folder=tmp_path / "poses", pictures=False)
    assert [outcome.line for outcome in fit_cohort(read_cohort(tmp_path / "cohort.json"), settings)] == [""]
    (gait,) = read_gaits(tmp_path / "poses").gaits
    assert {Joint.NECK, Joint.LEFT_WRIST, Joint.RIGHT_WRIST} <= set(gait.source.unseen_joints)
    assert not {Joint.PELVIS, Joint.LEFT_KNEE, Joint.RIGHT_ANKLE} & set(gait.source.unseen_joints)
    missing = np.isnan(feature_table([gait])[0])
    assert {n for n, gone in zip(FEATURE_NAMES, missing, strict=True) if gone} >= {"arm_swing", "trunk_sway"}
    assert not missing[FEATURE_NAMES.index("walking_speed")]


def test_a_table_has_a_row_a_recording() -> None:
    source = AcquisitionInfo(RATE_HZ, 450, 0.0, (), 1.7)
    gaits = [
        Trial("P", str(k), False, walked(None, seed).truth.joints_m, RATE_HZ, source, Path())
        for k, seed in enumerate((2, 7))
    ]
    table = feature_table(gaits)
    assert table.shape == (2, len(FEATURE_NAMES))
    assert table[1].tolist() == list(features(None, 7).values())
    assert feature_table([]).shape == (0, len(FEATURE_NAMES))
