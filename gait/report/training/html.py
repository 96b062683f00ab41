"""What every page is made of: sections, tables, lists; one file each that needs nothing else, no network, no script."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from gait.learning.metrics import MetricWithInterval
from gait.report.training.display_names import printable
from gait.report.training.style import STYLE
from gait.report.training.text_summary import figure, interval


def whole_page(title: str, parts: Sequence[str], style: str = "") -> str:
    """The page as HTML.

    Args:
        title: of the browser's tab, as plain text.
        parts: of its body, as HTML, from above; empty ones are left out.
        style: besides that of every page.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}{style}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body>\n</html>\n"
    )


def text(value: Any) -> str:
    """Anything as text of a page: escaped, and a box for what cannot be shown."""
    return escape(printable(str(value)))


def section(title: str, content: str, name: str = "") -> str:
    """A heading and what stands under it, which is HTML; ``name`` is what a link within the page calls it."""
    named = f' id="{name}"' if name else ""
    return f"<section{named}><h2>{text(title)}</h2>\n{content}</section>"


def table(heads: Sequence[str], rows: Sequence[str]) -> str:
    """A table of head cells and whole rows, both HTML; it scrolls sideways where there is no room."""
    head = f"<thead><tr>{''.join(heads)}</tr></thead>" if heads else ""
    return f'<div class="table"><table>{head}<tbody>{"".join(rows)}</tbody></table></div>'


def bullet_list(lines: Sequence[str], kind: str = "") -> str:
    """Lines of plain text; nothing if there are none."""
    named = f' class="{kind}"' if kind else ""
    return f"<ul{named}>{''.join(f'<li>{text(line)}</li>' for line in lines)}</ul>" if lines else ""


def paragraphs(lines: Sequence[str]) -> str:
    """Each line of plain text on its own."""
    return "".join(f"<p>{text(line)}</p>" for line in lines)


def plain_table(rows: Mapping[str, Any]) -> str:
    """Names and values, a row each."""

    def shown(value: Any) -> str:
        if isinstance(value, bool) or value is None:
            return {True: "yes", False: "no", None: "–"}[value]
        return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)

    return table(
        [], [f'<tr><th scope="row">{text(name)}</th><td>{text(shown(value))}</td></tr>' for name, value in rows.items()]
    )


def estimate_cell(estimate: MetricWithInterval, of_network: bool = False) -> str:
    """A table's cell: the value, and its interval beneath it."""
    span = f"<small>{interval(estimate)}</small>" if math.isfinite(estimate.low) else ""
    kind = ' class="of-network"' if of_network else ""
    return f"<td{kind}>{figure(estimate.value)}{span}</td>"


def duration(seconds: float) -> str:
    """``95&nbsp;s``, ``3&nbsp;min``, ``2.1&nbsp;h``."""
    if seconds < 120:
        return f"{seconds:.0f}&nbsp;s"
    return f"{seconds / 60:.0f}&nbsp;min" if seconds < 7200 else f"{seconds / 3600:.1f}&nbsp;h"
