"""Norms: curves and parameters of reference persons, each with whom they are of, how many, source and licence.

A published norm is one CSV file of ``data/norms`` with a TOML file of the same name beside it (``docs/add_norm.md``).
``speed_norm`` makes a norm from a user's own controls.
"""

from __future__ import annotations

import csv
import itertools
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import scipy

from gait.arrays import Vector
from gait.body.open_body import shipped_data_folder
from gait.errors import GaitError
from gait.kinematics.joint_angles import ANGLES

CYCLE_POINTS = 101
"""Samples of a gait cycle: 0 to 100 %, from one initial contact to the next of the same side."""

GDI_POINTS = 51
"""Points of the cycle that the GDI and the GPS are defined on: every 2 %."""

GDI_ANGLES = (
    "pelvis_tilt",
    "pelvis_obliquity",
    "pelvis_rotation",
    "hip_flexion",
    "hip_adduction",
    "hip_rotation",
    "knee_flexion",
    "ankle_dorsiflexion",
    "foot_progression",
)
"""The nine angles of the GDI and the GPS, in the order of the GDI's features."""

BandKind = Literal["one_sd", "prediction"]
"""What a band promises: mean ± 1 SD at each percent, or that a new person's whole curve lies inside (``coverage``)."""

_MAX_BYTES = 16 << 20
_WORDS = ("title", "of_whom", "source", "licence")
_COLUMNS = {
    "angles": ("angle", "percent", "mean_deg", "sd_deg"),
    "parameters": ("parameter", "unit", "low", "high"),
    "gdi": ("angle", "percent", "feature1"),
}


@dataclass(frozen=True)
class NormSource:
    """What stands beside a norm wherever it is shown."""

    name: str  # of the file without suffix
    title: str
    of_whom: str
    source: str
    licence: str
    persons: int | None = None  # None: the source does not state it
    convention: str = "plug_in_gait"  # of the angles
    changes: str = ""  # against the source
    notes: str = ""


@dataclass(frozen=True, eq=False)
class NormCurves:
    """Curves of reference persons at one walking speed; mappings are by name of the angle and hold for both sides."""

    source: NormSource
    mean_deg: Mapping[str, Vector]  # (101,)
    sd_deg: Mapping[str, Vector]  # (101,) between persons
    low_deg: Mapping[str, Vector]  # (101,) band
    high_deg: Mapping[str, Vector]  # (101,)
    band: BandKind
    coverage: float | None = None  # of a "prediction" band, e.g. 0.95: of each angle's curve
    speed_range: tuple[float, float] | None = None  # dimensionless, that these curves are of; None: not by speed
    persons: int | None = None


class Norm(Protocol):
    """A named reference for angle curves."""

    @property
    def source(self) -> NormSource:
        """Return of whom it is."""

    @property
    def speed_range(self) -> tuple[float, float] | None:
        """Return the dimensionless speeds that it covers; None if it is not by speed."""

    @property
    def typical_speed(self) -> float | None:
        """Return the dimensionless speed at which its persons walk by themselves; None if it is not by speed."""

    def at_speed(self, dimensionless_speed: float | None) -> NormCurves | None:
        """Return the curves at v / √(g · leg length); None if the norm does not cover this speed."""


@dataclass(frozen=True, eq=False)
class PublishedNorm:
    """Means and standard deviations of angle curves from a published table, in bands of speed or in one."""

    source: NormSource
    bands: tuple[NormCurves, ...]  # by rising speed; one, without a range, if the table is not by speed
    typical_speed: float | None = None

    @property
    def speed_range(self) -> tuple[float, float] | None:
        """Return the lowest and the highest dimensionless speed of the bands."""
        first, last = self.bands[0].speed_range, self.bands[-1].speed_range
        return None if first is None or last is None else (first[0], last[1])

    def at_speed(self, dimensionless_speed: float | None) -> NormCurves | None:
        """Return the band that a speed is in; a table that is not by speed has one for all."""
        for band in self.bands:
            if band.speed_range is None:
                return band
            low, high = band.speed_range
            if dimensionless_speed is not None and low <= dimensionless_speed < high:
                return band
        last = self.bands[-1]
        return last if last.speed_range is not None and dimensionless_speed == last.speed_range[1] else None


@dataclass(frozen=True)
class ParameterRange:
    """Mean ± 1 SD of a spatio-temporal parameter in a group of persons."""

    parameter: str
    unit: str
    low: float
    high: float
    sex: str  # "female", "male" or "" for both
    age_years: tuple[float, float]  # both included
    pace: str  # "slow", "normal", "fast"
    speed_m_s: tuple[float, float] | None  # limits that define the pace; None if the pace was the persons' choice


@dataclass(frozen=True)
class ParameterNorm:
    """Ranges of spatio-temporal parameters by sex, age and pace."""

    source: NormSource
    ranges: tuple[ParameterRange, ...]

    def of_person(self, sex: str, age_years: float, pace: str = "normal") -> dict[str, ParameterRange]:
        """Return the ranges by parameter for a person; empty if the table has none of this age and pace."""
        found = {}
        for row in self.ranges:
            youngest, oldest = row.age_years
            if row.sex in ("", sex) and row.pace == pace and youngest <= age_years < oldest + 1:
                found[row.parameter] = row
        return found


@dataclass(frozen=True, eq=False)
class GdiReference:
    """What the Gait Deviation Index compares with: features of gait and the scores of controls.

    Schwartz & Rozumalski 2008, Gait & Posture 28:351.
    """

    source: NormSource
    features: Vector  # (459, F) nine angles × 51 points; orthonormal columns
    control_scores: Vector  # (F,) mean of the controls
    ln_distance_mean: float  # of the controls' ln‖score - mean‖
    ln_distance_sd: float


def norm_names() -> dict[str, Path]:
    """Return the path of each norm by its name: those that this suite brings, and those in ``./data/norms``."""
    folders = (shipped_data_folder() / "norms", Path("data/norms"))
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.csv"))}


def read_norm(norm: str | Path) -> PublishedNorm | ParameterNorm | GdiReference:
    """Read a norm by its name in ``data/norms``, or by the path of its CSV file.

    Raises:
        GaitError: there is no such norm, or a file is not as ``docs/add_norm.md`` describes it.
    """
    path = norm_names().get(str(norm), Path(norm))
    if not path.is_file():
        raise GaitError(f"{norm}: is no norm; name a CSV file or one of {', '.join(norm_names())}.")
    words = _read_toml(path.with_suffix(".toml"))
    kind = words.get("kind")
    if kind not in _COLUMNS:
        raise GaitError(f"{path.with_suffix('.toml')}: kind is {kind!r}; write one of {', '.join(_COLUMNS)}.")
    rows = _read_rows(path, _COLUMNS[kind])
    source = _source(path, words)
    if kind == "angles":
        return _angle_norm(path, source, rows, words)
    if kind == "parameters":
        return ParameterNorm(source, tuple(_parameter_range(path, row) for row in rows))
    return _gdi_reference(path, source, rows, words)


def read_angle_norm(norm: str | Path) -> PublishedNorm:
    """Read a norm of angle curves.

    Raises:
        GaitError: as of ``read_norm``, or the norm is of another kind.
    """
    found = read_norm(norm)
    if not isinstance(found, PublishedNorm):
        raise GaitError(f'{norm}: has no angle curves; name a norm with kind = "angles".')
    return found


def read_gdi_reference(norm: str | Path = "gdi2008") -> GdiReference:
    """Read features and control scores of the Gait Deviation Index.

    Raises:
        GaitError: as of ``read_norm``, or the norm is of another kind.
    """
    found = read_norm(norm)
    if not isinstance(found, GdiReference):
        raise GaitError(f'{norm}: has no features of the GDI; name a norm with kind = "gdi".')
    return found


def resample_cycle(percent: Vector, values: Vector) -> Vector:
    """Interpolate values (N,) at percents (N,) of the cycle, 0 to 100, to 101 points by a cubic spline."""
    return np.asarray(scipy.interpolate.CubicSpline(percent, values)(np.linspace(0, 100, CYCLE_POINTS)), np.float64)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        problem = f"{path}: cannot be read ({error.strerror})"
        raise GaitError(f"{problem}; a norm needs this file beside its CSV, with source and licence.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise GaitError(f"{path}: is not TOML ({error}).") from error


def _source(path: Path, words: Mapping[str, Any]) -> NormSource:
    toml = path.with_suffix(".toml")
    for word in (*_WORDS, "convention", "changes", "notes"):
        value = words.get(word, "" if word not in _WORDS else None)
        if not isinstance(value, str) or (word in _WORDS and not value.strip()):
            raise GaitError(f"{toml}: {word} is {value!r}; write a text.")
    persons = words.get("persons")
    if persons is not None and (not isinstance(persons, int) or isinstance(persons, bool) or persons < 1):
        raise GaitError(f"{toml}: persons is {persons!r}; write a whole number, or leave it out if it is not known.")
    optional = {word: words[word] for word in ("convention", "changes", "notes") if word in words}
    required = {word: words[word] for word in _WORDS}
    return NormSource(name=path.stem, persons=persons, **required, **optional)


def _read_rows(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """Return the rows of a CSV file, each with its line number under "line"."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise GaitError(f"{path}: is larger than {_MAX_BYTES >> 20} MiB, too large for a norm.")
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise GaitError(f"{path}: has no column {', '.join(missing)}; see docs/add_norm.md.")
            rows = [{**row, "line": str(reader.line_num)} for row in reader]
    except OSError as error:
        raise GaitError(f"{path}: cannot be read ({error.strerror}); check the path.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise GaitError(f"{path}: is not a CSV file in UTF-8 ({error}).") from error
    if not rows:
        raise GaitError(f"{path}: has no rows; see docs/add_norm.md.")
    return rows


def _number(path: Path, row: Mapping[str, str], column: str, empty: float | None = None) -> float:
    """Return a finite number of a row; ``empty`` if the cell is empty or missing."""
    text = (row.get(column) or "").strip()
    if not text and empty is not None:
        return empty
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise GaitError(f"{path}, line {row['line']}: {column} is {text!r}; write a number.")
    return value


def _angle_norm(path: Path, source: NormSource, rows: list[dict[str, str]], words: Mapping[str, Any]) -> PublishedNorm:
    bands: dict[tuple[float, float], dict[str, list[tuple[float, float, float]]]] = {}
    known = [definition.name for definition in ANGLES]
    for row in rows:
        if row["angle"].strip() not in known:
            raise GaitError(f"{path}, line {row['line']}: angle is {row['angle']!r}; write one of {', '.join(known)}.")
        speeds = (_number(path, row, "speed_min", 0.0), _number(path, row, "speed_max", math.inf))
        values = tuple(_number(path, row, column) for column in ("percent", "mean_deg", "sd_deg"))
        if values[2] < 0:
            raise GaitError(f"{path}, line {row['line']}: sd_deg is {values[2]:g}; write a number of at least 0.")
        bands.setdefault(speeds, {}).setdefault(row["angle"].strip(), []).append((values[0], values[1], values[2]))
    by_speed = list(bands) != [(0.0, math.inf)]
    ordered = sorted(bands)
    for (_, end), (start, _) in itertools.pairwise(ordered):
        if start < end:
            raise GaitError(f"{path}: bands of speed overlap at {start:g}; give each speed one band.")
    curves = []
    for speeds in ordered:
        mean, sd = {}, {}
        for angle, points in bands[speeds].items():
            percent, means, sds = np.array(sorted(points)).T
            if len(points) < 11 or percent[0] != 0 or percent[-1] != 100 or (np.diff(percent) <= 0).any():
                problem = f"{angle} has {len(points)} points from {percent[0]:g} to {percent[-1]:g} %"
                raise GaitError(f"{path}: {problem}; give each percent once, at least 11 from 0 to 100.")
            mean[angle], sd[angle] = resample_cycle(percent, means), np.maximum(resample_cycle(percent, sds), 0)
        curves.append(
            NormCurves(
                source,
                mean,
                sd,
                {angle: mean[angle] - sd[angle] for angle in mean},
                {angle: mean[angle] + sd[angle] for angle in mean},
                "one_sd",
                speed_range=speeds if by_speed else None,
                persons=source.persons,
            )
        )
    typical = words.get("typical_speed")
    if by_speed and not isinstance(typical, int | float):
        problem = f"typical_speed is {typical!r}"
        raise GaitError(f"{path.with_suffix('.toml')}: {problem}; write the dimensionless speed of the usual pace.")
    norm = PublishedNorm(source, tuple(curves), float(typical) if by_speed and typical is not None else None)
    if norm.at_speed(norm.typical_speed) is None:
        raise GaitError(f"{path.with_suffix('.toml')}: typical_speed is {typical:g}, which is in no band of the table.")
    return norm


def _parameter_range(path: Path, row: Mapping[str, str]) -> ParameterRange:
    low, high = _number(path, row, "low"), _number(path, row, "high")
    if low > high:
        raise GaitError(f"{path}, line {row['line']}: low is {low:g} and high {high:g}; exchange them.")
    limits = (_number(path, row, "speed_min_m_s", 0.0), _number(path, row, "speed_max_m_s", math.inf))
    return ParameterRange(
        row["parameter"].strip(),
        row["unit"].strip(),
        low,
        high,
        (row.get("sex") or "").strip().lower(),
        (_number(path, row, "age_min", 0.0), _number(path, row, "age_max", math.inf)),
        (row.get("pace") or "normal").strip().lower(),
        None if limits == (0.0, math.inf) else limits,
    )


def _gdi_reference(
    path: Path, source: NormSource, rows: list[dict[str, str]], words: Mapping[str, Any]
) -> GdiReference:
    toml = path.with_suffix(".toml")
    scores = words.get("control_scores")
    distance = [words.get("ln_distance_mean"), words.get("ln_distance_sd")]
    if not isinstance(scores, list) or not all(isinstance(x, int | float) for x in (*scores, *distance)):
        raise GaitError(
            f"{toml}: control_scores, ln_distance_mean, ln_distance_sd: write numbers, see docs/add_norm.md."
        )
    columns = [f"feature{k + 1}" for k in range(len(scores))]
    features = np.array([[_number(path, row, column) for column in columns] for row in rows])
    expected = [(angle, str(2 * k)) for angle in GDI_ANGLES for k in range(GDI_POINTS)]
    if [(row["angle"].strip(), row["percent"].strip()) for row in rows] != expected:
        order = f"{', '.join(GDI_ANGLES)}, each at 0, 2, ..., 100 %"
        raise GaitError(f"{path}: the rows are not in the order {order}.")
    mean, sd = np.array(distance, np.float64).tolist()
    return GdiReference(source, features, np.array(scores, np.float64), mean, sd)
