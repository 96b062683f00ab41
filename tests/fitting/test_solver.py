"""The solver on bodies whose pose is known, and what it owes every frame."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.body.pose_prior import natural_pose_prior
from gait.body.rotations import PoseFeature
from gait.fitting.joint_parametrization import MOST_STEP_RAD, Pose, resting_pose, turned
from gait.fitting.marker_kinematics import SubjectModel, marker_motion
from gait.fitting.objective_terms import joint_prior
from gait.fitting.reduced_body import marker_skin
from gait.fitting.reference_normal_equations import objective
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.rigid_initialization import rigid_start, trunk_trust
from gait.fitting.solver.batched_normal_equations import BatchedNormalEquations
from gait.fitting.solver.frame_data import ObservedMarkers
from gait.fitting.solver.levenberg_marquardt import SolverOptions, solve_poses
from tests.helpers.fitting_cases import (
    constrained_open_body,
    pose_of,
    random_layout,
    random_numbers,
    random_wearer,
    short_walk,
    walk_pose,
)

WEIGHTS = ResidualScales()
FAINT = ResidualScales(pose_prior=1e-9)
"""A prior that settles only what no marker sees."""


@pytest.fixture(scope="module")
def walk(open_body):
    return short_walk(open_body, seed=2, seconds=0.6)


@pytest.fixture(scope="module")
def walking(open_body, walk):
    """Who walks, with Plug-in Gait's markers exactly where they belong, and how."""
    skin = marker_skin(open_body, plug_in_gait_layout(open_body))
    wearer = SubjectModel(skin, torch.as_tensor(walk.truth.betas).double(), skin.point.new_zeros(skin.num_markers, 3))
    pose = walk_pose(open_body, skin, walk.truth)[slice(0, None, 5)]
    return wearer, pose, all_seen(marker_motion(wearer, pose).markers)


@pytest.fixture(scope="module")
def prior(open_body):
    return joint_prior(natural_pose_prior(), WEIGHTS, body=open_body)


def all_seen(markers):
    return ObservedMarkers(markers, torch.ones(markers.shape[:2], dtype=torch.bool))


def solved(wearer, start, observation, prior, weights=WEIGHTS, precision=torch.float32, **effort):
    equations = BatchedNormalEquations(wearer, prior, weights, precision)
    return solve_poses(equations, start, observation, effort=SolverOptions(**effort))


def solved_from_rigid_start(wearer, observation, prior, **options):
    start, _, fixed = rigid_start(wearer, prior.natural, observation)
    assert fixed.all()
    return solved(wearer, start, observation, prior, **options)


def same_pose(a, b):
    return (
        torch.equal(a.rotations, b.rotations)
        and torch.equal(a.translation, b.translation)
        and (a.angles is None or torch.equal(a.angles, b.angles))
    )


# --- known poses -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hinges", [False, True], ids=["free_tree", "hinge_tree"])
@pytest.mark.parametrize("feature", [None, *PoseFeature], ids=["plain", "quaternions", "matrices"])
def test_finds_a_known_pose(tmp_path, open_body, hinges, feature):
    """With markers enough to see every joint, from a start some tenths of a radian away."""
    body = open_body
    if hinges:
        body = load_body(constrained_open_body(tmp_path / "constrained.npy", open_body), constrained=True)
    wearer = random_wearer(body, random_layout(body, 250))
    if feature is not None:
        wearer = replace(wearer, skin=bulging(wearer.skin, feature))
    truth = pose_of(body, wearer.skin, *random_numbers(body, 4, spread=0.25))
    observation = all_seen(marker_motion(wearer, truth).markers)
    silent = joint_prior(natural_pose_prior(), FAINT, body=body, hinges=wearer.skin.hinges)
    free = torch.full_like(silent.lower, torch.inf)
    silent = type(silent)(silent.natural, silent.precision, -free, free, 0.0)
    away = torch.randn(4, 69, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 0.1
    start = turned(truth, marker_motion(wearer, truth).parent_world, away, wearer.skin.hinges)
    begun = (marker_motion(wearer, start).markers - observation.markers).norm(dim=-1)
    assert begun.mean() > 0.05
    found = solved(wearer, start, observation, silent, FAINT, torch.float64, most_iterations=200, tolerance=0)
    motion = marker_motion(wearer, found.pose)
    assert (motion.markers - observation.markers).norm(dim=-1).max() < 1e-5
    assert (motion.joints - marker_motion(wearer, truth).joints).norm(dim=-1).max() < 1e-4


def bulging(skin, feature):
    """Blend shapes of a centimetre or so where a marker's own joints bend, and of a tenth of that anywhere."""
    near = skin.moves.sum(dim=-1) > 0
    size = torch.where(near, 0.005, 0.0005)[:, None, :, None]
    noise = torch.randn(
        skin.num_markers, 3, skin.num_joints, int(feature), generator=torch.Generator().manual_seed(5), dtype=size.dtype
    )
    return replace(skin, point_pose=(size * noise).double())


def test_finds_a_walkers_pose_from_a_rigid_start(walking, prior):
    wearer, truth, observation = walking
    found = solved_from_rigid_start(wearer, observation, prior, tolerance=1e-5, most_iterations=60)
    motion = marker_motion(wearer, found.pose)
    residual = (motion.markers - observation.markers).norm(dim=-1)
    joints = (motion.joints - marker_motion(wearer, truth).joints).norm(dim=-1)
    assert residual.mean() < 0.001
    assert joints.mean() < 0.005
    assert joints.max() < 0.03


def test_three_markers_far_away_do_not_pull_a_limb(walking, prior):
    """Beyond some mm the distance counts, not its square."""
    wearer, truth, observation = walking
    wrong = observation.markers.clone()
    wrong[:, [3, 20, 33]] += 0.5
    expected = marker_motion(wearer, truth).joints
    found = solved_from_rigid_start(wearer, all_seen(wrong), prior)
    joints = (marker_motion(wearer, found.pose).joints - expected).norm(dim=-1)
    assert joints.mean() < 0.03
    untouched = (marker_motion(wearer, found.pose).markers - observation.markers).norm(dim=-1)
    assert untouched[:, [3, 20, 33]].mean() < 0.2, "the body stays where the other markers are"


def test_a_half_turned_body_is_found(walking, prior, open_body):
    """Whichever way somebody faces, lying down too."""
    wearer, truth, observation = walking
    for turn in ([0, np.pi, 0], [0, -2.0, 0], [np.pi / 2, 0, 0]):
        R = torch.tensor(Rotation.from_rotvec(turn).as_matrix())
        shift = torch.tensor([3.0, -0.2, 8.0], dtype=torch.float64)
        found = solved_from_rigid_start(wearer, all_seen(observation.markers @ R.T + shift), prior)
        expected = marker_motion(wearer, truth).joints @ R.T + shift
        assert (marker_motion(wearer, found.pose).joints - expected).norm(dim=-1).mean() < 0.006


# --- rigid start -----------------------------------------------------------------------------------------------------


def test_rigid_start_is_exact_for_a_rigid_body(walking, prior):
    wearer = walking[0]
    still = marker_motion(wearer, resting_pose(prior.natural, None, 1))
    rng = np.random.default_rng(0)
    R = torch.tensor(Rotation.random(5, random_state=1).as_matrix())
    shift = torch.tensor(rng.normal(size=(5, 1, 3)))
    pose, size, fixed = rigid_start(wearer, prior.natural, all_seen(1.2 * (still.markers @ R.mT) + shift))
    assert fixed.all()
    np.testing.assert_allclose(size, 1.2, rtol=1e-9)
    pose, _, _ = rigid_start(wearer, prior.natural, all_seen(still.markers @ R.mT + shift))
    np.testing.assert_allclose(marker_motion(wearer, pose).joints, still.joints @ R.mT + shift, atol=1e-9)


def test_rigid_start_says_which_frames_fix_a_body(walking, prior):
    wearer, _, observation = walking
    labels = wearer.skin.labels
    seen = torch.zeros(4, len(labels), dtype=torch.bool)
    seen[0] = True
    seen[1, :3] = True  # three markers
    seen[2, [labels.index(name) for name in ("LASI", "RASI", "LPSI", "RPSI")]] = True
    line = observation.markers[:4].clone()
    line[3] = torch.linspace(0, 1, len(labels), dtype=torch.float64)[:, None] * torch.tensor([1.0, 2.0, 0.5])
    seen[3] = True
    _, _, fixed = rigid_start(wearer, prior.natural, ObservedMarkers(torch.where(seen[..., None], line, 0.0), seen))
    assert fixed.tolist() == [True, False, True, False]


def test_the_trunk_tells_where_the_body_is(walking):
    wearer = walking[0]
    trust = dict(zip(wearer.skin.labels, trunk_trust(wearer).tolist(), strict=True))
    assert min(trust[name] for name in ("LASI", "RASI", "LPSI", "RPSI", "C7", "T10", "CLAV", "STRN")) > 0.5
    assert max(trust[name] for name in ("LTOE", "RTOE", "LFIN", "RFIN", "LANK", "RTIB", "LWRA")) < 0.2
    assert min(trust.values()) > 0


# --- frames ----------------------------------------------------------------------------------------------------------


def test_frames_do_not_know_of_each_other(walking, prior):
    """One at a time, in another order: the same poses, within what rounding does before the solver is content."""
    wearer, _, observation = walking
    together = solved_from_rigid_start(wearer, observation, prior)
    T = len(observation.markers)
    for frame in (0, T - 1):
        alone = solved_from_rigid_start(wearer, observation[slice(frame, frame + 1)], prior)
        np.testing.assert_allclose(alone.pose.rotations[0], together.pose.rotations[frame], atol=1e-5)
        np.testing.assert_allclose(alone.pose.translation[0], together.pose.translation[frame], atol=1e-5)
    order = torch.tensor(np.random.default_rng(0).permutation(T))
    mixed = solved_from_rigid_start(wearer, observation[order], prior)
    np.testing.assert_allclose(mixed.pose.rotations, together.pose.rotations[order], atol=1e-5)
    np.testing.assert_allclose(mixed.cost, together.cost[order], rtol=1e-4)


def test_each_frame_stops_by_itself(walking, prior):
    """One that begins at its answer stops at once, while another goes on and arrives."""
    wearer, _, observation = walking
    two = observation[slice(0, 2)]
    done = solved_from_rigid_start(wearer, two, prior, precision=torch.float64, tolerance=1e-9, most_iterations=100)
    far, _, _ = rigid_start(wearer, prior.natural, two)
    start = Pose.joined([done.pose[slice(0, 1)], far[slice(1, 2)]])
    again = solved(wearer, start, two, prior, precision=torch.float64, tolerance=1e-6)
    alone = solved(wearer, far[slice(1, 2)], two[slice(1, 2)], prior, precision=torch.float64, tolerance=1e-6)
    assert again.iterations[0] <= 4
    assert again.iterations[0] < again.iterations[1]
    assert abs(int(again.iterations[1] - alone.iterations[0])) <= 1
    np.testing.assert_allclose(again.cost, done.cost, rtol=1e-4)
    assert again.cost[0] <= done.cost[0]


def test_cost_never_rises(walking, prior):
    wearer, _, observation = walking
    start, _, _ = rigid_start(wearer, prior.natural, observation)
    before = objective(wearer, start, observation, prior, WEIGHTS)
    for steps in range(1, 16):
        found = solved(wearer, start, observation, prior, precision=torch.float64, most_iterations=steps)
        assert (found.cost <= before).all()
        assert (found.iterations <= steps).all()
        again = objective(wearer, found.pose, observation, prior, WEIGHTS)
        np.testing.assert_allclose(found.cost, again, rtol=1e-7)
        before = found.cost


def test_a_solved_pose_stays(walking, prior):
    """At a minimum nothing is left to gain; what comes back is the start itself, within rounding."""
    wearer, _, observation = walking
    done = solved_from_rigid_start(
        wearer, observation, prior, precision=torch.float64, tolerance=0, most_iterations=150
    )
    again = solved(wearer, done.pose, observation, prior, precision=torch.float64)
    assert (again.cost <= done.cost * (1 + 1e-7)).all()
    assert (again.pose.rotations - done.pose.rotations).abs().max() < 1e-4


def test_two_runs_are_alike_to_the_last_bit(walking, prior):
    wearer, _, observation = walking
    first, second = (solved_from_rigid_start(wearer, observation, prior) for _ in range(2))
    assert same_pose(first.pose, second.pose)
    assert torch.equal(first.cost, second.cost)


def test_where_unseen_markers_are_said_to_be_is_no_matter(walking, prior):
    wearer, _, observation = walking
    seen = torch.tensor(np.random.default_rng(3).random(observation.seen.shape) > 0.3)
    start, _, _ = rigid_start(wearer, prior.natural, observation)
    found = []
    for nonsense in (0.0, 1e3, torch.nan, torch.inf):
        markers = torch.where(seen[..., None], observation.markers, nonsense)
        found.append(solved(wearer, start, ObservedMarkers(markers, seen), prior))
    for other in found[1:]:
        assert same_pose(found[0].pose, other.pose)
    beginnings = [
        rigid_start(wearer, prior.natural, ObservedMarkers(torch.where(seen[..., None], observation.markers, x), seen))[
            0
        ]
        for x in (0.0, 1e3)
    ]
    np.testing.assert_allclose(beginnings[0].rotations, beginnings[1].rotations, atol=1e-9)


def test_a_frame_without_markers_stands_naturally(walking, prior):
    """Nothing to go by: every joint at the prior's mean, the body where it was, all numbers finite."""
    wearer, truth, observation = walking
    nothing = ObservedMarkers(torch.zeros_like(observation.markers[:2]), torch.zeros_like(observation.seen[:2]))
    found = solved(
        wearer, truth[slice(0, 2)], nothing, prior, precision=torch.float64, tolerance=1e-9, most_iterations=60
    )
    np.testing.assert_allclose(found.pose.rotations[:, 1:], prior.natural[1:].expand(2, -1, -1, -1), atol=1e-3)
    np.testing.assert_allclose(found.pose.translation, truth.translation[:2], atol=1e-9)
    np.testing.assert_allclose(found.pose.rotations[:, 0], truth.rotations[:2, 0], atol=1e-6)


def test_no_joint_turns_by_more_than_the_most_in_a_step(walking, prior):
    wearer, truth, _ = walking
    motion = marker_motion(wearer, truth)
    step = torch.full((truth.frames, 69), 10.0, dtype=torch.float64)
    there = turned(truth, motion.parent_world, step, None)
    angle = Rotation.from_matrix((there.rotations @ truth.rotations.mT).reshape(-1, 3, 3).numpy()).magnitude()
    np.testing.assert_allclose(angle, MOST_STEP_RAD, atol=1e-5)
