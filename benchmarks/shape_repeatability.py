"""Whether two recordings of one person, each fitted alone, give the same body."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fit_recorded_trials import FittedWalk
from numpy.typing import NDArray
from recorded_trials import is_walk

from gait.body.body import Body
from gait.body.marker_placement import plug_in_gait_layout
from gait.capture import Recording
from gait.fitting.subject_fit import SubjectFit, fit_person


def repeat_figures(walks: Iterable[FittedWalk], body: Body) -> dict[str, Any] | None:
    """Mean vertex distances in mm of the bodies of a visit's recordings, pair by pair and over persons.

    ``mean`` is over persons of the mean over pairs of their walks. In ``with_static`` pairs with a static trial count
    too, where nobody moves and one pose alone tells of the joints. None where nobody has two recordings of a visit.
    """
    persons: dict[str, SubjectFit] = {}
    for walk in walks:
        persons.setdefault(Path(walk.name).parent.name, walk.person)
    pairs: dict[str, dict[str, float]] = {}
    between_walks: dict[str, list[float]] = {}
    between_all: dict[str, list[float]] = {}
    for name, person in persons.items():
        for visit in person.visits:
            recordings = [person.gaits[r].recording for r in visit]
            if len(recordings) < 2:
                continue
            print(f"fitting {len(recordings)} recordings of {name} one by one", file=sys.stderr)
            skins = [body_alone(recording, body) for recording in recordings]
            for a, b in combinations(range(len(recordings)), 2):
                distance = 1e3 * vertex_distance_m(skins[a], skins[b])
                paths = recordings[a].path, recordings[b].path
                pairs.setdefault(name, {})[" and ".join(path.stem for path in paths)] = distance
                between_all.setdefault(name, []).append(distance)
                if all(is_walk(path) for path in paths):
                    between_walks.setdefault(name, []).append(distance)
    if not pairs:
        return None
    return {"mean": mean_of_means(between_walks), "with_static": mean_of_means(between_all), "pairs": pairs}


def body_alone(recording: Recording, body: Body) -> NDArray[np.float64]:
    """Vertices (V, 3) in T-pose, metres, of the body that this recording alone gives."""
    (gait,) = fit_person([recording], body, plug_in_gait_layout(body)).gaits
    with torch.inference_mode():
        vertices, _ = body.shaped(torch.as_tensor(gait.betas).to(body.v_template))
    return vertices[0].double().cpu().numpy()


def vertex_distance_m(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Mean distance of the vertices (V, 3) of two bodies as the model has them, pelvis on pelvis."""
    return float(np.linalg.norm(one - other, axis=1).mean())


def mean_of_means(values: dict[str, list[float]]) -> float | None:
    """Mean over persons of each one's mean; None where there is nobody."""
    return float(np.mean([np.mean(each) for each in values.values()])) if values else None
