"""Standing before and after a synthetic walk."""

from __future__ import annotations

import numpy as np
import pytest

from gait.body.body import Body
from gait.body.skeleton import Joint
from gait.synthetic import make_subject, make_trial
from gait.synthetic.standing import START_S, add_standing

pytestmark = pytest.mark.usefixtures("one_thread")


def test_add_standing_holds_still_before_and_after_the_same_walk(open_body: Body) -> None:
    walk = make_trial(open_body, make_subject(open_body, 3), seconds=3.0, seed=2)
    trial = add_standing(walk, open_body, 1.5, 1.0)
    own, joints = walk.ground_truth.joints_m, trial.ground_truth.joints_m
    assert len(joints) == pytest.approx(150 + len(own) + 80 + 100, abs=2)  # starting and stopping take twice as long
    np.testing.assert_allclose(joints[:150], own[:1].repeat(150, axis=0), atol=1e-4)
    np.testing.assert_allclose(joints[-99:], own[-1:].repeat(99, axis=0), atol=2e-3)
    # At its own pace it is the same walk, at most half a frame later or earlier.
    shift = round(100 * (1.5 + START_S / 2))
    np.testing.assert_allclose(joints[260:340], own[260 - shift : 340 - shift], atol=0.02)


def test_add_standing_moves_events_with_the_poses(open_body: Body) -> None:
    walk = make_trial(open_body, make_subject(open_body, 3), seconds=3.0, seed=2)
    trial = add_standing(walk, open_body, 1.5, 1.0)
    assert [(event.label, event.side) for event in trial.events] == [(event.label, event.side) for event in walk.events]
    for before, after in zip(walk.events, trial.events, strict=True):
        ankle = Joint[f"{before.side.upper()}_ANKLE"]
        poses = (truth.joints_m[round(100 * time), ankle] for truth, time in (
            (walk.ground_truth, before.time_s), (trial.ground_truth, after.time_s)
        ))  # fmt: skip
        np.testing.assert_allclose(*poses, atol=0.05)
