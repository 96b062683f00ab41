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
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmark import BodyArguments, run
from cause_persons import (
    APART,
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
from classification import PUBLISHED_FLAGS
from torch import Tensor

from gait.arrays import Vector
from gait.body.model_file import load_body
from gait.body.skeleton import NUM_BODY_JOINTS
from gait.cli.arguments import argument
from gait.errors import GaitError
from gait.explaining.faithfulness import (
    nearest_pace,
    patch_scores,
    perturbation_curves,
    random_patch_scores,
    randomize_weights,
    rank_correlation,
)
from gait.explaining.localization import (
    DEVIATION_RANKINGS,
    METRICS,
    Cause,
    Localization,
    best_ranking,
    chance_localization,
    deviation_rankings,
    localization_lead,
    localization_over_persons,
    localize,
    mean_localization,
    scores_of_windows,
    to_proximal_joints,
)
from gait.explaining.methods import explain_windows
from gait.explaining.trained_network import TrainedNetwork, load_network
from gait.kinematics.gait_events import nearest_frames
from gait.learning.baselines import dimensionless_speeds
from gait.learning.cross_validation import make_fold_tasks
from gait.learning.matched_speed import matched_speed_auc, same_person_auc
from gait.learning.metrics import THRESHOLD, MetricWithInterval, mean_over_persons, ratio_over_persons
from gait.learning.networks import NETWORKS
from gait.learning.train_fold import FoldOutcome
from gait.learning.training_arguments import TrainingArguments, parse_training_arguments, recommended_flags
from gait.motion.dataset import GaitDataset, Trial
from gait.motion.folds import Fold, make_folds
from gait.motion.read_dataset import read_dataset
from gait.motion.window_placement import CYCLES
from gait.synthetic import PATHOLOGY_NAMES, Variety
from gait.synthetic.cohort import parse_subject_name

FRACTION = 0.1
RANDOM_ORDERS = 2
TRAINED, SHUFFLED, PERMUTED, CHANCE = "trained", "shuffled", "permuted", "chance"
_CONTROL_NETWORKS = {SHUFFLED: "networks with shuffled weights", PERMUTED: "networks trained on permuted labels"}
UNDEFINED = MetricWithInterval(float("nan"))
_DEGREE = "degree_"
_BATCH_SIZE = 64  # windows

CONFIGURATIONS: Mapping[str, Mapping[str, str]] = {
    "cause": {name: recommended_flags(NETWORKS[name]) for name in PUBLISHED_FLAGS},
    "published": {name: f"{flags} --stride 4" for name, flags in PUBLISHED_FLAGS.items()},
}
"""Flags of the trainings, by name and network."""


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
class PhaseWindows:
    """Windows of one trial that begin with a left initial contact, or are mirrored so."""

    seen: Tensor  # (N, L, 22, 3) as the network sees them
    is_mirrored: Tensor  # (N,)


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


@dataclass(frozen=True, eq=False)
class PersonResult:
    """What was measured of one person, by the networks of one seed."""

    seed: int
    pathology: str
    probability: Mapping[str, float]  # by condition
    speed: Mapping[str, float]
    localization: Mapping[str, Mapping[str, Localization]]  # by condition and ranking
    agreement: float  # rank correlation of two networks' scores; NaN without them
    # by order of the patches: sums over the person's windows of the whole fall, and of fall, rise and decisions that
    # flip after ``FRACTION``; NaN if no window is called sick
    deletion: Mapping[str, Vector] = field(default_factory=dict)  # (5,) the last is the number of windows


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


def evaluation_subjects(poses: Path) -> tuple[str, ...]:
    """Return the last subject of each label, on whom the training itself is evaluated."""
    last = []
    for label in ("healthy", "sick"):
        names = [path.name for path in (poses / label).iterdir()]
        last.append(max(names, key=lambda name: (int(name.rpartition("_")[2]), name)))
    return tuple(last)


def train(
    network: str,
    flags: Sequence[str],
    poses: Path,
    save_folder: Path,
    *,
    threshold: bool = True,
    fold: int | None = None,
) -> TrainedNetwork:
    """Train a network on all subjects but those of ``evaluation_subjects``, or without a further fifth, a fold."""
    words = [*flags, "--base_folder", str(poses), "--save_folder", str(save_folder), "--k_folds", "2", "--cross", "0"]
    args = parse_training_arguments(NETWORKS[network], __doc__ or "", words, prog="cause.py")
    if not threshold or fold is not None:
        args = replace(args, threshold_folds=None)
    task = whole_cohort(args, fold)
    *_, outcome = task.run()
    if not isinstance(outcome, FoldOutcome) or outcome.state not in ("trained", "already finished"):
        raise GaitError(f"{network}: {getattr(outcome, 'message', 'the training did not end')}")
    return load_network(task.checkpoint_file)


def whole_cohort(args: TrainingArguments, fold: int | None = None) -> Any:
    """Return the task of training on all subjects but those of ``evaluation_subjects``, or on a fold of them."""
    (task,) = make_fold_tasks(args, lambda line: print(line, file=sys.stderr))
    names = evaluation_subjects(args.poses)
    judged = tuple(sorted(subject for subject in task.sick if subject.partition("/")[2] in names))
    training = tuple(sorted(set(task.sick) - set(judged)))
    if fold is not None:
        sick = {subject: task.sick[subject] for subject in training}
        fewest = min(sum(sick.values()), len(sick) - sum(sick.values()))
        training = make_folds(sick, min(5, fewest))[fold].training
    return replace(task, fold=Fold(0, 2, training, judged), run_id=uuid.uuid4().hex)


def read_dataset_of(trained: TrainedNetwork, poses: Path) -> GaitDataset:
    """Read poses as the network sees them."""
    return read_dataset(
        poses,
        trained.rate_hz,
        min_frames=trained.window_length,
        input=trained.input.name,
        windows=trained.windows,
    )


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


def has_axes(trained: TrainedNetwork) -> bool:
    """Return whether the axes of the network's input are those of the joints' rotations."""
    return trained.input.name == "rotations"


def read_controls(trained: TrainedNetwork, poses: Path) -> Controls:
    """Return mean and SD of the windows of the training controls at the same phase."""
    dataset = read_dataset_of(trained, poses)
    healthy = [trial for trial in dataset.trials if trial.subject_id in trained.training_subjects and not trial.sick]
    seen = torch.cat([phase_windows(trained, trial).seen for trial in healthy]).double()
    return Controls(seen.mean(dim=0).float(), seen.std(dim=0).float())


def phase_windows(trained: TrainedNetwork, trial: Trial, limit: int | None = None) -> PhaseWindows:
    """Return the windows of a trial that begin with a left contact, or mirrored with a right one; at most so many.

    Windows of ``frames`` that begin with a right contact are not mirrored, so they are omitted.
    """
    windows = trained.windows_of(trial)
    chosen = torch.arange(len(windows))
    if trained.windows != CYCLES:
        contacts = torch.as_tensor(nearest_frames(trial.events.initial_contacts["left"]))
        chosen = chosen[torch.isin(windows.first_frame, contacts)]
    if limit is not None and len(chosen) > limit:
        chosen = chosen[torch.linspace(0, len(chosen) - 1, limit).round().long()]
    return PhaseWindows(windows.batch(chosen), windows.is_mirrored[chosen])


def probability(trained: TrainedNetwork, trial: Trial) -> float:
    """Return P(sick), the mean over all windows of a trial."""
    windows = trained.windows_of(trial)
    parts = [logits(trained, windows.batch(batch)) for batch in torch.arange(len(windows)).split(_BATCH_SIZE)]
    return float(torch.cat(parts).double().sigmoid().mean())


def logits(trained: TrainedNetwork, seen: Tensor) -> Tensor:
    """Return the logits (N,) of windows (N, L, 22, 3)."""
    with torch.inference_mode():
        return torch.as_tensor(trained.network(seen))


def attribute(trained: TrainedNetwork, seen: Tensor, method: str) -> Tensor:
    """Return the attribution of windows by axis, (N, L, 22, 3), or (N, L, 22) by a method that has no axes."""
    name, _, rule = method.partition(":")
    parts = []
    for batch in seen.split(_BATCH_SIZE):
        found = explain_windows(trained.network, batch, name, baseline=trained.mean_window, rule=rule or None)
        parts.append((found.values if found.axis_values is None else found.axis_values).detach())
    return torch.cat(parts)


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
        curves = perturbation_curves(trained.network, seen, replacements, scores, steps=20)
        after = (curves.whole_fall, curves.fall_after(FRACTION), curves.rise_after(FRACTION))
        found.append([*(each.sum() for each in after), curves.flipped_after(FRACTION).sum(), len(seen)])
    return np.mean(found, axis=0)


def summarize(results: Sequence[PersonResult]) -> dict[str, Any]:
    """Return the metrics of a network over all persons."""
    seeds = [result.seed for result in results]
    p = {name: np.array([result.probability[name] for result in results]) for name in CONDITIONS}
    speed = {name: np.array([result.speed[name] for result in results]) for name in (WITH, PACED)}
    pairs = matched_speed_auc(
        np.repeat([True, False], len(results)),
        np.concatenate([p[WITH], p[PACED]]),
        np.concatenate([speed[WITH], speed[PACED]]),
        fold=[*seeds, *seeds],
    )
    metrics = {
        "auc": plain(same_person_auc(p[WITH], p[OWN], group=seeds)),
        "matched_auc": plain(same_person_auc(p[WITH], p[PACED], group=seeds)),
        "distracted_matched_auc": plain(same_person_auc(p[DISTRACTED[WITH]], p[DISTRACTED[PACED]], group=seeds)),
        "pairs": {
            "auc": plain(pairs.auc),
            "speed_alone": plain(pairs.speed_alone),
            "num_pairs": pairs.num_pairs,
        },
        "called_sick": {name: plain(mean_over_persons(p[name] >= THRESHOLD)) for name in CONDITIONS},
        "called_sick_by_pathology": {
            name: plain(mean_over_persons(p[WITH][chosen] >= THRESHOLD)) for name, chosen in by_pathology(results)
        },
        "agreement": plain(mean_over_persons([result.agreement for result in results])),
        **summarize_degrees(results),
        "brier": plain(mean_over_persons(((1 - p[WITH]) ** 2 + p[OWN] ** 2) / 2)),
        "matched_brier": plain(mean_over_persons(((1 - p[WITH]) ** 2 + p[PACED] ** 2) / 2)),
        "localization": summarize_localization(results, WITH),
        "distracted": summarize_localization(results, DISTRACTED[WITH]),
        "deletion": summarize_deletion(results),
    }
    return {**metrics, "problems": problems(metrics)}


def problems(metrics: Mapping[str, Any]) -> list[str]:
    """Describe in sentences where a network, or its explanation, does not show the cause."""
    lines = []
    if not metrics["matched_auc"]["low"] > 0.5:
        lines.append("At matched speed the network may be no better than chance.")
    if metrics["called_sick"][PACED]["value"] >= 0.5 * metrics["called_sick"][WITH]["value"]:
        paced, found = (metrics["called_sick"][name]["value"] for name in (PACED, WITH))
        lines.append(f"Controls at a patient's pace are called sick in {paced:.0%}, patients in {found:.0%}.")
    for part, where in (("localization", ""), ("distracted", " under distractors")):
        if not (found := metrics[part]):
            continue
        for name in (SHUFFLED, PERMUTED):
            if name in found["lead"] and not found["lead"][name]["low"] > 0:
                lines.append(
                    f"The joint of the cause is not first more often than in {_CONTROL_NETWORKS[name]}{where}."
                )
        best = found["best_without_network"]
        if not found["lead"][best]["low"] > 0:
            own, other = (found[name]["first"]["value"] for name in (TRAINED, best))
            lines.append(
                f"A ranking without a network, {best}, does as well{where}: it has the joint of the cause first in "
                f"{other:.0%}, the network's explanation in {own:.0%}."
            )
    deletion = metrics["deletion"]
    if TRAINED in deletion:
        own, random = (deletion[name]["share_after_10_percent"] for name in (TRAINED, "random"))
        if not own["low"] > random["high"]:  # or undefined
            lines.append("Deletion in the order of the explanation is hardly better than in random order.")
    return lines


def summarize_degrees(results: Sequence[PersonResult]) -> dict[str, Any]:
    """Return how many persons are called sick at each severity, and the mildest at which half of them are."""
    names = sorted({each for result in results for each in result.probability if each.startswith(_DEGREE)})
    degrees = sorted(int(each.removeprefix(_DEGREE)) / 100 for each in names)
    called: dict[str, dict[str, Any]] = {}
    mildest = {}
    for name, chosen in by_pathology(results):
        p = {d: [results[k].probability.get(degree_name(d), np.nan) for k in chosen] for d in degrees}
        rates = {d: mean_over_persons([np.nan if np.isnan(v) else v >= THRESHOLD for v in own]) for d, own in p.items()}
        called[name] = {f"{degree:g}": plain(rate) for degree, rate in rates.items()}
        mildest[name] = mildest_degree(degrees, [rate.value for rate in rates.values()])
    return {"called_sick_by_degree": called, "mildest_degree": mildest}


def mildest_degree(degrees: Sequence[float], rates: Sequence[float]) -> float:
    """Return the lowest severity from which on at least half are called sick, between severities linearly; or NaN."""
    if not rates or not rates[-1] >= 0.5:
        return float("nan")
    last = max((index for index, rate in enumerate(rates) if not rate >= 0.5), default=None)
    if last is None:
        return degrees[0]
    low, high = rates[last], rates[last + 1]
    return degrees[last] + (degrees[last + 1] - degrees[last]) * (0.5 - low) / (high - low)


def by_pathology(results: Sequence[PersonResult]) -> Iterator[tuple[str, list[int]]]:
    """Yield each pathology with the indices of its persons."""
    for name in PATHOLOGY_NAMES:
        chosen = [index for index, result in enumerate(results) if result.pathology == name]
        if chosen:
            yield name, chosen


def summarize_localization(results: Sequence[PersonResult], condition: str) -> dict[str, Any]:
    """Return the localization by ranking, and the lead of the trained networks."""

    def rankings(keep: Callable[[PersonResult], bool]) -> dict[str, list[Localization]]:
        found: dict[str, list[Localization]] = {}
        for result in filter(keep, results):
            for name, one in result.localization[condition].items():
                found.setdefault(name, []).append(one)
        return found

    counted = rankings(lambda result: result.pathology not in APART)
    if not counted:
        return {}
    without_network = {name: counted[name] for name in DEVIATION_RANKINGS}
    return {
        **{name: {m: plain(v) for m, v in localization_over_persons(own).items()} for name, own in counted.items()},
        "lead": {
            name: plain(localization_lead(counted[TRAINED], own)["first"])
            for name, own in counted.items()
            if name != TRAINED
        },
        "best_without_network": best_ranking(without_network),
        "by_pathology": {
            name: {
                metric: plain(
                    mean_over_persons(
                        [getattr(results[index].localization[condition][TRAINED], metric) for index in chosen]
                    )
                )
                for metric in METRICS
            }
            for name, chosen in by_pathology(results)
        },
    }


def summarize_deletion(results: Sequence[PersonResult]) -> dict[str, Any]:
    """Return what deletion and insertion show, by order of the patches; sums over windows, drawn by person."""
    judged = [result.deletion for result in results if result.deletion]
    if not judged:
        return {"persons": 0}
    orders = {}
    for name in judged[0]:
        whole, fall, rise, flipped, count = np.array([own[name] for own in judged]).T
        defined = ratio_over_persons(whole, count).low > 0
        shares = [ratio_over_persons(each, whole) if defined else UNDEFINED for each in (fall, rise)]
        orders[name] = {
            "share_after_10_percent": plain(shares[0]),
            "insertion_share_after_10_percent": plain(shares[1]),
            "flipped_after_10_percent": plain(ratio_over_persons(flipped, count)),
        }
    return {"persons": len(judged), "whole_fall": plain(ratio_over_persons(whole, count)), **orders}


def plain(estimate: MetricWithInterval) -> dict[str, float]:
    """Return a metric as plain data."""
    return dict(vars(estimate))


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
