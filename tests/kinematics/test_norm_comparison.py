"""Where curves leave a norm: by more than its limits and their own error, for long enough; never beyond its speeds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gait.arrays import Vector
from gait.kinematics.gait_events import SIDES
from gait.kinematics.norm_comparison import compare_with_norm, find_deviations
from gait.kinematics.norms import GDI_ANGLES, NormCurves, read_angle_norm
from gait.kinematics.scores import gait_profile

NORM = read_angle_norm("schwartz2008")
OWN_PACE = NORM.at_speed(NORM.typical_speed)


def prediction_band(half_deg: float) -> NormCurves:
    assert OWN_PACE is not None
    low = {angle: mean - half_deg for angle, mean in OWN_PACE.mean_deg.items()}
    high = {angle: mean + half_deg for angle, mean in OWN_PACE.mean_deg.items()}
    return replace(OWN_PACE, low_deg=low, high_deg=high, band="prediction", coverage=0.95)


def bump(height_deg: float, centre: float, width: float = 6.0) -> Vector:
    return height_deg * np.exp(-(((np.arange(101) - centre) / width) ** 2))


def test_deviation_is_beyond_band_and_error() -> None:
    norm = prediction_band(5.0)
    mean = norm.mean_deg["knee_flexion"]
    error = np.full(101, 1.0)
    (found,) = find_deviations("knee_flexion", "left", mean - bump(20, 70), error, norm)
    assert (found.angle, found.side) == ("knee_flexion", "left")
    assert found.largest_deg == pytest.approx(-15), "below the lower limit"
    assert found.largest_percent == 70
    assert found.error_deg == pytest.approx(1.96)
    inside = bump(20, 70)[found.percents] - 5
    assert inside.min() > 1.96
    assert bump(20, 70)[found.last_percent + 1] - 5 <= 1.96
    assert find_deviations("knee_flexion", "left", mean - bump(20, 70), 8 * error, norm) == (), "within its error"
    assert find_deviations("knee_flexion", "left", mean + bump(4.9, 70), 0 * error, norm) == (), "within the band"
    assert find_deviations("knee_flexion", "left", mean + bump(20, 70, 0.5), 0 * error, norm) == (), "too short"


def test_band_of_one_sd_is_doubled_for_findings() -> None:
    norm = OWN_PACE
    assert norm is not None
    mean, sd = norm.mean_deg["hip_flexion"], norm.sd_deg["hip_flexion"]
    error = np.zeros(101)
    assert find_deviations("hip_flexion", "left", mean + 1.9 * sd, error, norm) == ()
    (found,) = find_deviations("hip_flexion", "left", mean + 2.1 * sd, error, norm)
    assert (found.first_percent, found.last_percent) == (0, 100)
    assert found.largest_deg == pytest.approx(0.1 * sd.max(), rel=1e-6)


def test_comparison_has_scores_and_leaves_out_what_has_no_error() -> None:
    norm = OWN_PACE
    assert norm is not None
    curves = {(angle, side): norm.mean_deg[angle] + 30 for angle in GDI_ANGLES for side in SIDES}
    errors = {key: np.full(101, 0.5) for key in curves if key[1] == "left"}
    found = compare_with_norm(curves, errors, NORM, NORM.typical_speed or 0)
    assert found is not None
    assert found.at_own_speed
    assert found.profile.gps_deg == gait_profile(curves, norm).gps_deg
    assert {deviation.side for deviation in found.deviations} == {"left"}
    assert set(found.untested) == {key for key in curves if key[1] == "right"}
    assert len(found.compared) == len(curves)
    persons = found.reference_gvs_deg["knee_flexion"]
    random = np.random.default_rng(0)
    drawn = norm.mean_deg["knee_flexion"] + norm.sd_deg["knee_flexion"] * random.standard_normal((4000, 1))
    gvs = [np.sqrt(np.mean((row - norm.mean_deg["knee_flexion"]) ** 2)) for row in drawn]
    assert persons == pytest.approx(np.sqrt(np.mean(np.square(gvs))), rel=0.05)


def test_norm_is_not_extrapolated_beyond_its_speeds() -> None:
    slow = replace(NORM, bands=NORM.bands[1:])
    norm = OWN_PACE
    assert norm is not None
    curves = {("knee_flexion", "left"): norm.mean_deg["knee_flexion"]}
    found = compare_with_norm(curves, {}, slow, 0.1)
    assert found is not None
    assert not found.at_own_speed
    low, _ = slow.speed_range or (0.0, 0.0)
    assert found.curves is slow.bands[0] is slow.at_speed(low)
    assert found.split is not None
    assert found.split.speed == low
    knee = "knee_flexion", "left"
    assert found.split.beyond.gvs_deg[knee] == found.profile.gvs_deg[knee] > 1
    fast = compare_with_norm(curves, {}, replace(NORM, bands=NORM.bands[:3]), 2.0)
    assert fast is not None
    assert fast.curves is NORM.bands[2]
    unknown = compare_with_norm(curves, {}, slow, float("nan"))
    assert unknown is not None
    assert not unknown.at_own_speed
    assert unknown.curves is slow.at_speed(slow.typical_speed)
