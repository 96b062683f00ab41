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
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmark import BodyArguments, run
from cause_networks import BATCH_SIZE, CONFIGURATIONS, attribute, phase_windows, read_dataset_of
from classification import PUBLISHED_FLAGS
from curve_persons import (
    CURVES,
    OFF,
    ON,
    TRIAL,
    Session,
    group_by_person,
    play_sessions,
    played_means,
    read_fitted,
    read_sessions,
    write_fits,
    write_true_poses,
)
from curve_scores import (
    EXPLAINED,
    Judged,
    agreement,
    count,
    evidence,
    persons_by_label,
    ridge_scores,
    sessions_by_kind,
    summarize_scores,
)
from curve_walks import Walks, compare_features, summarize_walks
from localization import scores_of_windows

from gait.arrays import Vector
from gait.body.model_file import load_body
from gait.cli.arguments import argument
from gait.errors import GaitError
from gait.explaining.evidence.controls import Cohort, read_cohort
from gait.explaining.evidence.explained_walk import explain_walk
from gait.explaining.evidence.find_findings import find_findings
from gait.explaining.evidence.finding import Evidence, TrialFaithfulness, Verdict
from gait.explaining.evidence.recurrence import recurring_findings
from gait.explaining.options import ExplainOptions
from gait.explaining.trained_network import TrainedNetwork, load_network
from gait.learning.baselines import dimensionless_speeds
from gait.learning.cross_validation import make_fold_tasks
from gait.learning.networks import NETWORKS
from gait.learning.train_fold import FoldOutcome
from gait.learning.trainer import window_logits
from gait.learning.training_arguments import parse_training_arguments
from gait.motion.dataset import Trial
from gait.motion.folds import Fold

ALL, OLDER = "all", "older"
MIN_PERSONS_OF_A_FINDING = 3
"""Findings of fewer persons are not listed."""
_METHOD = "integrated_gradients"


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
        if args.findings and not division and trained.input.name == EXPLAINED:
            cohort = read_cohort(trained, poses)
        for trial in read_dataset_of(trained, poses).trials:
            if trial.subject_id not in fold.evaluation:
                continue
            name = session_name(trial)
            windows = trained.windows_of(trial)
            if not len(windows):
                continue
            logit[name] = float(window_logits(trained.network, windows, BATCH_SIZE).double().mean())
            speeds[name] = dimensionless_speeds([trial])[trial.subject_id]
            if trained.input.name == EXPLAINED:
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


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
