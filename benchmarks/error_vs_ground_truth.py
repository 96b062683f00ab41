"""How far fits of synthetic walkers are from the truth."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from synthetic_subjects import known_walks

from gait.body.body import Body
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import BODY_JOINTS, NUM_BODY_JOINTS
from gait.fitting.subject_fit import TrialFit, fit_person
from gait.synthetic.virtual_markers import MarkerErrors

EVERY = 10
"""Vertices are compared in every tenth frame."""


@dataclass(frozen=True)
class TruthDistance:
    """One walk, fitted against true."""

    joints_m: NDArray[np.float64]  # (T, 22)
    vertices_m: NDArray[np.float64]  # (T', V) of some frames
    covered: NDArray[np.bool_]  # (T, 22) the distance is within the joint's figure of confidence
    sigma_m: NDArray[np.float32]  # (T, 22) that figure


def distance_to_truth(names: Iterable[str], body: Body, errors: MarkerErrors, *, walks: int) -> dict[str, Any]:
    """Fit these walkers as recorded with such errors; mean distances over all of their frames, and by walker."""
    layout = plug_in_gait_layout(body)
    found: dict[str, list[TruthDistance]] = {}
    for name in names:
        print(f"fitting {name}, markers {1e3 * errors.placement_m:g} mm off", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            known = known_walks(name, body, errors, Path(folder), walks=walks)
        fit = fit_person([walk.recording for walk in known], body, layout)
        found[name] = [walk_distance(body, gait, walk.truth) for gait, walk in zip(fit.gaits, known, strict=True)]
    every = [distance for distances in found.values() for distance in distances]
    by_joint = np.concatenate([distance.joints_m for distance in every]).mean(axis=0)
    covered = np.concatenate([distance.covered for distance in every]).mean(axis=0)
    return {
        **mean_distances(every),
        "by_joint_mm": {joint.name.lower(): 1e3 * float(m) for joint, m in zip(BODY_JOINTS, by_joint, strict=True)},
        "confidence_mm": 1e3 * float(np.concatenate([distance.sigma_m for distance in every]).mean()),
        "covered_by_joint": {joint.name.lower(): float(c) for joint, c in zip(BODY_JOINTS, covered, strict=True)},
        "by_walker": {name: mean_distances(distances) for name, distances in found.items()},
        "walks": len(every),
    }


def walk_distance(body: Body, gait: TrialFit, truth: PoseSequence) -> TruthDistance:
    """Distances of one walk's fitted joints and skin from the true ones."""
    ours = skin(body, gait.poses[::EVERY], gait.betas, gait.translation_m[::EVERY])
    theirs = skin(body, truth.poses[::EVERY], truth.betas, truth.translation_m[::EVERY])
    distance = np.linalg.norm(gait.joints_m[:, :NUM_BODY_JOINTS] - truth.joints_m, axis=-1)
    sigma = gait.confidence.sigma_m[:, :NUM_BODY_JOINTS]
    return TruthDistance(distance, (ours - theirs).norm(dim=-1).double().cpu().numpy(), distance <= sigma, sigma)


def skin(
    body: Body, poses: NDArray[np.floating], betas: NDArray[np.floating], translation_m: NDArray[np.floating]
) -> torch.Tensor:
    """Vertices (T, V, 3), metres."""
    pose, shape, place = (torch.as_tensor(numbers).to(body.v_template) for numbers in (poses, betas, translation_m))
    with torch.inference_mode():
        return body(pose, shape, place).vertices


def mean_distances(distances: Iterable[TruthDistance]) -> dict[str, float]:
    """Means over all frames of some walks, mm, and the share of joint errors within their figure of confidence."""
    distances = list(distances)
    return {
        "joints_mm": 1e3 * float(np.concatenate([d.joints_m for d in distances]).mean()),
        "vertices_mm": 1e3 * float(np.concatenate([d.vertices_m for d in distances]).mean()),
        "confidence_coverage": float(np.concatenate([d.covered for d in distances]).mean()),
    }
