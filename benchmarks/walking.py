"""python benchmarks/walking.py --trained ./trained_mlp --json walking.json

Frames of walks that count as something else, and of standing that count as walking, on random parts of synthetic walks:
slow and shuffling ones, on the floor, on a treadmill and on a curve, and before and after standing; and on fitted
recorded trials (skipped if not available). With ``--trained``, P(sick) of walks between two stands against that of the
same walks alone, by every network in that folder. Prints one JSON object; --quick simulates one subject and fits no
recorded trial.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmark import BodyArguments, run
from fit_recorded_trials import fit_trials
from numpy.typing import NDArray
from recorded_trials import CAPTURES, captures_available, is_walking_trial, recorded_subjects
from scipy.spatial.transform import Rotation

from gait.body.body import Body
from gait.body.model_file import load_body
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import Joint
from gait.cli.arguments import argument
from gait.explaining.prepare_trial import prepare_trial
from gait.explaining.trained_network import load_network
from gait.kinematics.walking import Activity, find_activity
from gait.learning.trainer import window_probabilities
from gait.synthetic import SyntheticSubject, make_subject, make_trial
from gait.synthetic.standing import START_S, add_standing

RATE_HZ = 100.0
PACES = ((0.2, 40), (0.2, 60), (0.2, 100), (0.2, 140), (0.3, 50), (0.25, 30))  # m/s, steps per minute
CURVE_M = 0.6  # radius
BEFORE_S, AFTER_S = 4.0, 3.0
PARTS = 10  # random parts of each walk
MIN_PART_S = 1.4  # a little more than a window

Joints = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    subjects: int = argument(6, "synthetic subjects")
    captures: Path = argument(CAPTURES, "folder of real recordings")
    trained: Path | None = argument(None, "save folder of a training")


QUICK = {"subjects": 1}


def slow_walks(body: Body, subject: SyntheticSubject) -> Iterator[tuple[str, Joints]]:
    """Yield joints (T, 22, 3) of slow walks: on the floor, on a treadmill and on a curve."""
    for speed_m_s, steps_per_minute in PACES:
        stride_s = 120 / steps_per_minute
        paced = subject.with_pace(speed_m_s * stride_s, stride_s)
        joints = make_trial(body, paced, seconds=8.0, seed=1).ground_truth.joints_m.astype(np.float64)
        path = (joints[:, :1] - joints[:1, :1]) * [1, 0, 1]
        yield "floor", joints
        yield "treadmill", joints - path
        yield "curve", bend_path(joints, CURVE_M)


def bend_path(joints: Joints, radius_m: float) -> Joints:
    """Return joints (T, 22, 3) of a straight walk on a circle, to the left."""
    path = (joints[:, Joint.PELVIS] - joints[0, Joint.PELVIS]) * [1, 0, 1]
    ahead = path[-1] / np.linalg.norm(path[-1])
    to_left = np.cross([0, 1, 0], ahead)
    angle = path @ ahead / radius_m
    turn = Rotation.from_rotvec(angle[:, None] * [0, 1, 0]).as_matrix()
    pelvis = joints[:, Joint.PELVIS] * [1, 0, 1]
    relative = np.einsum("tij,tkj->tki", turn, joints - pelvis[:, None])
    centre = radius_m * to_left
    return relative + (centre - np.einsum("tij,j->ti", turn, centre))[:, None]


def random_parts(joints: Joints, random: np.random.Generator, rate_hz: float) -> Iterator[Joints]:
    """Yield random parts (T', 22, 3) of a trial, each a little longer than a window or more."""
    for _ in range(PARTS):
        length = int(min(len(joints), random.uniform(MIN_PART_S * rate_hz, len(joints))))
        first = random.integers(0, len(joints) - length + 1)
        yield joints[first : first + length]


def dropped_frames(joints: Joints, random: np.random.Generator, rate_hz: float) -> dict[str, int]:
    """Count parts and frames of a walk, and those of which some frame does not count as walking."""
    activities = [find_activity(part, rate_hz) for part in random_parts(joints, random, rate_hz)]
    dropped = [int(np.count_nonzero(activity)) for activity in activities]
    frames = sum(map(len, activities))
    return {
        "parts": len(dropped),
        "parts_cut": sum(map(bool, dropped)),
        "frames": frames,
        "frames_dropped": sum(dropped),
    }


def stands(body: Body, subjects: list[SyntheticSubject]) -> Iterator[tuple[PoseSequence, PoseSequence]]:
    """Yield the poses of each subject's walk, alone and between two stands."""
    for subject in subjects:
        walk = make_trial(body, subject, seed=1)
        yield walk.ground_truth, add_standing(walk, body, BEFORE_S, AFTER_S).ground_truth


def standing_found(both: list[tuple[PoseSequence, PoseSequence]]) -> dict[str, int]:
    """Count the frames of standing, and those that count as walking."""
    before, after = round(BEFORE_S * RATE_HZ), round(AFTER_S * RATE_HZ)
    standing = [
        np.r_[activity[:before], activity[-after:]]
        for activity in (find_activity(poses.joints_m, RATE_HZ) for _, poses in both)
    ]
    missed = sum(int((frames == Activity.WALKING).sum()) for frames in standing)
    return {"trials": len(both), "frames": sum(map(len, standing)), "frames_missed": missed}


def probability_differences(trained: Path, both: list[tuple[PoseSequence, PoseSequence]]) -> dict[str, Any]:
    """Compare P(sick) of each walk between two stands with that of the walk alone, by network.

    ``same_frames`` are differences from the walk alone without the frames that count as its first and last step between
    the stands.
    """
    result = {}
    for file in sorted(trained.glob("fold*/*.ckpt")):
        network = load_network(file)
        # the first step takes twice its time
        shift = round((BEFORE_S + START_S / 2) * network.rate_hz)
        probability = np.empty((len(both), 3))
        for row, poses in enumerate(both):
            alone, standing = (prepare_trial(Path("healthy/P/walk"), each, network) for each in poses)
            assert standing.activity is not None
            same_frames = replace(alone, activity=standing.activity[shift : shift + len(alone.joints_m)])
            for column, trial in enumerate((alone, standing, same_frames)):
                windows = network.windows_of(trial)
                probability[row, column] = float(window_probabilities(network.network, windows, 64).mean())
        difference, same = (np.abs(probability[:, 1] - probability[:, column]) for column in (0, 2))
        result[f"{file.parent.name}/{file.name}"] = {
            "mean": difference.mean(),
            "worst": difference.max(),
            "same_frames_mean": same.mean(),
            "same_frames_worst": same.max(),
        }
    return result


def main(args: Arguments) -> dict[str, Any]:
    body, random = load_body(args.model), np.random.default_rng(0)
    subjects = [make_subject(body, seed) for seed in range(args.subjects)]
    dropped: dict[str, dict[str, int]] = {}

    def add(kind: str, joints: Joints, rate_hz: float) -> None:
        found, total = dropped_frames(joints, random, rate_hz), dropped.get(kind, {})
        dropped[kind] = {key: value + total.get(key, 0) for key, value in found.items()}

    for subject in subjects:
        for kind, joints in slow_walks(body, subject):
            add(kind, joints, RATE_HZ)
    if not args.quick and captures_available(args.captures, "recorded trials are skipped"):
        for trial in fit_trials(recorded_subjects(args.captures), args.captures, body):
            recording = trial.trial_fit.recording
            if is_walking_trial(recording.path):
                add("recorded", trial.trial_fit.joints_m[:, :22], recording.rate_hz)
    both = list(stands(body, subjects))
    result: dict[str, Any] = {"walking": dropped, "standing": standing_found(both)}
    if args.trained is not None:
        result["probability_difference"] = probability_differences(args.trained, both)
    return result


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
