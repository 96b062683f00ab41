"""Fits of the real walks, and the figures of each."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from recorded_trials import RecordedPerson, is_walk

from gait.body.body import Body
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.rotations import matrix_to_axis_angle
from gait.body.skeleton import Joint
from gait.fitting.fit_report import fit_report
from gait.fitting.subject_fit import SubjectFit, TrialFit, fit_person

KNEE_TOLERANCE_DEG = 8.0
ELBOW_TOLERANCE_DEG = 10.0
"""Knees and elbows may be stretched a little beyond straight, as people's are; more is the wrong way."""


@dataclass(frozen=True)
class FittedWalk:
    """One real walk in the fit of its person."""

    name: str  # the file, from the captures' folder on
    person: SubjectFit
    gait: TrialFit


def fit_walks(persons: Iterable[RecordedPerson], captures: Path, body: Body) -> list[FittedWalk]:
    """Fit everybody with all of their recordings; the walks among them."""
    layout = plug_in_gait_layout(body)
    walks = []
    for person in persons:
        print(f"fitting {person.name}", file=sys.stderr)
        fit = fit_person(person.recordings(), body, layout)
        walks += [
            FittedWalk(path.relative_to(captures).as_posix(), fit, gait)
            for path, gait in zip(person.paths, fit.gaits, strict=True)
            if is_walk(path)
        ]
    return walks


def walk_figures(walk: FittedWalk, body: Body) -> dict[str, Any]:
    """What the walk's own report says, and how its knees and elbows bend."""
    with torch.inference_mode():
        vertices, _ = body.shaped(torch.as_tensor(walk.gait.betas).to(body.v_template))
    height = vertices[0, :, 1]
    report = fit_report(walk.person, walk.gait, walk.person.layout.labels, float(height.max() - height.min()))
    return {
        "residual_mm": report.residual_mm["mean"],
        "max_frame_mean_mm": report.residual_mm["max_frame_mean"],
        "offset_mm": report.offset_mm["anatomical"],
        "technical_offset_mm": report.offset_mm["technical"],
        "worst_markers": {label: report.markers[label]["mean_mm"] for label in report.worst_markers[:3]},
        "wrong_way_share": wrong_way_share(walk.gait.rotations),
        "stature_m": report.stature_m,
        "frames": report.frames,
    }


def worst_figures(walks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The largest of each figure over all walks, and the mean residual of all."""
    figures = list(walks.values())
    return {
        "residual_mm": max(f["residual_mm"] for f in figures),
        "mean_residual_mm": float(np.mean([f["residual_mm"] for f in figures])),
        "max_frame_mean_mm": max(f["max_frame_mean_mm"] for f in figures),
        "offset_mm": max(f["offset_mm"] for f in figures),
        "knees_and_elbows_bend_the_human_way": not any(any(f["wrong_way_share"].values()) for f in figures),
    }


def wrong_way_share(rotations: NDArray[np.float64]) -> dict[str, float]:
    """Share of frames in which a knee or an elbow is bent beyond straight.

    Of rotations (T, J, 3, 3) relative to the parent. A knee flexes about +x, the left elbow about −y, the right
    about +y (``gait.body.pose_prior``).
    """
    degrees = np.degrees(matrix_to_axis_angle(torch.as_tensor(rotations)).numpy())
    knees = degrees[:, [Joint.LEFT_KNEE, Joint.RIGHT_KNEE], 0]
    elbows = degrees[:, [Joint.LEFT_ELBOW, Joint.RIGHT_ELBOW], 1] * [-1, 1]
    return {
        "knees": float((knees < -KNEE_TOLERANCE_DEG).any(axis=1).mean()),
        "elbows": float((elbows < -ELBOW_TOLERANCE_DEG).any(axis=1).mean()),
    }
