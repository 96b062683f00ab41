"""The published change of joint angles with walking speed: the bands' own curves, and what lies between them."""

import numpy as np
import pytest

from gait.kinematics.norms import read_angle_norm
from gait.kinematics.published_speed_change import MIDDLE_SPEEDS, published_change, published_mean


@pytest.mark.parametrize("band", range(5))
def test_the_middle_of_a_band_has_its_curve(band):
    norm = read_angle_norm("schwartz2008")
    found = published_mean("ankle_dorsiflexion", MIDDLE_SPEEDS[band])
    np.testing.assert_allclose(found, norm.at_speed(MIDDLE_SPEEDS[band]).mean_deg["ankle_dorsiflexion"], atol=1e-12)


def test_between_bands_it_is_interpolated_and_beyond_them_it_stays():
    low, high = MIDDLE_SPEEDS[1:3]
    third = published_mean("knee_flexion", low + (high - low) / 3)
    expected = (2 * published_mean("knee_flexion", low) + published_mean("knee_flexion", high)) / 3
    np.testing.assert_allclose(third, expected, atol=1e-9)
    np.testing.assert_array_equal(published_mean("knee_flexion", 0.05), published_mean("knee_flexion", 0.18))
    np.testing.assert_array_equal(published_mean("knee_flexion", 1.2), published_mean("knee_flexion", 0.7))


def test_a_change_is_the_difference_of_two_speeds():
    there, back = published_change("hip_flexion", 0.43, 0.2), published_change("hip_flexion", 0.2, 0.43)
    np.testing.assert_array_equal(there, -back)
    assert np.abs(there).max() > 5  # degrees: shorter steps
    assert published_change("shoulder_flexion", 0.43, 0.2) is None
