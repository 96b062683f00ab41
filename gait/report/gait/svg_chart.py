"""Draw curves over the gait cycle, and bars, as SVG that a page holds inline: sharp in print, without scripts.

Colours come from the style sheet of the page (``templates/style.css``): ``--left``, ``--right``, ``--norm``. Lengths
are in units of the view box, which the page scales to its columns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup, escape

from gait.arrays import Vector, true_runs
from gait.viewing.colours import DivergingScale, Scale

_WIDTH, _HEIGHT = 320, 222
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 302, 26, 190
PLOT = (_LEFT, _TOP, _RIGHT, _BOTTOM)
"""Left, top, right and bottom of the axes of a curve chart, in units of its view box."""
_PERCENTS = (0, 20, 40, 60, 80, 100)
_STRIDE_STEP = 2  # percent between the points of a single stride
_MARK_HEIGHT = 3.5  # of a marked phase, below the axis
_MIN_LABEL_GAP = 10.0  # between the letters at the ends of two curves
_PAINT_STEP = 2  # percent between the colours along a painted curve
_PIN_RADIUS = 7.5


@dataclass(frozen=True)
class CurveAxis:
    """The vertical axis of a chart: range and the names of its directions."""

    title: str
    low: float  # degrees; the range grows by whole ticks where a curve leaves it
    high: float
    positive: str = ""  # short name of the direction, "Flex"
    negative: str = ""
    tick: float = 10.0


@dataclass(frozen=True, eq=False)
class Paint:
    """Values along a curve, painted on it in the colours of a scale."""

    values: Vector  # (101,) in the unit of the scale; unpainted where NaN
    scale: Scale


@dataclass(frozen=True)
class Pin:
    """A numbered point of a curve, which is a link."""

    percent: int  # of the cycle
    label: str  # at most two characters
    link: str  # URL


@dataclass(frozen=True, eq=False)
class DrawnCurve:
    """What a chart shows of one side."""

    mean: Vector  # (101,) degrees; gaps where NaN
    strides: Sequence[Vector] = ()  # each (101,)
    spread: Vector | None = None  # (101,) half width of the outer lines or pale band, e.g. one SD over strides
    error: Vector | None = None  # (101,) half width of the darker band, the error of the fit
    foot_off: float = math.nan  # percent of the cycle
    opposite_events: Sequence[float] = ()  # percents of the other side's foot off and initial contact
    marked: Sequence[slice] = ()  # percents to be marked below the axis
    paint: Paint | None = None  # e.g. attribution, along the mean curve
    changed: Vector | None = None  # (101,) dashed: the curve after a change
    pins: Sequence[Pin] = ()  # on the mean curve


@dataclass(frozen=True, eq=False)
class NormBand:
    """The band of a reference, behind the curves."""

    low: Vector  # (101,) degrees
    high: Vector
    one_sd: tuple[Vector, Vector] | None = None  # (101,) each: mean − SD and mean + SD, darker, within a wider band
    foot_off: float = math.nan  # percent of the cycle

    @classmethod
    def of(cls, limits: tuple[Vector, Vector], mean: Vector, sd: Vector | None) -> NormBand:
        """Return the band between two limits (101,), with mean ± 1 SD within it unless that is the band."""
        low, high = limits
        own = None if sd is None else (mean - sd, mean + sd)
        return cls(low, high, None if own is None or np.allclose(own, limits, atol=0.1, equal_nan=True) else own)


@dataclass(frozen=True)
class Bar:
    """One bar of a bar chart, with the value of the reference in grey."""

    side: str  # "left", "right" or "both"
    value: float
    reference: float = math.nan
    low: float = math.nan  # whisker
    high: float = math.nan


@dataclass(frozen=True)
class BarGroup:
    """Bars that belong together, under one name."""

    title: str
    bars: Sequence[Bar] = field(default_factory=tuple)


def curve_chart(
    axis: CurveAxis,
    curves: Mapping[str, DrawnCurve],
    norm: NormBand | None = None,
    *,
    unobserved: Sequence[str] = (),
    letters: Mapping[str, str] | None = None,
    name: str = "",
) -> Markup:
    """Return a chart of the curves of one angle by side; without any curve, a hatched field.

    Args:
        axis: title, range and directions.
        curves: by "left" and "right", or other classes of the style sheet.
        norm: band behind the curves.
        unobserved: sides without a curve, which the chart names.
        letters: short name of each curve, at its right end; by default the initial of its side.
        name: id of the chart in its page, unique there; needed if a curve is painted.
    """
    letters = letters or {side: side[0].upper() for side in curves}
    low, high = axis_range(axis, curves, norm)

    def y_of(degrees: Vector | float) -> Vector:
        return _BOTTOM - (np.asarray(degrees, np.float64) - low) / (high - low) * (_BOTTOM - _TOP)

    parts = [_frame(axis, low, high, bool(curves))]
    if norm is not None and curves:
        parts.append(_band(y_of(norm.low), y_of(norm.high), "norm"))
        if norm.one_sd is not None:
            parts.append(_band(y_of(norm.one_sd[0]), y_of(norm.one_sd[1]), "norm-sd"))
        parts.append(_vertical(norm.foot_off, "norm-event"))
    if low <= 0 <= high:
        parts.append(f'<path class="zero" d="M{_LEFT} {float(y_of(0.0)):.1f}H{_RIGHT}"/>')
    for side, curve in curves.items():
        if curve.spread is not None:
            kind = "spread" if curve.error is not None else "spread filled"  # the error's band is filled, too
            parts.append(_band(y_of(curve.mean - curve.spread), y_of(curve.mean + curve.spread), f"{kind} {side}"))
    for side, curve in curves.items():
        paths = "".join(_line(y_of(stride), _STRIDE_STEP) for stride in curve.strides)
        if paths:
            parts.append(f'<path class="stride {side}" d="{paths}"/>')
    for side, curve in curves.items():
        if curve.error is not None:
            parts.append(_band(y_of(curve.mean - curve.error), y_of(curve.mean + curve.error), f"error {side}"))
    for side, curve in curves.items():
        line = _line(y_of(curve.mean))
        if curve.paint is not None:
            colours = f"{name}-{side}-colours"
            parts.append(_gradient(colours, curve.paint))
            parts.append(f'<path class="paint" style="stroke:url(#{colours})" d="{line}"/>')
        if curve.changed is not None:
            parts.append(f'<path class="changed" d="{_line(y_of(curve.changed))}"/>')
        parts.append(f'<path class="mean {side}" d="{line}"/>')
    for side, curve in reversed(list(curves.items())):  # the left one, on top, is dashed, so that both are seen
        parts.append(_vertical(curve.foot_off, f"event {side}"))
        parts += [_vertical(percent, f"event {side}", _BOTTOM - 7) for percent in curve.opposite_events]
    parts += _marks(curves)
    parts += _letters({letters[side]: (side, y_of(curve.mean[-1])) for side, curve in curves.items()})
    for curve in curves.values():
        parts += _pins(curve.pins, y_of(curve.mean))
    if unobserved or not curves:
        x, y = (_LEFT + _RIGHT) / 2, (_TOP + _BOTTOM) / 2 if not curves else _TOP + 10
        missing = "not observed" if not curves else f"{' and '.join(unobserved)} not observed"
        parts.append(f'<text class="missing" x="{x:g}" y="{y:g}" text-anchor="middle">{missing}</text>')
    label = f"{axis.title}: {_described(curves, unobserved)}"
    identifier = f' id="{escape(name)}"' if name else ""
    role = "group" if any(curve.pins for curve in curves.values()) else "img"  # an image has no links in it
    return Markup(
        f'<svg class="chart"{identifier} viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'role="{role}" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def bar_chart(groups: Sequence[BarGroup], unit: str, label: str, *, top: float = 10.0) -> Markup:
    """Return bars by group; the wider grey bar behind one is its reference, a line its whisker.

    Args:
        groups: from left to right.
        unit: of all values, shown at the axis.
        label: what the chart shows, for readers who do not see it.
        top: smallest upper end of the axis.
    """
    values = [value for group in groups for bar in group.bars for value in (bar.value, bar.high)]
    high = 5 * math.ceil(max([top, *filter(math.isfinite, values)]) / 5 + 1e-9)
    width, left, base, ceiling = 740, 40, 190, 14
    step = (width - left - 8) / max(len(groups), 1)

    def y_of(value: float) -> float:
        return base - value / high * (base - ceiling)

    parts = []
    tick = 5 if high <= 30 else 10
    for value in range(0, high + 1, tick):
        parts.append(f'<path class="grid" d="M{left} {y_of(value):.1f}H{width - 8}"/>')
        name = f"{value}{unit}" if value + tick > high else f"{value}"
        parts.append(f'<text class="tick" x="{left - 5}" y="{y_of(value) + 4:.1f}" text-anchor="end">{name}</text>')
    for k, group in enumerate(groups):
        centre, wide = left + (k + 0.5) * step, min(16.0, 0.8 * step / max(len(group.bars), 1))
        for i, bar in enumerate(group.bars):
            x = centre + (i - len(group.bars) / 2) * wide
            for kind, shown, margin in (("reference", bar.reference, 0.5), (bar.side, bar.value, 0.25 * wide)):
                if math.isfinite(shown):
                    y = y_of(shown)
                    parts.append(
                        f'<rect class="bar {kind}" x="{x + margin:.1f}" y="{y:.1f}" width="{wide - 2 * margin:.1f}" '
                        f'height="{base - y:.1f}"/>'
                    )
            if math.isfinite(bar.low) and math.isfinite(bar.high):
                parts.append(
                    f'<path class="whisker" d="M{x + wide / 2:.1f} {y_of(bar.low):.1f}V{y_of(bar.high):.1f}"/>'
                )
        for line, words in enumerate(_two_lines(group.title)):
            parts.append(
                f'<text class="tick" x="{centre:.1f}" y="{base + 15 + 12 * line}" text-anchor="middle">'
                f"{escape(words)}</text>"
            )
    return Markup(
        f'<svg class="chart" viewBox="0 0 {width} 220" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def axis_range(axis: CurveAxis, curves: Mapping[str, DrawnCurve], norm: NormBand | None) -> tuple[float, float]:
    """Return the range of the vertical axis in degrees, which holds all means, strides and the norm."""
    values = [axis.low, axis.high]
    for curve in curves.values():
        for row in (curve.mean, *curve.strides, *([] if curve.changed is None else [curve.changed])):
            finite = row[np.isfinite(row)]
            if len(finite):
                values += [float(finite.min()), float(finite.max())]
    if norm is not None and curves:
        values += [float(np.nanmin(norm.low)), float(np.nanmax(norm.high))]
    return axis.tick * math.floor(min(values) / axis.tick + 1e-9), axis.tick * math.ceil(max(values) / axis.tick - 1e-9)


def _frame(axis: CurveAxis, low: float, high: float, has_curves: bool) -> str:
    """Return title, axes, ticks and names of the directions."""
    step = axis.tick
    while (high - low) / step > 7:
        step += axis.tick
    parts = [f'<text class="title" x="{_LEFT}" y="15">{escape(axis.title)}</text>']
    if not has_curves:
        parts.append(
            f'<rect class="hatched" x="{_LEFT}" y="{_TOP}" width="{_RIGHT - _LEFT}" height="{_BOTTOM - _TOP}"/>'
        )
    for value in np.arange(math.ceil(low / step) * step, high + 1e-9, step).tolist():
        y = _BOTTOM - (value - low) / (high - low) * (_BOTTOM - _TOP)
        if value != 0:  # the line of zero is above the norm's band
            parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_RIGHT}"/>')
        parts.append(
            f'<text class="tick" x="{_LEFT - 4}" y="{y + 4:.1f}" text-anchor="end">{_signed(value)}'
            f"{'°' if value + step > high + 1e-9 else ''}</text>"
        )
    for percent in _PERCENTS:
        x = _x(percent)
        parts.append(f'<path class="axis" d="M{x:.1f} {_BOTTOM}v4"/>')
        name = f"{percent} %" if percent == 100 else f"{percent}"
        parts.append(f'<text class="tick" x="{x:.1f}" y="{_BOTTOM + 23}" text-anchor="middle">{name}</text>')
    parts.append(f'<path class="axis" d="M{_LEFT} {_TOP}V{_BOTTOM}H{_RIGHT}"/>')
    for name, y, anchor in ((axis.positive, _TOP, "end"), (axis.negative, _BOTTOM, "start")):
        if name:
            parts.append(
                f'<text class="direction" transform="translate(11 {y}) rotate(-90)" text-anchor="{anchor}">'
                f"{escape(name)}</text>"
            )
    return "".join(parts)


def _x(percent: float) -> float:
    return _LEFT + percent / 100 * (_RIGHT - _LEFT)


def _line(y: Vector, step: int = 1) -> str:
    """Return the commands of a path over the whole cycle, (101,), in tenths of units; gaps where y is NaN."""
    return "".join(_open_path(y, run, step) for run in true_runs(np.isfinite(y)) if run.stop - run.start > 1)


def _open_path(y: Vector, run: slice, step: int) -> str:
    at = np.unique(np.append(np.arange(run.start, run.stop, step), run.stop - 1))
    points = np.rint(10 * np.column_stack([_LEFT + at / 100 * (_RIGHT - _LEFT), y[at]])).astype(np.int64)
    first, moves = points[0], np.diff(points, axis=0)
    return f"M{first[0] / 10:g} {first[1] / 10:g}l" + _numbers(moves.ravel())


def _band(low: Vector, high: Vector, kind: str) -> str:
    """Return the area between two curves (101,), in parts where one is NaN."""
    shapes = []
    for run in true_runs(np.isfinite(low) & np.isfinite(high)):
        at = np.arange(run.start, run.stop)
        x = _LEFT + at / 100 * (_RIGHT - _LEFT)
        ring = np.concatenate([np.column_stack([x, high[at]]), np.column_stack([x, low[at]])[::-1]])
        points = np.rint(10 * ring).astype(np.int64)
        shapes.append(f"M{points[0, 0] / 10:g} {points[0, 1] / 10:g}l{_numbers(np.diff(points, axis=0).ravel())}z")
    return f'<path class="{kind}" d="{"".join(shapes)}"/>' if shapes else ""


def _numbers(tenths: Vector) -> str:
    """Return numbers given in tenths as the arguments of a path command."""
    return " ".join([_TENTHS[value] if -_MAX <= value <= _MAX else f"{value / 10:g}" for value in tenths.tolist()])


_MAX = 999
_TENTHS = {value: f"{value / 10:g}" for value in range(-_MAX, _MAX + 1)}


def _gradient(name: str, paint: Paint) -> str:
    """Return the colours along a curve: of a signed scale the colour of each end, as opaque as the value is large."""
    at = np.arange(0, len(paint.values), _PAINT_STEP)
    values = np.asarray(paint.values, np.float64)[at]
    known, signed = np.isfinite(values), isinstance(paint.scale, DivergingScale)
    ends = np.where(values < 0, paint.scale.low, paint.scale.high) if signed else values
    opacity = np.minimum(np.abs(values) / paint.scale.high, 1.0) if signed else np.ones(len(at))
    stops = [
        f'<stop offset="{percent}%" stop-color="#{bytes(colour.tolist()).hex()}" stop-opacity="{shown:.2f}"/>'
        for percent, colour, shown in zip(at, paint.scale.colours(ends), np.where(known, opacity, 0.0), strict=True)
    ]
    return (
        f'<linearGradient id="{escape(name)}" gradientUnits="userSpaceOnUse" x1="{_LEFT}" x2="{_RIGHT}" y1="0" y2="0">'
        f"{''.join(stops)}</linearGradient>"
    )


def _pins(pins: Sequence[Pin], y: Vector) -> list[str]:
    """Return the pins of a curve (101,), those that would hide another one above it."""
    placed: list[tuple[float, float]] = []
    found = []
    for pin in sorted(pins, key=lambda pin: pin.percent):
        x, at = _x(pin.percent), float(y[pin.percent])
        if math.isfinite(at):
            while any(math.hypot(x - other_x, at - other_y) < 2 * _PIN_RADIUS for other_x, other_y in placed):
                at -= 2
            placed.append((x, at))
            found.append(_pin(pin, x, at))
    return found


def _pin(pin: Pin, x: float, y: float) -> str:
    """Return a numbered circle, which is a link."""
    return (
        f'<a class="pin" href="{escape(pin.link)}"><circle cx="{x:.1f}" cy="{y:.1f}" r="{_PIN_RADIUS}"/>'
        f'<text x="{x:.1f}" y="{y + 3.8:.1f}" text-anchor="middle">{escape(pin.label)}</text></a>'
    )


def _vertical(percent: float, kind: str, top: float = _TOP) -> str:
    if not math.isfinite(percent):
        return ""
    return f'<path class="{kind}" d="M{_x(percent):.1f} {top:g}V{_BOTTOM}"/>'


def _marks(curves: Mapping[str, DrawnCurve]) -> list[str]:
    """Return bars below the axis, one row per side."""
    return [
        f'<rect class="mark {side}" x="{_x(run.start):.1f}" y="{_BOTTOM + 1.5 + row * (_MARK_HEIGHT + 0.5):g}" '
        f'width="{max(_x(run.stop - 1) - _x(run.start), 1):.1f}" height="{_MARK_HEIGHT}"/>'
        for row, (side, curve) in enumerate(curves.items())
        for run in curve.marked
    ]


def _letters(ends: Mapping[str, tuple[str, Vector]]) -> list[str]:
    """Return the letter of each curve beside its right end; letters that would overlap are moved apart."""
    placed = sorted((float(y), letter, side) for letter, (side, y) in ends.items() if np.isfinite(y))
    ys = [y for y, _, _ in placed]
    if len(ys) == 2 and ys[1] - ys[0] < _MIN_LABEL_GAP:
        middle = sum(ys) / 2
        ys = [middle - _MIN_LABEL_GAP / 2, middle + _MIN_LABEL_GAP / 2]
    return [
        f'<text class="letter {side}" x="{_RIGHT + 2}" y="{y + 3.5:.1f}">{escape(letter)}</text>'
        for y, (_, letter, side) in zip(ys, placed, strict=True)
    ]


def _signed(value: float) -> str:
    """Return a tick's number, with a true minus sign."""
    return f"{value:g}".replace("-", "−")


def _described(curves: Mapping[str, DrawnCurve], unobserved: Sequence[str]) -> str:
    """Return the ranges of the means in words."""
    words = []
    for side, curve in curves.items():
        finite = curve.mean[np.isfinite(curve.mean)]
        if len(finite):
            words.append(f"{side} from {_signed(round(finite.min()))} to {_signed(round(finite.max()))} degrees")
    words += [f"{side} not observed" for side in unobserved]
    return "; ".join(words) or "not observed"


def _two_lines(title: str) -> list[str]:
    """Return a title in at most two lines, broken at its first blank."""
    first, _, rest = title.partition(" ")
    return [first, rest] if rest else [first]
