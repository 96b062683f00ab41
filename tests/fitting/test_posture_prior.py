"""The posture that a recording's poses vary about."""

import numpy as np
import pytest
import torch

from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.body.pose_prior import natural_pose_prior
from gait.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from gait.body.skeleton import NUM_BODY_JOINTS, Joint
from gait.fitting.objective_terms import joint_prior
from gait.fitting.posture_prior import around_own_posture
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.subject_fit import fit_person
from gait.synthetic import NO_ERRORS, make_person, make_walk
from gait.synthetic.cohort import walker
from tests.helpers.fitting_cases import OPEN_BODY, recorded


@pytest.fixture(scope="module")
def body():
    return load_body(OPEN_BODY)


@pytest.mark.parametrize("frames", [1, 3, 19])
def test_posture_is_shrunk_towards_the_natural_one_by_the_number_of_frames(body, frames):
    prior = joint_prior(natural_pose_prior(), ResidualScales(), body=body)
    turn = torch.zeros(NUM_BODY_JOINTS, 3, dtype=torch.float64)
    turn[Joint.SPINE2] = torch.tensor([0.4, 0.1, 0.0])
    turn[Joint.PELVIS] = torch.tensor([0.0, 1.5, 0.0])
    swing = torch.linspace(-0.3, 0.3, frames, dtype=torch.float64) if frames > 1 else torch.zeros(1).double()
    turns = turn.repeat(frames, 1, 1)
    turns[:, Joint.LEFT_HIP, 0] = swing  # comes to nothing in the mean
    own = around_own_posture(prior, axis_angle_to_matrix(turns) @ prior.natural)
    expected = frames / (frames + 1) * turn
    expected[Joint.PELVIS] = 0
    torch.testing.assert_close(matrix_to_axis_angle(own.natural @ prior.natural.mT), expected)
    assert own.precision is prior.precision


def test_a_stoop_that_all_frames_share_does_not_change_the_shape(body):
    """Counted less than once a frame, a posture off the natural one leaves the joints nearer the truth."""
    who = walker("parkinsonian_1")
    walk = make_walk(body, make_person(body, who.seed), who.disorder, seconds=1.0)
    recording = recorded(body, walk, plug_in_gait_layout(body), NO_ERRORS)

    def error_m(weights):
        (gait,) = fit_person([recording], body, plug_in_gait_layout(body), weights=weights).gaits
        return np.linalg.norm(gait.joints_m[:, :NUM_BODY_JOINTS] - walk.truth.joints_m, axis=-1).mean()

    assert error_m(ResidualScales()) < 0.85 * error_m(ResidualScales(calibration_pose_prior=1.0))
