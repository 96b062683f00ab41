"""``choose_left_out``: joints that many trials lack, or the few trials that lack one."""

import numpy as np
import pytest

from gait.body.skeleton import Joint, contralateral_joint
from gait.motion.inputs import INPUTS
from gait.motion.left_out import RULES, LeftOut, choose_left_out, leave_out_windows
from tests.helpers.motion_cases import make_trial, status_without, stick_figure

FRAMES = 10
ARMS = tuple(Joint[f"{side}_{name}"] for name in ("ELBOW", "WRIST") for side in ("LEFT", "RIGHT"))
LEFT_SHANK = (Joint.LEFT_ANKLE, Joint.LEFT_FOOT)


def make_trials(count, *lacking):
    """Return trials of as many subjects; ``lacking`` are pairs of a number of trials and what these do not observe."""
    joints = np.zeros((FRAMES, 22, 3))
    sets = [own for number, own in lacking for _ in range(number)]
    sets += [()] * (count - len(sets))
    return [make_trial(joints, f"P{k:02}", joint_status=status_without(FRAMES, own)) for k, own in enumerate(sets)]


def test_choose_left_out_of_trials_that_observe_everything():
    for trials in (make_trials(3), [make_trial(stick_figure(5))]):  # the second does not know
        for rule in RULES:
            assert choose_left_out(trials, rule, mirror=True) == LeftOut(num_trials=len(trials))


def test_choose_left_out_leaves_out_joints_that_many_trials_lack():
    trials = make_trials(20, (10, ARMS))
    found = choose_left_out(trials)
    assert (found.joints, found.trials, found.subjects) == (ARMS, (), ())
    assert (found.num_lacking, found.num_trials) == (dict.fromkeys(ARMS, 10), 20)
    assert choose_left_out(trials, "leave_out_trial").trials == tuple(trial.trial_id for trial in trials[:10])
    assert choose_left_out(trials, "leave_out_trial").joints == ()
    kept = choose_left_out(trials, "keep")
    assert (kept.joints, kept.trials, kept.num_lacking) == ((), (), found.num_lacking)


def test_choose_left_out_leaves_out_the_few_trials_that_lack_another_joint():
    trials = make_trials(20, (9, ARMS), (1, (*ARMS, *LEFT_SHANK)), (1, LEFT_SHANK))
    found = choose_left_out(trials)
    assert found.joints == ARMS
    assert found.trials == (trials[9].trial_id, trials[10].trial_id)
    assert found.subjects == (trials[9].subject_id, trials[10].subject_id)
    assert found.select(trials) == [*trials[:9], *trials[11:]]
    three = choose_left_out(make_trials(20, (3, LEFT_SHANK)))
    assert (three.joints, three.trials) == (LEFT_SHANK, ())
    assert choose_left_out(make_trials(20, (1, LEFT_SHANK)), "leave_out_joint").joints == LEFT_SHANK


def test_choose_left_out_with_mirrored_windows_leaves_out_both_sides():
    found = choose_left_out(make_trials(20, (3, LEFT_SHANK)), mirror=True)
    assert set(found.joints) == {*LEFT_SHANK, *map(contralateral_joint, LEFT_SHANK)}
    assert set(found.num_lacking) == set(LEFT_SHANK)


@pytest.mark.parametrize("rule", ["auto", "leave_out_joint", "leave_out_trial"])
def test_choose_left_out_never_leaves_out_pelvis_and_hips(rule):
    trials = make_trials(4, (2, (Joint.LEFT_HIP, Joint.SPINE1)))
    found = choose_left_out(trials, rule, mirror=True)
    assert (found.joints, found.select(trials)) == ((), trials[2:])


def test_choose_left_out_ignores_joints_that_most_frames_observe():
    status = status_without(FRAMES, LEFT_SHANK, slice(0, FRAMES // 2))
    trial = make_trial(np.zeros((FRAMES, 22, 3)), joint_status=status)
    assert choose_left_out([trial]) == LeftOut(num_trials=1)
    assert trial.unobserved_joints == ()


def test_leave_out_windows_counts_those_that_observe_too_little():
    status = status_without(30, [Joint.LEFT_KNEE], slice(0, 14))
    trials = [make_trial(np.zeros((30, 22, 3)), f"P{k}", joint_status=status if k else None) for k in range(3)]
    left_out = choose_left_out(trials)
    found = leave_out_windows(left_out, trials, 8, 1, 0.5)
    assert found.num_windows == {"healthy/P1/walk1": 10, "healthy/P2/walk1": 10}
    assert leave_out_windows(left_out, trials, 8, 1, 0.0) == left_out
    assert leave_out_windows(left_out, trials, 8, 2, 0.5).windows_sha256 != found.windows_sha256 != ""
    knees = LeftOut(joints=(Joint.LEFT_KNEE,))
    assert leave_out_windows(knees, trials, 8, 1, 0.5) == knees


def test_rotations_need_the_parts_on_both_sides_of_a_joint():
    trials = [
        make_trial(stick_figure(12), f"P{k}", joint_status=status_without(12, [Joint.LEFT_WRIST] if k else []))
        for k in range(3)
    ]
    lacking = {name: [*choose_left_out(trials, input=name).num_lacking] for name in INPUTS}
    assert lacking["published"] == [Joint.LEFT_WRIST]
    # The forearm is not observed, so neither are its rotations at elbow and wrist; its direction ends at the wrist.
    assert lacking["rotations"] == [Joint.LEFT_ELBOW, Joint.LEFT_WRIST]
    assert lacking["bones"] == [Joint.LEFT_WRIST]
