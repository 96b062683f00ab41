"""How scores and explanations of sessions separate persons: of networks, and of ridge regressions on the curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cause_summary import plain
from curve_persons import CHANNELS, OFF, ON, SIDES, Session
from numpy.typing import NDArray
from scipy.stats import binomtest, spearmanr
from sklearn.linear_model import RidgeCV

from gait.arrays import Vector
from gait.explaining.evidence.finding import Evidence
from gait.kinematics.norms import GDI_ANGLES
from gait.learning.matched_speed import matched_speed_auc
from gait.learning.metrics import MetricWithInterval, bootstrap_weights, mean_over_persons, roc_auc, with_interval
from gait.motion.inputs import INPUTS
from gait.motion.trial_paths import HEALTHY, SICK

EXPLAINED = "rotations"  # the input whose axes have names
BOTH = "both"
FIRST = 3
_ALPHAS = np.logspace(1, 7, 25)  # penalties of the ridge regression
_ANGLE_OF = {
    "pelvic tilt": "pelvis_tilt", "pelvic obliquity": "pelvis_obliquity", "pelvic rotation": "pelvis_rotation",
    "hip flexion": "hip_flexion", "hip adduction": "hip_adduction", "hip rotation": "hip_rotation",
    "knee flexion": "knee_flexion", "ankle dorsiflexion": "ankle_dorsiflexion",
}  # fmt: skip
"""The angle of the curves that shows a motion. The ankle's rotation has none: as the knees of the played walks do not
rotate, it is the difference between the rotations of hip and foot."""


@dataclass(frozen=True, eq=False)
class Judged:
    """What the networks of one cross-validation make of each session; only of networks that did not see the person."""

    logit: Mapping[str, float]  # by session
    scores: Mapping[str, Vector]  # (22, 3) signed attribution by session; {} if the input has no named axes
    evidence: Mapping[str, Evidence] = field(default_factory=dict)  # findings alone; of the first division, if wanted


def ridge_scores(sessions: Sequence[Session], curves_deg: Vector) -> dict[str, float]:
    """Return the score of each session by a ridge regression on the other persons' curves (N, 18, 101).

    Each label has the same weight, and each person within it. The penalty is chosen within the training persons. A
    session with gaps has no score.
    """
    known = np.isfinite(curves_deg).all(axis=(1, 2))
    persons = np.array([session.person for session in sessions])
    sick = np.array([session.sick for session in sessions])
    features = curves_deg.reshape(len(sessions), -1)
    scores = {}
    for person in sorted(set(persons[known])):
        train, judged = known & (persons != person), np.flatnonzero(known & (persons == person))
        weights = person_weights(persons[train], sick[train])
        model = RidgeCV(_ALPHAS).fit(features[train], np.where(sick[train], 1.0, -1.0), sample_weight=weights)
        for row, score in zip(judged, model.predict(features[judged]), strict=True):
            scores[sessions[row].name] = float(score)
    return scores


def person_weights(persons: NDArray[np.str_], sick: NDArray[np.bool_]) -> Vector:
    """Return weights (N,) of sessions whose sum is 1 in each label, with the same sum for each of its persons."""
    weights = np.zeros(len(persons))
    for label in (False, True):
        own = sick == label
        names, count = np.unique(persons[own], return_counts=True)
        share = dict(zip(names.tolist(), 1 / (count * len(names)), strict=True))
        weights[own] = [share[name] for name in persons[own]]
    return weights


def auc_over_persons(sick: NDArray[np.bool_], score: Vector) -> dict[str, float]:
    """Return the AUC of scores (P,), one per person, with its bootstrap interval."""
    classes = [np.flatnonzero(sick), np.flatnonzero(~sick)]
    if min(map(len, classes)) < 2:
        return plain(MetricWithInterval(roc_auc(sick, score)))
    won = (score[sick][:, None] > score[~sick]) + 0.5 * (score[sick][:, None] == score[~sick])
    weights = bootstrap_weights(classes, 1000, np.random.default_rng(0))
    drawn = ((weights[:, sick] @ won) * weights[:, ~sick]).sum(axis=1) / (sick.sum() * (~sick).sum())
    return plain(with_interval(roc_auc(sick, score), drawn, min(map(len, classes))))


def summarize_scores(
    sessions: Sequence[Session], scores: Mapping[str, float], speeds: Mapping[str, float]
) -> dict[str, Any]:
    """Return how scores by session separate persons, and how they change with medication."""
    found = {}
    for what in (BOTH, OFF, ON):
        values: dict[str, list[tuple[float, float]]] = {}
        labels = {}
        for session in sessions:
            if session.name in scores and (what == BOTH or session.medication in ("", what)):
                own = (scores[session.name], speeds.get(session.name, np.nan))
                values.setdefault(session.person, []).append(own)
                labels[session.person] = session.sick
        sick = np.array([labels[person] for person in values])
        score, speed = np.array([np.mean(own, axis=0) for own in values.values()]).T
        matched = matched_speed_auc(sick, score, speed)
        found[what] = {
            "auc": auc_over_persons(sick, score),
            "matched_speed": plain(matched.auc) | {"pairs": matched.num_pairs, "speed": plain(matched.speed_alone)},
        }
    controls = np.array([scores[s.name] for s in sessions if not s.sick and s.name in scores])
    by_person: dict[str, dict[str, float]] = {s.person: {} for s in sessions if s.sick}
    for s in sessions:
        if s.sick and s.name in scores:
            by_person[s.person][s.medication] = scores[s.name] / controls.std(ddof=1)
    change = np.array([own[OFF] - own[ON] for own in by_person.values() if len(own) == 2])
    return found | {
        "called_sick": {
            name: count(sum(scores[s.name] > 0 for s in own), len(own))
            for name, own in sessions_by_kind([s for s in sessions if s.name in scores]).items()
        },
        "off_minus_on": plain(mean_over_persons(change)) | {"higher_off": count((change > 0).sum(), len(change))},
    }


def sessions_by_kind(sessions: Sequence[Session]) -> dict[str, list[Session]]:
    """Return the controls' sessions, and those off and on medication."""
    kinds = {"": "controls", OFF: OFF, ON: ON}
    return {name: [s for s in sessions if s.medication == kind] for kind, name in kinds.items()}


def persons_by_label(sessions: Sequence[Session]) -> dict[str, int]:
    """Return the number of persons of each label."""
    return {label: len({s.person for s in sessions if s.label == label}) for label in (HEALTHY, SICK)}


def count(number: Any, total: int) -> dict[str, float]:
    """Return a count, its fraction and Wilson's interval of that."""
    if not total:
        return {"count": 0, "of": 0, "value": np.nan, "low": np.nan, "high": np.nan}
    interval = binomtest(int(number), total).proportion_ci(method="wilson")
    return {"count": int(number), "of": total, "value": number / total, "low": interval.low, "high": interval.high}


def agreement(sessions: Sequence[Session], parts: Sequence[Judged]) -> dict[str, Any]:
    """Return the mean rank correlation over persons of two divisions' attributions, and that of different persons."""
    if len(parts) < 2:
        return {}
    first, second = parts[:2]
    names = [s for s in sessions if s.name in first.scores and s.name in second.scores]
    found: dict[str, dict[str, list[float]]] = {"patients": {}, "controls": {}, "other_person": {}}
    for k, s in enumerate(names):
        own = correlation(first.scores[s.name], second.scores[s.name])
        found["patients" if s.sick else "controls"].setdefault(s.person, []).append(own)
        others = [m for m in names[k + 1 :] + names[:k] if m.sick == s.sick and m.person != s.person]
        if others:
            other = correlation(first.scores[s.name], second.scores[others[0].name])
            found["other_person"].setdefault(s.person, []).append(other)
    return {name: plain(mean_over_persons([float(np.mean(x)) for x in own.values()])) for name, own in found.items()}


def correlation(first: Vector, second: Vector) -> float:
    """Return Spearman's rank correlation of two attributions."""
    return float(spearmanr(first.ravel(), second.ravel()).statistic)


def motion_scores(scores: Vector) -> dict[str, float]:
    """Return the attribution of each motion, the sum of both sides."""
    found: dict[str, float] = {}
    for names, values in zip(INPUTS[EXPLAINED].axis_names, scores, strict=True):
        for name, value in zip(names, values, strict=True):
            motion = name.removeprefix("left ").removeprefix("right ")
            found[motion] = found.get(motion, 0.0) + float(value)
    return found


def evidence(sessions: Sequence[Session], parts: Sequence[Judged], fitted_deg: Vector) -> dict[str, Any]:
    """Return in how many persons each motion is relied on, and deviates, by kind of session."""
    beyond = deviations(sessions, fitted_deg)
    relied: dict[str, set[str]] = {}
    for session in sessions:
        each = [part.scores[session.name] for part in parts if session.name in part.scores]
        if len(each) == len(parts):
            total = motion_scores(np.mean(each, axis=0))
            ranked = sorted(total, key=lambda motion: -total[motion])[:FIRST]
            relied[session.name] = {motion for motion in ranked if total[motion] > 0}
    found = {}
    kinds = sessions_by_kind([s for s in sessions if s.name in relied])
    for motion in dict.fromkeys(motion_scores(np.zeros((22, 3)))):
        angle = _ANGLE_OF.get(motion)
        row: dict[str, Any] = {}
        for kind, own in kinds.items():
            uses = [motion in relied[s.name] for s in own]
            row[kind] = {"relied_on": count(sum(uses), len(own))}
            if angle:
                known = [s for s in own if s.name in beyond]
                leaves = [angle in beyond[s.name] for s in known]
                both = [angle in beyond[s.name] and motion in relied[s.name] for s in known]
                row[kind] |= {"deviates": count(sum(leaves), len(known)), "both": count(sum(both), len(known))}
        if any(each["relied_on"]["count"] for each in row.values()) or angle:
            found[motion] = row
    return found


def deviations(sessions: Sequence[Session], curves_deg: Vector) -> dict[str, set[str]]:
    """Return the angles in which each session leaves the range of the other controls.

    The largest deviation from the controls' mean over the cycle and both sides, in their SDs, is compared with the same
    of controls, each against the others; it is beyond the range if it exceeds that of 95 % of the controls.
    """
    known = np.isfinite(curves_deg).all(axis=(1, 2))
    control = np.array([not s.sick for s in sessions]) & known
    peak = np.full((len(sessions), len(CHANNELS)), np.nan)
    for row in np.flatnonzero(known):
        others = curves_deg[control & (np.arange(len(sessions)) != row)]
        peak[row] = np.abs((curves_deg[row] - others.mean(axis=0)) / others.std(axis=0, ddof=1)).max(axis=-1)
    largest = peak.reshape(len(sessions), len(SIDES), len(GDI_ANGLES)).max(axis=1)
    found = {}
    for row in np.flatnonzero(known):
        others = control & (np.arange(len(sessions)) != row)
        limit = np.quantile(largest[others], 0.95, axis=0)
        found[sessions[row].name] = {
            a for a, own, most in zip(GDI_ANGLES, largest[row], limit, strict=True) if own > most
        }
    return found
