"""How far off a marker is predicted when the pose stage does not see it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from fit_recorded_trials import FittedWalk
from numpy.typing import NDArray

from gait.body.body import Body
from gait.body.pose_prior import natural_pose_prior
from gait.fitting.frame_batches import frame_batches
from gait.fitting.marker_kinematics import SubjectModel, marker_motion
from gait.fitting.objective_terms import joint_prior
from gait.fitting.pose_trajectory import pose_course
from gait.fitting.reduced_body import marker_skin
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.solver.frame_data import ObservedMarkers
from gait.fitting.subject_fit import observed_markers


@dataclass(frozen=True)
class HiddenMarkers:
    """The markers of one walk, each hidden in turn."""

    labels: tuple[str, ...]  # (M,)
    distance_m: NDArray[np.float64]  # (M, T) predicted to observed, NaN where unseen


def hidden_marker_figures(walks: Iterable[FittedWalk], body: Body, *, frames: int | None = None) -> dict[str, Any]:
    """Mean distances in mm over all samples of all walks, by walk, and by marker.

    Of each walk only its first ``frames``, if given.
    """
    found = {}
    for walk in walks:
        print(f"hiding the markers of {walk.name}", file=sys.stderr)
        found[walk.name] = hidden_markers(walk, body, frames)
    by_marker: dict[str, list[NDArray[np.float64]]] = {}
    for one in found.values():
        for label, distance in zip(one.labels, one.distance_m, strict=True):
            by_marker.setdefault(label, []).append(distance)
    return {
        "mean": mean_mm(np.concatenate([one.distance_m.ravel() for one in found.values()])),
        "by_walk": {name: mean_mm(one.distance_m) for name, one in found.items()},
        "by_marker": {label: mean_mm(np.concatenate(rows)) for label, rows in sorted(by_marker.items())},
    }


def hidden_markers(walk: FittedWalk, body: Body, frames: int | None = None) -> HiddenMarkers:
    """Hide each marker of a walk in turn from the pose stage; shape and placements are those of the whole fit.

    Poses vary about the natural posture, not about the recording's own, which was found with the marker in sight.
    """
    gait, weights = walk.gait, ResidualScales()
    layout = walk.person.layout.select(gait.labels)
    with torch.inference_mode(), frame_batches(body.device) as batches:
        skin = marker_skin(body, layout)
        wearer = SubjectModel(
            skin, torch.as_tensor(gait.betas).to(skin.point), torch.as_tensor(gait.offset_m).to(skin.point)
        )
        prior = joint_prior(natural_pose_prior(), weights, body=body, hinges=skin.hinges)
        everything = observed_markers(gait.recording, layout, skin.point)[:frames]
        distance = np.full((len(layout.labels), len(everything.seen)), np.nan)
        for m in range(len(layout.labels)):
            seen = everything.seen.clone()
            seen[:, m] = False
            observation = ObservedMarkers(everything.markers, seen)
            pose = pose_course(wearer, observation, prior, weights, gait.recording.rate_hz, None, batches)
            predicted = marker_motion(wearer, pose).markers[:, m]
            apart = (predicted - everything.markers[:, m]).norm(dim=-1).cpu().numpy()
            distance[m] = np.where(everything.seen[:, m].cpu().numpy(), apart, np.nan)
    return HiddenMarkers(layout.labels, distance)


def mean_mm(distance_m: NDArray[np.float64]) -> float | None:
    """Mean of what is a number, mm; None where nothing is."""
    return 1e3 * float(np.nanmean(distance_m)) if np.isfinite(distance_m).any() else None
