"""Walkers of known truth: do they stand, roll and swing as people do, and is a disorder where it says it is?"""

from __future__ import annotations

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
from gait.synthetic import DISORDER_NAMES, Walk, disorder, make_person, make_walk
from gait.synthetic.leg_kinematics import LegBones, about_x, smallest_rotation
from gait.synthetic.normative_curves import KNEE_FLEXION
from gait.synthetic.step_plan import warped
from tests.helpers.paths import OPEN_BODY

MODEL = OPEN_BODY
SIDES = ("left", "right")
SEEDS = (1, 7, 12)
pytestmark = pytest.mark.usefixtures("one_thread")


@cache
def body() -> Body:
    return load_body(MODEL)


@cache
def walked(seed: int, name: str | None = None, side: str | None = None, severity: float = 1.0) -> Walk:
    what = disorder(name, side, severity) if name else None  # type: ignore[arg-type]
    return make_walk(body(), make_person(body(), seed, adult=True), what, seconds=3.5, seed=3)


@cache
def mesh(walk: Walk) -> NDArray[np.float32]:
    return walk.vertices(body())


def foot(walk: Walk, side: str) -> NDArray[np.float32]:
    """(T, S, 3) vertices of one foot."""
    weights = body().weights.numpy()
    own = [j for j in range(weights.shape[1]) if _within(j, Joint[f"{side.upper()}_ANKLE"])]
    return mesh(walk)[:, weights[:, own].sum(axis=1) > 0.98]


def _within(joint: int, top: int) -> bool:
    while joint != top and joint >= 0:
        joint = body().parents[joint]
    return joint == top


def times(walk: Walk, label: str, side: str) -> list[float]:
    return [e.time_s for e in walk.events if (e.label, e.side) == (label, side)]


def stances(walk: Walk, side: str) -> list[slice]:
    """Frames of the whole stances."""
    offs = times(walk, "Foot Off", side)
    pairs = [(s, min((o for o in offs if o > s), default=None)) for s in times(walk, "Foot Strike", side)]
    return [slice(int(np.ceil(100 * s)), int(100 * o) + 1) for s, o in pairs if o is not None]


def angle(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    cosine = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def knee(walk: Walk, side: str) -> NDArray[np.float64]:
    """(T,) degrees, from hip, knee and ankle."""
    hip, knee, ankle = (walk.truth.joints_m[:, Joint[f"{side.upper()}_{n}"]] for n in ("HIP", "KNEE", "ANKLE"))
    return angle(knee - hip, ankle - knee)


def ahead(walk: Walk) -> NDArray[np.float64]:
    return np.array([np.sin(walk.heading_rad), 0, np.cos(walk.heading_rad)])


def thigh(walk: Walk, side: str) -> NDArray[np.float64]:
    """(T,) degrees in front of the vertical."""
    hip, knee = (walk.truth.joints_m[:, Joint[f"{side.upper()}_{n}"]] for n in ("HIP", "KNEE"))
    return np.degrees(np.arctan2((knee - hip) @ ahead(walk), (hip - knee)[:, 1]))


def ankle(walk: Walk, side: str) -> NDArray[np.float64]:
    """(T,) degrees of dorsiflexion against rest."""
    rest = body().rest_joints(torch.as_tensor(walk.truth.betas))[0].numpy()[None]
    angles = []
    for joints in (walk.truth.joints_m, rest):
        a, b, c = (joints[:, Joint[f"{side.upper()}_{n}"]] for n in ("KNEE", "ANKLE", "FOOT"))
        angles.append(angle(a - b, c - b))
    return angles[1] - angles[0]


def phase(walk: Walk, side: str, at: float) -> NDArray[np.intp]:
    """Frames at a share of every whole cycle of the side."""
    strikes = np.array(times(walk, "Foot Strike", side))
    return np.round(100 * (strikes[:-1] + at * np.diff(strikes))).astype(int)


ALL = [(None, None)] + [(n, "left" if disorder(n).side != "both" else None) for n in DISORDER_NAMES]


@pytest.mark.parametrize(("name", "side"), ALL)
def test_feet_neither_sink_nor_float_nor_slide(name: str | None, side: str | None) -> None:
    walk = walked(1, name, side)
    lowest = mesh(walk)[:, :, 1].min(axis=1)
    assert lowest.min() > -0.005
    assert lowest.max() < 0.010
    for which in SIDES:
        assert stances(walk, which)
        for stance in stances(walk, which):
            sole = foot(walk, which)[stance]
            down = sole[:, :, 1] < 0.003
            assert (sole[:, :, 1].min(axis=1) < 0.010).all()
            both = down[1:] & down[:-1]
            steps = np.diff(sole, axis=0)[..., [0, 2]]
            mean = (steps * both[..., None]).sum(axis=1) / np.maximum(both.sum(axis=1), 1)[:, None]
            assert np.linalg.norm(mean, axis=1).sum() < 0.010  # all that the bearing points moved in the stance


def test_events_are_where_feet_land_and_leave() -> None:
    walk = walked(7)
    for side in SIDES:
        low = foot(walk, side)[:, :, 1].min(axis=1)
        for stance in stances(walk, side):
            assert (low[stance] < 0.004).all()
            assert low[max(stance.start - 6, 0)] > 0.004 or stance.start < 6
            assert stance.stop + 6 > len(low) or low[stance.stop + 5] > 0.004


@pytest.mark.parametrize("seed", SEEDS)
def test_healthy_adults_walk_by_the_norm(seed: int) -> None:
    walk = walked(seed)
    truth = walk.truth
    pelvis = truth.joints_m[:, Joint.PELVIS]
    speed = (pelvis[-1] - pelvis[0]) @ ahead(walk) / (truth.frames - 1) * 100
    leg = walk.person.leg_length_m
    assert 0.36 < speed / np.sqrt(9.81 * leg) < 0.50
    assert 1.0 < speed < 1.5
    for side in SIDES:
        strikes = times(walk, "Foot Strike", side)
        steps_a_minute = 120 / np.diff(strikes).mean()
        assert 95 < steps_a_minute < 130
        bend, swing_of_thigh, foot_turn = knee(walk, side), thigh(walk, side), ankle(walk, side)
        stance = np.concatenate([np.arange(s.start, s.stop) for s in stances(walk, side)])
        assert 52 < bend.max() < 70
        assert 55 < np.mean([bend[phase(walk, side, p)] for p in (0.70, 0.73, 0.76)]) + 3 < 70
        assert 10 < bend[phase(walk, side, 0.15)].mean() < 26
        assert bend[phase(walk, side, 0.40)].mean() < 14
        assert bend.min() > 1  # never beyond straight
        assert 35 < np.ptp(swing_of_thigh) < 55
        assert 6 < foot_turn[stance].max() < 22
        assert -30 < foot_turn.min() < -5
    sides = pelvis @ np.array([ahead(walk)[2], 0, -ahead(walk)[0]])
    assert 0.01 < np.ptp(pelvis[:, 1]) < 0.06
    assert np.ptp(sides) < 0.07
    acceleration = np.diff(truth.joints_m, 2, axis=0) * 100**2
    assert np.abs(acceleration).max() < 150  # no jerks: m/s², single frames at heel strike reach the most


def test_adults_walk_at_adults_speed_and_children_take_shorter_quicker_steps() -> None:
    adults = [make_person(body(), k, adult=True) for k in range(12)]
    children = [make_person(body(), k, adult=False) for k in range(6)]
    assert 1.1 < np.mean([p.speed_m_s for p in adults]) < 1.4
    assert 100 < np.mean([120 / p.stride_time_s for p in adults]) < 122
    assert np.mean([p.stride_length_m for p in children]) < np.mean([p.stride_length_m for p in adults]) - 0.1
    assert np.mean([p.stride_time_s for p in children]) < np.mean([p.stride_time_s for p in adults])


def test_arms_swing_with_the_other_leg_and_elbows_stay_bent() -> None:
    walk = walked(1)
    joints = walk.truth.joints_m
    for side, other in (SIDES, SIDES[::-1]):
        shoulder, elbow, wrist = (joints[:, Joint[f"{side.upper()}_{n}"]] for n in ("SHOULDER", "ELBOW", "WRIST"))
        forwards = (wrist - shoulder) @ ahead(walk)
        assert np.corrcoef(forwards, thigh(walk, other))[0, 1] > 0.5
        assert np.corrcoef(forwards, thigh(walk, side))[0, 1] < -0.5
        bend = angle(elbow - shoulder, wrist - elbow)
        assert bend.min() > 5
        assert bend.max() < 60
        assert (elbow[:, 1] < shoulder[:, 1] - 0.1).all()


def test_same_seed_same_walk_and_strides_differ() -> None:
    person = make_person(body(), 5)
    first, again, other = (make_walk(body(), person, seed=k, seconds=3) for k in (1, 1, 2))
    assert np.array_equal(first.truth.poses, again.truth.poses)
    assert first.events == again.events
    assert not np.array_equal(first.truth.poses, other.truth.poses)
    assert np.array_equal(make_person(body(), 5).betas, person.betas)
    assert not np.array_equal(make_person(body(), 6).betas, person.betas)
    strides = np.diff(times(make_walk(body(), person, seconds=8), "Foot Strike", "left"))
    assert 0.002 < strides.std() / strides.mean() < 0.06


def turning(name: str, side: str | None) -> NDArray[np.float64]:
    """(22,) mean degrees by which a disorder changes each joint's turning over the cycle, the same person."""
    cycles = []
    for walk in (walked(1), walked(1, name, side)):
        local = walk.truth.poses.reshape(walk.truth.frames, -1, 3)[:, :22].astype(float)
        turn = Rotation.from_rotvec([0, -walk.heading_rad, 0])
        local[:, 0] = (turn * Rotation.from_rotvec(local[:, 0])).as_rotvec()
        a, b = times(walk, "Foot Strike", "left")[:2]
        at = 100 * (a + (b - a) * np.arange(40) / 40)
        cycles.append(local[np.round(at).astype(int)])
    there, back = (Rotation.from_rotvec(c.reshape(-1, 3)) for c in cycles)
    return np.degrees((there.inv() * back).magnitude()).reshape(-1, 22).mean(axis=0)


PLACES = [
    ("parkinsonian", None, ("LEFT_ELBOW", "RIGHT_ELBOW", "LEFT_SHOULDER", "RIGHT_SHOULDER", "SPINE2", "SPINE3")),
    ("stiff_knee", "left", ("LEFT_KNEE",)),
    ("stiff_knee", "right", ("RIGHT_KNEE",)),
    ("drop_foot", "left", ("LEFT_ANKLE",)),
    ("drop_foot", "right", ("RIGHT_ANKLE",)),
    ("crouch", None, ("LEFT_KNEE", "RIGHT_KNEE", "LEFT_HIP", "RIGHT_HIP", "LEFT_ANKLE", "RIGHT_ANKLE")),
    ("stance_avoidance", "left", ("LEFT_KNEE", "LEFT_HIP")),
    ("stance_avoidance", "right", ("RIGHT_KNEE", "RIGHT_HIP")),
]


@pytest.mark.parametrize(("name", "side", "places"), PLACES)
def test_a_disorder_turns_its_own_joints_most(name: str, side: str | None, places: tuple[str, ...]) -> None:
    change = turning(name, side)
    expected = {Joint[p] for p in places}
    assert expected <= set(disorder(name, side).joints)  # type: ignore[arg-type]
    order = [BODY_JOINTS[k] for k in np.argsort(-change)]
    assert set(order[: len(expected)]) == expected
    declared = list(disorder(name, side).joints)  # type: ignore[arg-type]
    others = [j for j in BODY_JOINTS if j not in declared]
    assert change[list(expected)].mean() > 2 * change[others].mean()


@pytest.mark.parametrize("side", SIDES)
def test_trunk_leans_over_the_standing_leg_on_its_side_only(side: str) -> None:
    outwards = {}
    for what, walk in (("healthy", walked(1)), ("ill", walked(1, "trunk_lean", side))):
        joints = walk.truth.joints_m
        left = np.array([ahead(walk)[2], 0, -ahead(walk)[0]])
        up = joints[:, Joint.NECK] - joints[:, Joint.PELVIS]
        lean = np.degrees(np.arctan2(up @ left, up[:, 1])) * (1 if side == "left" else -1)
        outwards[what] = lean
        for at, least, most in ((0.3, 8, 22), (0.8, -6, 6)):
            frames = phase(walk, side, at)
            if what == "ill":
                assert least < lean[frames].mean() < most
    assert outwards["ill"].max() > outwards["healthy"].max() + 8


def test_stiff_knee_hardly_bends_in_swing_and_is_graded() -> None:
    peaks = [knee(walked(1, "stiff_knee", "left", s), "left").max() for s in (0.0, 0.5, 1.0)]
    assert peaks[0] > peaks[1] + 5 > peaks[2] + 10
    for seed in SEEDS:
        walk = walked(seed, "stiff_knee", "left")
        assert knee(walk, "left").max() < 35
        assert knee(walk, "right").max() > 50
    assert knee(walked(1, "stiff_knee", "right"), "right").max() < 35


def test_drop_foot_hangs_in_swing_and_lands_flat() -> None:
    healthy, ill = walked(1), walked(1, "drop_foot", "left")
    for at in (0.8, 0.85, 0.9):
        drop = ankle(healthy, "left")[phase(healthy, "left", at)].mean()
        drop -= ankle(ill, "left")[phase(ill, "left", at)].mean()
        assert drop > 12
    assert abs(np.ptp(ankle(ill, "right")) - np.ptp(ankle(healthy, "right"))) < 6


def test_crouch_keeps_both_knees_bent() -> None:
    walk = walked(1, "crouch")
    for side in SIDES:
        assert knee(walk, side).min() > 15
        assert knee(walk, side)[phase(walk, side, 0.4)].mean() > 25


def test_parkinsonian_shuffles_stoops_and_keeps_the_arms_still() -> None:
    healthy, ill = walked(1), walked(1, "parkinsonian")
    assert ill.pattern.stride_length_m < 0.6 * healthy.pattern.stride_length_m
    assert ill.pattern.stride_time_s < healthy.pattern.stride_time_s
    for walk, low, high, least, most in ((healthy, -8, 12, 0.2, 1.0), (ill, 10, 45, 0.0, 0.15)):
        joints = walk.truth.joints_m
        up = joints[:, Joint.NECK] - joints[:, Joint.PELVIS]
        assert low < np.degrees(np.arctan2(up @ ahead(walk), up[:, 1])).mean() < high
        hand = (joints[:, Joint.LEFT_WRIST] - joints[:, Joint.LEFT_SHOULDER]) @ ahead(walk)
        assert least < np.ptp(hand) < most


def test_stance_avoidance_shortens_the_stance_of_its_side() -> None:
    for side, other in (SIDES, SIDES[::-1]):
        walk = walked(1, "stance_avoidance", side)
        own, healthy_side = (np.mean([s.stop - s.start for s in stances(walk, which)]) for which in (side, other))
        assert own < 0.85 * healthy_side


def test_disorder_refuses_what_makes_no_sense() -> None:
    with pytest.raises(GaitError, match="stiff_knee"):
        disorder("limp")
    with pytest.raises(GaitError, match="left or right"):
        disorder("drop_foot", "both")
    with pytest.raises(GaitError, match="both"):
        disorder("crouch", "left")
    with pytest.raises(GaitError, match="from 0 to 1"):
        disorder("crouch", None, 1.5)
    assert disorder("drop_foot", "right").joints == (Joint.RIGHT_ANKLE,)


def test_leg_reaches_where_it_is_asked_to() -> None:
    random = np.random.default_rng(0)
    bones = LegBones(np.zeros(3), np.array([0.02, -0.40, 0.01]), np.array([0.0, -0.38, -0.015]))
    target = random.normal(0, 0.15, (50, 3)) + np.array([0, -0.6, 0])
    start = np.broadcast_to(about_x(-0.2), (50, 3, 3))
    thigh, bend = bones.reaching(target, start)
    assert np.abs(bones.ankle_from_hip(thigh, bend) - target)[np.linalg.norm(target, axis=1) < 0.75].max() < 1e-4
    assert (bend > 0).all()
    stretched, flexion = bones.reaching(np.array([[0.0, -2.0, 0.0]]), start[:1])
    assert np.degrees(flexion[0]) == pytest.approx(2, abs=1)
    a, b = random.normal(size=(2, 20, 3))
    turned = (smallest_rotation(a, b) @ a[..., None])[..., 0]
    assert np.allclose(np.cross(turned, b), 0, atol=1e-9)
    assert stretched.shape == (1, 3, 3)


def test_curves_are_periodic_and_warped_to_toe_off() -> None:
    assert KNEE_FLEXION.at(0.25) == pytest.approx(KNEE_FLEXION.at(3.25))
    assert np.degrees(KNEE_FLEXION.samples.max()) == pytest.approx(61, abs=1)
    phases = np.linspace(-1, 2, 400)
    for share in (0.52, 0.61, 0.7):
        assert (np.diff(warped(phases, share)) > 0).all()
        assert warped(np.array([0.0, share, 1 + share]), share) == pytest.approx([0, 0.61, 1.61])
