"""Settings of a cohort fit, and the checks that are made before any work.

Nothing here imports torch, so a wrong command line is reported without delay.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gait.body.open_body import default_model_folder
from gait.cli.arguments import argument, result_folder
from gait.cohort.cohort_file import Subject
from gait.errors import GaitError
from gait.exporting import EXPORTERS
from gait.motion.trial_paths import HEALTHY, SICK
from gait.parallel.device import check_device

_MODEL_SUBFOLDERS = ("SUPR", "smplx", "smplh", "smpl", ".")
"""Subfolders of the model folder with body models; the lower-case names are those of the package ``smplx``."""
_MODEL_SUFFIXES = (".npy", ".npz", ".pkl")
_SMPL_FAMILY = re.compile("smplx|smplh|smpl|basicmodel")  # the last are the released files of SMPL


@dataclass(frozen=True)
class FitSettings:
    """Input and output folders and settings of a cohort fit."""

    model_folder: Path = argument(
        default_model_folder(), "has the folders SUPR, smplx, smplh and VPoser", aliases=["--body_models"]
    )
    save_folder: Path = argument(Path("out"), "folder for the results", type=result_folder)
    device: str = argument("cpu", "cpu (default), cuda or cuda:N")
    overwrite: bool = argument(False, "fit finished trials again")
    export_as: tuple[str, ...] = argument((), "also write the poses in other formats", choices=tuple(EXPORTERS))
    figures: bool = argument(True, "do not draw figures", flag="--no_pictures", aliases=["--no_figures"])
    repair: bool = argument(False, "correct swapped labels and mirrored recordings", aliases=["--correct_labels"])

    def expected_model_path(self, name: str) -> Path:
        """Return the path of the body model ``name``; if there is none, the path where it is expected."""
        candidates = [self.model_folder / subfolder / name for subfolder in _MODEL_SUBFOLDERS]
        return next((path for path in candidates if path.is_file()), candidates[0])

    def list_models(self) -> list[str]:
        """Return the names of the available body models; those in nested folders with their relative path."""
        found = []
        for subfolder in (self.model_folder / name for name in _MODEL_SUBFOLDERS[:-1]):
            files = (path for path in subfolder.rglob("*") if path.suffix in _MODEL_SUFFIXES)
            found += [
                path.name if path.parent == subfolder else path.relative_to(self.model_folder).as_posix()
                for path in files
            ]
        return sorted(found)

    def smpl_models(self) -> dict[str, Path]:
        """Return the body models whose names are those of the SMPL family, by name."""
        paths = {name: self.expected_model_path(name) for name in self.list_models() if smpl_family(name)}
        return {name: path for name, path in paths.items() if path.is_file()}

    @property
    def vposer(self) -> Path:
        """Folder of the learned pose prior."""
        return self.model_folder / "VPoser"


def smpl_family(name: str) -> str:
    """Return "smpl", "smplh" or "smplx" by the name of a body model file; empty for another family."""
    found = _SMPL_FAMILY.search(name.lower())
    return "" if found is None else found[0].replace("basicmodel", "smpl")


def subject_folder(save_folder: Path, subject: Subject) -> Path:
    """Return the folder of a subject's results, which has one folder per trial."""
    return save_folder / (HEALTHY if subject.healthy else SICK) / subject.name


def label_warnings(subjects: Sequence[Subject], settings: FitSettings) -> list[str]:
    """Return a line for each subject that has results under the other label, as after a correction of its label."""
    folders = (settings.save_folder / (SICK if each.healthy else HEALTHY) / each.name for each in subjects)
    return [
        f"{folder}: has results of this subject under the other label, which a training would read, too; delete it, "
        "unless it is meant as another session."
        for folder in folders
        if folder.is_dir()
    ]


def check_settings(subjects: Sequence[Subject], settings: FitSettings) -> None:
    """Check device, save folder and body models before the first fit.

    Raises:
        GaitError: the device does not exist, the save folder cannot be created, or no subject's body model exists.
    """
    check_device(settings.device)
    try:
        settings.save_folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"{settings.save_folder}: cannot be created ({error.strerror}); name another save folder."
        raise GaitError(message) from error
    missing = []
    for name in dict.fromkeys(subject.model_file for subject in subjects):
        try:
            find_model(settings, name)
            return
        except GaitError as error:
            missing.append(error)
    raise missing[0]


def find_model(settings: FitSettings, name: str) -> Path:
    """Return the path of a body model; if it does not exist, raise a GaitError that lists the available ones."""
    path = settings.expected_model_path(name)
    if not path.is_file():
        names = settings.list_models()
        found = f"{name} in its folders SUPR, smplx, smplh; it has {', '.join(names) or 'no body model'}"
        raise GaitError(f"{settings.model_folder}: no body model {found}.")
    return path
