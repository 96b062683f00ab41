"""Synthetic gait: foot contact, normative angles and timing, and the joints that each pathology affects."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from gait.body.body import Body
from gait.body.model_file import load_body
from gait.body.skeleton import BODY_JOINTS, Joint
from gait.errors import GaitError
from gait.synthetic import (
    PATHOLOGY_NAMES,
    SyntheticTrial,
    make_pathology,
    make_peculiarity,
    make_subject,
    make_trial,
    vary_subject,
)
from gait.synthetic.leg_kinematics import LegBones, minimal_rotation, rot_x
from gait.synthetic.normative_curves import KNEE_FLEXION
from gait.synthetic.speed_change import angle_change
from gait.synthetic.step_plan import warp_phase
from gait.synthetic.trial import pose_tensors
from gait.synthetic.virtual_markers import submesh
from tests.helpers.paths import OPEN_BODY

MODEL = OPEN_BODY
SIDES = ("left", "right")
SEEDS = (1, 7, 12)
pytestmark = pytest.mark.usefixtures("one_thread")


@cache
def body() -> Body:
    return load_body(MODEL)


@cache
def simulate(
    seed: int,
    name: str | None = None,
    side: str | None = None,
    severity: float = 1.0,
    *,
    pace: float = 1.0,
    varied: bool = False,
) -> SyntheticTrial:
    what = make_pathology(name, side, severity) if name else None  # type: ignore[arg-type]
    subject = make_subject(body(), seed, adult=True)
    if varied:
        wide = (make_peculiarity("wide_steps"),)
        subject = replace(vary_subject(subject), peculiarities=wide)
    if pace != 1:
        subject = subject.at_own_pace(pace)
    return make_trial(body(), subject, what, seconds=3.5 / pace, seed=3)


@cache
def lower_legs() -> torch.Tensor:
    """Return the vertices below the knees in the rest pose."""
    return torch.nonzero(body().v_template[:, 1] < body().joint_template[Joint.LEFT_KNEE, 1]).flatten()


@cache
def mesh(trial: SyntheticTrial) -> NDArray[np.float64]:
    """Return the vertices (T, V, 3) below the knees."""
    part = submesh(body(), lower_legs())
    with torch.inference_mode():
        return part(*pose_tensors(trial.ground_truth, part)).vertices.numpy()


def foot(trial: SyntheticTrial, side: str) -> NDArray[np.float64]:
    """Return the vertices (T, S, 3) of one foot."""
    weights = body().weights[lower_legs()].numpy()
    own = [j for j in range(weights.shape[1]) if _within(j, Joint[f"{side.upper()}_ANKLE"])]
    return mesh(trial)[:, weights[:, own].sum(axis=1) > 0.98]


def _within(joint: int, top: int) -> bool:
    while joint != top and joint >= 0:
        joint = body().parents[joint]
    return joint == top


def times(trial: SyntheticTrial, label: str, side: str) -> list[float]:
    return [e.time_s for e in trial.events if (e.label, e.side) == (label, side)]


def stances(trial: SyntheticTrial, side: str) -> list[slice]:
    """Return the frames of all complete stances."""
    offs = times(trial, "Foot Off", side)
    pairs = [(s, min((o for o in offs if o > s), default=None)) for s in times(trial, "Foot Strike", side)]
    return [slice(int(np.ceil(100 * s)), int(100 * o) + 1) for s, o in pairs if o is not None]


def angle(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    cosine = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def knee(trial: SyntheticTrial, side: str) -> NDArray[np.float64]:
    """Return the included knee angle (T,), degrees, from hip, knee and ankle."""
    hip, knee, ankle = (trial.ground_truth.joints_m[:, Joint[f"{side.upper()}_{n}"]] for n in ("HIP", "KNEE", "ANKLE"))
    return angle(knee - hip, ankle - knee)


def ahead(trial: SyntheticTrial) -> NDArray[np.float64]:
    return np.array([np.sin(trial.heading_rad), 0, np.cos(trial.heading_rad)])


def thigh(trial: SyntheticTrial, side: str) -> NDArray[np.float64]:
    """Return the forward inclination of the thigh (T,), degrees."""
    hip, knee = (trial.ground_truth.joints_m[:, Joint[f"{side.upper()}_{n}"]] for n in ("HIP", "KNEE"))
    return np.degrees(np.arctan2((knee - hip) @ ahead(trial), (hip - knee)[:, 1]))


def ankle(trial: SyntheticTrial, side: str) -> NDArray[np.float64]:
    """Return ankle dorsiflexion (T,), degrees, against the rest pose."""
    rest = body().rest_joints(torch.as_tensor(trial.ground_truth.betas))[0].numpy()[None]
    angles = []
    for joints in (trial.ground_truth.joints_m, rest):
        a, b, c = (joints[:, Joint[f"{side.upper()}_{n}"]] for n in ("KNEE", "ANKLE", "FOOT"))
        angles.append(angle(a - b, c - b))
    return angles[1] - angles[0]


def phase(trial: SyntheticTrial, side: str, at: float) -> NDArray[np.intp]:
    """Return the frames at this phase (0 to 1) of every complete cycle of the side."""
    contacts = np.array(times(trial, "Foot Strike", side))
    return np.round(100 * (contacts[:-1] + at * np.diff(contacts))).astype(int)


ALL = [(None, None)] + [(n, "left" if make_pathology(n).side != "both" else None) for n in PATHOLOGY_NAMES]


CASES = [*((*what, 1.0, False) for what in ALL), (None, None, 0.6, False), (None, None, 0.5, True)]


@pytest.mark.parametrize(("name", "side", "pace", "varied"), [*CASES, ("stiff_knee", "right", 1.0, True)])
def test_stance_feet_touch_the_floor_without_slipping(
    name: str | None, side: str | None, pace: float, varied: bool
) -> None:
    trial = simulate(1, name, side, pace=pace, varied=varied)
    lowest = mesh(trial)[:, :, 1].min(axis=1)
    assert lowest.min() > -0.005
    assert lowest.max() < 0.010
    for which in SIDES:
        assert stances(trial, which)
        for stance in stances(trial, which):
            sole = foot(trial, which)[stance]
            down = sole[:, :, 1] < 0.003
            assert (sole[:, :, 1].min(axis=1) < 0.010).all()
            both = down[1:] & down[:-1]
            steps = np.diff(sole, axis=0)[..., [0, 2]]
            mean = (steps * both[..., None]).sum(axis=1) / np.maximum(both.sum(axis=1), 1)[:, None]
            assert np.linalg.norm(mean, axis=1).sum() < 0.010  # path of the contact points over the stance


def test_events_match_foot_contact() -> None:
    trial = simulate(7)
    for side in SIDES:
        low = foot(trial, side)[:, :, 1].min(axis=1)
        for stance in stances(trial, side):
            assert (low[stance] < 0.004).all()
            assert low[max(stance.start - 6, 0)] > 0.004 or stance.start < 6
            assert stance.stop + 6 > len(low) or low[stance.stop + 5] > 0.004


@pytest.mark.parametrize("seed", SEEDS)
def test_healthy_adults_are_within_normative_ranges(seed: int) -> None:
    trial = simulate(seed)
    truth = trial.ground_truth
    pelvis = truth.joints_m[:, Joint.PELVIS]
    speed = (pelvis[-1] - pelvis[0]) @ ahead(trial) / (truth.num_frames - 1) * 100
    leg = trial.subject.leg_length_m
    assert 0.36 < speed / np.sqrt(9.81 * leg) < 0.50
    assert 1.0 < speed < 1.5
    for side in SIDES:
        contacts = times(trial, "Foot Strike", side)
        cadence = 120 / np.diff(contacts).mean()
        assert 95 < cadence < 130
        bend, swing_of_thigh, foot_turn = knee(trial, side), thigh(trial, side), ankle(trial, side)
        stance = np.concatenate([np.arange(s.start, s.stop) for s in stances(trial, side)])
        assert 52 < bend.max() < 70
        assert 55 < np.mean([bend[phase(trial, side, p)] for p in (0.70, 0.73, 0.76)]) + 3 < 70
        assert 10 < bend[phase(trial, side, 0.15)].mean() < 26
        assert bend[phase(trial, side, 0.40)].mean() < 14
        assert bend.min() > 1  # no hyperextension
        assert 35 < np.ptp(swing_of_thigh) < 55
        assert 6 < foot_turn[stance].max() < 22
        assert -30 < foot_turn.min() < -5
    sides = pelvis @ np.array([ahead(trial)[2], 0, -ahead(trial)[0]])
    assert 0.01 < np.ptp(pelvis[:, 1]) < 0.06
    assert np.ptp(sides) < 0.07
    acceleration = np.diff(truth.joints_m, 2, axis=0) * 100**2
    assert np.abs(acceleration).max() < 150  # smooth: m/s², the maximum is reached at initial contact


@pytest.mark.parametrize("pace", [0.6, 1.3])
def test_at_own_pace_changes_steps_and_angles_as_in_healthy_persons(pace: float) -> None:
    own, other = simulate(1), simulate(1, pace=pace)
    speeds = [trial.subject.dimensionless_speed for trial in (own, other)]
    assert speeds[1] == pytest.approx(pace * speeds[0])
    bends = [
        np.mean([knee(trial, side)[phase(trial, side, p)].mean() for side in SIDES for p in (0.70, 0.73, 0.76)])
        for trial in (own, other)
    ]
    published = angle_change("knee_flexion", *speeds)[[70, 73, 76]].mean()
    assert bends[1] - bends[0] == pytest.approx(np.degrees(published), abs=4)
    slower, faster = sorted((own, other), key=lambda trial: trial.subject.dimensionless_speed)
    assert np.ptp(thigh(slower, "left")) < np.ptp(thigh(faster, "left")) - 3
    assert other.subject.at_own_pace(1 / pace).style_speed == own.subject.dimensionless_speed


def test_make_subject_gives_children_shorter_and_faster_steps() -> None:
    adults = [make_subject(body(), k, adult=True) for k in range(12)]
    children = [make_subject(body(), k, adult=False) for k in range(6)]
    assert 1.1 < np.mean([p.speed_m_s for p in adults]) < 1.4
    assert 100 < np.mean([120 / p.stride_time_s for p in adults]) < 122
    assert np.mean([p.stride_length_m for p in children]) < np.mean([p.stride_length_m for p in adults]) - 0.1
    assert np.mean([p.stride_time_s for p in children]) < np.mean([p.stride_time_s for p in adults])


def test_arms_swing_with_the_contralateral_leg() -> None:
    trial = simulate(1)
    joints = trial.ground_truth.joints_m
    for side, other in (SIDES, SIDES[::-1]):
        shoulder, elbow, wrist = (joints[:, Joint[f"{side.upper()}_{n}"]] for n in ("SHOULDER", "ELBOW", "WRIST"))
        forwards = (wrist - shoulder) @ ahead(trial)
        assert np.corrcoef(forwards, thigh(trial, other))[0, 1] > 0.5
        assert np.corrcoef(forwards, thigh(trial, side))[0, 1] < -0.5
        bend = angle(elbow - shoulder, wrist - elbow)
        assert bend.min() > 5
        assert bend.max() < 60
        assert (elbow[:, 1] < shoulder[:, 1] - 0.1).all()


def test_make_trial_is_reproducible_and_varies_between_strides() -> None:
    subject = make_subject(body(), 5)
    first, again, other = (make_trial(body(), subject, seed=k, seconds=3) for k in (1, 1, 2))
    assert np.array_equal(first.ground_truth.poses, again.ground_truth.poses)
    assert first.events == again.events
    assert not np.array_equal(first.ground_truth.poses, other.ground_truth.poses)
    assert np.array_equal(make_subject(body(), 5).betas, subject.betas)
    assert not np.array_equal(make_subject(body(), 6).betas, subject.betas)
    strides = np.diff(times(make_trial(body(), subject, seconds=8), "Foot Strike", "left"))
    assert 0.002 < strides.std() / strides.mean() < 0.06


def rotation_change(name: str, side: str | None) -> NDArray[np.float64]:
    """Return the mean change (22,), degrees, of each joint's rotation over the cycle that a pathology causes."""
    cycles = []
    for trial in (simulate(1), simulate(1, name, side)):
        local = trial.ground_truth.poses.reshape(trial.ground_truth.num_frames, -1, 3)[:, :22].astype(float)
        turn = Rotation.from_rotvec([0, -trial.heading_rad, 0])
        local[:, 0] = (turn * Rotation.from_rotvec(local[:, 0])).as_rotvec()
        a, b = times(trial, "Foot Strike", "left")[:2]
        at = 100 * (a + (b - a) * np.arange(40) / 40)
        cycles.append(local[np.round(at).astype(int)])
    there, back = (Rotation.from_rotvec(c.reshape(-1, 3)) for c in cycles)
    return np.degrees((there.inv() * back).magnitude()).reshape(-1, 22).mean(axis=0)


EXPECTED_JOINTS = [
    ("parkinsonian", None, ("LEFT_ELBOW", "RIGHT_ELBOW", "LEFT_SHOULDER", "RIGHT_SHOULDER", "SPINE2", "SPINE3")),
    ("stiff_knee", "left", ("LEFT_KNEE",)),
    ("stiff_knee", "right", ("RIGHT_KNEE",)),
    ("drop_foot", "left", ("LEFT_ANKLE",)),
    ("drop_foot", "right", ("RIGHT_ANKLE",)),
    ("crouch", None, ("LEFT_KNEE", "RIGHT_KNEE", "LEFT_HIP", "RIGHT_HIP", "LEFT_ANKLE", "RIGHT_ANKLE")),
    ("antalgic", "left", ("LEFT_KNEE", "LEFT_HIP")),
    ("antalgic", "right", ("RIGHT_KNEE", "RIGHT_HIP")),
]


@pytest.mark.parametrize(("name", "side", "joints"), EXPECTED_JOINTS)
def test_a_pathology_changes_its_affected_joints_most(name: str, side: str | None, joints: tuple[str, ...]) -> None:
    change = rotation_change(name, side)
    expected = {Joint[name] for name in joints}
    assert expected <= set(make_pathology(name, side).affected_joints)  # type: ignore[arg-type]
    order = [BODY_JOINTS[k] for k in np.argsort(-change)]
    assert set(order[: len(expected)]) == expected
    declared = list(make_pathology(name, side).affected_joints)  # type: ignore[arg-type]
    others = [j for j in BODY_JOINTS if j not in declared]
    assert change[list(expected)].mean() > 2 * change[others].mean()


@pytest.mark.parametrize("side", SIDES)
def test_duchenne_trendelenburg_leans_the_trunk_over_the_affected_leg_only(side: str) -> None:
    outwards = {}
    for what, trial in (("healthy", simulate(1)), ("sick", simulate(1, "duchenne_trendelenburg", side))):
        joints = trial.ground_truth.joints_m
        left = np.array([ahead(trial)[2], 0, -ahead(trial)[0]])
        up = joints[:, Joint.NECK] - joints[:, Joint.PELVIS]
        lean = np.degrees(np.arctan2(up @ left, up[:, 1])) * (1 if side == "left" else -1)
        outwards[what] = lean
        for at, least, most in ((0.3, 8, 22), (0.8, -6, 6)):
            frames = phase(trial, side, at)
            if what == "sick":
                assert least < lean[frames].mean() < most
    assert outwards["sick"].max() > outwards["healthy"].max() + 8


def test_stiff_knee_reduces_swing_flexion_with_its_severity() -> None:
    peaks = [knee(simulate(1, "stiff_knee", "left", s), "left").max() for s in (0.0, 0.5, 1.0)]
    assert peaks[0] > peaks[1] + 5 > peaks[2] + 10
    for seed in SEEDS:
        trial = simulate(seed, "stiff_knee", "left")
        assert knee(trial, "left").max() < 35
        assert knee(trial, "right").max() > 50
    assert knee(simulate(1, "stiff_knee", "right"), "right").max() < 35


def test_drop_foot_is_plantarflexed_in_swing() -> None:
    healthy, sick = simulate(1), simulate(1, "drop_foot", "left")
    for at in (0.8, 0.85, 0.9):
        drop = ankle(healthy, "left")[phase(healthy, "left", at)].mean()
        drop -= ankle(sick, "left")[phase(sick, "left", at)].mean()
        assert drop > 12
    assert abs(np.ptp(ankle(sick, "right")) - np.ptp(ankle(healthy, "right"))) < 6


def test_crouch_keeps_both_knees_flexed() -> None:
    trial = simulate(1, "crouch")
    for side in SIDES:
        assert knee(trial, side).min() > 15
        assert knee(trial, side)[phase(trial, side, 0.4)].mean() > 25


def test_parkinsonian_has_short_steps_a_flexed_trunk_and_little_arm_swing() -> None:
    healthy, sick = simulate(1), simulate(1, "parkinsonian")
    assert sick.pattern.stride_length_m < 0.6 * healthy.pattern.stride_length_m
    assert sick.pattern.stride_time_s < healthy.pattern.stride_time_s
    for trial, low, high, least, most in ((healthy, -8, 12, 0.2, 1.0), (sick, 10, 45, 0.0, 0.15)):
        joints = trial.ground_truth.joints_m
        up = joints[:, Joint.NECK] - joints[:, Joint.PELVIS]
        assert low < np.degrees(np.arctan2(up @ ahead(trial), up[:, 1])).mean() < high
        hand = (joints[:, Joint.LEFT_WRIST] - joints[:, Joint.LEFT_SHOULDER]) @ ahead(trial)
        assert least < np.ptp(hand) < most


def test_antalgic_shortens_the_stance_of_its_side() -> None:
    for side, other in (SIDES, SIDES[::-1]):
        trial = simulate(1, "antalgic", side)
        own, healthy_side = (np.mean([s.stop - s.start for s in stances(trial, which)]) for which in (side, other))
        assert own < 0.85 * healthy_side


def test_make_pathology_rejects_invalid_arguments() -> None:
    with pytest.raises(GaitError, match="stiff_knee"):
        make_pathology("limp")
    with pytest.raises(GaitError, match="left or right"):
        make_pathology("drop_foot", "both")
    with pytest.raises(GaitError, match="both"):
        make_pathology("crouch", "left")
    with pytest.raises(GaitError, match="from 0 to 1"):
        make_pathology("crouch", None, 1.5)
    assert make_pathology("drop_foot", "right").affected_joints == (Joint.RIGHT_ANKLE,)


def test_inverse_kinematics_reaches_its_target() -> None:
    random = np.random.default_rng(0)
    bones = LegBones(np.zeros(3), np.array([0.02, -0.40, 0.01]), np.array([0.0, -0.38, -0.015]))
    target = random.normal(0, 0.15, (50, 3)) + np.array([0, -0.6, 0])
    start = np.broadcast_to(rot_x(-0.2), (50, 3, 3))
    thigh, bend = bones.inverse_kinematics(target, start)
    assert np.abs(bones.ankle_from_hip(thigh, bend) - target)[np.linalg.norm(target, axis=1) < 0.75].max() < 1e-4
    assert (bend > 0).all()
    stretched, flexion = bones.inverse_kinematics(np.array([[0.0, -2.0, 0.0]]), start[:1])
    assert np.degrees(flexion[0]) == pytest.approx(2, abs=1)
    a, b = random.normal(size=(2, 20, 3))
    rotated = (minimal_rotation(a, b) @ a[..., None])[..., 0]
    assert np.allclose(np.cross(rotated, b), 0, atol=1e-9)
    assert stretched.shape == (1, 3, 3)


def test_curves_are_periodic_and_warp_phase_moves_foot_off() -> None:
    assert KNEE_FLEXION.at(0.25) == pytest.approx(KNEE_FLEXION.at(3.25))
    assert np.degrees(KNEE_FLEXION.samples.max()) == pytest.approx(61, abs=1)
    phases = np.linspace(-1, 2, 400)
    for stance in (0.52, 0.61, 0.7):
        assert (np.diff(warp_phase(phases, stance)) > 0).all()
        assert warp_phase(np.array([0.0, stance, 1 + stance]), stance) == pytest.approx([0, 0.61, 1.61])
