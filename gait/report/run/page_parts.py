"""What several sections of a whole run's page have: links to files, persons, the first of very many."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from gait.report.run.model import RunReport
from gait.report.training.html import text

MOST_PERSONS = 40
"""Of more persons than these a table shows those that need a look."""


def anchor(story: RunReport, file: Path) -> str:
    """A link that is called as the file is."""
    return f'<a href="{link(story, file)}">{text(file.name)}</a>'


def link(story: RunReport, file: Path) -> str:
    """From the page's place to a file, as an address within a page."""
    way = os.path.relpath(file.resolve(), story.page.resolve().parent)
    return quote(Path(way).as_posix(), safe="/", errors="surrogateescape")


def person_cell(name: str) -> str:
    """``sick/P02`` with its label in the label's colour."""
    label, _, rest = name.partition("/")
    return f'<span class="{text(label)}">{text(label)}</span> {text(rest)}'


def first_of(lines: Sequence[str]) -> list[str]:
    """Of very many lines the first ones, and how many more there are."""
    more = len(lines) - MOST_PERSONS
    return [*lines[:MOST_PERSONS], *([f"and {more} more"] if more > 0 else [])]
