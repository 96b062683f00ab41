"""Repeatability of the fitted body shape: distance between bodies fitted to single recordings of one subject."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fit_recorded_trials import FittedTrial
from numpy.typing import NDArray
from recorded_trials import is_walking_trial

from gait.body.body import Body
from gait.body.marker_placement import plug_in_gait_layout
from gait.capture.recording import Recording
from gait.fitting.subject_fit import SubjectFit, fit_shape_and_poses


def repeatability_metrics(trials: Iterable[FittedTrial], body: Body) -> dict[str, Any] | None:
    """Compute mean vertex distances, mm, between the bodies of one session's recordings, by pair and over subjects.

    ``mean`` is the mean over subjects of their mean over pairs of walking trials. ``with_static`` includes pairs with a
    static trial, whose single pose determines the joints less well. Returns None if no subject has two recordings of
    one session.
    """
    subjects: dict[str, SubjectFit] = {}
    for trial in trials:
        subjects.setdefault(Path(trial.name).parent.name, trial.subject_fit)
    pairs: dict[str, dict[str, float]] = {}
    between_walks: dict[str, list[float]] = {}
    between_all: dict[str, list[float]] = {}
    for name, subject in subjects.items():
        for visit in subject.shape_groups:
            recordings = [subject.trials[r].recording for r in visit]
            if len(recordings) < 2:
                continue
            print(f"fitting {len(recordings)} recordings of {name} one by one", file=sys.stderr)
            skins = [fit_shape_alone(recording, body) for recording in recordings]
            for a, b in combinations(range(len(recordings)), 2):
                distance = 1e3 * vertex_distance_m(skins[a], skins[b])
                paths = recordings[a].path, recordings[b].path
                pairs.setdefault(name, {})[" and ".join(path.stem for path in paths)] = distance
                between_all.setdefault(name, []).append(distance)
                if all(is_walking_trial(path) for path in paths):
                    between_walks.setdefault(name, []).append(distance)
    if not pairs:
        return None
    return {"mean": mean_of_means(between_walks), "with_static": mean_of_means(between_all), "pairs": pairs}


def fit_shape_alone(recording: Recording, body: Body) -> NDArray[np.float64]:
    """Fit one recording alone; return the vertices (V, 3) in T-pose, metres."""
    (trial_fit,) = fit_shape_and_poses([recording], body, plug_in_gait_layout(body)).trials
    with torch.inference_mode():
        vertices, _ = body.rest_body(torch.as_tensor(trial_fit.betas).to(body.v_template))
    return vertices[0].double().cpu().numpy()


def vertex_distance_m(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the mean distance between the vertices (V, 3) of two bodies in the model's coordinates."""
    return float(np.linalg.norm(one - other, axis=1).mean())


def mean_of_means(values: dict[str, list[float]]) -> float | None:
    """Return the mean over subjects of the mean per subject; None without values."""
    return float(np.mean([np.mean(each) for each in values.values()])) if values else None
