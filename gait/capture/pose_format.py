"""Definition of one format of poses that other tools wrote, and the poses of one trial as they are stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gait.capture.raw_recording import RATE_RANGE_HZ
from gait.errors import GaitError

Field = str | float | None
"""Value of a field of a trial, such as a clinical score; None if it is missing."""

MODEL_TYPES = {72: "smpl", 156: "smplh", 165: "smplx"}
"""Body model by the number of pose parameters, three for each joint."""


@dataclass(frozen=True)
class ForeignPoses:
    """Joint rotations of one trial as another tool wrote them, in the axes of the file."""

    model_type: str  # "smpl", "smplh" or "smplx": the body model whose joints the poses rotate
    poses: NDArray[np.float64]  # (T, 3·J) axis-angle of each joint relative to its parent, radians
    translation_m: NDArray[np.float64]  # (T, 3) metres
    rate_hz: float
    betas: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))  # (B,) shape; (0,) if the file has none
    gender: str = "neutral"  # of the body model: female, male or neutral
    stated_up: str = ""  # up axis that the format defines, such as "+z"; empty if it defines none


@dataclass(frozen=True)
class Member:
    """One trial of a file with many: its subject, its name, and its fields."""

    subject: str
    walk: str
    fields: Mapping[str, Field]


@dataclass(frozen=True)
class TrialPath:
    """The place of a trial: a file, or a trial in a file with many, written ``file.pkl#subject/walk``."""

    file: Path
    subject: str = ""
    walk: str = ""


@dataclass(frozen=True)
class PoseFormat:
    """One format of poses.

    ``read`` and ``members`` raise GaitError, one line with the path, if the file is damaged or of another form. They
    never run code of the file.
    """

    name: str
    title: str  # shown to users, e.g. "AMASS"
    suffixes: tuple[str, ...]  # lower case, with the dot
    read: Callable[[TrialPath], ForeignPoses]
    recognizes: Callable[[Path], bool] = lambda path: True  # whether a file of these suffixes has this format
    members: Callable[[Path], tuple[Member, ...]] | None = None  # of a file with many trials; None: a file is one trial


def check_poses(
    where: object, poses: object, translation: object, rate_hz: object, betas: object = ()
) -> tuple[NDArray[np.float64], NDArray[np.float64], float, NDArray[np.float64]]:
    """Return poses (T, 3·J), translation (T, 3) in metres, rate in Hz and betas (B,) of a body of ``MODEL_TYPES``.

    Raises:
        GaitError: the line begins with ``where`` and names the array that has a wrong shape or no finite numbers.
    """
    arrays: dict[str, NDArray[np.float64]] = {}
    for name, values in (("poses", poses), ("trans", translation), ("betas", betas), ("the frame rate", rate_hz)):
        try:
            array = np.asarray(values)
        except ValueError as error:
            raise GaitError(f"{where}: {name} has rows of different lengths; export the poses again.") from error
        if array.dtype.kind not in "iuf":
            raise GaitError(f"{where}: {name} must be numbers, not {array.dtype}; export the poses again.")
        arrays[name] = array.astype(np.float64)
        if not np.isfinite(arrays[name]).all():
            raise GaitError(f"{where}: {name} has values that are not finite; export the poses again.")
    pose, trans = arrays["poses"], arrays["trans"]
    pose = pose.reshape(len(pose), -1) if pose.ndim == 3 else pose  # (T, J, 3) is also common
    if pose.ndim != 2 or not len(pose) or pose.shape[1] not in MODEL_TYPES:
        known = ", ".join(f"{count} ({kind})" for count, kind in MODEL_TYPES.items())
        raise GaitError(f"{where}: poses has the shape {pose.shape}; (frames, numbers) with {known} numbers is needed.")
    if trans.shape != (len(pose), 3):
        raise GaitError(f"{where}: trans has the shape {trans.shape}; {(len(pose), 3)} is needed for its frames.")
    rate, (low, high) = arrays["the frame rate"], RATE_RANGE_HZ
    if rate.size != 1 or not low <= float(rate.reshape(())) <= high:
        raise GaitError(f"{where}: the frame rate must be one number from {low:g} to {high:g} Hz; correct it.")
    return pose, trans, float(rate.reshape(())), arrays["betas"].reshape(-1)
