"""python benchmarks/evidence.py --cohorts out/1 out/2 --json evidence.json

Whether the verdicts beside explanations are right, on synthetic persons whose truth is known. Each folder of
``--cohorts`` has a cohort as benchmarks/cause.py makes it: ``training``, and ``unseen`` persons who walk with a
pathology (``with``), without it at the same pace (``paced``) and at their own (``own``); without the flag one is made
per ``--seeds``, by fitting simulated markers. Prints one JSON object. A rate is {value, low, high, count}, with
Wilson's 95 % interval.

By network, on ``with``:

 * ``called_sick``: patients whom it calls sick.
 * ``real_on_true``: findings for the decision on affected joints whose true curve differs by at least 2 degrees from
   ``paced`` within the phase, that have the verdict of a real deviation; ``real_on_true_first``: the largest finding of
   them, of each patient who has one; ``real_on_true_by_difference``: by that difference in degrees.
 * ``real_on_unchanged``: findings on joints of which no true curve differs by 2 degrees from ``paced``, that have it.
 * ``side``: real deviations on joints of the legs and arms, of patients with a one-sided pathology, whose true curve
   differs by 2 degrees on this side, of those where it does on either.
 * ``patients_with_real_on_true``: patients called sick, of whom one or more findings are on affected joints whose true
   curve so differs, of whom one or more of these have the verdict.
 * ``changed_is_called_so``: real deviations whose true curve differs by at least 2 degrees from ``paced`` in the phase.

On ``own``, without pathology, decisions with a real deviation among the findings for the decision: ``real_on_controls``
of the networks, of ``shuffled`` ones, trained on permuted labels, and of ``randomized`` weights.

``speed``: networks of the published input, trained on controls of whom the slower half is labelled sick; on ``own``,
decisions whose largest finding has the verdict ``speed``, and those of whose evidence most has it.

``seconds``: median processor time of reading a cohort, of its norm, and of one trial's evidence alone.
"""

from __future__ import annotations

import itertools
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from benchmark import BodyArguments, run
from cause_networks import CONFIGURATIONS, evaluation_subjects
from cause_networks import train as train_network
from cause_persons import OWN, PACED, WITH, CohortSpec, permute_labels, training_walks, unseen_walks, write_poses
from classification import PUBLISHED_FLAGS

from gait.body.model_file import load_body
from gait.cli.arguments import argument
from gait.explaining.evidence.compute_evidence import compute_evidence
from gait.explaining.evidence.controls import Cohort, read_cohort
from gait.explaining.evidence.explained_walk import explain_walk
from gait.explaining.evidence.find_findings import find_findings
from gait.explaining.evidence.finding import Evidence, Finding, Verdict
from gait.explaining.evidence.measured_walk import measure_walk
from gait.explaining.evidence.motions import motions_of
from gait.explaining.faithfulness import randomize_weights
from gait.explaining.options import ExplainOptions
from gait.explaining.prepare_trial import prepare_trial
from gait.explaining.trained_network import TrainedNetwork, load_network
from gait.motion.inputs import INPUTS
from gait.motion.pose_files import read_poses
from gait.motion.trial_paths import HEALTHY, SICK
from gait.synthetic import Pathology, Variety, ground_truth_path, make_pathology, read_ground_truth
from gait.synthetic.cohort import parse_subject_name

_Result = TypeVar("_Result")

UNCHANGED_DEG = 2.0
_DIFFERENCES_DEG = (2, 5, 10, 15, 25, 180)
TIMED = 3
"""Trials per cohort and network whose whole evidence is timed."""
_TRIAL = "walk1"


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    networks: tuple[str, ...] = argument(("mlp", "transformer"), "networks to judge", choices=sorted(PUBLISHED_FLAGS))
    cohorts: tuple[Path, ...] = argument((), "folders with training and unseen persons", nargs="+", metavar="FOLDER")
    seeds: tuple[int, ...] = argument((1,), "of cohorts that are made, and of trainings", nargs="+")
    healthy: int = argument(24, "healthy subjects in training of a cohort that is made")
    sick: int = argument(24, "sick subjects in training")
    persons: int = argument(12, "unseen persons, who cycle through the pathologies")
    seconds: float = argument(4.5, "length of a trial")
    training: str = argument("", "further flags of every training, in quotes; they take precedence")
    speed_training: str = argument("--epochs 15 --stride 8", "further flags of the trainings by speed")
    save: Path | None = argument(None, "folder where trained networks are kept and found again", metavar="FOLDER")
    fitted: bool = argument(True, "fit the poses to simulated markers")


QUICK = {
    "networks": ("mlp",), "healthy": 4, "sick": 2, "persons": 1, "seconds": 2.5, "fitted": False,
    "training": "--epochs 1 --ensemble 1 --threshold_folds 2", "speed_training": "--epochs 1 --stride 32",
}  # fmt: skip


@dataclass(frozen=True)
class Decision:
    """A network's decision on one trial."""

    probability: float
    findings: tuple[Finding, ...]


@dataclass(frozen=True, eq=False)
class TrueChange:
    """By how much a pathology changes the true curves of a person, degrees."""

    pathology: Pathology
    curves: dict[tuple[str, str], np.ndarray]  # (name, side) -> (101,) ``with`` minus ``paced``

    def of(self, names: Sequence[str], side: str, first: int = 0, last: int = 100) -> float:
        """Return the largest difference of some curves of a side between two percents."""
        found = [self.curves[name, side][first : last + 1] for name in names if (name, side) in self.curves]
        return max((float(np.abs(each).max()) for each in found), default=float("nan"))


def main(args: Arguments) -> dict[str, Any]:
    judged: dict[tuple[str, str], list[Any]] = {}
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="evidence_") as name:
        for number, folder in enumerate(args.cohorts or [Path(name) / str(seed) for seed in args.seeds]):
            seed = args.seeds[min(number, len(args.seeds) - 1)]
            if not folder.exists():
                make_cohort(folder, seed, args)
            save = (args.save or Path(name) / "networks") / str(number)
            for key, result in judge_cohort(folder, save, seed, args, seconds):
                judged.setdefault(key, []).extend(result)
    networks = {
        network: {
            **summarize_patients(judged[network, WITH]),
            "real_on_controls": rate(has_real(each) for each in judged[network, OWN]),
            "shuffled": rate(has_real(each) for each in judged[network, "shuffled"]),
            "randomized": rate(has_real(each) for each in judged[network, "randomized"]),
            "speed": {
                "decisions": rate(for_decision(each)[0].verdict == Verdict.SPEED for each in judged[network, "speed"]),
                "most_evidence": rate(share_of(each, Verdict.SPEED) > 0.5 for each in judged[network, "speed"]),
            },
        }
        for network in args.networks
    }
    return {"networks": networks, "seconds": {key: float(np.median(own)) for key, own in seconds.items()}}


def make_cohort(folder: Path, seed: int, args: Arguments) -> None:
    """Make a cohort as benchmarks/cause.py does."""
    body = load_body(args.model)
    training, unseen = (CohortSpec(2 * seed + k, Variety()) for k in range(2))
    for name, walks in (
        ("training", training_walks(body, args.healthy, args.sick, 1, args.seconds, training)),
        ("unseen", unseen_walks(body, args.persons, args.seconds, unseen)),
    ):
        write_poses(walks, folder / name, body, args.model, fitted=args.fitted)


def judge_cohort(
    folder: Path, save: Path, seed: int, args: Arguments, seconds: dict[str, list[float]]
) -> Iterator[tuple[tuple[str, str], list[Any]]]:
    """Yield the evidence of unseen persons by network and condition; of ``with``, beside the true change."""
    training, unseen = folder / "training", folder / "unseen"
    names = sorted({path.name.partition(".")[0] for path in unseen.glob("*/*")})
    for network in args.networks:
        flags = [
            *shlex.split(CONFIGURATIONS["cause"][network]),
            "--seed",
            str(seed),
            *shlex.split(args.training),
        ]
        trained = train(network, flags, training, save / network)
        cohort = timed(seconds, "read_cohort", read_cohort, trained, training)
        timed(seconds, "norm", cohort.without, "")
        for name in names[:TIMED]:
            folder = trial_folder(unseen, name, WITH)
            timed(seconds, f"evidence_{network}", find_evidence, trained, folder, cohort)
        yield (
            (network, WITH),
            [(true_change(trained, unseen, name), decide(cohort, unseen, name, WITH)) for name in names],
        )
        yield (network, OWN), [decide(cohort, unseen, name, OWN) for name in names]
        permuted = save / "permuted"
        if not permuted.exists():
            permute_labels(training, permuted, evaluation_subjects(training), 100 + seed)
        others = {
            "shuffled": train(network, flags, permuted, save / f"{network}_shuffled", threshold=False),
            "randomized": replace(trained, network=randomize_weights(trained.network, seed)),
        }
        for key, other in others.items():
            own = read_cohort(other, training)
            yield (network, key), [decide(own, unseen, name, OWN) for name in names]
        by_speed = save / "by_speed"
        if not by_speed.exists():
            label_by_speed(cohort, training, by_speed)
        flags = shlex.split(f"{PUBLISHED_FLAGS[network]} {args.speed_training} --seed {seed}")
        other = train(network, flags, by_speed, save / f"{network}_by_speed", threshold=False)
        own = read_cohort(other, by_speed)
        yield (network, "speed"), [decide(own, unseen, name, OWN) for name in names]


def train(network: str, flags: Sequence[str], poses: Path, save: Path, *, threshold: bool = True) -> TrainedNetwork:
    """Train a network, or read it if it is trained already."""
    file = save / "fold0" / f"{network}.ckpt"
    return load_network(file) if file.exists() else train_network(network, flags, poses, save, threshold=threshold)


def label_by_speed(cohort: Cohort, training: Path, target: Path) -> None:
    """Make a folder of the controls in which the slower half is labelled sick."""
    controls = [person for person in cohort.persons if not person.sick and np.isfinite(person.dimensionless_speed)]
    median = np.median([person.dimensionless_speed for person in controls])
    for person in controls:
        label = SICK if person.dimensionless_speed < median else HEALTHY
        path = target / label / person.subject.partition("/")[2]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to((training / person.subject).resolve(), target_is_directory=True)


def trial_folder(unseen: Path, name: str, condition: str) -> Path:
    """Return the folder of an unseen person's trial."""
    return unseen / (SICK if condition == WITH else HEALTHY) / f"{name}.{condition}" / _TRIAL


def find_evidence(trained: TrainedNetwork, folder: Path, cohort: Cohort) -> Evidence:
    """Return all evidence of a trial but a counterfactual."""
    options = ExplainOptions()
    return compute_evidence(explain_walk(trained, folder, cohort, options), options)


def decide(cohort: Cohort, unseen: Path, name: str, condition: str) -> Decision:
    """Return the decision on an unseen person's trial, with its findings."""
    explained = explain_walk(cohort.trained, trial_folder(unseen, name, condition), cohort, ExplainOptions())
    return Decision(explained.probability, find_findings(explained))


def true_change(trained: TrainedNetwork, unseen: Path, name: str) -> TrueChange:
    """Return the change of a person's true curves."""
    curves = []
    for condition, label in ((WITH, SICK), (PACED, HEALTHY)):
        folder = unseen / label / f"{name}.{condition}" / _TRIAL
        recording = unseen.with_name(f"{unseen.name}_recordings") / f"{name}.{condition}" / f"{_TRIAL}.c3d"
        truth = ground_truth_path(recording)
        fitted = read_poses(folder)
        sequence = replace(read_ground_truth(truth), anatomy=fitted.anatomy) if truth.exists() else fitted
        walk = measure_walk(trained, prepare_trial(folder, sequence, trained), sequence, errors=False)
        curves.append(walk.mean_curves())
    pathology = parse_subject_name(name, 0).pathology
    assert pathology is not None
    side = None if pathology.side == "both" else pathology.side
    changed, own = curves
    return TrueChange(
        make_pathology(pathology.name, side), {key: changed[key] - own[key] for key in changed if key in own}
    )


def for_decision(decision: Decision) -> list[Finding]:
    """Return the findings that the decision relies on."""
    return [each for each in decision.findings if each.relied_on]


def has_real(decision: Decision) -> bool:
    """Return whether a decision relies on a real deviation."""
    return any(each.verdict == Verdict.REAL_DEVIATION for each in for_decision(decision))


def share_of(decision: Decision, verdict: Verdict) -> float:
    """Return the share of the findings' evidence that has a verdict."""
    findings = for_decision(decision)
    total = sum(each.share for each in findings)
    return sum(each.share for each in findings if each.verdict == verdict) / total if total else 0.0


def summarize_patients(patients: Sequence[tuple[TrueChange, Decision]]) -> dict[str, Any]:
    """Return the rates on patients."""
    on_true: list[tuple[float, bool]] = []
    first, unchanged, side, changed, found = [], [], [], [], []
    for change, decision in patients:
        affected, own_side = change.pathology.affected_joints, change.pathology.side
        true_here = []
        for finding in for_decision(decision):
            names, joint_names = curves_of(finding)
            real = finding.verdict == Verdict.REAL_DEVIATION
            here = change.of(names, finding.side, *finding.percents)
            if finding.joint in affected and here >= UNCHANGED_DEG:
                true_here.append((here, real))
            if change.of(joint_names, finding.side) < UNCHANGED_DEG:
                unchanged.append(real)
            if real:
                changed.append(here >= UNCHANGED_DEG)
                if own_side != "both" and finding.joint.name.startswith(("LEFT_", "RIGHT_")):
                    other = "left" if finding.side == "right" else "right"
                    both = change.of(names, finding.side), change.of(names, other)
                    side += [both[0] >= UNCHANGED_DEG] if max(both) >= UNCHANGED_DEG else []
        on_true += true_here
        first += [true_here[0][1]] if true_here else []
        found += [any(real for _, real in true_here)] if true_here and decision.probability >= 0.5 else []
    by_difference = {
        f"{low} to {high}": rate(real for here, real in on_true if low <= here < high)
        for low, high in itertools.pairwise(_DIFFERENCES_DEG)
    }
    return {
        "patients": len(patients),
        "called_sick": rate(decision.probability >= 0.5 for _, decision in patients),
        "real_on_true": rate(real for _, real in on_true),
        "real_on_true_first": rate(first),
        "patients_with_real_on_true": rate(found),
        "real_on_true_by_difference": by_difference,
        "real_on_unchanged": rate(unchanged),
        "side": rate(side),
        "changed_is_called_so": rate(changed),
    }


def curves_of(finding: Finding) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the curves of a finding's motion, and of all motions of its joint."""
    kind = INPUTS["published" if finding.axis is None else "rotations"]
    own = [motion for motion in motions_of(kind) if motion.joint == finding.joint]
    names = tuple(name for motion in own if motion.axis == finding.axis for name in motion.curves)
    return names, tuple(name for motion in own for name in motion.curves)


def rate(outcomes: Any) -> dict[str, float]:
    """Return the fraction of true outcomes, with Wilson's interval (Wilson 1927, J. Am. Stat. Assoc. 22:209)."""
    values = [bool(each) for each in outcomes]
    n, z = len(values), 1.96
    if not n:
        return {"value": float("nan"), "low": float("nan"), "high": float("nan"), "count": 0}
    p = sum(values) / n
    middle, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return {
        "value": p,
        "low": float((middle - half) / (1 + z**2 / n)),
        "high": float((middle + half) / (1 + z**2 / n)),
        "count": n,
    }


def timed(seconds: dict[str, list[float]], name: str, act: Callable[..., _Result], *arguments: Any) -> _Result:
    """Return the result of a call, and keep its processor time."""
    start = time.process_time()
    result = act(*arguments)
    seconds.setdefault(name, []).append(time.process_time() - start)
    return result


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
