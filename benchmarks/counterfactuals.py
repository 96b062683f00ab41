"""python benchmarks/counterfactuals.py --cohorts out/1 out/2 --json counterfactuals.json

Whether counterfactuals name what a pathology changes, by how much, and whether they are real walks. ``--cohorts`` are
those of benchmarks/evidence.py; without the flag one is made per ``--seeds``. Prints one JSON object. Of the patients
``with`` a pathology whom a network calls sick, by network; a rate is {value, low, high, count}, with Wilson's 95 %
interval, an error {value, low, high}, with a bootstrap interval over patients:

 * ``control_logit``: of each cohort, the controls' median as the training recorded it, of controls whom the judging
   network had not seen; of networks that do not record it, that of the unseen persons without pathology, ``own``.
 * ``found``: patients with a plausible change after which the decision is another; ``median_reached``: of them, those
   whose change reaches the controls' median logit.
 * ``named_first``: the joint of the first change is one that the pathology affects; ``changes_truly``: the true curve
   of the first change differs by at least 5 degrees without the pathology; ``side``: of one-sided pathologies.
   Parkinsonian gait, which changes nearly all joints, is ``apart``.
 * ``direction``: of those named rightly, the change has the sign of the true difference where the change is largest.
 * ``amount_error``: of those named rightly whose change reaches the median: how far the largest change of the first
   curve is from the largest true difference of the same curve, as a share of the latter; median of the patients.
   ``amount_ratio``: median of their ratios.
 * ``confirmed``: the written walks, read again and judged, have the other decision.
 * ``slide_mm``: largest slide of a foot on the floor; ``within_limits``: walks in which no joint is beyond its limits.
 * ``motions``: number of motions changed at the boundary, median; ``seconds``: CPU time of one counterfactual, median
   and longest.
 * ``refitted``, without ``--no_refit``: walks whose virtual markers are fitted again, with the same decision: at the
   boundary and at the median, of ``exact`` markers and of those ``placed_anew``, with the errors of another session.
"""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import evidence
import numpy as np
from benchmark import run
from cause_networks import CONFIGURATIONS
from cause_persons import APART, OWN, WITH
from script_runs import fit_command, run_script
from torch import Tensor

from gait.body.body import Body
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.body.pose_sequence import PoseSequence
from gait.cli.arguments import argument
from gait.explaining.evidence.controls import read_cohort
from gait.explaining.evidence.counterfactual import find_counterfactual
from gait.explaining.evidence.evidence_files import write_counterfactual
from gait.explaining.evidence.explained_walk import explain_walk
from gait.explaining.evidence.finding import Counterfactual, CurveChange
from gait.explaining.evidence.motions import motions_of
from gait.explaining.options import ExplainOptions
from gait.explaining.prepare_trial import prepare_trial
from gait.explaining.trained_network import TrainedNetwork
from gait.learning.metrics import THRESHOLD
from gait.learning.trainer import window_logits
from gait.motion.pose_files import read_poses
from gait.motion.trial_paths import HEALTHY
from gait.synthetic import SyntheticTrial, make_subject, write_recording
from gait.synthetic.trial import make_pattern
from gait.synthetic.virtual_markers import NO_ERRORS, MeasurementErrors

TRULY_DEG = 5.0
WALKS = ("boundary", "median")
MARKER_ERRORS = {"exact": NO_ERRORS, "placed_anew": MeasurementErrors()}
_METHOD = "gradient_input"  # attribution isn't used here
_RESAMPLES = 2000


@dataclass(frozen=True, kw_only=True)
class Arguments(evidence.Arguments):
    no_refit: bool = argument(False, "do not record the changed walks with markers and fit them again")


QUICK = {**evidence.QUICK, "no_refit": True}


@dataclass(frozen=True, eq=False)
class PatientResult:
    """What was found of one patient whom the network calls sick."""

    control_logit: float | None
    pathology: str
    found: Counterfactual
    named: bool  # the joint of the first change is affected
    truly: bool
    side: float  # 1 or 0; NaN of a bilateral pathology or a joint in the middle of the body
    direction: float  # 1 or 0; NaN if not named
    change_deg: float  # of the first motion at the median; NaN if it isn't reached
    true_deg: float
    confirmed: Mapping[str, bool]  # by walk
    refitted: Mapping[tuple[str, str], bool]  # by marker errors and walk
    seconds: float


def main(args: Arguments) -> dict[str, Any]:
    results: dict[str, list[PatientResult]] = {network: [] for network in args.networks}
    missed = dict.fromkeys(args.networks, 0)
    body = load_body(args.model)
    with tempfile.TemporaryDirectory(prefix="counterfactuals_") as name:
        for number, folder in enumerate(args.cohorts or [Path(name) / str(seed) for seed in args.seeds]):
            seed = args.seeds[min(number, len(args.seeds) - 1)]
            if not folder.exists():
                evidence.make_cohort(folder, seed, args)
            for network in args.networks:
                flags = shlex.split(f"{CONFIGURATIONS['cause'][network]} --seed {seed} {args.training}")
                save = (args.save or Path(name) / "networks") / str(number) / network
                trained = evidence.train(network, flags, folder / "training", save)
                found, others = judge_patients(trained, folder, Path(name) / f"{number}_{network}", body, args)
                results[network] += found
                missed[network] += others
    return {
        "networks": {
            network: {"called_sick": len(own), "called_healthy": missed[network], **summarize(own)}
            for network, own in results.items()
        }
    }


def judge_patients(
    trained: TrainedNetwork, folder: Path, scratch: Path, body: Body, args: Arguments
) -> tuple[list[PatientResult], int]:
    """Return the results of the patients called sick, and the number of the others."""
    unseen = folder / "unseen"
    names = sorted({path.name.partition(".")[0] for path in unseen.glob("*/*")})
    trained = with_control_logit(trained, [evidence.trial_folder(unseen, name, OWN) for name in names])
    cohort = read_cohort(trained, folder / "training")
    results: list[tuple[str, PatientResult]] = []
    walks: dict[tuple[str, str], PoseSequence] = {}
    for name in names:
        trial = evidence.trial_folder(unseen, name, WITH)
        explained = explain_walk(trained, trial, cohort, ExplainOptions(method=_METHOD))
        if explained.probability < THRESHOLD:
            continue
        began = time.process_time()
        found = find_counterfactual(explained)
        seconds = time.process_time() - began
        written = scratch / name
        written.mkdir(parents=True)
        folders = dict(zip(walks_of(found), write_counterfactual(written, found), strict=True))
        walks |= {(name, which): walk for which, walk in walks_of(found).items()}
        confirmed = {which: probability(trained, path) < THRESHOLD for which, path in folders.items()}
        truth = evidence.true_change(trained, unseen, name)
        results.append((name, compare(trained, found, truth, confirmed, seconds)))
    kinds = MARKER_ERRORS if walks and not args.no_refit else {}
    refitted = {kind: refit(trained, walks, scratch / kind, body, args, kinds[kind]) for kind in kinds}
    return [
        replace(
            result,
            refitted={
                (kind, which): own[name, which]
                for kind, own in refitted.items()
                for which in WALKS
                if (name, which) in own
            },
        )
        for name, result in results
    ], len(names) - len(results)


def with_control_logit(trained: TrainedNetwork, controls: Sequence[Path]) -> TrainedNetwork:
    """Return the network with the median logit of unseen controls, if its training has not recorded one."""
    assert trained.checkpoint is not None
    if trained.checkpoint.control_logit is not None:
        return trained
    median = float(np.median([logit(trained, control) for control in controls]))
    return replace(trained, checkpoint=replace(trained.checkpoint, control_logit=median))


def walks_of(found: Counterfactual) -> dict[str, PoseSequence]:
    """Return the changed walks by name, in the order in which they are written."""
    walks = {"boundary": found.boundary, "median": found.median}
    return {name: walk.sequence for name, walk in walks.items() if walk is not None}


def probability(trained: TrainedNetwork, folder: Path) -> float:
    """Return P(sick) of poses in a folder, mean over windows."""
    return float(logits_of(trained, folder).sigmoid().mean())


def logit(trained: TrainedNetwork, folder: Path) -> float:
    """Return the mean logit of poses in a folder."""
    return float(logits_of(trained, folder).mean())


def logits_of(trained: TrainedNetwork, folder: Path) -> Tensor:
    """Return the logits of the windows of poses in a folder."""
    trial = prepare_trial(folder, read_poses(folder), trained)
    return window_logits(trained.network, trained.windows_of(trial), 64).double()


def compare(
    trained: TrainedNetwork,
    found: Counterfactual,
    truth: evidence.TrueChange,
    confirmed: Mapping[str, bool],
    seconds: float,
) -> PatientResult:
    """Compare a counterfactual with what the pathology changes."""
    named = truly = False
    side = direction = change_deg = true_deg = float("nan")
    if found.boundary is not None:
        first = found.boundary.changes[0]
        named = first.joint in truth.pathology.affected_joints
        undone = true_curve(trained, truth, first)
        true_deg = float(np.abs(undone).max())
        truly = true_deg >= TRULY_DEG
        if truth.pathology.side != "both" and first.joint.name.startswith(("LEFT_", "RIGHT_")):
            side = float(first.side == truth.pathology.side)
        if named:
            direction = float(first.change_deg * undone[first.percent] > 0)
        if found.median is not None:
            same = (each for each in found.median.changes if (each.joint, each.axis) == (first.joint, first.axis))
            change_deg = max((abs(each.change_deg) for each in same), default=float("nan"))
    return PatientResult(
        trained.checkpoint.control_logit if trained.checkpoint else None,
        truth.pathology.name,
        found,
        named,
        truly,
        side,
        direction,
        change_deg,
        true_deg,
        confirmed,
        {},
        seconds,
    )


def true_curve(trained: TrainedNetwork, truth: evidence.TrueChange, change: CurveChange) -> np.ndarray:
    """Return by how much the curve (101,) of a change differs without the pathology, degrees."""
    motion = next(m for m in motions_of(trained.input) if (m.joint, m.axis) == (change.joint, change.axis))
    return -truth.curves[motion.curves[0], motion.side]


def refit(
    trained: TrainedNetwork,
    walks: Mapping[tuple[str, str], PoseSequence],
    scratch: Path,
    body: Body,
    args: Arguments,
    errors: MeasurementErrors,
) -> dict[tuple[str, str], bool]:
    """Record markers of walks and fit them; return whether the decision on each is still the other one."""
    layout, cohort, subject = plug_in_gait_layout(body), {}, make_subject(body, 1)
    for number, ((name, which), sequence) in enumerate(walks.items()):
        recording = scratch / "recordings" / f"{name}.{which}" / "walk1.c3d"
        marked = SyntheticTrial(subject, None, number, 0.0, sequence, (), make_pattern(subject, None))
        write_recording(marked, body, layout, recording, errors=errors)
        cohort[f"{name}.{which}"] = {"trials": [str(recording)], "healthy": True}
    file, fits = scratch / "cohort.json", scratch / "fits"
    file.write_text(json.dumps(cohort), encoding="utf-8")
    run_script(fit_command(file, args.model, fits, "--no_pictures"))
    return {
        (name, which): probability(trained, fits / HEALTHY / f"{name}.{which}" / "walk1") < THRESHOLD
        for name, which in walks
    }


def summarize(results: Sequence[PatientResult]) -> dict[str, Any]:
    """Return the figures of one network."""
    counted = [each for each in results if each.pathology not in APART]
    right = [each for each in counted if each.named]
    reached = [each for each in right if np.isfinite(each.change_deg)]
    walks = [walk for each in results for walk in (each.found.boundary, each.found.median) if walk is not None]
    ratios = np.array([each.change_deg / each.true_deg for each in reached])
    motions = [sum(not c.follows for c in e.found.boundary.changes) for e in results if e.found.boundary is not None]
    return {
        "control_logit": sorted({each.control_logit for each in results if each.control_logit is not None}),
        "found": evidence.rate(each.found.boundary is not None for each in results),
        "median_reached": evidence.rate(each.found.median is not None for each in results if each.found.boundary),
        "named_first": evidence.rate(each.named for each in counted),
        "changes_truly": evidence.rate(each.truly for each in counted),
        "side": evidence.rate(each.side == 1 for each in counted if np.isfinite(each.side)),
        "direction": evidence.rate(each.direction == 1 for each in right),
        "amount_error": median_over_persons(np.abs(ratios - 1)),
        "amount_ratio": median_over_persons(ratios),
        "confirmed": evidence.rate(yes for each in results for yes in each.confirmed.values()),
        "slide_mm": max((walk.foot_slide_mm for walk in walks), default=0.0),
        "within_limits": evidence.rate(walk.within_limits for walk in walks),
        "motions": float(np.median(motions)) if motions else float("nan"),
        "seconds": {
            "median": float(np.median([each.seconds for each in results])) if results else float("nan"),
            "longest": max((each.seconds for each in results), default=float("nan")),
        },
        "refitted": {
            kind: {
                which: evidence.rate(each.refitted[kind, which] for each in results if (kind, which) in each.refitted)
                for which in WALKS
            }
            for kind in MARKER_ERRORS
        },
        "apart": evidence.rate(each.named for each in results if each.pathology in APART),
    }


def median_over_persons(values: np.ndarray) -> dict[str, float]:
    """Return the median of values (n,) with a 95 % bootstrap interval; NaN of none."""
    if not len(values):
        return dict.fromkeys(("value", "low", "high"), float("nan"))
    drawn = np.random.default_rng(0).choice(values, (_RESAMPLES, len(values)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return {"value": float(np.median(values)), "low": float(low), "high": float(high)}


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
