"""python benchmarks/foreign_poses.py --json foreign_poses.json

Poses of other tools against the true joints of synthetic subjects, on the open body. Prints one JSON object:

 * ``rotations_mm``: joint rotations without the shape, as CARE-PD has them, and AMASS where its body model is missing:
   mean error of the joints with the size inferred from the steps, ``by_steps``; relative to the pelvis,
   ``by_steps_relative``, and on the mean body, ``mean_body_relative``.
 * ``centres``: fits of joint arrays (``joint_centres``) and of video keypoints, by marker set, with errors of that
   length (RMS, mm; independent in each frame, and a bias of half that length for each point). ``mm``: mean error of all
   joints that are not said to be unobserved, ``observed`` and ``inferred`` their fractions; ``observed_mm``,
   ``within_30_mm``: mean error of the joints that are said to be observed, and the fraction of them within 30 mm.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmark import BodyArguments, run
from numpy.typing import NDArray
from synthetic_subjects import subject_names

from gait.body.body import Body
from gait.body.joint_status import JointStatus
from gait.body.marker_layout import MarkerLayout
from gait.body.marker_placement import marker_set_layout, place_markers
from gait.body.model_file import load_body
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import NUM_BODY_JOINTS
from gait.capture.pose_format import ForeignPoses
from gait.capture.recording import Recording
from gait.cli.arguments import argument
from gait.fitting.fit_recordings import fit_recordings
from gait.marker_sets import MARKER_SETS
from gait.motion.foreign_poses import to_pose_sequence
from gait.synthetic.cohort import parse_subject_name
from gait.synthetic.subject import make_subject
from gait.synthetic.trial import make_trial
from gait.synthetic.virtual_markers import noise_free_markers

HALPE = ("HEADTOPC", "NECKC", *(side + toe for side in "LR" for toe in ("BIGTOEC", "SMALLTOEC", "HEELC")))
"""What Halpe has beside the keypoints of COCO."""


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    healthy: int = argument(5, "healthy synthetic subjects")
    sick: int = argument(5, "synthetic subjects with a pathology")
    seconds: float = argument(3.0, "duration of a trial")
    rate_hz: float = argument(30.0, "frames per second")
    errors_mm: tuple[float, ...] = argument((0.0, 15.0, 30.0), "lengths of the errors of joint centres")
    threads: int = argument(2, "threads of torch")


QUICK = {"healthy": 1, "sick": 0, "seconds": 1.5, "errors_mm": (15.0,)}


def main(args: Arguments) -> dict[str, Any]:
    body = load_body(args.model)
    truths = []
    for name in subject_names(args.healthy, args.sick):
        spec = parse_subject_name(name)
        subject = make_subject(body, spec.seed)
        trial = make_trial(body, subject, spec.pathology, seconds=args.seconds, seed=1, rate_hz=args.rate_hz)
        truths.append(trial.ground_truth)
    keypoints = marker_set_layout(body, MARKER_SETS["video_keypoints"])
    sets = {
        "joint_centres": marker_set_layout(body, MARKER_SETS["joint_centres"]),
        "coco": keypoints,
        "halpe": place_markers(body, (*keypoints.labels, *HALPE), "Halpe"),
    }
    centres: dict[str, dict[str, Any]] = {}
    for name, layout in sets.items():
        for error_mm in args.errors_mm:
            print(f"{name}, {error_mm:g} mm", file=sys.stderr)
            random = np.random.default_rng(0)
            found = [fit_centres(body, layout, truth, error_mm / 1e3, random) for truth in truths]
            distance, status = (np.concatenate(parts) for parts in zip(*found, strict=True))
            observed = status == JointStatus.OBSERVED
            centres.setdefault(name, {})[f"{error_mm:g}"] = {
                "mm": 1e3 * distance[status != JointStatus.NOT_OBSERVED].mean(),
                "observed": observed.mean(),
                "inferred": (status == JointStatus.INFERRED).mean(),
                "observed_mm": 1e3 * distance[observed].mean() if observed.any() else None,
                "within_30_mm": (distance[observed] <= 0.030).mean() if observed.any() else None,
            }
    return {"rotations_mm": rotation_errors(body, truths), "centres": centres}


def fit_centres(
    body: Body, layout: MarkerLayout, truth: PoseSequence, error_m: float, random: np.random.Generator
) -> tuple[NDArray[np.floating], NDArray[np.uint8]]:
    """Fit joint centres with errors; return the error of each joint, (T, 22) metres, and its status."""
    points, _ = noise_free_markers(body, truth, layout)
    points += error_m / np.sqrt(3) * random.standard_normal(points.shape)
    points += error_m / 2 / np.sqrt(3) * random.standard_normal(points.shape[1:])
    visible = np.ones(points.shape[:2], dtype=bool)
    recording = Recording(Path("synthetic.trc"), layout.labels, points, visible, truth.rate_hz)
    trial = fit_recordings([recording], body).trials[0]
    distance = np.linalg.norm(trial.joints_m[:, :NUM_BODY_JOINTS] - truth.joints_m, axis=-1)
    return distance, trial.joint_status


def rotation_errors(body: Body, truths: list[PoseSequence]) -> dict[str, float]:
    """Return the mean errors of joint rotations without the shape, mm."""
    errors: dict[str, list[NDArray[np.floating]]] = {}
    for truth in truths:
        rotations = np.zeros((truth.num_frames, 72))
        rotations[:, : 3 * NUM_BODY_JOINTS] = truth.poses[:, : 3 * NUM_BODY_JOINTS]
        found, _ = to_pose_sequence(
            ForeignPoses("smpl", rotations, truth.translation_m.astype(np.float64), truth.rate_hz), body
        )
        with torch.inference_mode():
            mean = body.posed_joints(torch.as_tensor(found.poses), torch.zeros(1))[:, :NUM_BODY_JOINTS].numpy()
        for name, joints_m in (("by_steps", found.joints_m), ("mean_body", mean)):
            relative = (joints_m - joints_m[:, :1]) - (truth.joints_m - truth.joints_m[:, :1])
            errors.setdefault(f"{name}_relative", []).append(np.linalg.norm(relative, axis=-1))
        errors.setdefault("by_steps", []).append(np.linalg.norm(found.joints_m - truth.joints_m, axis=-1))
    return {name: 1e3 * float(np.concatenate(each).mean()) for name, each in errors.items()}


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
