import numpy as np
import pytest

from gait.explaining.evidence.norm_at_speed import bands_at_speed
from gait.kinematics.norm_comparison import describe_nearest_speed
from gait.kinematics.norms import read_angle_norm
from gait.kinematics.published_speed_change import published_change
from gait.kinematics.speed_norm import ControlCurves, family_ratios, fit_speed_norm

PERCENT = np.arange(101)


@pytest.fixture(scope="module")
def norm():
    random = np.random.default_rng(0)

    def curve() -> np.ndarray:
        waves = random.normal(size=4) * [3, 1, 1, 1]
        phase = 2 * np.pi * PERCENT / 100
        return 30 + 20 * np.sin(phase) + waves @ [np.ones(101), np.sin(phase), np.cos(phase), np.sin(2 * phase)]

    return fit_speed_norm(
        [
            ControlCurves(f"P{k}", speed, {(a, s): curve() for a in ("knee_flexion", "own") for s in ("left", "right")})
            for k, speed in enumerate(np.linspace(0.4, 0.5, 24))
        ],
        resamples=1,
    )


def test_family_critical_value_grows_with_the_family_and_holds_new_persons(norm):
    ratios = family_ratios(norm, ("knee_flexion", "own"))
    both, one = ratios.critical_value(("knee_flexion", "own")), ratios.critical_value(("own",))
    assert both > one > 1.9
    assert ratios.critical_value(("unknown",)) == np.inf
    assert np.mean(np.maximum(*ratios.largest.values()) > both) == pytest.approx(0.05, abs=0.01)


def test_within_the_controls_speeds_it_is_their_norm(norm):
    bands = bands_at_speed(norm, 0.45)
    np.testing.assert_allclose(bands.mean_deg["own"], norm.at_speed(0.45).mean_deg["own"])
    assert not bands.note
    assert not bands.change_deg


def test_beyond_the_controls_speeds_the_published_change_is_added(norm):
    low = norm.speed_range[0]
    bands, nearest = bands_at_speed(norm, 0.25), norm.at_speed(low)
    change = published_change("knee_flexion", low, 0.25)
    assert np.abs(change).max() > 3  # degrees: the knee flexes less in slow walking
    np.testing.assert_allclose(bands.mean_deg["knee_flexion"], nearest.mean_deg["knee_flexion"] + change)
    own = nearest.mean_deg["own"]
    np.testing.assert_allclose(bands.mean_deg["own"], own)
    lower, upper = bands.limits("own", 3.0)
    scaled = own.mean() + 0.25 / low * (own - own.mean())
    half = 3 * bands.sd_deg["own"]
    np.testing.assert_allclose(lower, np.minimum(own, scaled) - half)
    np.testing.assert_allclose(upper, np.maximum(own, scaled) + half)
    assert "because the subject walks more slowly (0.25) than all persons of the norm" in bands.note
    assert describe_nearest_speed(norm, 0.25) in bands.note


def test_published_norms_and_unknown_speeds(norm):
    published = read_angle_norm("schwartz2008")
    assert bands_at_speed(published, 5.0).mean_deg["knee_flexion"].shape == (101,)
    assert "not by walking speed" in bands_at_speed(read_angle_norm("pinzone2014_centre1"), 0.4).note
    assert "unknown" in bands_at_speed(norm, np.nan).note
