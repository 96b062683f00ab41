"""Names of folders and files that a fit leaves and a training finds; here, so that naming them loads nothing."""

from __future__ import annotations

from pathlib import Path

HEALTHY, SICK = "healthy", "sick"
"""The two folders of persons, by label."""

REPORT_FILE = "fit_report.json"
"""In the folder of each gait."""

PART_NAME = "part"
"""Of the folders of a gait that was split: ``part1``, ``part2``, …"""


def gait_name(folder: Path) -> str:
    """What a folder of poses is called: "sick/P02/walk1/part2"; without its label where the fit has given it none."""
    return "/".join(_named(folder))


def person_of(folder: Path) -> str:
    """Whose poses are in a folder: "sick/P02"; "P02" where the fit has given no label."""
    named = _named(folder)
    return "/".join(named[: 1 + (named[0] in (HEALTHY, SICK))])


def _named(folder: Path) -> tuple[str, ...]:
    """Label if there is one, subject, gait, and part where it was split."""
    parts = Path(folder).resolve().parts[1:] or ("",)  # without the root
    is_part = parts[-1].startswith(PART_NAME) and parts[-1].removeprefix(PART_NAME).isdecimal()
    count = 3 if is_part else 2
    labelled = len(parts) > count and parts[-1 - count] in (HEALTHY, SICK)
    return parts[-(count + labelled) :]
