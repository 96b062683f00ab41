"""Parts of the run report page that several sections share: links, subject cells, truncated lists."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from gait.report.run.model import RunReport
from gait.report.training.html import text

MAX_SUBJECTS_SHOWN = 40
"""With more subjects than this, tables show only those with errors or the largest residuals."""


def anchor(report: RunReport, file: Path) -> str:
    """Return an HTML link to a file, with the file name as its text."""
    return f'<a href="{link(report, file)}">{text(file.name)}</a>'


def link(report: RunReport, file: Path) -> str:
    """Return the URL of a file relative to the page."""
    relative = os.path.relpath(file.resolve(), report.page.resolve().parent)
    return quote(Path(relative).as_posix(), safe="/", errors="surrogateescape")


def subject_cell(name: str) -> str:
    """Return the HTML of a subject such as ``sick/P02``, with its label in the colour of the label."""
    label, _, rest = name.partition("/")
    return f'<span class="{text(label)}">{text(label)}</span> {text(rest)}'


def truncate_lines(lines: Sequence[str]) -> list[str]:
    """Return at most ``MAX_SUBJECTS_SHOWN`` lines, and how many more there are."""
    more = len(lines) - MAX_SUBJECTS_SHOWN
    return [*lines[:MAX_SUBJECTS_SHOWN], *([f"and {more} more"] if more > 0 else [])]
