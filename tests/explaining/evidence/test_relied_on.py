"""Which motions a decision relies on, against replacements made sample by sample."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from gait.body.skeleton import MIRROR_ORDER, Joint
from gait.explaining.evidence.motions import motions_of
from gait.explaining.evidence.relied_on import find_relied_on
from gait.explaining.prepare_trial import prepare_trial
from gait.kinematics.gait_phases import CyclePhase
from tests.helpers.explanation_cases import write_walk_and_network

LENGTH = 64
STANCE, SWING = CyclePhase("stance", 0, 59), CyclePhase("swing", 60, 100)


class KneeNetwork(torch.nn.Module):
    """Logit: twice the sum of the left knee's first axis, as seen, minus one, in units of a thousand."""

    def forward(self, windows):
        return 2 * (windows[:, :, Joint.LEFT_KNEE, 0] / 1000).sum(1) - 1


@pytest.fixture(scope="module")
def case(open_body, tmp_path_factory):
    """Return a trial, and a network of rotations whose mean window is -1 everywhere."""
    folder, truth, trained = write_walk_and_network(tmp_path_factory.mktemp("relied_on"), open_body, LENGTH, mean=-1.0)
    return prepare_trial(folder, truth, trained), trained


def slow_probability(trained, trial, parts):
    """Return P(sick) without parts, replaced sample by sample."""
    windows = trained.windows_of(trial)
    found = []
    for index in range(len(windows)):
        seen, (times,) = windows.batch(torch.tensor([index])), windows.sample_times(torch.tensor([index]))
        for sample in range(LENGTH):
            frame = float(times[sample])
            for motion, phases in parts:
                contacts = np.asarray(trial.events.initial_contacts[motion.side], float)
                stride = np.median(np.diff(contacts))
                before = contacts[contacts <= frame]
                if len(before) == 0:
                    percent = 100 * ((frame - contacts[0]) / stride % 1)
                elif len(before) == len(contacts):
                    percent = 100 * ((frame - contacts[-1]) / stride % 1)
                else:
                    percent = 100 * (frame - before[-1]) / (contacts[len(before)] - before[-1])
                joint = MIRROR_ORDER[motion.joint] if windows.is_mirrored[index] else motion.joint
                if any(phase.first_percent <= percent < phase.last_percent + 1 for phase in phases):
                    seen[0, sample, joint, motion.axis] = trained.mean_window[sample, joint, motion.axis]
        found.append(float(trained.network(seen).detach().sigmoid()))
    return np.mean(found)


def part(trained, joint, *phases):
    motion = next(each for each in motions_of(trained.input) if (each.joint, each.axis) == (joint, 0))
    return motion, phases


def test_probabilities_are_those_of_replacing_sample_by_sample(case):
    trial, trained = case
    parts = [
        part(trained, Joint.LEFT_KNEE, SWING), part(trained, Joint.RIGHT_HIP, STANCE),
        part(trained, Joint.SPINE1, STANCE, SWING), part(trained, Joint.RIGHT_KNEE, STANCE),
    ]  # fmt: skip
    found = find_relied_on(trained, trial, parts, sick=slow_probability(trained, trial, ()) >= 0.5)
    slow = [slow_probability(trained, trial, parts[: count + 1]) for count in range(len(found))]
    assert len(set(slow)) == len(slow)
    assert found == pytest.approx(slow, abs=0.003)  # an initial contact is between two samples


def test_it_ends_with_the_motion_after_which_the_decision_is_another(case):
    trial, trained = case
    own = replace(trained, network=KneeNetwork(), mean_window=torch.full((LENGTH, 22, 3), 1000.0))
    joints = (Joint.LEFT_HIP, Joint.LEFT_KNEE, Joint.RIGHT_KNEE, Joint.RIGHT_HIP)
    found = find_relied_on(own, trial, [part(trained, joint, STANCE, SWING) for joint in joints], sick=False)
    is_mirrored = trained.windows_of(trial).is_mirrored
    assert is_mirrored.any()
    assert not is_mirrored.all()
    # the network sees the right knee in place of the left one in mirrored windows
    assert len(found) == (2 if found[1] >= 0.5 else 3)
    assert found[0] < 0.5 <= found[-1]


def test_all_motions_are_relied_on_if_the_decision_never_changes(case):
    trial, trained = case
    own = replace(trained, network=KneeNetwork(), mean_window=torch.full((LENGTH, 22, 3), -1000.0))
    parts = [part(trained, joint, STANCE, SWING) for joint in (Joint.LEFT_HIP, Joint.LEFT_KNEE, Joint.RIGHT_KNEE)]
    found = find_relied_on(own, trial, parts, sick=False)
    assert len(found) == 3
    assert all(each < 0.5 for each in found)


def test_without_a_mean_walk_nothing_is_measured(case):
    trial, trained = case
    parts = [part(trained, Joint.LEFT_KNEE, SWING)] * 2
    found = find_relied_on(replace(trained, mean_window=None), trial, parts, sick=True)
    assert len(found) == 2
    assert all(math.isnan(each) for each in found)
