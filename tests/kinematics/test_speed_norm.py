"""A norm by speed from own controls: means, bands for whole curves, and no word beyond the controls' speeds."""

from dataclasses import replace

import numpy as np
import pytest

from gait.arrays import Vector
from gait.errors import GaitError
from gait.kinematics.scores import split_by_speed
from gait.kinematics.speed_norm import (
    ControlCurves,
    SpeedNorm,
    _fit,
    _Observations,
    at_own_pace,
    fit_speed_norm,
    reference_range,
)

PHASE = 2 * np.pi * np.arange(101) / 100


def knee(speed: float) -> Vector:
    """Return the true mean curve at a speed."""
    return 25 + (20 + 40 * speed) * np.sin(PHASE) + 60 * (speed - 0.4) ** 2


def draw_controls(count: int, seed: int, *, spread: float = 0.0) -> list[ControlCurves]:
    """Draw persons whose curves deviate smoothly from the mean; the deviation depends on speed by ``spread``."""
    random = np.random.default_rng(seed)
    waves = np.array([np.ones(101), np.sin(PHASE), np.cos(PHASE), np.sin(2 * PHASE), np.cos(2 * PHASE)])
    found = []
    for person in range(count):
        speed = random.uniform(0.2, 0.6)
        own, sides = random.normal(0, 2, 5), random.normal(0, 1, (2, 5))
        factor = np.exp(spread * (speed - 0.4) / 0.2)
        curves = {
            ("knee_flexion", side): knee(speed) + factor * (own + sides[k]) @ waves
            for k, side in enumerate(("left", "right"))
        }
        found.append(ControlCurves(f"P{person}", speed, curves))
    return found


def share_inside(norm: SpeedNorm, persons: list[ControlCurves], *, pointwise: bool = False) -> float:
    inside = []
    for person in persons:
        found = norm.at_speed(person.dimensionless_speed)
        if found is None:
            continue
        low, high = found.low_deg["knee_flexion"], found.high_deg["knee_flexion"]
        if pointwise:
            low, high = (
                found.mean_deg["knee_flexion"] + sign * 1.96 * found.sd_deg["knee_flexion"] for sign in (-1, 1)
            )
        inside += [((curve >= low) & (curve <= high)).all() for curve in person.curves.values()]
    return float(np.mean(inside))


@pytest.mark.parametrize(("count", "spread"), [(15, 0.0), (40, 0.0), (40, -0.4)])
def test_bands_hold_whole_curves_of_new_persons(count: int, spread: float) -> None:
    norms = [fit_speed_norm(draw_controls(count, seed, spread=spread), resamples=100) for seed in range(12)]
    new = draw_controls(200, 999, spread=spread)
    assert 0.91 < np.mean([share_inside(norm, new) for norm in norms]) < 0.985
    slow = [person for person in new if person.dimensionless_speed < 0.3]
    assert np.mean([share_inside(norm, slow) for norm in norms]) > 0.89
    assert np.mean([share_inside(norm, new, pointwise=True) for norm in norms]) < 0.85


def test_the_mean_follows_speed() -> None:
    norm = fit_speed_norm(draw_controls(200, 1), resamples=10)
    for speed in (0.25, 0.4, 0.55):
        found = norm.at_speed(speed)
        assert found is not None
        np.testing.assert_allclose(found.mean_deg["knee_flexion"], knee(speed), atol=1.0)
        assert found.persons == 200


def test_nothing_is_said_beyond_the_controls_speeds() -> None:
    controls = draw_controls(20, 2)
    norm = fit_speed_norm(controls, resamples=10)
    low, high = norm.speed_range
    assert low == min(control.dimensionless_speed for control in controls)
    assert norm.at_speed(low - 0.001) is None
    assert norm.at_speed(high + 0.001) is None
    assert norm.at_speed(None) is None
    assert split_by_speed(controls[0].curves, norm, high + 0.001) is None


def test_persons_are_the_unit_not_their_paces() -> None:
    controls = draw_controls(9, 3)
    with pytest.raises(GaitError, match="has 9 persons"):
        fit_speed_norm([*controls, *controls])


@pytest.mark.parametrize(("speeds", "own"), [((0.25, 0.4, 0.6), 0.4), ((0.25, 0.4), 0.4), ((0.45, 0.65), 0.45)])
def test_the_own_pace_is_the_middle_one_or_the_usual_one(speeds: tuple[float, ...], own: float) -> None:
    (control,) = draw_controls(1, 0)
    (found,) = at_own_pace([replace(control, dimensionless_speed=speed) for speed in speeds])
    assert found.dimensionless_speed == own


def test_an_angle_that_few_observe_has_no_norm() -> None:
    controls = draw_controls(12, 4)
    for control in controls[:9]:
        control.curves["hip_flexion", "left"] = np.zeros(101)  # type: ignore[index]
        control.curves["hip_flexion", "right"] = np.full(101, np.nan)  # type: ignore[index]
    found = fit_speed_norm(controls, resamples=10).at_speed(0.4)
    assert found is not None
    assert set(found.mean_deg) == {"knee_flexion"}


def test_reference_range_holds_new_scores() -> None:
    random = np.random.default_rng(0)
    ranges = [reference_range(np.exp(random.normal(1, 0.2, 15))) for _ in range(300)]
    new = np.exp(random.normal(1, 0.2, (300, 50)))
    inside = [(low <= own).mean() - (own > high).mean() for own, (low, high) in zip(new, ranges, strict=True)]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.02)
    assert np.isnan(reference_range([2.0] * 5)).all()


def test_the_regression_of_all_resamples_at_once_is_that_of_numpy_one_after_the_other() -> None:
    controls = draw_controls(12, 5)
    rows = [(control.dimensionless_speed, curve) for control in controls for curve in control.curves.values()]
    speeds, curves = np.array([speed for speed, _ in rows]), np.array([curve for _, curve in rows])
    observed = _Observations(speeds, curves, np.repeat(np.arange(12), 2), tuple("abcdefghijkl"))
    scaled = (speeds - 0.4) / 0.2
    drawn = np.random.default_rng(0).multinomial(12, np.full(12, 1 / 12), 5)[:, observed.person]
    spread = np.exp(0.2 * scaled)
    coefficients, sd, _ = _fit(observed, scaled[:, None] ** np.arange(3), observed.weights * drawn, spread)
    for k, weights in enumerate(observed.weights * drawn):
        slow = np.polyfit(scaled, curves, 2, w=np.sqrt(weights))[::-1]
        np.testing.assert_allclose(coefficients[k], slow, atol=1e-8)
        residual = (curves - (scaled[:, None] ** np.arange(3)) @ slow) / spread[:, None]
        np.testing.assert_allclose(sd[k], np.sqrt((weights[:, None] * residual**2).sum(axis=0) / (12 - 3)), atol=1e-8)
