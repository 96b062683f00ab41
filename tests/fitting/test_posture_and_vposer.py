"""Test the pose prior centred on the posture of a subject."""

import numpy as np
import pytest
import torch

from gait.body.marker_placement import plug_in_gait_layout
from gait.body.pose_prior import default_pose_prior
from gait.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from gait.body.skeleton import NUM_BODY_JOINTS, Joint
from gait.fitting.objective_terms import build_joint_prior
from gait.fitting.posture_and_vposer import recentre_prior
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.subject_fit import FitOptions, fit_shape_and_poses
from gait.synthetic import NO_ERRORS, make_subject, make_trial
from gait.synthetic.cohort import parse_subject_name
from tests.helpers.fitting_cases import record_trial


@pytest.mark.parametrize("frames", [1, 3, 19])
def test_recentre_prior_shrinks_the_mean_posture_by_the_number_of_frames(body, frames):
    prior = build_joint_prior(default_pose_prior(), ResidualScales(), body=body)
    mean_vector = torch.zeros(NUM_BODY_JOINTS, 3, dtype=torch.float64)
    mean_vector[Joint.SPINE2] = torch.tensor([0.4, 0.1, 0.0])
    mean_vector[Joint.PELVIS] = torch.tensor([0.0, 1.5, 0.0])
    swing = torch.linspace(-0.3, 0.3, frames, dtype=torch.float64) if frames > 1 else torch.zeros(1).double()
    vectors = mean_vector.repeat(frames, 1, 1)
    vectors[:, Joint.LEFT_HIP, 0] = swing  # zero on average
    recentred = recentre_prior(prior, axis_angle_to_matrix(vectors) @ prior.mean)
    expected = frames / (frames + 1) * mean_vector
    expected[Joint.PELVIS] = 0
    torch.testing.assert_close(matrix_to_axis_angle(recentred.mean @ prior.mean.mT), expected)
    assert recentred.precision is prior.precision


def test_common_stooped_posture_does_not_change_the_shape(body):
    """With the lower weight of the pose prior in calibration, an unusual posture causes smaller joint errors."""
    spec = parse_subject_name("parkinsonian_1")
    trial = make_trial(body, make_subject(body, spec.seed), spec.pathology, seconds=1.0)
    recording = record_trial(body, trial, plug_in_gait_layout(body), NO_ERRORS)

    def error_m(scales):
        (trial_fit,) = fit_shape_and_poses([recording], body, plug_in_gait_layout(body), FitOptions(scales)).trials
        return np.linalg.norm(trial_fit.joints_m[:, :NUM_BODY_JOINTS] - trial.ground_truth.joints_m, axis=-1).mean()

    assert error_m(ResidualScales()) < 0.85 * error_m(ResidualScales(calibration_pose_prior=1.0))
