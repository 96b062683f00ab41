"""The pictures of a report, drawn without a screen.

Colours mean the same in all of them and are told apart with every common colour vision (Okabe & Ito 2008, darkened
where white paper asks for it); marks and dashes say it once more. ``as_svg`` leaves colours to the page, so that it can
be light or dark.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from scipy.stats import binomtest

from gait.learning.metrics import THRESHOLD, interval_shares
from gait.learning.predictions import PersonPredictions
from gait.report.training.cross_validation_summary import ClassifierSummary, CrossValidationSummary
from gait.report.training.display_names import METRICS, judge_name, shortened

Vector = NDArray[np.float64]

# What a colour is for -> on white paper. A page calls them --ink, --healthy, …
COLOURS = {
    "ink": "#1c2127",
    "muted": "#5f6973",
    "faint": "#d5dade",
    "healthy": "#0072b2",
    "sick": "#c9540b",
    "walking-speed": "#00795a",
    "gait-features": "#a23f86",
    "minirocket": "#806000",
}
_DOTS: Any = (0, (1, 2))
_PANEL = (4.3, 4.1)  # inches: what fits a telephone's screen
_WIDE = 5.0
NAMED_PERSONS = 60
"""With more persons than these a picture has no room for their names."""
_BAND_RESAMPLES = 500
_NUMBERED_LINES = 12

_STYLE: Any = {
    "axes.edgecolor": COLOURS["muted"],
    "axes.labelcolor": COLOURS["ink"],
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.linewidth": 0.8,
    "axes.unicode_minus": True,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "text.color": COLOURS["ink"],
    "text.parse_math": False,  # a name may hold dollar signs
    "xtick.color": COLOURS["muted"],
    "ytick.color": COLOURS["muted"],
    "xtick.labelcolor": COLOURS["ink"],
    "ytick.labelcolor": COLOURS["ink"],
    "svg.fonttype": "none",
}


@dataclass(frozen=True)
class Picture:
    """A picture, and what to say beside it."""

    name: str
    figure: Figure
    alternative: str  # for those who cannot see it
    caption: str


def pictures(summary: CrossValidationSummary) -> dict[str, Picture]:
    """Every picture that the results allow, by name: comparison, roc, confusion, calibration, loss, persons."""
    draw: dict[str, Callable[[CrossValidationSummary], Picture | None]] = {
        "comparison": _comparison,
        "roc": _roc,
        "confusion": _confusion,
        "calibration": _calibration,
        "persons": _persons,
        "loss": _loss,
    }
    with rc_context(_STYLE):
        drawn = {name: one(summary) for name, one in draw.items()}
    return {name: picture for name, picture in drawn.items() if picture is not None}


def as_svg(picture: Picture) -> str:
    """The picture as an ``<svg>`` element within a page: its text is text, its colours are the page's."""
    file = io.StringIO()
    with rc_context({**_STYLE, "svg.hashsalt": picture.name}), _unknown_glyphs_are_the_browsers():
        FigureCanvasSVG(picture.figure).print_svg(file, metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s+(xmlns(:\w+)?|version|width|height)="[^"]*"', "", svg[: svg.index(">")]) + svg[svg.index(">") :]
    svg = svg.replace("xlink:href", "href")
    # One page holds several pictures: an id must be of one alone.
    svg = re.sub(r'(id="|href="#|url\(#)', rf"\1{picture.name}-", svg)
    for use, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{use})")
    return svg.rstrip()


def as_image(picture: Picture) -> NDArray[np.uint8]:
    """The picture on white paper, (height, width, 3)."""
    canvas = FigureCanvasAgg(picture.figure)
    picture.figure.set(facecolor="white", dpi=130)
    with rc_context(_STYLE), _unknown_glyphs_are_the_browsers():
        canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def _comparison(summary: CrossValidationSummary) -> Picture | None:
    """Two metrics with their intervals, a row a judge."""
    if not _both_labels(summary.network.people):
        return None
    judges = summary.judges[::-1]
    figure = Figure(figsize=(_WIDE, 0.8 + 0.32 * len(judges)), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True, gridspec_kw={"wspace": 0.08})
    for ax, metric in zip(axes, ("balanced_accuracy", "roc_auc"), strict=True):
        ax.axvline(0.5, color=COLOURS["muted"], lw=0.8, ls=_DOTS)
        for row, judge in enumerate(judges):
            estimate, look = judge.persons[metric], _look(judge, summary)
            if np.isfinite(estimate.low):
                ax.plot([estimate.low, estimate.high], [row, row], color=look.colour, lw=2, solid_capstyle="butt")
            ax.plot(estimate.value, row, marker=look.mark, color=look.colour, ms=7, ls="none", clip_on=False)
        ax.set(xlim=(0, 1), ylim=(-0.6, len(judges) - 0.4), xlabel=METRICS[metric][0])
        ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
        ax.set_yticks(range(len(judges)), [judge_name(judge.name) for judge in judges])
        ax.tick_params(axis="y", length=0, pad=8)
        ax.spines["left"].set_visible(False)
    axes[0].get_yticklabels()[-1].set_fontweight("bold")
    return Picture(
        "comparison",
        figure,
        "Balanced accuracy and ROC AUC of the network and of each baseline, with intervals.",
        "The network and the baselines on the same persons, by person. Marks are the figures, bars their 95 % "
        "intervals; the dotted line is a guess. Where the bars overlap widely, the network adds little to the simpler "
        "judge.",
    )


def _roc(summary: CrossValidationSummary) -> Picture | None:
    if not np.isfinite(summary.network.persons["roc_auc"].value):
        return None
    figure, ax = _panel()
    ax.plot([0, 1], [0, 1], color=COLOURS["muted"], lw=0.8, ls=_DOTS)
    band = bool(np.isfinite(summary.network.persons["roc_auc"].low))
    if band:
        grid = np.linspace(0, 1, 101)
        low, high = roc_band(summary.network.people, grid)
        ax.fill_between(grid, low, high, color=COLOURS["ink"], alpha=0.12, lw=0)
    for judge in summary.judges[::-1]:
        if not np.isfinite(judge.persons["roc_auc"].value):
            continue
        false_alarms, found = mean_roc_curve(judge.people)
        look = _look(judge, summary)
        ax.plot(
            false_alarms,
            found,
            color=look.colour,
            ls=look.dashes,
            lw=2.2 if judge is summary.network else 1.4,
            label=f"{judge_name(judge.name)}  {judge.persons['roc_auc'].value:.2f}",
        )
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    ax.set(xlabel="Healthy persons called sick (share)", ylabel="Sick persons called sick (share)")
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(handles[::-1], labels[::-1], loc="lower right", title="ROC AUC", title_fontsize=8.5, alignment="left")
    return Picture(
        "roc",
        figure,
        f"ROC curves by person of the network{', with a band,' if band else ''} and of each baseline.",
        "ROC by person: what share of the sick is found, at the price of how many healthy ones called sick, for every "
        "threshold. The nearer to the upper left, the better; the diagonal is a guess."
        + (" The band is the network's 95 % interval, by bootstrap over persons." if band else "")
        + (
            " Each curve is the mean of the folds' curves, weighted by their pairs of a sick and a healthy person, so "
            "that the area under it is the ROC AUC beside its name."
            if len(summary.folds) > 1
            else ""
        ),
    )


def _confusion(summary: CrossValidationSummary) -> Picture | None:
    people = summary.network.people
    if not people.persons:
        return None
    counts = confusion(people)
    figure, ax = _panel()
    total = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, total, out=np.zeros((2, 2)), where=total > 0)
    for row, truth in enumerate(("healthy", "sick")):
        for column in range(2):
            right = row == column
            ax.add_patch(
                _box(
                    column,
                    row,
                    COLOURS[truth],
                    alpha=0.12 + 0.5 * share[row, column] if right and total[row, 0] else 0.0,
                    edge=truth,
                )
            )
            what = f"{counts[row, column]}"
            ax.text(column, row - 0.06, what, ha="center", va="center", fontsize=22, fontweight="bold")
            said = "right" if right else "wrong"
            part = f"{said}, {share[row, column]:.0%} of {total[row, 0]}" if total[row, 0] else "nobody"
            ax.text(column, row + 0.26, part, ha="center", va="center", fontsize=9)
    ax.set(xlim=(-0.52, 1.52), ylim=(1.52, -0.52), aspect="equal")
    ax.set_xticks([0, 1], ["called healthy", "called sick"])
    ax.set_yticks([0, 1], ["is\nhealthy", "is\nsick"])
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return Picture(
        "confusion",
        figure,
        f"Of {total[0, 0]} healthy persons {counts[0, 0]} were called healthy, of {total[1, 0]} sick ones "
        f"{counts[1, 1]} were called sick.",
        f"Persons by what they are and what the network calls them; sick from a probability of {THRESHOLD:g} on. "
        "Wrong calls are the two open boxes.",
    )


def _calibration(summary: CrossValidationSummary) -> Picture | None:
    people = summary.network.people
    if not people.persons:
        return None
    bins = calibration_bins(people)
    figure, ax = _panel()
    ax.plot([0, 1], [0, 1], color=COLOURS["muted"], lw=0.8, ls=_DOTS)
    for each in bins:
        ax.plot([each.said] * 2, [each.low, each.high], color=COLOURS["ink"], lw=1.2, alpha=0.55)
        ax.plot(each.said, each.share, marker="o", ms=7, color=COLOURS["ink"], ls="none", clip_on=False)
        ax.text(each.centre, 1.07, f"{each.persons}", ha="center", va="bottom")
    for edge in np.linspace(0, 1, each.of + 1):
        ax.plot([edge, edge], [1.04, 1.12], color=COLOURS["faint"], lw=1, clip_on=False)
    ax.set_title("Persons in each bin", loc="left", color=COLOURS["muted"])
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.14), aspect="equal")
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.spines["left"].set_bounds(0, 1)
    ax.set(xlabel="Probability of sick, as the network says (mean)", ylabel="Share of persons who are sick")
    return Picture(
        "calibration",
        figure,
        "Share of sick persons against the network's probability, in bins of it.",
        "Calibration: of the persons to whom the network gives about this probability, what share is sick, with a 95 % "
        "interval (Wilson). On the diagonal a probability can be taken at its word; above it, the network says too "
        "little, below it too much.",
    )


def _persons(summary: CrossValidationSummary) -> Picture | None:
    people = summary.network.people
    P = len(people.persons)
    if not P:
        return None
    order = np.lexsort((np.arange(P), people.probability))
    named = P <= NAMED_PERSONS
    figure = Figure(figsize=(_WIDE, 0.9 + (0.165 * P if named else 6.5)), layout="constrained")
    ax = figure.subplots()
    low, high = window_range(summary.network)
    wrong = (people.probability >= THRESHOLD) != people.sick
    ax.axvline(THRESHOLD, color=COLOURS["muted"], lw=0.8, ls=_DOTS)
    size, line = (6.0, 1.2) if named else (max(2.5, min(6.0, 600 / P)), 0.7)
    rank = np.empty(P, dtype=int)
    rank[order] = np.arange(P)
    for label, is_sick, marker in (("healthy", False, "o"), ("sick", True, "^")):
        who = people.sick == is_sick
        ax.hlines(rank[who], low[who], high[who], color=COLOURS[label], lw=line, alpha=0.45)
        for missed in (False, True):
            some = who & (wrong == missed)
            if some.any():
                ax.plot(
                    people.probability[some],
                    rank[some],
                    ls="none",
                    marker=marker,
                    ms=size * (1.2 if missed else 1),
                    color=COLOURS[label],
                    fillstyle="none" if missed else "full",
                    mew=size / 4 if missed else 0.5,
                    label=f"{label}, {'wrong' if missed else 'right'} ({some.sum()})",
                )
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.9, P - 0.1), xlabel="Probability of sick (mean of the person's windows)")
    if named:
        names = [shortened(people.persons[k], 26) + (" ✗" if wrong[k] else "") for k in order]
        ax.set_yticks(range(P), names, fontsize=7.5)
        for k, text in zip(order, ax.get_yticklabels(), strict=True):
            text.set_fontweight("bold" if wrong[k] else "normal")
    else:
        ax.set_yticks([])
        ax.set_ylabel(f"{P} persons, sorted")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    figure.legend(loc="outside upper left", ncols=2, handletextpad=0.3, columnspacing=1.2)
    return Picture(
        "persons",
        figure,
        f"The probability of every person, sorted; {int(wrong.sum())} of {P} are on the wrong side of one half.",
        "Every person's probability. Circles are healthy, triangles are sick; who is on the wrong side of the dotted "
        "line is an open mark"
        + (" and named in bold with a ✗" if named else "")
        + ". The line through a mark holds the middle 80 % of the person's windows: a long one is a person whom the "
        "network judges differently from one moment to the next.",
    )


def _loss(summary: CrossValidationSummary) -> Picture | None:
    runs = [result for result in summary.folds if result.epochs]
    if not runs:
        return None
    chosen_early = any(result.validation for result in runs)
    kinds = {"train": "Training persons", "validation": "Held-back training persons", "eval": "Evaluation persons"}
    if not all("validation" in epoch for result in runs for epoch in result.epochs):
        kinds.pop("validation")
    figure = Figure(figsize=_PANEL, layout="constrained")
    axes = figure.subplots(len(kinds), 1, sharex=True, sharey=True)
    ends_of: list[dict[int, tuple[float, float]]] = []
    for ax, (kind, title) in zip(axes, kinds.items(), strict=True):
        ends: dict[int, tuple[float, float]] = {}
        for result in runs:
            loss = np.array([epoch[kind]["loss"] for epoch in result.epochs], dtype=np.float64)
            epochs = np.arange(1, len(loss) + 1)
            ax.plot(epochs, loss, color=COLOURS["ink"], lw=1.2, alpha=0.75, marker="o" if len(loss) == 1 else None)
            if chosen_early:
                k = result.chosen_epoch
                ax.plot(k + 1, loss[k], marker="D", ms=5, color=COLOURS["ink"], ls="none")
            if np.isfinite(loss[-1]):
                ends[result.fold.index] = (float(epochs[-1]), float(loss[-1]))
        ax.set_title(title, loc="left")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
        ends_of.append(ends)
    axes[0].set_ylim(bottom=0)  # once all are drawn: it ends the one scale's growth
    for ax, ends in zip(axes, ends_of, strict=True):
        if 1 < len(runs) <= _NUMBERED_LINES // len(kinds):
            _number_ends(ax, ends)
    axes[-1].set_xlabel("Epoch")
    figure.supylabel("Loss (cross-entropy, nats)", fontsize=9)
    marks = " Diamonds are the epochs that early stopping chose on held-back training persons." if chosen_early else ""
    return Picture(
        "loss",
        figure,
        "Loss of every fold by epoch, on training persons and on evaluation persons.",
        f"Loss by epoch{', a line a fold' if len(runs) > 1 else ''}. A guess has 0.69. Where the loss "
        "of evaluation persons rises while that of training persons falls, the network learns its training persons by "
        f"heart. The evaluation curve chose nothing: no epoch and no setting was picked by it.{marks}",
    )


def roc_curve(sick: NDArray[np.bool_], score: Vector) -> tuple[Vector, Vector]:
    """Shares (K,) of the healthy and of the sick that lie at or above each threshold, from (0, 0) to (1, 1)."""
    thresholds = np.unique(score)[::-1]
    above = score[None, :] >= thresholds[:, None]
    false_alarms, found = (np.r_[0.0, above[:, who].mean(axis=1)] for who in (~sick, sick))
    return false_alarms, found


def mean_roc_curve(people: PersonPredictions) -> tuple[Vector, Vector]:
    """The ROC curve (K,) of persons, a mean over folds weighted by their pairs of a sick and a healthy person.

    The area under it is ``roc_auc``. Folds of one label have no curve; one fold at least has both.
    """
    fold = np.array(people.fold)
    curves, pairs = [], []
    for each in np.unique(fold):
        sick, score = people.sick[fold == each], people.probability[fold == each]
        if sick.any() and not sick.all():
            curves.append(roc_curve(sick, score))
            pairs.append(sick.sum() * (~sick).sum())
    at = np.unique(np.concatenate([false_alarms for false_alarms, _ in curves]))
    lower_upper = []
    for false_alarms, found in curves:
        first, last = np.searchsorted(false_alarms, at, "left"), np.searchsorted(false_alarms, at, "right") - 1
        between, steps = np.interp(at, false_alarms, found), false_alarms[first] == at
        lower_upper.append([np.where(steps, found[first], between), np.where(steps, found[last], between)])
    return np.repeat(at, 2), np.average(lower_upper, axis=0, weights=pairs).T.ravel()


def roc_band(people: PersonPredictions, grid: Vector) -> tuple[Vector, Vector]:
    """The 95 % band (K,) of the share of the sick that is found, at shares ``grid`` (K,) of false alarms.

    Persons are resampled, sick and healthy ones apart, two of each or more, each with the fold; ties are judged against
    the network. A mean over folds as ``mean_roc_curve``; widened for few persons as the intervals of figures are.
    """
    random = np.random.default_rng(0)
    fold, score = np.array(people.fold), people.probability
    sides = np.flatnonzero(people.sick), np.flatnonzero(~people.sick)
    drawn = np.zeros((_BAND_RESAMPLES, len(grid)))
    for row in drawn:
        sick, healthy = (random.choice(side, len(side)) for side in sides)
        pairs = 0
        for each in np.unique(fold):
            some, others = score[sick[fold[sick] == each]], np.sort(score[healthy[fold[healthy] == each]])[::-1]
            allowed = np.floor(grid * len(others) + 1e-9).astype(
                int
            )  # so many healthy ones may lie above the threshold
            threshold = np.append(others, -np.inf)[allowed]
            row += len(others) * (some[None, :] > threshold[:, None]).sum(axis=1)
            pairs += len(some) * len(others)
        row /= pairs or np.nan
    low, high = np.nanquantile(drawn, interval_shares(min(map(len, sides))), axis=0)
    return low, high


def confusion(people: PersonPredictions) -> NDArray[np.int64]:
    """Persons (2, 2): by what they are, healthy first, and by what they are called."""
    called = people.probability >= THRESHOLD
    return np.array([[np.sum((people.sick == is_sick) & (called == says)) for says in (False, True)]
                     for is_sick in (False, True)])  # fmt: skip


@dataclass(frozen=True)
class CalibrationBin:
    """Persons to whom the network gives about the same probability."""

    centre: float  # of the bin
    of: int  # so many bins of equal width there are
    persons: int
    said: float  # mean probability
    share: float  # of the persons who are sick
    low: float  # its 95 % interval, Wilson's
    high: float


def calibration_bins(people: PersonPredictions) -> list[CalibrationBin]:
    """Bins of equal width that hold somebody: as many as leave eight persons for each on average, five at most."""
    count = int(np.clip(len(people.persons) // 8, 1, 5))
    place = np.minimum((people.probability * count).astype(int), count - 1)
    bins = []
    for k in np.unique(place):
        sick, said = people.sick[place == k], people.probability[place == k]
        interval = binomtest(int(sick.sum()), len(sick)).proportion_ci(0.95, method="wilson")
        share, persons = float(sick.mean()), len(sick)
        bins.append(
            CalibrationBin((k + 0.5) / count, count, persons, float(said.mean()), share, interval.low, interval.high)
        )
    return bins


def apart(places: Sequence[float], gap: float) -> list[float]:
    """Rising places moved as little as need be to lie ``gap`` apart: those that crowd share one middle."""
    groups: list[list[float]] = []
    for place in places:
        groups.append([place])
        while len(groups) > 1 and _spread(groups[-1], gap)[0] - _spread(groups[-2], gap)[-1] < gap:
            groups[-2:] = [groups[-2] + groups[-1]]
    return [place for group in groups for place in _spread(group, gap)]


def window_range(judge: ClassifierSummary) -> tuple[Vector, Vector]:
    """Between which probabilities the middle 80 % of each person's windows lie: two of (P,), as in ``judge.people``."""
    order = np.argsort(judge.said.person, kind="stable")
    starts = np.flatnonzero(np.diff(judge.said.person[order], prepend=-1))
    parts = np.split(judge.said.probability[order], starts[1:])
    low, high = np.array([np.percentile(part, [10, 90]) for part in parts]).T
    return low, high


def _spread(group: Sequence[float], gap: float) -> list[float]:
    middle = float(np.mean(group))
    return [middle + gap * (k - (len(group) - 1) / 2) for k in range(len(group))]


@dataclass(frozen=True)
class _Look:
    """How a judge is drawn everywhere."""

    colour: str
    dashes: Any
    mark: str


def _look(judge: ClassifierSummary, summary: CrossValidationSummary) -> _Look:
    if judge is summary.network:
        return _Look(COLOURS["ink"], "-", "o")
    return _LOOKS.get(judge.name, _Look(COLOURS["muted"], (0, (3, 1)), "P"))


_LOOKS = {
    "zero_rule": _Look(COLOURS["muted"], (0, (1, 1.5)), "x"),
    "walking_speed": _Look(COLOURS["walking-speed"], (0, (5, 2)), "s"),
    "gait_features": _Look(COLOURS["gait-features"], (0, (5, 1.5, 1, 1.5)), "D"),
    "minirocket": _Look(COLOURS["minirocket"], (0, (3, 1)), "v"),
}


def _number_ends(ax: Axes, ends: dict[int, tuple[float, float]]) -> None:
    """Write the folds' numbers at the ends (epoch, loss) of their lines, moved apart where they would overlap."""
    bottom, top = ax.get_ylim()
    right = max((epoch for epoch, _ in ends.values()), default=1.0)
    folds = sorted(ends, key=lambda fold: ends[fold][1])
    for fold, height in zip(folds, apart([ends[fold][1] for fold in folds], 0.11 * (top - bottom)), strict=True):
        ax.annotate(
            f"{fold}",
            (right, height),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
            annotation_clip=False,
        )


def _panel() -> tuple[Figure, Axes]:
    figure = Figure(figsize=_PANEL, layout="constrained")
    return figure, figure.subplots()


def _box(x: float, y: float, colour: str, alpha: float, edge: str) -> Rectangle:
    return Rectangle(
        (x - 0.48, y - 0.48), 0.96, 0.96, facecolor=to_rgba(colour, alpha), edgecolor=COLOURS[edge], lw=1.2
    )


def _both_labels(people: PersonPredictions) -> bool:
    return bool(people.sick.any()) and not bool(people.sick.all())


@contextmanager
def _unknown_glyphs_are_the_browsers() -> Iterator[None]:
    """A name in any script: the browser has letters for it, though matplotlib's own font has not."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield
