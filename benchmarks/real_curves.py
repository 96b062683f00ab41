"""python benchmarks/real_curves.py --networks mlp --json real_curves.json

Whether networks recognise real persons: joint angle curves of controls and of persons with Parkinson's disease, off and
on medication, are played on synthetic bodies, whose virtual markers are fitted; networks are trained and judged by
cross-validation over persons. The curves are in ``../shared/curves``; without them the benchmark says so and ends.
Prints one JSON object. Intervals are of 95 %, by bootstrap over persons, or of counts by Wilson. Per group of controls
(``all``, and ``older`` alone, on whom networks are then also trained):

 * ``auc`` of each network's mean logit (mean over several divisions into folds), of ridge regressions on the curves
   themselves (``ridge_curves``) and on the mean strides of the fitted poses (``ridge_fitted``), one person left out,
   and of the walking ``speed`` alone; a person's score is the mean of both sessions, ``off`` and ``on`` are of one.
   ``matched_speed``: over pairs within 0.03 of dimensionless speed.
 * ``classifiers_of_older_controls``: the same networks and regressions judged by older controls and patients alone.
 * ``called_sick``: fraction of the sessions with a score above 0.
 * ``off_minus_on``: difference within persons of the score, in standard deviations over the controls, and the fraction
   of persons whose score is higher off medication.
 * ``agreement``: rank correlation of the attribution to joints and axes by two networks that were trained in different
   divisions, on persons that neither has seen, by label; ``other_person``: of two different persons of one label.
 * ``evidence``: motions by the number of persons in whom the motion is among the three with the most attribution
   (``relied_on``), its angle leaves the controls' range (``deviates``: its largest deviation, in SDs, exceeds that of
   95 % of the other controls), or both; of the sessions off and on medication, and of controls.
 * ``findings``: real deviations on which decisions rely (``gait.explaining.evidence``: beyond the bands of the other
   controls at the person's speed, and beyond the fit's error) by motion, phase and direction, of the first division:
   persons off and on medication, and controls, with Fisher's p of both against controls, corrected by Holm.

``walks`` tells how well the walks are those curves: RMS differences per angle between the curves, the poses that were
played and the fitted ones; ``features`` how patients differ from older controls in what literature reports. Stride
times are independent of the label; stride lengths follow from the angles, so the speed does differ. Arms and trunk are
the same for all. Nothing here is a diagnosis: controls were not matched, and only the legs and the pelvis are real.
"""

from __future__ import annotations

import shlex
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmark import BodyArguments, run
from cause import CONFIGURATIONS, attribute, logits, phase_windows, plain, read_dataset_of
from classification import PUBLISHED_FLAGS
from curve_persons import (
    CHANNELS,
    CURVES,
    OFF,
    ON,
    SIDES,
    TRIAL,
    FittedSession,
    Session,
    group_by_person,
    play_sessions,
    played_means,
    read_fitted,
    read_sessions,
    write_fits,
    write_true_poses,
)
from numpy.typing import NDArray
from scipy.stats import binomtest, spearmanr
from sklearn.linear_model import RidgeCV

from gait.arrays import Vector
from gait.body.model_file import load_body
from gait.cli.arguments import argument
from gait.errors import GaitError
from gait.explaining.evidence.controls import Cohort, read_cohort
from gait.explaining.evidence.explained_walk import explain_walk
from gait.explaining.evidence.find_findings import find_findings
from gait.explaining.evidence.finding import Evidence, TrialFaithfulness, Verdict
from gait.explaining.evidence.recurrence import recurring_findings
from gait.explaining.localization import scores_of_windows
from gait.explaining.options import ExplainOptions
from gait.explaining.trained_network import TrainedNetwork, load_network
from gait.kinematics.norms import GDI_ANGLES
from gait.learning.baselines import dimensionless_speeds
from gait.learning.cross_validation import make_fold_tasks
from gait.learning.matched_speed import matched_speed_auc
from gait.learning.metrics import MetricWithInterval, bootstrap_weights, mean_over_persons, roc_auc, with_interval
from gait.learning.networks import NETWORKS
from gait.learning.train_fold import FoldOutcome
from gait.learning.training_arguments import parse_training_arguments
from gait.motion.dataset import Trial
from gait.motion.folds import Fold
from gait.motion.inputs import INPUTS
from gait.motion.trial_paths import HEALTHY, SICK

ALL, OLDER = "all", "older"
BOTH = "both"
FIRST = 3
MIN_PERSONS_OF_A_FINDING = 3
"""Findings of fewer persons are not listed."""
_EXPLAINED = "rotations"  # the input whose axes have names
_METHOD = "integrated_gradients"
_ALPHAS = np.logspace(1, 7, 25)  # penalties of the ridge regression
_ANGLE_OF = {
    "pelvic tilt": "pelvis_tilt", "pelvic obliquity": "pelvis_obliquity", "pelvic rotation": "pelvis_rotation",
    "hip flexion": "hip_flexion", "hip adduction": "hip_adduction", "hip rotation": "hip_rotation",
    "knee flexion": "knee_flexion", "ankle dorsiflexion": "ankle_dorsiflexion",
}  # fmt: skip
"""The angle of the curves that shows a motion. The ankle's rotation has none: as the knees of the played walks do not
rotate, it is the difference between the rotations of hip and foot."""


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    curves: Path = argument(CURVES, "file of angle curves")
    networks: tuple[str, ...] = argument(("mlp", "transformer"), "networks to train", choices=sorted(PUBLISHED_FLAGS))
    configurations: tuple[str, ...] = argument(
        ("cause", "published"), "inputs and settings of the trainings", choices=sorted(CONFIGURATIONS)
    )
    training: str = argument("", "further flags of every training, in quotes; they take precedence")
    controls: tuple[str, ...] = argument((ALL, OLDER), "groups of controls", choices=(ALL, OLDER))
    persons: int | None = argument(None, "persons of each label (default: all)", metavar="N")
    seconds: float = argument(5.0, "length of a trial")
    folds: int = argument(5, "folds of each cross-validation")
    divisions: int = argument(2, "cross-validations, each of another division of the persons into folds")
    windows: int = argument(4, "windows of each trial that are explained, at most")
    seed: int = argument(0, "of bodies, paces, markers, folds and trainings")
    findings: bool = argument(True, "leave out the findings, which take some minutes", flag="--no_findings")
    true_poses: bool = argument(False, "take the played poses instead of those fitted to virtual markers")
    folder: Path | None = argument(None, "keep recordings and fits there, and use those that are there")


QUICK = {
    "networks": ("mlp",), "configurations": ("cause",), "controls": (OLDER,), "persons": 2, "folds": 2, "divisions": 2,
    "seconds": 3.0, "true_poses": True, "findings": False, "windows": 1,
    "training": "--epochs 1 --ensemble 1 --interval_size 64",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Walks:
    """The sessions, what was played of them, and what was fitted."""

    sessions: tuple[Session, ...]
    played_deg: Vector  # (N, 18, 101) mean strides of the poses that were played
    fitted: tuple[FittedSession, ...]
    fits: Path


@dataclass(frozen=True, eq=False)
class Judged:
    """What the networks of one cross-validation make of each session; only of networks that did not see the person."""

    logit: Mapping[str, float]  # by session
    scores: Mapping[str, Vector]  # (22, 3) signed attribution by session; {} if the input has no named axes
    evidence: Mapping[str, Evidence] = field(default_factory=dict)  # findings alone; of the first division, if wanted


def main(args: Arguments) -> dict[str, Any]:
    if not args.curves.exists():
        return {"skipped": [f"{args.curves.name}: not there; there are no real persons' curves to play"]}
    with tempfile.TemporaryDirectory(prefix="real_curves_") as name:
        folder = args.folder or Path(name)
        walks = make_walks(folder, args)
        groups = {}
        for controls in args.controls:
            chosen = [s for s in walks.sessions if controls == ALL or not s.young]
            groups[controls] = judge_group(walks, chosen, Path(name) / controls, args)
    return {
        "persons": {
            label: len({s.person for s in walks.sessions if s.label == label}) for label in ("healthy", "sick")
        },
        "walks": summarize_walks(walks),
        "features": compare_features(walks),
        "groups": groups,
    }


def make_walks(folder: Path, args: Arguments) -> Walks:
    """Play the curves, and fit the virtual markers unless the true poses are wanted."""
    body = load_body(args.model)
    sessions = read_sessions(args.curves, args.persons)
    played = play_sessions(body, sessions, args.seconds, args.seed)
    fits = folder / ("true" if args.true_poses else "fits")
    if args.true_poses:
        write_true_poses(sessions, played, fits)
    else:
        write_fits(sessions, played, folder, body, args.model)
    return Walks(
        tuple(sessions),
        np.array([played_means(played[session.name]) for session in sessions]),
        tuple(read_fitted(session, fits, played[session.name]) for session in sessions),
        fits,
    )


def judge_group(walks: Walks, chosen: Sequence[Session], folder: Path, args: Arguments) -> dict[str, Any]:
    """Return what networks and ridge regressions make of some sessions, each trained on the others of them alone."""
    poses = group_by_person(chosen, walks.fits, folder / "poses")
    index = {session.name: k for k, session in enumerate(walks.sessions)}
    rows = [index[session.name] for session in chosen]
    curves = np.array([session.curves_deg for session in chosen])
    fitted = np.array([walks.fitted[row].mean_deg for row in rows])
    scores: dict[str, dict[str, float]] = {
        "ridge_curves": ridge_scores(chosen, curves),
        "ridge_fitted": ridge_scores(chosen, fitted),
    }
    judged: dict[str, list[Judged]] = {}
    speeds: dict[str, float] = {}
    for network in args.networks:
        for configuration in args.configurations:
            key = f"{network}_{configuration}"
            parts = []
            for division in range(args.divisions):
                part, own_speeds = cross_validate(network, configuration, poses, chosen, folder / key, division, args)
                speeds |= own_speeds
                parts.append(part)
                print(f"{key}, division {division}: done", file=sys.stderr)
            judged[key] = parts
            scores[key] = {
                name: float(np.mean([part.logit[name] for part in parts]))
                for name in parts[0].logit
                if all(name in part.logit for part in parts)
            }
    scores["speed"] = {name: -value for name, value in speeds.items()}
    explained = {key: parts for key, parts in judged.items() if any(part.scores for part in parts)}
    return {
        "persons": persons_by_label(chosen),
        "without_windows": {
            key: {kind: sum(s.name not in found for s in own) for kind, own in sessions_by_kind(chosen).items()}
            for key, found in scores.items()
        },
        "classifiers": {key: summarize_scores(chosen, found, speeds) for key, found in scores.items()},
        "classifiers_of_older_controls": {
            key: summarize_scores([s for s in chosen if not s.young], found, speeds) for key, found in scores.items()
        },
        "agreement": {key: agreement(chosen, parts) for key, parts in explained.items()},
        "evidence": {key: evidence(chosen, parts, fitted) for key, parts in explained.items()},
        "findings": {key: count_findings(chosen, parts[0].evidence) for key, parts in explained.items()},
    }


# --- networks ---------------------------------------------------------------------------------------------------------


def cross_validate(
    network: str,
    configuration: str,
    poses: Path,
    sessions: Sequence[Session],
    save_folder: Path,
    division: int,
    args: Arguments,
) -> tuple[Judged, dict[str, float]]:
    """Train a network per fold; return what they make of the others' sessions, and the sessions' speeds."""
    words = [*shlex.split(CONFIGURATIONS[configuration][network]), *shlex.split(args.training)]
    words += ["--base_folder", str(poses), "--save_folder", str(save_folder / str(division)), "--cross", "0"]
    words += ["--seed", str(args.seed + division), "--k_folds", "2"]
    settings = parse_training_arguments(NETWORKS[network], __doc__ or "", words, prog="real_curves.py")
    settings = replace(settings, threshold_folds=None)  # the ranking of persons needs none
    (task,) = make_fold_tasks(settings, lambda line: print(line, file=sys.stderr))
    logit, speeds, scores = dict[str, float](), dict[str, float](), dict[str, Vector]()
    found: dict[str, Evidence] = {}
    for fold in divide(task.sick, args.folds, [args.seed, division]):
        *_, outcome = replace(task, fold=fold, run_id=uuid.uuid4().hex).run()
        if not isinstance(outcome, FoldOutcome) or outcome.state != "trained":
            raise GaitError(f"{network}: {getattr(outcome, 'message', 'the training did not end')}")
        trained = load_network(replace(task, fold=fold).checkpoint_file)
        cohort = None
        if args.findings and not division and trained.input.name == _EXPLAINED:
            cohort = read_cohort(trained, poses)
        for trial in read_dataset_of(trained, poses).trials:
            if trial.subject_id not in fold.evaluation:
                continue
            name = session_name(trial)
            windows = trained.windows_of(trial)
            if not len(windows):
                continue
            logit[name] = float(logits(trained, windows.batch(torch.arange(len(windows)))).double().mean())
            speeds[name] = dimensionless_speeds([trial])[trial.subject_id]
            if trained.input.name == _EXPLAINED:
                scores[name] = attribution_scores(trained, trial, args.windows)
            if cohort is not None:
                with suppress(GaitError):  # a walk without a straight stride
                    found[name] = findings_alone(trained, trial, cohort)
    return Judged(logit, scores, found), speeds


def divide(sick: Mapping[str, bool], folds: int, seed: Sequence[int]) -> Iterator[Fold]:
    """Divide the persons of each label at random into folds that differ by at most one person."""
    random = np.random.default_rng(seed)
    parts: list[list[str]] = [[] for _ in range(folds)]
    for label in (False, True):
        names = random.permutation([name for name in sorted(sick) if sick[name] is label])
        for k, name in enumerate(names):
            parts[k % folds].append(str(name))
    for k, part in enumerate(parts):
        yield Fold(k, folds, tuple(sorted(set(sick) - set(part))), tuple(sorted(part)))


def session_name(trial: Trial) -> str:
    """Return the session of a trial of ``group_by_person``."""
    name = trial.trial_name.partition("/")[0]
    return trial.subject if name == TRIAL else f"{trial.subject}_{name}"


def attribution_scores(trained: TrainedNetwork, trial: Trial, limit: int) -> Vector:
    """Return the signed attribution (22, 3) of a trial, the sum over frames of its windows' mean."""
    windows = phase_windows(trained, trial, limit)
    return scores_of_windows(attribute(trained, windows.seen, _METHOD), windows.is_mirrored)


def findings_alone(trained: TrainedNetwork, trial: Trial, cohort: Cohort) -> Evidence:
    """Return the findings of a trial, without concepts, and without the faithfulness of each explanation."""
    explained = explain_walk(trained, trial.folder, cohort, ExplainOptions(method=_METHOD))
    unknown = TrialFaithfulness(*[float("nan")] * len(fields(TrialFaithfulness)))
    return Evidence(
        subject=trial.subject_id,
        trial=trial.trial_name,
        method=_METHOD,
        logit=explained.logit,
        probability=explained.probability,
        norm=explained.controls.title,
        dimensionless_speed=explained.walk.dimensionless_speed,
        speed_logit=float("nan"),
        findings=find_findings(explained),
        faithfulness=unknown,
    )


def count_findings(sessions: Sequence[Session], found: Mapping[str, Evidence]) -> dict[str, Any]:
    """Return which findings recur, off and on medication, and in controls; verdicts of all findings by kind."""
    kinds = {kind: [found[s.name] for s in own if s.name in found] for kind, own in sessions_by_kind(sessions).items()}
    rows: dict[str, dict[str, Any]] = {}
    for medication in (OFF, ON):
        for row in recurring_findings([*kinds[medication], *kinds["controls"]]):
            key = f"{row.motion}, {row.phase}, {row.direction}"
            if row.patients.count + row.controls.count < MIN_PERSONS_OF_A_FINDING:
                continue
            entry = rows.setdefault(key, {"controls": count(row.controls.count, row.controls.total)})
            entry[medication] = count(row.patients.count, row.patients.total) | {"p": row.p_corrected}
    verdicts = {
        kind: {verdict.value: sum(f.verdict == verdict for each in own for f in each.findings) for verdict in Verdict}
        for kind, own in kinds.items()
    }
    return {"recurring": rows, "verdicts": verdicts, "walks": {kind: len(own) for kind, own in kinds.items()}}


# --- ridge regression -------------------------------------------------------------------------------------------------


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


# --- summaries --------------------------------------------------------------------------------------------------------


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
    for names, values in zip(INPUTS[_EXPLAINED].axis_names, scores, strict=True):
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


# --- walks ------------------------------------------------------------------------------------------------------------


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


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
