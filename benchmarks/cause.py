"""python benchmarks/cause.py --networks mlp --configurations cause --json cause.json

Whether networks look at the cause of a pathology, and whether their explanations name it: networks are trained on a
synthetic cohort and judged on unseen synthetic persons, each walking with a pathology (``with``), without it at the
same pace (``paced``), and without it at the own pace (``own``); the first two also with a harmless peculiarity, a
distractor. Prints one JSON object. Each metric is {value, low, high}, with a 95 % bootstrap interval over the persons
of all ``--seeds``; it does not contain how much networks of other training cohorts differ. Per network:

 * ``auc``: of ``with`` against ``own``; ``matched_auc``: against ``paced``; ``pairs``: against ``paced`` within 0.03 of
   dimensionless speed, as for cohorts of real persons, with the AUC of the speed alone over these pairs.
 * ``called_sick``: fraction of the persons, by condition; ``brier``, ``matched_brier``: of ``with`` and ``own``, and of
   ``with`` and ``paced``.
 * ``localization``: by ranking of joints, for ``trained`` networks, their ``shuffled`` weights, networks of
   ``permuted`` labels, ``chance``, and rankings of the deviation from controls, which need no network. ``first``: the
   joint of the highest score is one whose rotation the pathology changes; ``first_three``: one of the three highest;
   ``rank_auc``; ``side``; ``joint_and_axis``: of all joints and axes. Scores are sums of signed attribution.
   ``lead``: ``first`` of the trained networks minus that of each other ranking, person by person. Parkinsonian gait,
   which changes nearly all joints, counts in none of these; ``by_pathology``, of the trained networks, has it apart.
 * ``distracted``: ``localization`` under distractors.
 * ``deletion``: windows of ``with`` that are called sick; joints are replaced for 8 frames by those of another control
   at the same phase and the nearest pace. ``whole_fall`` of the logit; by order (``trained``, ``random``, and rankings
   without a network) ``share_after_10_percent`` of it, ``flipped_after_10_percent``, the fraction of decisions that
   change, and ``insertion_share_after_10_percent``, the share that comes back as the patches are restored. A share
   above 1 means that the rest of the window speaks against the decision; where the interval of the whole fall contains
   0, a share is undefined.
 * ``agreement``: rank correlation of the scores by two networks, each trained without another fifth of the subjects.
 * ``mildest_degree``: by pathology, the severity, 0 to 1, from which on at least half of the persons are called sick,
   between severities linearly; null if half are not at the highest. ``called_sick_by_degree``.
 * ``problems``: in sentences, what of this shows that a network or its explanation does not look at the cause.

Poses are the true ones; ``--fitted`` simulates markers and fits them, as a user does. ``--former_world`` takes the
synthetic world of earlier versions, in which controls hardly differ. Nothing here shows anything about real patients.
"""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmark import BodyArguments, run
from cause_networks import (
    CONFIGURATIONS,
    attribute,
    evaluation_subjects,
    has_axes,
    logits,
    phase_windows,
    probability,
    read_dataset_of,
    train,
)
from cause_persons import (
    CONDITIONS,
    DEGREES,
    DISTRACTED,
    OWN,
    PACED,
    WITH,
    CohortSpec,
    cause_of,
    degree_name,
    permute_labels,
    training_walks,
    unseen_walks,
    write_poses,
)
from cause_summary import CHANCE, FRACTION, PERMUTED, SHUFFLED, TRAINED, PersonResult, summarize
from classification import PUBLISHED_FLAGS
from localization import (
    Cause,
    Localization,
    chance_localization,
    deviation_rankings,
    localize,
    mean_localization,
    scores_of_windows,
    to_proximal_joints,
)
from perturbation import flipped_after, insertion_curves, rank_correlation, rise_after
from torch import Tensor

from gait.arrays import Vector
from gait.body.model_file import load_body
from gait.body.skeleton import NUM_BODY_JOINTS
from gait.cli.arguments import argument
from gait.errors import GaitError
from gait.explaining.faithfulness import (
    deletion_curves,
    nearest_pace,
    patch_scores,
    random_patch_scores,
    randomize_weights,
)
from gait.explaining.trained_network import TrainedNetwork
from gait.learning.baselines import dimensionless_speeds
from gait.motion.dataset import Trial
from gait.synthetic import PATHOLOGY_NAMES, Variety
from gait.synthetic.cohort import parse_subject_name

RANDOM_ORDERS = 2


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    networks: tuple[str, ...] = argument(("mlp", "transformer"), "networks to train", choices=sorted(PUBLISHED_FLAGS))
    configurations: tuple[str, ...] = argument(
        ("cause", "published"), "inputs and settings of the trainings", choices=sorted(CONFIGURATIONS)
    )
    training: str = argument("", "further flags of every training, in quotes; they take precedence")
    healthy: int = argument(16, "healthy subjects in training")
    sick: int = argument(16, "sick subjects in training")
    trials: int = argument(2, "trials of each of them")
    control_pace: tuple[float, float] | None = argument(
        None,
        "each control in training walks once more, at a random factor on the own speed between these two",
        nargs=2,
        metavar=("LO", "HI"),
    )
    persons: int = argument(20, "unseen persons of each pathology")
    seconds: float = argument(4.5, "length of a trial")
    seeds: tuple[int, ...] = argument((1,), "of cohorts and trainings; their persons are pooled", nargs="+")
    shuffled: int = argument(2, "networks with shuffled weights")
    permuted: int = argument(5, "networks trained on permuted labels")
    degrees: tuple[float, ...] = argument(DEGREES, "severities at which persons walk, too", nargs="*")
    folds: int = argument(2, "networks whose explanations are compared; 0 or 2")
    windows: int = argument(4, "windows of each trial that are explained, at most")
    methods: tuple[str, ...] = argument(
        ("integrated_gradients",),
        "explanation methods, with the rule of lrp as in lrp:cp; the first is also that of the shuffled and permuted "
        "networks, the others are rankings of their own",
        nargs="+",
    )
    fitted: bool = argument(False, "fit the poses to simulated markers instead of taking the true ones")
    former_world: bool = argument(False, "subjects of the synthetic world of earlier versions")
    keep: Path | None = argument(None, "folder in which cohorts and networks are kept, by seed, for further runs")


QUICK = {
    "networks": ("mlp",), "configurations": ("cause",), "healthy": 3, "sick": 3, "trials": 1, "persons": 1,
    "degrees": (0.5, 1.0), "windows": 2, "shuffled": 1, "permuted": 1,
    "training": "--epochs 2 --ensemble 2 --threshold_folds 2",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Person:
    """One unseen person: the trial and the dimensionless speed of each condition."""

    name: str
    pathology: str
    cause: Cause
    trials: Mapping[str, Trial]
    speeds: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Controls:
    """Windows of the training controls at the same phase."""

    mean: Tensor  # (L, 22, 3)
    sd: Tensor  # (L, 22, 3)


def main(args: Arguments) -> dict[str, Any]:
    found: dict[str, list[PersonResult]] = {}
    left_out: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="cause_") as name:
        for seed in args.seeds:
            folder = (args.keep or Path(name)) / str(seed)
            make_persons(folder, seed, args)
            for network, configuration in ((n, c) for c in args.configurations for n in args.networks):
                key = f"{network}_{configuration}"
                results, missing = judge_network(network, configuration, folder, seed, args)
                found.setdefault(key, []).extend(results)
                left_out[key] = left_out.get(key, 0) + missing
    return {
        "networks": {
            key: summarize(results) | {"persons": len(results), "persons_without_windows": left_out[key]}
            for key, results in found.items()
        },
        "flags": {
            c: {n: f"{CONFIGURATIONS[c][n]} {args.training}" for n in args.networks} for c in args.configurations
        },
    }


def make_persons(folder: Path, seed: int, args: Arguments) -> None:
    """Write the poses of a training cohort and of unseen persons, whose seeds differ; unless they are there already.

    Raises:
        GaitError: the folder has other persons.
    """
    names = ("healthy", "sick", "trials", "persons", "seconds", "degrees", "fitted", "former_world")
    content = {name: getattr(args, name) for name in names} | {"degrees": list(args.degrees)}
    if args.control_pace is not None:
        content["control_pace"] = list(args.control_pace)
    made = folder / "persons.json"
    if made.exists():
        if (found := json.loads(made.read_text(encoding="utf-8"))) != content:
            raise GaitError(f"{made}: these are other persons, {found}; give --keep another folder.")
        return
    body = load_body(args.model)
    variety = None if args.former_world else Variety()
    spec = CohortSpec(2 * seed, variety, args.control_pace)
    training = training_walks(body, args.healthy, args.sick, args.trials, args.seconds, spec)
    write_poses(training, folder / "training", body, args.model, fitted=args.fitted)
    unseen = unseen_walks(
        body, args.persons * len(PATHOLOGY_NAMES), args.seconds, CohortSpec(2 * seed + 1, variety), args.degrees
    )
    write_poses(unseen, folder / "unseen", body, args.model, fitted=args.fitted)
    made.write_text(json.dumps(content), encoding="utf-8")


def judge_network(
    network: str, configuration: str, folder: Path, seed: int, args: Arguments
) -> tuple[list[PersonResult], int]:
    """Train a network and its controls; return what they make of each person, and how many persons lack windows."""
    flags = [*shlex.split(CONFIGURATIONS[configuration][network]), *shlex.split(args.training), "--seed", str(seed)]
    trained = train(network, flags, folder / "training", folder / f"{network}_{configuration}")
    others: dict[str, list[TrainedNetwork]] = {SHUFFLED: [], PERMUTED: []}
    for number in range(args.shuffled):
        others[SHUFFLED].append(replace(trained, network=randomize_weights(trained.network, number)))
    for number in range(args.permuted):
        poses = folder / f"permuted_{number}"
        if not poses.exists():
            permute_labels(folder / "training", poses, evaluation_subjects(folder / "training"), 100 + number)
        save = folder / f"{network}_{configuration}_permuted_{number}"
        others[PERMUTED].append(train(network, [*flags, "--ensemble", "1"], poses, save, threshold=False))
    pair = [
        train(network, flags, folder / "training", folder / f"{network}_{configuration}_fold_{number}", fold=number)
        for number in range(args.folds)
    ]
    persons, missing = read_persons(trained, folder / "unseen", seed, args)
    if not persons:
        raise GaitError(f"{network}, {configuration}: no unseen person has windows in every condition.")
    controls = read_controls(trained, folder / "training")
    results = [
        PersonResult(
            seed=seed,
            pathology=person.pathology,
            probability={name: probability(trained, trial) for name, trial in person.trials.items()},
            speed=person.speeds,
            agreement=agreement([score(each, person, WITH, args) for each in pair]),
            localization={
                name: locate(trained, others, person, name, controls, args) for name in (WITH, DISTRACTED[WITH])
            },
        )
        for person in persons
    ]
    deletion = measure_deletion(trained, persons, controls, seed, args)
    return [replace(result, deletion=own) for result, own in zip(results, deletion, strict=True)], missing


def read_persons(trained: TrainedNetwork, poses: Path, seed: int, args: Arguments) -> tuple[list[Person], int]:
    """Return the persons with a window in every condition, and the number of the others."""
    dataset = read_dataset_of(trained, poses)
    by_subject = {trial.subject: trial for trial in dataset.trials}
    names = sorted({path.name.partition(".")[0] for path in poses.glob("*/*")})
    persons = []
    for name in names:
        trials = {each: by_subject.get(f"{name}.{each}") for each in CONDITIONS}
        found = {each: trial for each, trial in trials.items() if trial is not None}
        milder = {each: by_subject.get(f"{name}.{each}") for each in map(degree_name, args.degrees)}
        if len(found) < len(CONDITIONS) or any(not len(phase_windows(trained, t, 1).seen) for t in found.values()):
            continue
        pathology = parse_subject_name(name, 2 * seed + 1, None if args.former_world else Variety()).pathology
        assert pathology is not None
        cause = cause_of(pathology, with_axes=has_axes(trained))
        speeds = {each: dimensionless_speeds([trial])[trial.subject_id] for each, trial in found.items()}
        found |= {each: trial for each, trial in milder.items() if trial is not None}
        persons.append(Person(name, pathology.name, cause, found, speeds))
    return persons, len(names) - len(persons)


def read_controls(trained: TrainedNetwork, poses: Path) -> Controls:
    """Return mean and SD of the windows of the training controls at the same phase."""
    dataset = read_dataset_of(trained, poses)
    healthy = [trial for trial in dataset.trials if trial.subject_id in trained.training_subjects and not trial.sick]
    seen = torch.cat([phase_windows(trained, trial).seen for trial in healthy]).double()
    return Controls(seen.mean(dim=0).float(), seen.std(dim=0).float())


def score(trained: TrainedNetwork, person: Person, condition: str, args: Arguments) -> Vector:
    """Return the scores of a person's joints, (22,) or (22, 3), by the first method."""
    windows = phase_windows(trained, person.trials[condition], args.windows)
    return scores_of_windows(attribute(trained, windows.seen, args.methods[0]), windows.is_mirrored)


def agreement(scores: Sequence[Vector]) -> float:
    """Return Spearman's rank correlation of the scores by two networks; NaN without two."""
    if len(scores) != 2:
        return float("nan")
    first, second = (torch.from_numpy(each).reshape(1, 1, -1) for each in scores)
    return rank_correlation(first, second)


def locate(
    trained: TrainedNetwork,
    others: Mapping[str, Sequence[TrainedNetwork]],
    person: Person,
    condition: str,
    controls: Controls,
    args: Arguments,
) -> dict[str, Localization]:
    """Return where each ranking of the joints points."""
    trial, with_axes = person.trials[condition], person.cause.axis is not None
    limit, (method, *further) = args.windows, args.methods
    windows = phase_windows(trained, trial, limit)

    def located(values: Tensor, is_mirrored: Tensor) -> Localization:
        scores = scores_of_windows(values, is_mirrored)
        scores = to_proximal_joints(scores) if trained.input.of_segments else scores
        return localize(scores, person.cause)

    found = {TRAINED: located(attribute(trained, windows.seen, method), windows.is_mirrored)}
    for name in further:
        found[name] = located(attribute(trained, windows.seen, name), windows.is_mirrored)
    for name, networks in others.items():
        parts = []
        for other in networks:
            own = phase_windows(other, trial, limit)  # relative to the controls that it was trained on
            parts.append(located(attribute(other, own.seen, method), own.is_mirrored))
        if parts:
            found[name] = mean_localization(parts)
    found[CHANCE] = chance_localization(person.cause, NUM_BODY_JOINTS, with_axes=with_axes)
    for name, values in deviation_rankings(windows.seen, controls.mean, controls.sd).items():
        found[name] = located(values, windows.is_mirrored)
    return found


def measure_deletion(
    trained: TrainedNetwork, persons: Sequence[Person], controls: Controls, seed: int, args: Arguments
) -> Iterator[dict[str, Vector]]:
    """Yield what deletion shows on the windows of each person with a pathology; see ``PersonResult``."""
    pool, names, speeds, limit = [], [], [], args.windows
    for person in persons:
        for condition in (PACED, OWN):
            windows = phase_windows(trained, person.trials[condition], limit).seen
            pool.append(windows)
            names += [person.name] * len(windows)
            speeds += [person.speeds[condition]] * len(windows)
    replacements = torch.cat(pool)
    for person in persons:
        seen = phase_windows(trained, person.trials[WITH], limit).seen
        explained = logits(trained, seen)
        seen, explained = seen[explained > 0], explained[explained > 0]
        if not len(seen):
            yield {}
            continue
        nearest = nearest_pace([person.speeds[WITH]] * len(seen), [person.name] * len(seen), speeds, names)
        orders = {}
        for name, method in zip((TRAINED, *args.methods[1:]), args.methods, strict=True):
            values = attribute(trained, seen, method)
            orders[name] = [patch_scores(values if values.ndim == 3 else values.sum(-1), explained, signed=True)]
        orders["random"] = [random_patch_scores(seen, 1000 * seed + number) for number in range(RANDOM_ORDERS)]
        for name, values in deviation_rankings(seen, controls.mean, controls.sd).items():
            orders[name] = [patch_scores(values.sum(-1), explained, signed=True)]
        yield {name: delete(trained, seen, replacements[nearest], scores) for name, scores in orders.items()}


def delete(trained: TrainedNetwork, seen: Tensor, replacements: Tensor, orders: Sequence[Tensor]) -> Vector:
    """Return the sums (5,) of ``PersonResult.deletion``, the mean over orders of the patches."""
    found = []
    for scores in orders:
        deletion = deletion_curves(trained.network, seen, replacements, scores, steps=20)
        insertion = insertion_curves(trained.network, seen, replacements, scores, steps=20)
        after = (deletion.whole_fall, deletion.fall_after(FRACTION), rise_after(insertion, FRACTION))
        found.append([*(each.sum() for each in after), flipped_after(deletion, FRACTION).sum(), len(seen)])
    return np.mean(found, axis=0)


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
