"""A norm by walking speed from a user's own controls, with bands that hold for whole curves.

The mean of each angle at each percent of the cycle is a polynomial in dimensionless speed; the spread between persons
grows or shrinks with speed by one factor for all. Persons are the unit: a person's curve is the mean over strides, and
resampling draws persons. A band is mean ± c · SD, with c such that the
whole curve of a new person lies inside with a given probability (Lenhoff et al. 1999, Gait & Posture 9:10; Olshen et
al. 1989, Ann. Statist. 17:1419), for each angle on its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy
from numpy.typing import NDArray

from gait.arrays import Vector
from gait.errors import GaitError
from gait.kinematics.gait_events import SIDES
from gait.kinematics.norms import NormCurves, NormSource
from gait.kinematics.scores import GaitProfile, at_101_points, gait_profile

MIN_PERSONS = 10
"""Of fewer persons no band is given: resampling so few does not show how far a new person can be."""

SPEED_MATCH = 0.06
"""Controls within this dimensionless speed of a subject's are speed-matched: about 0.17 m/s of an adult."""

USUAL_SPEED = 0.43
"""Dimensionless speed at which healthy persons walk by themselves, adults and children (Schwartz et al. 2008)."""

MAX_DEGREE = 2
PERSONS_PER_COEFFICIENT = 5
COVERAGE = 0.95
RESAMPLES = 400


@dataclass(frozen=True, eq=False)
class ControlCurves:
    """A control's mean curves over the strides of one pace; a person may have several paces."""

    person: str
    dimensionless_speed: float  # v / √(g · leg length)
    curves: Mapping[tuple[str, str], Vector]  # by (angle, side): degrees (101,) or (51,); NaN where not observed


@dataclass(frozen=True, eq=False)
class AngleRegression:
    """Mean and spread of one angle's curve by speed."""

    degree: int
    coefficients: Vector  # (degree + 1, 101) of powers of the scaled speed
    covariance: Vector  # (degree + 1, degree + 1) of the coefficients, for unit variance between persons
    sd_deg: Vector  # (101,) between persons, at the scaled speed 0
    critical: float  # half width of the band in standard deviations of a new person's curve
    speed_range: tuple[float, float]  # of the persons whose curve of this angle is observed
    persons: int


@dataclass(frozen=True, eq=False)
class SpeedNorm:
    """Curves of controls by dimensionless speed; never beyond the controls' speeds."""

    source: NormSource
    controls: tuple[ControlCurves, ...]
    typical_speed: float  # median of the persons at their own pace
    regressions: Mapping[str, AngleRegression]  # by angle; those with enough persons
    spread_slope: float  # SD at a speed = exp(slope · scaled speed) · ``sd_deg``
    coverage: float

    @property
    def speed_range(self) -> tuple[float, float]:
        """Return the lowest and the highest dimensionless speed of the controls."""
        speeds = [control.dimensionless_speed for control in self.controls]
        return min(speeds), max(speeds)

    def at_speed(self, dimensionless_speed: float | None) -> NormCurves | None:
        """Return means and bands at v / √(g · leg length); None beyond the controls' speeds."""
        low, high = self.speed_range
        if dimensionless_speed is None or not low <= dimensionless_speed <= high:
            return None
        mean, sd, lower, upper = ({} for _ in range(4))
        for angle, regression in self.regressions.items():
            if not regression.speed_range[0] <= dimensionless_speed <= regression.speed_range[1]:
                continue
            row = _powers(np.array([dimensionless_speed]), regression.degree)[0]
            mean[angle] = row @ regression.coefficients
            sd[angle] = regression.sd_deg * np.exp(self.spread_slope * _scaled(dimensionless_speed))
            half = regression.critical * sd[angle] * np.sqrt(1 + row @ regression.covariance @ row)
            lower[angle], upper[angle] = mean[angle] - half, mean[angle] + half
        return NormCurves(
            self.source,
            mean,
            sd,
            lower,
            upper,
            "prediction",
            coverage=self.coverage,
            speed_range=(dimensionless_speed, dimensionless_speed),
            persons=self.source.persons,
        )

    def control_profiles(self) -> tuple[GaitProfile, ...]:
        """Return the scores of each control's walk at its speed, against the other persons; NaN beyond their speeds."""
        return self._control_profiles

    @cached_property
    def _control_profiles(self) -> tuple[GaitProfile, ...]:
        return tuple(self._profile(control, control.dimensionless_speed) for control in self.controls)

    @cached_property
    def _own_pace_profiles(self) -> tuple[GaitProfile, ...]:
        return tuple(self._profile(control, self.typical_speed) for control in at_own_pace(self.controls))

    def _profile(self, control: ControlCurves, speed: float) -> GaitProfile:
        """Return the scores of a walk against the norm of the other persons at a speed."""
        degrees = {angle: regression.degree for angle, regression in self.regressions.items()}
        others = [other for other in self.controls if other.person != control.person]
        mean = _mean_curves(others, degrees, speed)
        return gait_profile(control.curves, NormCurves(self.source, mean, mean, mean, mean, "one_sd"))

    def gps_range(
        self, which: str = "overall", *, speed: float | None = None, without_offsets: bool = False
    ) -> tuple[float, float]:
        """Return the range that holds the GPS, "left", "right" or "overall", of a new person like the controls.

        The probability is ``coverage``. Without a speed: of controls at their own pace, against the norm at the typical
        speed. At a dimensionless speed: of the controls who walk within ``SPEED_MATCH`` of it, one walk of each,
        against the norm at the speed of that walk. NaN if too few controls have such a walk.
        """
        profiles = self._own_pace_profiles
        if speed is not None:
            near = [each for each in self.controls if abs(each.dimensionless_speed - speed) <= SPEED_MATCH]
            walks = {id(_next_to(speed, own)) for own in _by_person(near).values()}
            each = zip(self.controls, self._control_profiles, strict=True)
            profiles = tuple(profile for control, profile in each if id(control) in walks)
        scores = [profile.gps_without_offsets_deg if without_offsets else profile.gps_deg for profile in profiles]
        return reference_range([gps[which] for gps in scores], self.coverage)


def fit_speed_norm(
    controls: Sequence[ControlCurves],
    *,
    name: str = "own controls",
    of_whom: str = "controls of the same laboratory",
    convention: str = "plug_in_gait",
    coverage: float = COVERAGE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> SpeedNorm:
    """Fit a norm to controls.

    The degree of each angle's polynomial, at most ``MAX_DEGREE``, is the one that predicts the curves of a person from
    those of the others best. An angle that fewer than ``MIN_PERSONS`` persons have is left out.

    Raises:
        GaitError: there are fewer than ``MIN_PERSONS`` persons.
    """
    controls = tuple(control for control in controls if np.isfinite(control.dimensionless_speed))
    persons = sorted({control.person for control in controls})
    if len(persons) < MIN_PERSONS:
        problem = f"{name}: has {len(persons)} persons who walk"
        raise GaitError(f"{problem}; a norm needs at least {MIN_PERSONS}, or use a published one.")
    angles = dict.fromkeys(angle for control in controls for angle, _ in control.curves)
    random = np.random.default_rng(seed)
    found = {angle: _observe(controls, angle) for angle in angles}
    enough = {angle: each for angle, each in found.items() if each is not None and each.num_persons >= MIN_PERSONS}
    degrees = {angle: _choose_degree(each) for angle, each in enough.items()}
    slope = _spread_slope([(each, degrees[angle]) for angle, each in enough.items()])
    regressions = {
        angle: _fit_angle(each, degrees[angle], slope, coverage, resamples, random) for angle, each in enough.items()
    }
    typical = np.median([control.dimensionless_speed for control in at_own_pace(controls)])
    source = NormSource(
        name,
        name,
        of_whom,
        "recordings that the user named",
        "the user's own",
        persons=len(persons),
        convention=convention,
    )
    return SpeedNorm(source, controls, float(typical), regressions, slope, coverage)


@dataclass(frozen=True, eq=False)
class FamilyRatios:
    """How far new persons' curves are from the mean of a norm, jointly over its curves.

    ``largest``, by angle, is the largest |curve - mean| / SD of both sides over the cycle, (B, P), of P persons against
    B resampled norms.
    """

    largest: Mapping[str, NDArray[np.float32]]
    coverage: float

    def critical_value(self, angles: Collection[str]) -> float:
        """Return c such that all these curves of a new person lie within mean ± c · SD with probability ``coverage``.

        As for the band of a single angle, it is a quantile over the norm's persons against resampled ones: here of the
        largest ratio of all of a person's curves. Since these depend on each other, c is below Bonferroni's or Šidák's,
        which count them as independent. Infinite without a curve.
        """
        own = [self.largest[angle] for angle in angles if angle in self.largest]
        return float(np.quantile(np.max(own, axis=0), self.coverage)) if own else np.inf


def family_ratios(
    norm: SpeedNorm, angles: Collection[str], *, coverage: float = COVERAGE, resamples: int = 200, seed: int = 0
) -> FamilyRatios:
    """Compare each person of a norm with norms of resampled persons, in those of the angles that the norm has."""
    persons = sorted({control.person for control in norm.controls})
    index = {person: number for number, person in enumerate(persons)}
    random = np.random.default_rng(seed)
    drawn = random.multinomial(len(persons), np.full(len(persons), 1 / len(persons)), resamples)
    largest = {}
    for angle, regression in norm.regressions.items():
        observed = _observe(norm.controls, angle)
        if angle not in angles or observed is None:
            continue
        powers = _powers(observed.speeds, regression.degree)
        spread = np.exp(norm.spread_slope * _scaled(observed.speeds))
        person = np.array([index[name] for name in observed.names])[observed.person]
        ratios = _largest_ratios(observed, powers, spread, observed.weights * drawn[:, person])
        own = np.zeros((resamples, len(persons)), dtype=np.float32)
        for row, number in enumerate(person):
            own[:, number] = np.maximum(own[:, number], ratios[:, row])
        largest[angle] = own
    return FamilyRatios(largest, coverage)


def at_own_pace(controls: Sequence[ControlCurves]) -> tuple[ControlCurves, ...]:
    """Return of each person the curves at their own pace, in the order of the persons.

    Recordings do not say which pace that is: it is the middle one by speed, and of two middle ones that next to
    ``USUAL_SPEED``.
    """
    found = []
    for own in _by_person(controls).values():
        ordered = sorted(own, key=lambda control: control.dimensionless_speed)
        found.append(_next_to(USUAL_SPEED, ordered[(len(own) - 1) // 2 : len(own) // 2 + 1]))
    return tuple(found)


def _by_person(controls: Sequence[ControlCurves]) -> dict[str, list[ControlCurves]]:
    found: dict[str, list[ControlCurves]] = {}
    for control in controls:
        found.setdefault(control.person, []).append(control)
    return found


def _next_to(speed: float, controls: Sequence[ControlCurves]) -> ControlCurves:
    return controls[int(np.argmin([abs(control.dimensionless_speed - speed) for control in controls]))]


def reference_range(values: Sequence[float] | Vector, coverage: float = COVERAGE) -> tuple[float, float]:
    """Return the range that a new person's score lies in with this probability, from the scores of controls (n,).

    Scores that are root mean squares are skewed; their logarithms are taken as normal, with mean and SD estimated.
    NaN of fewer than ``MIN_PERSONS`` finite values.
    """
    logs = np.log([value for value in values if np.isfinite(value) and value > 0])
    if len(logs) < MIN_PERSONS:
        return np.nan, np.nan
    half = scipy.stats.t.ppf(0.5 + coverage / 2, len(logs) - 1) * logs.std(ddof=1) * np.sqrt(1 + 1 / len(logs))
    return float(np.exp(logs.mean() - half)), float(np.exp(logs.mean() + half))


@dataclass(frozen=True, eq=False)
class _Observations:
    """All controls' curves of one angle; R of them, of both sides and all paces."""

    speeds: Vector  # (R,)
    curves: Vector  # (R, 101)
    person: NDArray[np.int64]  # (R,) index of the person in ``names``
    names: tuple[str, ...]

    @property
    def num_persons(self) -> int:
        """Number of persons."""
        return len(self.names)

    @property
    def weights(self) -> Vector:
        """Weight (R,) of each curve; those of a person add up to one."""
        return 1 / np.bincount(self.person, minlength=self.num_persons)[self.person]


def _observe(controls: Sequence[ControlCurves], angle: str) -> _Observations | None:
    rows = [
        (control.dimensionless_speed, at_101_points(control.curves[angle, side]), control.person)
        for control in controls
        for side in SIDES
        if (angle, side) in control.curves
    ]
    rows = [row for row in rows if np.isfinite(row[1]).all()]
    if not rows:
        return None
    speeds, curves, names = zip(*rows, strict=True)
    persons, index = np.unique(names, return_inverse=True)
    return _Observations(np.array(speeds), np.array(curves), index, tuple(persons.tolist()))


def _scaled(speeds: Vector | float) -> Vector:
    """Return dimensionless speeds so that usual ones lie within ±1."""
    return np.asarray((np.asarray(speeds) - 0.4) / 0.2)


def _powers(speeds: Vector, degree: int) -> Vector:
    """Return the powers (R, degree + 1) of the scaled speeds (R,)."""
    return np.asarray(np.vander(_scaled(speeds), degree + 1, increasing=True), np.float64)


def _solve(powers: Vector, weights: Vector) -> tuple[Vector, Vector]:
    """Return the matrix (P, R) that maps curves to coefficients, and the coefficients' unit covariance (P, P)."""
    normal = powers.T @ (weights[:, None] * powers)
    inverse: Vector = np.linalg.pinv(normal, hermitian=True).astype(np.float64)
    return inverse @ (powers * weights[:, None]).T, inverse


def _fit_angle(
    observed: _Observations,
    degree: int,
    spread_slope: float,
    coverage: float,
    resamples: int,
    random: np.random.Generator,
) -> AngleRegression:
    powers, spread = _powers(observed.speeds, degree), np.exp(spread_slope * _scaled(observed.speeds))
    coefficients, sd, covariance = _fit(observed, powers, observed.weights[None], spread)
    return AngleRegression(
        degree,
        coefficients[0],
        covariance[0],
        sd[0],
        _critical_value(observed, powers, spread, coverage, resamples, random),
        (float(observed.speeds.min()), float(observed.speeds.max())),
        observed.num_persons,
    )


def _fit(observed: _Observations, powers: Vector, weights: Vector, spread: Vector) -> tuple[Vector, Vector, Vector]:
    """Fit B weightings (B, R) of the curves at once; ``spread`` (R,) is the factor on the SD.

    Returns coefficients (B, P, 101), SD between persons (B, 101), and the coefficients' unit covariance (B, P, P).
    """
    products = powers[:, :, None] * powers[:, None]  # (R, P, P)
    covariance = np.linalg.pinv(np.tensordot(weights, products, 1), hermitian=True)
    start = np.linalg.lstsq(powers, observed.curves, rcond=None)[0]  # residuals are small, so that squares don't cancel
    residual = observed.curves - powers @ start
    moments = powers[:, :, None] * residual[:, None]  # (R, P, 101)
    change = covariance @ np.tensordot(weights, moments, 1)
    scaled = weights / spread**2
    squares = scaled @ residual**2 - 2 * (change * np.tensordot(scaled, moments, 1)).sum(axis=1)
    squares += (change * (np.tensordot(scaled, products, 1) @ change)).sum(axis=1)
    freedom = np.maximum(weights.sum(axis=1) - powers.shape[1], 1)
    return start + change, np.sqrt(np.maximum(squares, 0) / freedom[:, None]), covariance


def _spread_slope(angles: Sequence[tuple[_Observations, int]]) -> float:
    """Return how the logarithm of the persons' deviation depends on the scaled speed, mean of all angles.

    A slope that is small against its standard error over persons is shrunk towards zero (positive-part James & Stein
    1961).
    """
    numerators: dict[str, float] = {}
    denominator = 0.0
    for observed, degree in angles:
        powers, weights = _powers(observed.speeds, degree), observed.weights
        coefficients, _, _ = _fit(observed, powers, weights[None], np.ones(len(weights)))
        size = np.log(np.maximum(np.sqrt(np.mean((observed.curves - powers @ coefficients[0]) ** 2, axis=1)), 1e-6))
        speed = _scaled(observed.speeds)
        speed, size = speed - np.average(speed, weights=weights), size - np.average(size, weights=weights)
        denominator += float((weights * speed**2).sum())
        for index, person in enumerate(observed.names):
            own = observed.person == index
            numerators[person] = numerators.get(person, 0.0) + float((weights * speed * size)[own].sum())
    if not denominator:
        return 0.0
    parts = np.array(list(numerators.values())) / denominator
    slope, error = float(parts.sum()), float(np.sqrt(len(parts)) * parts.std())
    return slope * max(0.0, 1 - (error / slope) ** 2) if slope else 0.0


def _choose_degree(observed: _Observations) -> int:
    """Return the degree that predicts each person's curves best from the curves of the others."""
    errors = []
    for degree in range(MAX_DEGREE + 1):
        if observed.num_persons < PERSONS_PER_COEFFICIENT * (degree + 1):
            break
        powers, weights = _powers(observed.speeds, degree), observed.weights
        others = weights * (observed.person != np.arange(observed.num_persons)[:, None])  # (persons, R) without each
        normal = np.tensordot(others, powers[:, :, None] * powers[:, None], 1)
        moments = (others[:, None] * powers.T) @ observed.curves  # (persons, P, 101)
        predicted = powers[:, None] @ (np.linalg.pinv(normal, hermitian=True) @ moments)[observed.person]
        errors.append(float((weights[:, None] * (observed.curves - predicted[:, 0]) ** 2).sum()))
    return int(np.argmin(errors))


def _critical_value(
    observed: _Observations,
    powers: Vector,
    spread: Vector,
    coverage: float,
    resamples: int,
    random: np.random.Generator,
) -> float:
    """Return the quantile of max |curve - mean| / SD over the cycle, of all persons against resampled ones.

    A residual of a person who was drawn is smaller than that of a new one by √(1 - h) against √(1 + h), where h is the
    leverage: each is divided by its own.
    """
    chances = np.full(observed.num_persons, 1 / observed.num_persons)
    weights = observed.weights * random.multinomial(observed.num_persons, chances, resamples)[:, observed.person]
    values = _largest_ratios(observed, powers, spread, weights).ravel()
    share = np.tile(observed.weights, resamples)
    order = np.argsort(values)
    reached = np.cumsum(share[order]) / share.sum()
    return float(values[order][np.searchsorted(reached, coverage)])


def _largest_ratios(observed: _Observations, powers: Vector, spread: Vector, weights: Vector) -> Vector:
    """Return max |curve - mean| / SD over the cycle, (B, R), of all curves against weightings (B, R) of the curves."""
    coefficients, sd, covariance = _fit(observed, powers, weights, spread)
    leverage = np.einsum("rp,bpq,rq->br", powers, covariance, powers, optimize=True)
    scale = np.sqrt(np.where(weights > 0, np.maximum(1 - leverage, 0.1), 1 + leverage)) * spread
    ratio = np.abs(observed.curves - powers @ coefficients) / np.maximum(sd, 1e-9)[:, None]
    return np.asarray(ratio.max(axis=2) / scale)


def _mean_curves(controls: Sequence[ControlCurves], degrees: Mapping[str, int], speed: float) -> dict[str, Vector]:
    """Return mean curves (101,) at a speed by angle; NaN beyond the controls' speeds."""
    found = {}
    for angle, degree in degrees.items():
        observed = _observe(controls, angle)
        if observed is None or not observed.speeds.min() <= speed <= observed.speeds.max():
            found[angle] = np.full(101, np.nan)
            continue
        solve, _ = _solve(_powers(observed.speeds, degree), observed.weights)
        found[angle] = _powers(np.array([speed]), degree)[0] @ (solve @ observed.curves)
    return found
