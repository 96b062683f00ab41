"""Names of the files of an explained cohort; this module imports nothing heavy."""

from __future__ import annotations

from pathlib import Path


def cohort_files(output: Path, network: str) -> tuple[Path, Path, Path]:
    """Return the paths of figure, group means, and the table with one row per subject."""
    return (
        output / f"cohort_{network}.png",
        output / f"cohort_{network}.csv",
        output / f"attribution_subjects_{network}.csv",
    )


def recurrence_file(output: Path, network: str) -> Path:
    """Return the path of the table of findings that recur."""
    return output / f"recurring_findings_{network}.csv"
