"""Parts of HTML pages: sections, tables and lists. Each page is one file without scripts or external resources."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from gait.learning.metrics import MetricWithInterval
from gait.report.training.style import STYLE
from gait.report.training.text_summary import format_interval, format_number
from gait.text import printable


def whole_page(title: str, parts: Sequence[str], style: str = "") -> str:
    """Return a complete page.

    Args:
        title: title of the browser tab, plain text.
        parts: HTML of the body in order; empty parts are omitted.
        style: CSS added to the common style sheet.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}{style}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body>\n</html>\n"
    )


def text(value: Any) -> str:
    """Return any value as escaped HTML text, with unprintable characters replaced."""
    return escape(printable(str(value)))


def section(title: str, content: str, name: str = "") -> str:
    """Return a section with a heading and HTML content; ``name`` is its anchor."""
    named = f' id="{name}"' if name else ""
    return f"<section{named}><h2>{text(title)}</h2>\n{content}</section>"


def table(heads: Sequence[str], rows: Sequence[str]) -> str:
    """Return a table of header cells and complete rows, both HTML; it scrolls sideways on narrow screens."""
    head = f"<thead><tr>{''.join(heads)}</tr></thead>" if heads else ""
    return f'<div class="table"><table>{head}<tbody>{"".join(rows)}</tbody></table></div>'


def bullet_list(lines: Sequence[str], kind: str = "") -> str:
    """Return a list of plain text lines, or nothing if there are none."""
    named = f' class="{kind}"' if kind else ""
    return f"<ul{named}>{''.join(f'<li>{text(line)}</li>' for line in lines)}</ul>" if lines else ""


def paragraphs(lines: Sequence[str]) -> str:
    """Return one paragraph per line of plain text."""
    return "".join(f"<p>{text(line)}</p>" for line in lines)


def plain_table(rows: Mapping[str, Any]) -> str:
    """Return a table with one row per name and value."""

    def shown(value: Any) -> str:
        if isinstance(value, bool) or value is None:
            return {True: "yes", False: "no", None: "–"}[value]
        return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)

    return table(
        [], [f'<tr><th scope="row">{text(name)}</th><td>{text(shown(value))}</td></tr>' for name, value in rows.items()]
    )


def estimate_cell(estimate: MetricWithInterval, of_network: bool = False) -> str:
    """Return a table cell with the value and, below it, its interval."""
    span = f"<small>{format_interval(estimate)}</small>" if math.isfinite(estimate.low) else ""
    kind = ' class="of-network"' if of_network else ""
    return f"<td{kind}>{format_number(estimate.value)}{span}</td>"


def duration(seconds: float) -> str:
    """Return for example ``95&nbsp;s``, ``3&nbsp;min`` or ``2.1&nbsp;h``."""
    if seconds < 120:
        return f"{seconds:.0f}&nbsp;s"
    return f"{seconds / 60:.0f}&nbsp;min" if seconds < 7200 else f"{seconds / 3600:.1f}&nbsp;h"
