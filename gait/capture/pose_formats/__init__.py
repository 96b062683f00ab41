"""The formats of poses that other tools wrote: each module of this package holds one, as ``FORMAT``.

Poses of joints without rotations (keypoints, joint arrays) are no poses here but recordings of joint centres, see
``gait.capture.formats``.
"""

from __future__ import annotations

import re
from pathlib import Path

from gait.capture.pose_format import ForeignPoses, PoseFormat, TrialPath
from gait.errors import GaitError
from gait.registry import discover

POSE_FORMATS: dict[str, PoseFormat] = discover(__name__, "FORMAT")
"""By name."""

_COLLECTIONS = tuple(suffix for known in POSE_FORMATS.values() if known.members for suffix in known.suffixes)
_MEMBER = re.compile(rf"(.+?(?:{'|'.join(map(re.escape, _COLLECTIONS))}))#(.*)", re.IGNORECASE | re.DOTALL)


def parse_trial_path(path: Path) -> TrialPath:
    """Return the file, subject and walk of a trial's path, ``file.pkl#subject/walk``; of other files, just the file.

    In a name, ``%2F`` stands for a slash, ``%2E`` for a dot and ``%25`` for a percent sign.
    """
    if (match := _MEMBER.fullmatch(str(path))) is None:
        return TrialPath(Path(path))
    subject, _, walk = (
        re.sub("%(2F|2E|25)", lambda code: chr(int(code[1], 16)), part) for part in match[2].partition("/")
    )
    return TrialPath(Path(match[1]), subject, walk)


def member_path(trial: TrialPath) -> Path:
    """Return the path of a trial in a file with many, which ``parse_trial_path`` reads."""

    def escaped(name: str) -> str:
        text = name.replace("%", "%25").replace("/", "%2F")
        return text if text.strip(".") else text.replace(".", "%2E")  # no folder names

    return Path(f"{trial.file}#{escaped(trial.subject)}/{escaped(trial.walk)}")


def trial_name(path: Path) -> str:
    """Return the name of a trial, that of its results folder: the file's without suffix, or that of its walk."""
    walk = parse_trial_path(path).walk
    return folder_name(walk) if walk else Path(path).stem


def folder_name(name: str) -> str:
    """Return a name of a subject or walk with underscores in place of characters that no folder may have."""
    safe = "".join("_" if character in r'/\:*?"<>|' or not character.isprintable() else character for character in name)
    return safe.strip(" .") or "_"


def pose_format(path: Path) -> PoseFormat | None:
    """Return the format of a trial's poses; None if it is a recording."""
    file = parse_trial_path(path).file
    known = [each for each in POSE_FORMATS.values() if file.suffix.lower() in each.suffixes]
    return next((each for each in known if each.recognizes(file)), None)


def collection_format(path: Path) -> PoseFormat | None:
    """Return the format of a file with many trials, also of one trial in it; None for other files."""
    known = pose_format(path)
    return known if known is not None and known.members is not None else None


def read_foreign_poses(path: Path) -> ForeignPoses:
    """Read the poses of one trial, named by its file or as ``file.pkl#subject/walk``.

    Raises:
        GaitError: the file is missing, damaged, of another form, would run code, or has no such walk.
    """
    known = pose_format(path)
    if known is None:
        titles = ", ".join(f"{each.title} ({', '.join(each.suffixes)})" for each in POSE_FORMATS.values())
        raise GaitError(f"{path}: is not a format of poses; give a file in {titles}.")
    return known.read(parse_trial_path(path))
