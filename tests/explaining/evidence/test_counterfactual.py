"""Counterfactuals of a network that goes by one motion alone, on synthetic walks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from gait.body.skeleton import Joint
from gait.errors import GaitError
from gait.explaining.evidence.blind_spots import find_blind_spots
from gait.explaining.evidence.changed_walk import MAX_SLIDE_MM, WalkChanger
from gait.explaining.evidence.controls import Cohort, read_cohort
from gait.explaining.evidence.counterfactual import DECISION_MARGIN, find_counterfactual
from gait.explaining.evidence.cycle_motion import (
    NUM_COEFFICIENTS,
    cycles_of_sides,
    fit_cycle_motion,
    harmonics,
    mirror_motion,
)
from gait.explaining.evidence.evidence_files import write_counterfactual
from gait.explaining.evidence.explained_walk import ExplainedWalk
from gait.explaining.evidence.measured_walk import measure_walk
from gait.explaining.evidence.motion_windows import motion_windows
from gait.explaining.evidence.motions import motions_of
from gait.explaining.evidence.norm_at_speed import bands_at_speed
from gait.explaining.evidence.smallest_change import MAX_MOTIONS, Judged, find_change
from gait.explaining.prepare_trial import prepare_trial
from gait.explaining.trained_network import TrainedNetwork
from gait.kinematics.gait_events import SIDES, GaitEvents, detect_gait_events, sole_paths
from gait.kinematics.gait_phases import gait_phases
from gait.learning.checkpoint import Checkpoint
from gait.learning.networks.mlp import MLPArchitecture
from gait.motion.pose_files import read_poses
from gait.motion.pose_npz import write_npz
from gait.motion.window_input import InputReference
from gait.motion.windows import fit_reference
from gait.synthetic import make_pathology, make_subject, make_trial

LENGTH = 128
KNEE = (Joint.LEFT_KNEE, 0)
REFERENCE = np.tile([0.0, 0.0, 0.0, 1.0], (22, 1))


class KneeNetwork(nn.Module):
    """A logit of 60 per radian that the knees, mean of both over a stride, flex less than the controls'."""

    def forward(self, windows):
        """Return logits (N,)."""
        return 60 * (self.offset - windows[:, :100, [Joint.LEFT_KNEE, Joint.RIGHT_KNEE], 0].mean(dim=(1, 2)))

    offset = 0.0


@pytest.fixture(scope="module")
def folder(open_body, tmp_path_factory):
    """Walks of six controls, and of one subject with a stiff left knee."""
    root = tmp_path_factory.mktemp("walks")
    for number in range(6):
        path = root / "healthy" / f"P{number}" / "walk"
        path.mkdir(parents=True)
        write_npz(path, make_trial(open_body, make_subject(open_body, number), seconds=3.5, seed=1).ground_truth)
    path = root / "sick" / "Q" / "walk"
    path.mkdir(parents=True)
    stiff = make_trial(open_body, make_subject(open_body, 9), make_pathology("stiff_knee"), seconds=3.5, seed=1)
    write_npz(path, stiff.ground_truth)
    return root


@pytest.fixture(scope="module")
def trained(folder):
    """The network, on rotations against the controls' mean."""
    kind = {"input": "rotations", "windows": "cycles"}
    checkpoint = Checkpoint(
        MLPArchitecture("sequential_mlp", LENGTH, (4,), (4,)), {}, LENGTH, 100.0, "", tuple(j.name for j in Joint)[:22],
        **kind, reference=InputReference(torch.as_tensor(REFERENCE).float()), control_logit=-1.5,
    )  # fmt: skip
    network = TrainedNetwork(KneeNetwork(), LENGTH, checkpoint=checkpoint)
    trials = [prepare_trial(path, read_poses(path), network) for path in sorted(folder.glob("healthy/*/walk"))]
    reference = fit_reference(trials, LENGTH, factor=0.0, **kind)
    network = replace(network, checkpoint=replace(checkpoint, reference=reference))
    windows = [network.windows_of(trial) for trial in trials]
    logits = [network.network(each.batch(torch.arange(len(each)))).mean() for each in windows]
    network.network.offset = -(1.5 + float(torch.stack(logits).mean())) / 60  # controls at a logit of -1.5
    return network


@pytest.fixture(scope="module")
def cohort(folder, trained) -> Cohort:
    """The controls."""
    return read_cohort(trained, folder / "healthy")


@pytest.fixture(scope="module")
def explained(folder, trained, cohort):
    """The walk with the stiff knee, which the network calls sick."""
    path = folder / "sick" / "Q" / "walk"
    sequence = read_poses(path)
    walk = measure_walk(trained, prepare_trial(path, sequence, trained), sequence)
    controls = cohort.without("sick/Q")
    bands = bands_at_speed(controls.norm, walk.dimensionless_speed)
    windows = trained.windows_of(walk.trial)
    logits = trained.network(windows.batch(torch.arange(len(windows))))
    phases = {side: gait_phases(walk.strides(side)) for side in SIDES}
    return ExplainedWalk(
        trained, walk, sequence, controls, bands, bands, motions_of(trained.input), (), phases,
        float(logits.mean()), float(logits.sigmoid().mean()),
    )  # fmt: skip


@pytest.fixture(scope="module")
def changer(folder):
    """The walk with the stiff knee, to be changed."""
    sequence = read_poses(folder / "sick" / "Q" / "walk")
    events = detect_gait_events(sequence.joints_m, sequence.rate_hz, (), sole_paths(sequence))
    cycles = cycles_of_sides(events, sequence.num_frames)
    return sequence, events, WalkChanger(sequence, events, cycles, REFERENCE, np.full((22, 3), 0.08))


def test_harmonics_are_orthonormal_and_a_missed_contact_counts_as_a_cycle():
    values = harmonics(np.arange(100) / 100)
    np.testing.assert_allclose(values.T @ values / 100, np.eye(values.shape[1]), atol=1e-12)
    contacts = {"left": np.array([10.0, 110.0, 310.0]), "right": np.array([60.0, 160.0, 260.0])}
    cycles = cycles_of_sides(GaitEvents(contacts, {"left": np.empty(0), "right": np.empty(0)}), 400)
    np.testing.assert_allclose(cycles["left"][[0, 10, 60, 310, 360]], [-0.1, 0, 0.5, 3, 3.5])
    with pytest.raises(GaitError, match="both feet"):
        cycles_of_sides(GaitEvents({**contacts, "right": np.empty(0)}, {}), 400)


def test_no_change_leaves_the_walk_as_it_is(changer):
    sequence, _, walk = changer
    same = walk.change(np.zeros((22, 3, harmonics(0.0).size)))
    np.testing.assert_allclose(same.sequence.joints_m, sequence.joints_m, atol=1e-5)
    np.testing.assert_allclose(same.sequence.poses, sequence.poses, atol=1e-4)
    assert same.slide_mm < 0.1
    assert not same.beyond_limits


def test_feet_stay_on_the_floor_while_the_knee_bends(changer, trained, folder):
    sequence, events, walk = changer
    change = np.zeros((22, 3, harmonics(0.0).size))
    change[KNEE][0] = np.radians(15)  # also in stance
    found = walk.change(change)
    assert found.slide_mm < MAX_SLIDE_MM
    before, after = sole_paths(sequence)["left"], sole_paths(found.sequence)["left"]
    for contact in events.initial_contacts["left"]:
        flat = slice(round(contact) + 15, round(contact) + 40)
        away = np.linalg.norm((after - before)[flat][..., [0, 2]], axis=-1)
        assert away[:, :2].max() < 0.01  # metres, heel and ball
    prepared = [prepare_trial(folder / "sick" / "Q" / "walk", each, trained) for each in (sequence, found.sequence)]
    moved = np.subtract(*(fit_cycle_motion(each, REFERENCE)[0][KNEE] for each in reversed(prepared)))
    assert np.degrees(moved[0]) == pytest.approx(15, abs=2)
    jerk = [np.abs(np.diff(each.joints_m, 3, axis=0)).max() for each in (sequence, found.sequence)]
    assert jerk[1] < 4 * jerk[0]


def test_jacobian_of_the_soles_against_finite_differences(changer):
    from scipy.spatial.transform import Rotation

    from gait.explaining.evidence import changed_walk as module

    _, _, walk = changer
    local = walk._local
    sole, joints = walk._soles["left"], walk._joints(module._world(local), np.zeros(3))
    rows, residual = sole.equations(joints, module._world(local), 3)
    for number, joint in enumerate((Joint.LEFT_HIP, Joint.LEFT_KNEE, Joint.LEFT_ANKLE)):
        turned = local.copy()
        turned[:, joint] = Rotation.from_rotvec([0, 1e-6, 0]).as_matrix() @ turned[:, joint]
        world = module._world(turned)
        _, after = sole.equations(walk._joints(world, np.zeros(3)), world, 3)
        slope = (residual - after)[:, :9] / 1e-6
        np.testing.assert_allclose(rows[:, :9, 3 + 3 * number + 1], slope, rtol=1e-3, atol=1e-2 * np.abs(slope).max())


def test_limits_of_the_body(changer):
    _, _, walk = changer
    change = np.zeros((22, 3, harmonics(0.0).size))
    change[KNEE][0] = -np.radians(15)
    assert walk.within_limits(change)
    change[KNEE][0] = -np.radians(45)  # the knee would bend forwards
    assert not walk.within_limits(change)


def test_mirror_image_of_a_mirror_image():
    motion = np.random.default_rng(0).normal(size=(22, 3, 4))
    np.testing.assert_array_equal(mirror_motion(mirror_motion(motion)), motion)


def test_a_gait_that_differs_everywhere_is_changed_in_as_many_motions_as_it_takes():
    deviation = np.zeros((22, 3, NUM_COEFFICIENTS))
    deviation[..., 0] = 0.1

    class Linear:
        def logit_and_gradient(self, change):
            return 15 - 10 * change[..., 0].sum(), -10 * (deviation > 0)

    spread = np.broadcast_to(1e-4 * np.eye(NUM_COEFFICIENTS), (22, 3, NUM_COEFFICIENTS, NUM_COEFFICIENTS))
    change = find_change(Linear(), deviation, spread, 0.0, lambda c: Judged(Linear().logit_and_gradient(c)[0], c))
    assert 8 < len(change.steps) <= MAX_MOTIONS  # of each motion about one logit unit, of the spine three
    assert change.logits[-1] <= 0 < change.logits[-2]


def test_counterfactual_names_the_knee_and_is_confirmed(explained, tmp_path):
    found = find_counterfactual(explained)
    assert explained.probability > 0.5
    assert found.probability == explained.probability
    assert found.boundary is not None
    assert found.median is not None
    assert not found.reason
    first = found.boundary.changes[0]
    assert (first.joint, first.angle, first.side) == (Joint.LEFT_KNEE, "knee_flexion", "left")
    assert 0 < first.change_deg < found.median.changes[0].change_deg
    assert first.change_deg == pytest.approx(first.to_deg - first.from_deg)
    for walk, logit in ((found.boundary, -DECISION_MARGIN), (found.median, -1.5)):
        assert walk.within_limits
        assert walk.foot_slide_mm < MAX_SLIDE_MM
        assert logit - 0.2 < np.log(walk.probability / (1 - walk.probability)) < logit + 0.05
    (boundary, _) = write_counterfactual(tmp_path, found)
    trial = prepare_trial(boundary, read_poses(boundary), explained.trained)
    windows = explained.trained.windows_of(trial)
    fresh = explained.trained.network(windows.batch(torch.arange(len(windows)))).sigmoid().mean()
    assert float(fresh) == pytest.approx(found.boundary.probability, abs=1e-3)


def test_blind_spots_are_where_the_decision_changes(explained, changer):
    windows = motion_windows(explained.trained, explained.walk.trial)
    spots = find_blind_spots(windows, (), lambda change: True)
    logit = float(windows.logit_and_gradient(np.zeros((22, 3, harmonics(0.0).size)))[0])
    # An offset of one knee moves the mean of both by half as much.
    assert spots[KNEE] == pytest.approx(np.degrees(logit / 30), rel=0.15)
    assert spots[Joint.LEFT_HIP, 0] == np.inf


def test_reasons_where_there_is_no_counterfactual(explained):
    without = replace(explained, controls=replace(explained.controls, motion=None))
    assert find_counterfactual(without).boundary is None
    assert "5 controls" in find_counterfactual(without).reason
    published = replace(explained, trained=TrainedNetwork(KneeNetwork(), LENGTH))
    assert "--input rotations" in find_counterfactual(published).reason
    stubborn = replace(explained.trained, network=nn.Sequential(nn.Flatten(), nn.Linear(LENGTH * 66, 1), nn.Flatten(0)))
    for parameter in stubborn.network.parameters():
        nn.init.constant_(parameter, 0)
    nn.init.constant_(stubborn.network[1].bias, 2.0)
    found = find_counterfactual(replace(explained, trained=stubborn))
    assert found.boundary is None
    assert found.reason == "No plausible change of a joint moves the logit towards the other decision."
