"""python benchmarks/demo.py --json demo.json

How often the demo's networks name the joint of the cause: the cohort of ``setup.sh --demo``, with other seeds.

Per network and seed: subjects classified correctly, and patients of whom the joint with the most evidence for the sick
class, as a page names it, is one that the pathology changes (of all patients, and of those called sick). ``chance`` is
the mean of that over patients for a random joint. Each subject is judged by the fold that was not trained on it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from benchmark import REPOSITORY, BodyArguments, run
from script_runs import fit_command, run_script

from gait.body.body import Body
from gait.body.model_file import load_body
from gait.body.skeleton import NUM_BODY_JOINTS
from gait.cli.arguments import argument
from gait.errors import GaitError
from gait.explaining.explain_trial import explain_trial
from gait.explaining.options import ExplainOptions
from gait.explaining.prepare_trial import prepare_trial
from gait.explaining.trained_network import load_network
from gait.learning.cross_validation import make_fold_tasks
from gait.learning.fold_result import FoldResult, read_results
from gait.learning.networks import NETWORKS
from gait.learning.train_fold import FoldOutcome
from gait.learning.training_arguments import parse_training_arguments
from gait.motion.pose_npz import write_npz
from gait.motion.trial_paths import HEALTHY, SICK
from gait.synthetic import make_trial, parse_subject_name, write_recordings
from gait.synthetic.cohort import build_subject

TRAINING = (
    "--input rotations --windows cycles --pace 0.3 1.1 --interval_size 128 --batch_size 32 --k_folds 3 --cross all"
)
FLAGS = {
    "mlp": "--epochs 30 --lr 0.001 --pfe_layers 32 --fc_layers 32",
    "transformer": "--epochs 20 --lr 0.002 --lr_schedule cosine --one_frame_in 8 --pfe_dim 64 --fc_dim 64 "
    "--pfe_head 16 --fc_head 8 --ffn_dim 128",
}
"""Those of ``setup.sh --demo``."""


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    seeds: tuple[int, ...] = argument((31, 32, 33), "seeds of the cohorts; that of the demo is 0", nargs="+")
    networks: tuple[str, ...] = argument(("mlp", "transformer"), "networks", nargs="+", choices=tuple(FLAGS))
    true_poses: bool = argument(False, "train on the true poses instead of fits to simulated markers")
    subjects: int | None = argument(None, "so many of each label alone", metavar="N")
    training: str = argument("", "further flags of the training")


QUICK = {"seeds": (31,), "networks": ("mlp",), "true_poses": True, "subjects": 3,
         "training": "--epochs 1"}  # fmt: skip


def main(args: Arguments) -> dict[str, Any]:
    content = json.loads((REPOSITORY / "example_cohort.json").read_text(encoding="utf-8"))
    names = {label: [name for name in content if content[name]["healthy"] == label] for label in (True, False)}
    content = {name: content[name] for own in names.values() for name in own[: args.subjects]}
    body = load_body(args.model)
    found: dict[str, dict[str, Any]] = {network: {} for network in args.networks}
    with tempfile.TemporaryDirectory(prefix="demo_") as folder:
        for seed in args.seeds:
            poses = Path(folder) / str(seed) / "poses"
            write_poses(content, seed, poses, body, args)
            for network in args.networks:
                trained = poses.with_name(network)
                train(network, f"{TRAINING} {FLAGS[network]} {args.training}", poses, trained)
                found[network][str(seed)] = judge(network, trained, poses)
    return {"networks": found}


def write_poses(content: dict[str, Any], seed: int, poses: Path, body: Body, args: Arguments) -> None:
    """Write the poses of the cohort with a seed, true or fitted to markers."""
    if args.true_poses:
        for name, entry in content.items():
            spec = parse_subject_name(name, seed)
            trial = make_trial(body, build_subject(spec, body), spec.pathology, seconds=4.5, seed=1)
            path = poses / (HEALTHY if entry["healthy"] else SICK) / name / "walk1"
            path.mkdir(parents=True)
            write_npz(path, trial.ground_truth)
        return
    poses.parent.mkdir(parents=True)
    cohort = poses.with_name("cohort.json")
    # Absolute paths, since the recordings of the demo may lie in the working directory.
    own = {
        name: entry
        | {"trials": [str(poses.with_name("recordings") / name / Path(trial).name) for trial in entry["trials"]]}
        for name, entry in content.items()
    }
    cohort.write_text(json.dumps(own), encoding="utf-8")
    for _ in write_recordings(cohort, body=body, seed=seed):
        pass
    run_script(fit_command(cohort, args.model, poses, "--no_pictures"))


def train(network: str, flags: str, poses: Path, save_folder: Path) -> None:
    """Train all folds in this process."""
    words = [*flags.split(), "--base_folder", str(poses), "--save_folder", str(save_folder)]
    arguments = parse_training_arguments(NETWORKS[network], __doc__ or "", words, prog="demo.py")
    for task in make_fold_tasks(arguments, lambda line: print(line, file=sys.stderr)):
        *_, outcome = task.run()
        if not isinstance(outcome, FoldOutcome) or outcome.state != "trained":
            raise GaitError(f"{network}: {getattr(outcome, 'message', 'the training did not end')}")


def judge(network: str, trained: Path, poses: Path) -> dict[str, Any]:
    """Count correct decisions and explanations that name a joint of the cause first."""
    results, _ = read_results(trained, network)
    patients = [one for result in results for one in judge_patients(network, trained, poses, result)]
    controls = [
        probability < 0.5
        for result in results
        for probability, sick in zip(
            result.evaluation.by_subject().probability, result.evaluation.by_subject().sick, strict=True
        )
        if not sick
    ]
    called = [one for one in patients if one["probability"] >= 0.5]
    return {
        "controls": len(controls),
        "controls_called_healthy": int(sum(controls)),
        "patients": len(patients),
        "patients_called_sick": len(called),
        "joint_of_the_cause_first": sum(one["first"] for one in patients),
        "of_patients_called_sick": sum(one["first"] for one in called),
        "chance": float(np.mean([one["chance"] for one in patients])),
        "by_patient": {one["subject"]: [one["probability"], *one["joints"]] for one in patients},
    }


def judge_patients(network: str, trained: Path, poses: Path, result: FoldResult) -> list[dict[str, Any]]:
    """Return the decision on each patient of a fold's test set, and the joints that its explanation names."""
    loaded = load_network(trained / f"fold{result.fold.index}" / f"{network}.ckpt")
    options = ExplainOptions()
    (one,) = options.each_method(loaded)
    predictions = result.evaluation.by_subject()
    found = []
    for subject, sick, probability in zip(predictions.subjects, predictions.sick, predictions.probability, strict=True):
        if not sick:
            continue
        pathology = parse_subject_name(subject.partition("/")[2]).pathology
        assert pathology is not None
        folder = poses / subject / "walk1"
        trial = prepare_trial(folder, options.read_poses(folder), loaded)
        attribution = explain_trial(loaded, trial, one.method, rule=one.rule, stride=one.stride)
        evidence = np.where(attribution.counts, attribution.values, 0).sum(axis=0)
        order = np.argsort(-evidence / np.maximum(attribution.counts.sum(axis=0), 1))
        found.append({
            "subject": subject,
            "probability": float(probability),
            "first": int(order[0]) in set(map(int, pathology.affected_joints)),
            "chance": len(pathology.affected_joints) / NUM_BODY_JOINTS,
            "joints": [attribution.part_names[joint] for joint in order[:3]],
        })  # fmt: skip
    return found


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
