"""Concepts as signed bars with their intervals, as SVG that a page holds inline."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from gait.explaining.evidence.finding import Concept
from gait.text import format_number

_WIDTH, _ROW, _TOP, _BOTTOM = 400, 36, 22, 30  # narrow, so that a phone shows the names at full size
_LEFT, _RIGHT = 4, 340  # of the bars; the names stand above them, the values to their right


def concept_chart(concepts: Sequence[Concept]) -> Markup:
    """Return one bar per concept: orange to the right is evidence for sick, blue to the left for healthy."""
    ends = [abs(end) for each in concepts for end in (each.value, each.low, each.high) if math.isfinite(end)]
    reach = max(ends, default=0.0) or 1.0
    height = _TOP + _ROW * len(concepts) + _BOTTOM
    middle = (_LEFT + _RIGHT) / 2

    def x_of(value: float) -> float:
        return middle + value / reach * (_RIGHT - _LEFT) / 2

    base = _TOP + _ROW * len(concepts)
    parts = [
        f'<text class="tick healthy" x="{_LEFT}" y="14">evidence for healthy</text>',
        f'<text class="tick sick" x="{_RIGHT}" y="14" text-anchor="end">evidence for sick</text>',
        f'<path class="zero" d="M{middle} {_TOP}V{base + 4}"/>',
    ]
    for row, each in enumerate(concepts):
        y = _TOP + _ROW * row + _ROW - 10
        kind = "sick" if each.value > 0 else "healthy"
        disagree = each.networks_agree is False
        name = f"{each.title} *" if disagree else each.title
        parts.append(
            f'<text class="{"name doubtful" if disagree else "name"}" x="{_LEFT}" y="{y - 11:.1f}">'
            f"{escape(name)}</text>"
        )
        left, right = sorted((x_of(0.0), x_of(each.value)))
        parts.append(
            f'<rect class="bar {kind}{" doubtful" if disagree else ""}" x="{left:.1f}" y="{y - 7:.1f}" '
            f'width="{max(right - left, 0.5):.1f}" height="14"/>'
        )
        if math.isfinite(each.low) and math.isfinite(each.high):
            low, high = x_of(each.low), x_of(each.high)
            parts.append(
                f'<path class="whisker" d="M{low:.1f} {y:.1f}H{high:.1f}M{low:.1f} {y - 4:.1f}v8M{high:.1f} '
                f'{y - 4:.1f}v8"/>'
            )
        parts.append(
            f'<text class="value" x="{_WIDTH}" y="{y + 4:.1f}" text-anchor="end">'
            f"{format_number(each.value, 2, signed=True)}</text>"
        )
    for value in (-reach, 0.0, reach):
        anchor = {-reach: "start", reach: "end"}.get(value, "middle")
        parts.append(
            f'<text class="tick" x="{x_of(value):.1f}" y="{base + 18}" text-anchor="{anchor}">'
            f"{format_number(value, 2, signed=True)}</text>"
        )
    words = "; ".join(f"{each.title} {format_number(each.value, 2, signed=True)}" for each in concepts)
    label = f"Attribution by concept, in logit units: {words}"
    return Markup(
        f'<svg class="chart concepts" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )
