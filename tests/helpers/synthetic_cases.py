"""Synthetic trials of the open body that tests of several modules read."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from gait.body.body import Body
from gait.body.model_file import load_body
from gait.body.skeleton import Joint
from gait.synthetic import SyntheticTrial, make_pathology, make_subject, make_trial
from tests.helpers.paths import OPEN_BODY


@cache
def body() -> Body:
    return load_body(OPEN_BODY)


@cache
def synthetic_trial(name: str | None = None, seed: int = 2) -> SyntheticTrial:
    """Return 4.5 s of an adult, with a pathology if it is named."""
    pathology = make_pathology(name) if name else None
    return make_trial(body(), make_subject(body(), seed, adult=True), pathology, seconds=4.5, seed=seed)


def on_treadmill(joints: NDArray[np.floating]) -> NDArray[np.floating]:
    """Subtract the mean velocity of the pelvis."""
    pelvis = joints[:, Joint.PELVIS]
    drift = np.linspace(0, 1, len(joints))[:, None] * (pelvis[-1] - pelvis[0]) * [1, 0, 1]
    return joints - drift[:, None]
