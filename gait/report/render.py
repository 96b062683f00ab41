"""Render pages from ``templates/``: each is one file without scripts or external resources.

Every value that a template shows is escaped, and characters that cannot be shown are replaced.
"""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import BaseLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gait.motion.trial_paths import HEALTHY, LABEL_NOUNS, SICK
from gait.report.display_names import classifier_name
from gait.report.gait.numbers import TITLES as PARAMETER_TITLES
from gait.report.gait.numbers import shown_unit
from gait.report.training.text_summary import format_interval
from gait.text import capitalize, format_number, format_probability, natural_key, pluralize, printable

MAX_SUBJECTS_SHOWN = 40
"""With more subjects than this, tables show only those with errors or the largest residuals."""


def render(template: str, **context: Any) -> str:
    """Return the page that a template of ``templates/`` makes of its context."""
    return _ENVIRONMENT.get_template(template).render(context)


def relative_url(page: Path, file: Path) -> str:
    """Return the URL of a file relative to a page."""
    relative = os.path.relpath(file.resolve(), page.resolve().parent)
    return quote(Path(relative).as_posix(), safe="/", errors="surrogateescape")


def by_label(subjects: Iterable[str], sick: Mapping[str, bool]) -> dict[str, list[str]]:
    """Return the names of subjects without their label, sorted, by label; labels without subjects are omitted."""
    names = sorted(subjects, key=natural_key)
    groups = {
        label: [name.removeprefix(f"{label}/") for name in names if sick[name] == (label == SICK)]
        for label in (HEALTHY, SICK)
    }
    return {label: names for label, names in groups.items() if names}


def _duration(seconds: float) -> Markup:
    """Return for example ``95&nbsp;s``, ``3&nbsp;min`` or ``2.1&nbsp;h``."""
    if seconds < 120:
        return Markup(f"{seconds:.0f}&nbsp;s")
    return Markup(f"{seconds / 60:.0f}&nbsp;min" if seconds < 7200 else f"{seconds / 3600:.1f}&nbsp;h")


def first_few(lines: Sequence[str]) -> list[str]:
    """Return at most ``MAX_SUBJECTS_SHOWN`` lines, and the number of omitted ones."""
    more = len(lines) - MAX_SUBJECTS_SHOWN
    return [*lines[:MAX_SUBJECTS_SHOWN], *([f"and {more} more"] if more > 0 else [])]


def _millimetres(value: float) -> str:
    return f"{value:.1f} mm" if math.isfinite(value) else "–"


def _parameter_title(name: str) -> str:
    """Return the head of a column of a spatio-temporal parameter."""
    return f"{PARAMETER_TITLES[name]}, {shown_unit(name)}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.0f} %" if math.isfinite(fraction) else "–"


def png_url(png: bytes) -> str:
    """Return the URL that holds a picture."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def _sentence(line: str) -> str:
    """Return a line as a sentence, capitalized and with a full stop."""
    line = capitalize(line)
    return line if line.endswith((".", "!", "?")) else line + "."


def _plain(value: Any) -> str:
    """Return a setting as text."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _finalize(value: Any) -> Any:
    """Return a value of a template as text without characters that cannot be shown."""
    return value if isinstance(value, Markup) else printable(str(value))


def make_environment(loader: BaseLoader) -> Environment:
    """Return an environment of templates in which every value is escaped and every name must be known."""
    return Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )


_ENVIRONMENT = make_environment(PackageLoader("gait.report"))
_ENVIRONMENT.filters |= {
    "by_label": by_label,
    "classifier_name": classifier_name,
    "duration": _duration,
    "first_few": first_few,
    "interval": format_interval,
    "mm": _millimetres,
    "number": format_number,
    "parameter_title": _parameter_title,
    "percent": _percent,
    "plain": _plain,
    "plural": pluralize,
    "probability": format_probability,
    "sentence": _sentence,
}
_ENVIRONMENT.globals["label_nouns"] = LABEL_NOUNS
