"""How well played and fitted walks are the curves of their sessions, and what patients' curves show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cause_summary import plain
from curve_persons import CHANNELS, OFF, ON, SIDES, FittedSession, Session

from gait.arrays import Vector
from gait.kinematics.norms import GDI_ANGLES
from gait.learning.metrics import MetricWithInterval, bootstrap_weights, mean_over_persons, with_interval

FEATURES = {
    "peak_hip_extension": lambda c: -c["hip_flexion"].min(axis=-1),
    "hip_range": lambda c: np.ptp(c["hip_flexion"], axis=-1),
    "peak_knee_flexion_in_swing": lambda c: c["knee_flexion"][..., 60:].max(axis=-1),
    "knee_range": lambda c: np.ptp(c["knee_flexion"], axis=-1),
    "knee_extension_in_stance": lambda c: -c["knee_flexion"][..., 20:60].min(axis=-1),
    "push_off_plantarflexion": lambda c: -c["ankle_dorsiflexion"][..., 50:75].min(axis=-1),
    "ankle_range": lambda c: np.ptp(c["ankle_dorsiflexion"], axis=-1),
    "pelvic_rotation_range": lambda c: np.ptp(c["pelvis_rotation"], axis=-1),
    "mean_pelvic_tilt": lambda c: c["pelvis_tilt"].mean(axis=-1),
}
"""What literature on gait in Parkinson's disease reports, degrees, from curves (N, 101) by angle."""


@dataclass(frozen=True, eq=False)
class Walks:
    """The sessions, what was played of them, and what was fitted."""

    sessions: tuple[Session, ...]
    played_deg: Vector  # (N, 18, 101) mean strides of the poses that were played
    fitted: tuple[FittedSession, ...]
    fits: Path


def summarize_walks(walks: Walks) -> dict[str, Any]:
    """Return how well the walks are those curves, per angle, and how well the contacts are found."""
    given = np.array([session.curves_deg for session in walks.sessions])
    fitted = np.array([each.mean_deg for each in walks.fitted])
    sick = np.array([session.sick for session in walks.sessions])
    errors = {
        "played_minus_curves": walks.played_deg - given,
        "fitted_minus_played": fitted - walks.played_deg,
        "fitted_minus_curves": fitted - given,
    }
    contacts = np.concatenate([each.contact_error_s for each in walks.fitted])
    return {
        "sessions": len(walks.sessions),
        "with_fitted_strides": int(np.isfinite(fitted).all(axis=(1, 2)).sum()),
        "rmse_deg": {
            what: {
                angle: {
                    name: rms(error[rows][:, [CHANNELS.index((angle, side)) for side in SIDES]])
                    for name, rows in (("controls", ~sick), ("parkinson", sick))
                }
                for angle in GDI_ANGLES
            }
            for what, error in errors.items()
        },
        "contact_error_ms": {"bias": 1000 * float(np.mean(contacts)), "mean": 1000 * float(np.mean(np.abs(contacts)))},
    }


def rms(errors: Vector) -> float:
    """Return the median over sessions and sides of the RMS over the cycle of errors (N, 2, 101)."""
    each = np.sqrt((errors**2).mean(axis=-1))
    return float(np.median(each[np.isfinite(each)])) if np.isfinite(each).any() else float("nan")


def compare_features(walks: Walks) -> dict[str, Any]:
    """Return the features of the curves and of the fitted poses: patients minus older controls, and off minus on."""
    sessions = walks.sessions
    sources = {
        "curves": np.array([session.curves_deg for session in sessions]),
        "fitted": np.array([each.mean_deg for each in walks.fitted]),
    }
    found: dict[str, Any] = {}
    for source, curves in sources.items():
        sides = [{angle: curves[:, CHANNELS.index((angle, side))] for angle in GDI_ANGLES} for side in SIDES]
        for name, feature in FEATURES.items():
            values = np.mean([feature(side) for side in sides], axis=0)
            of_session = dict(zip(sessions, values.tolist(), strict=True))
            older = np.array([value for s, value in of_session.items() if not s.sick and not s.young])
            by = {m: {s.person: value for s, value in of_session.items() if s.medication == m} for m in (OFF, ON)}
            row = {m: plain(difference(np.array(list(own.values())), older)) for m, own in by.items()}
            change = [by[OFF][person] - by[ON][person] for person in by[OFF] if person in by[ON]]
            found.setdefault(name, {})[source] = {
                "older_controls": float(np.nanmean(older)) if len(older) else np.nan,
                "off_minus_older_controls": row[OFF],
                "on_minus_older_controls": row[ON],
                "off_minus_on": plain(mean_over_persons(change)),
            }
    return found


def difference(first: Vector, second: Vector) -> MetricWithInterval:
    """Return the difference of two groups' means with its bootstrap interval; NaN are left out."""
    groups = [each[np.isfinite(each)] for each in (first, second)]
    if min(map(len, groups)) < 2:
        return MetricWithInterval(float("nan"))
    random = np.random.default_rng(0)
    means = [bootstrap_weights([np.arange(len(each))], 1000, random) @ each / len(each) for each in groups]
    return with_interval(float(groups[0].mean() - groups[1].mean()), means[0] - means[1], min(map(len, groups)))
