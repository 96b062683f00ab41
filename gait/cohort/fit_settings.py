"""How a cohort is fitted, and where from and to; refused before any work where it makes no sense.

Nothing here needs torch, so that a command line knows at once what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gait.cohort.cohort_file import Subject
from gait.errors import GaitError
from gait.motion.trial_paths import HEALTHY, SICK
from gait.parallel.device import check_device

PoseFormat = Literal["npz", "json"]

_MODEL_PLACES = ("SUPR", "smplx", "smplh", "smpl", ".")
"""Folders in the model folder where bodies may lie; those in small letters are the package smplx's own."""
_MODEL_SUFFIXES = (".npy", ".npz", ".pkl")


@dataclass(frozen=True)
class FitSettings:
    """How a cohort is fitted, and where from and to."""

    model_folder: Path  # holds SUPR/ and, if the user has them, smplx/, smplh/ and VPoser/
    save_folder: Path
    device: str = "cpu"
    overwrite: bool = False
    pose_format: PoseFormat = "npz"
    pictures: bool = True
    repair: bool = False  # put exchanged names and mirrored recordings right instead of leaving them out

    def model_file(self, name: str) -> Path:
        """Where a body model of that name is, or would belong if it is nowhere."""
        places = [self.model_folder / place / name for place in _MODEL_PLACES]
        return next((path for path in places if path.is_file()), places[0])

    def model_files(self) -> list[str]:
        """Names of the body models that are there, those in folders of their own with their folders."""
        found = []
        for place in (self.model_folder / name for name in _MODEL_PLACES[:-1]):
            files = (path for path in place.rglob("*") if path.suffix in _MODEL_SUFFIXES)
            found += [
                path.name if path.parent == place else path.relative_to(self.model_folder).as_posix() for path in files
            ]
        return sorted(found)

    @property
    def vposer(self) -> Path:
        """Where the learned pose prior belongs."""
        return self.model_folder / "VPoser"


def person_folder(save_folder: Path, subject: Subject) -> Path:
    """Where the results of a person belong, a folder for each gait."""
    return save_folder / (HEALTHY if subject.healthy else SICK) / subject.name


def check_settings(subjects: Sequence[Subject], settings: FitSettings) -> None:
    """Refuse what no gait could be fitted with, before any is: device, place for the results, body models.

    Raises:
        GaitError: the device is not on this computer, the save folder cannot be made, or no subject's model is there.
    """
    check_device(settings.device)
    try:
        settings.save_folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GaitError(
            f"{settings.save_folder}: cannot be made ({error.strerror}); name another save folder."
        ) from error
    missing = []
    for name in dict.fromkeys(subject.model_file for subject in subjects):
        try:
            model_path(settings, name)
            return
        except GaitError as error:
            missing.append(error)
    raise missing[0]


def model_path(settings: FitSettings, name: str) -> Path:
    """The body model's file; a GaitError that lists those there if it is not among them."""
    path = settings.model_file(name)
    if not path.is_file():
        there = settings.model_files()
        listed = f"it has {', '.join(there)}" if there else "it has no body model"
        raise GaitError(f"{settings.model_folder}: no body model {name} in its folders SUPR, smplx, smplh; {listed}.")
    return path
