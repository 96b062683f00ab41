"""Read AMASS files (Mahmood et al. 2019, AMASS: Archive of Motion Capture as Surface Shapes, ICCV).

The releases differ: ``mocap_framerate`` or ``mocap_frame_rate``; the gender as text or bytes; poses of SMPL-H (156
numbers) or SMPL-X (165). All are z up, in metres.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from gait.capture.pose_format import MODEL_TYPES, ForeignPoses, PoseFormat, TrialPath, check_poses
from gait.errors import GaitError

_RATE_KEYS = ("mocap_frame_rate", "mocap_framerate", "fps")
_GENDERS = ("female", "male", "neutral")


def is_amass(path: Path) -> bool:
    """Return whether an archive has poses and no joint positions; False for a damaged one."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile, ValueError):
        return False
    return "poses" in names and "joints" not in names


def read_amass(trial: TrialPath) -> ForeignPoses:
    """Read the poses of an AMASS file.

    Raises:
        GaitError: the file is damaged, would run code, or lacks an array.
    """
    from gait.files.safe_pickle import read_array_dict  # imports scipy

    path = trial.file
    content = read_array_dict(path)
    rate = next((content[key] for key in _RATE_KEYS if key in content), None)
    missing = [key for key in ("poses", "trans") if key not in content]
    missing += [] if rate is not None else [" or ".join(_RATE_KEYS[:2])]
    if missing:
        found = ", ".join(sorted(content))
        raise GaitError(f"{path}: lacks {', '.join(missing)}, which AMASS files have; it has {found}.")
    poses, translation, rate_hz, betas = check_poses(
        path, content["poses"], content["trans"], rate, content.get("betas", ())
    )
    return ForeignPoses(
        model_type=MODEL_TYPES[poses.shape[1]],
        poses=poses,
        translation_m=translation,
        rate_hz=rate_hz,
        betas=betas,
        gender=_gender(content.get("gender", "neutral")),
        stated_up="+z",
    )


def _gender(value: Any) -> str:
    """Return female, male or neutral; neutral for any other value."""
    item = np.asarray(value).reshape(-1)[:1].tolist()
    word = item[0] if item else ""
    text = word.decode("latin1") if isinstance(word, bytes) else str(word)
    return next((gender for gender in _GENDERS if text.strip(" \0'\"").lower() in (gender, gender[0])), "neutral")


FORMAT = PoseFormat("amass", "AMASS", (".npz",), read_amass, is_amass)
