"""Figures of the training report, drawn without a display.

Colours have the same meaning in all figures and are distinguishable with common colour vision deficiencies (Okabe & Ito
2008, darkened for contrast on white); marker shapes and dash patterns repeat the information. ``ReportFigure.svg`` has
colours as CSS variables, so that the page can be light or dark.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from gait.learning.cross_validation_summary import ClassifierSummary, CrossValidationSummary
from gait.learning.curves import calibration_bins, mean_roc_curve, roc_band
from gait.learning.metrics import THRESHOLD
from gait.motion.trial_paths import LABEL_NOUNS
from gait.report.display_names import METRICS, classifier_name
from gait.report.figure_style import FAINT, INK, MUTED, STYLE, ignore_missing_glyphs
from gait.text import truncate

# Use of a colour -> its value on white; the page's CSS variables are called --ink, --healthy, …
COLOURS = {
    "ink": INK,
    "muted": MUTED,
    "faint": FAINT,
    "healthy": "#0072b2",
    "sick": "#b84b06",
    "walking-speed": "#00795a",
    "gait-features": "#a23f86",
    "minirocket": "#806000",
}
_DOTS: Any = (0, (1, 2))
_PANEL = (4.3, 4.1)  # inches; fits the screen of a phone
_WIDE = 5.0
MAX_NAMED_SUBJECTS = 60
"""With more subjects than this, the figure of subjects omits their names."""
MAX_LABELLED_LINES = 12

_STYLE: Any = {
    **STYLE,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8.5,
    "svg.fonttype": "none",
}


@dataclass(frozen=True)
class ReportFigure:
    """A figure with its caption."""

    name: str
    fig: Figure
    alt_text: str  # description for screen readers
    caption: str

    @property
    def svg(self) -> Markup:
        """The figure as an inline ``<svg>`` element with real text and the page's colours."""
        file = io.StringIO()
        with rc_context({**_STYLE, "svg.hashsalt": self.name}), ignore_missing_glyphs():
            FigureCanvasSVG(self.fig).print_svg(file, metadata={"Date": None, "Creator": None})
        svg = file.getvalue()
        svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
        head, end, content = svg.partition(">")
        head = re.sub(r'\s+(xmlns(:\w+)?|version|width|height)="[^"]*"', "", head)
        svg = (head + end + content).replace("xlink:href", "href")
        # A page holds several figures: make the ids unique.
        svg = re.sub(r'(id="|href="#|url\(#)', rf"\1{self.name}-", svg)
        for use, colour in COLOURS.items():
            svg = svg.replace(colour, f"var(--{use})")
        return Markup(svg.rstrip())


def draw_figures(summary: CrossValidationSummary) -> dict[str, ReportFigure]:
    """Draw all figures that the results allow, by name: comparison, roc, confusion, calibration, subjects, loss."""
    draw = (_draw_comparison, _draw_roc, _draw_confusion, _draw_calibration, _draw_subjects, _draw_loss)
    with rc_context(_STYLE):
        return {figure.name: figure for one in draw if (figure := one(summary)) is not None}


def as_image(figure: ReportFigure) -> NDArray[np.uint8]:
    """Return the figure on white as RGB pixels (height, width, 3)."""
    canvas = FigureCanvasAgg(figure.fig)
    figure.fig.set(facecolor="white", dpi=130)
    with rc_context(_STYLE), ignore_missing_glyphs():
        canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def _draw_comparison(summary: CrossValidationSummary) -> ReportFigure | None:
    """Draw two metrics with their intervals, one row per classifier."""
    sick = summary.network.subject_predictions.sick
    if sick.all() or not sick.any():
        return None
    classifiers = summary.classifiers[::-1]
    fig = Figure(figsize=(_WIDE, 0.8 + 0.32 * len(classifiers)), layout="constrained")
    axes = fig.subplots(1, 2, sharey=True, gridspec_kw={"wspace": 0.08})
    for ax, metric in zip(axes, ("balanced_accuracy", "roc_auc_within_folds"), strict=True):
        ax.axvline(0.5, color=MUTED, lw=0.8, ls=_DOTS)
        for row, classifier in enumerate(classifiers):
            estimate, line_style = classifier.subject_metrics[metric], _line_style(classifier, summary)
            if np.isfinite(estimate.low):
                ax.plot([estimate.low, estimate.high], [row, row], color=line_style.colour, lw=2, solid_capstyle="butt")
            ax.plot(
                estimate.value, row, marker=line_style.marker, color=line_style.colour, ms=7, ls="none", clip_on=False
            )
        ax.set(xlim=(0, 1), ylim=(-0.6, len(classifiers) - 0.4), xlabel=METRICS[metric][0])
        ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
        ax.set_yticks(range(len(classifiers)), [classifier_name(classifier.name) for classifier in classifiers])
        ax.tick_params(axis="y", length=0, pad=8)
        ax.spines["left"].set_visible(False)
    axes[0].get_yticklabels()[-1].set_fontweight("bold")
    return ReportFigure(
        "comparison",
        fig,
        "Balanced accuracy and ROC AUC of the network and of each baseline classifier, with intervals.",
        "The network and the baseline classifiers on the same subjects. Markers are the metrics by subject, bars their "
        "95 % CI; the dotted line is chance level. Where the bars overlap widely, the network adds little to the "
        "baseline.",
    )


def _draw_roc(summary: CrossValidationSummary) -> ReportFigure | None:
    own = summary.network.subject_metrics["roc_auc_within_folds"]
    if not np.isfinite(own.value):
        return None
    fig, ax = _new_panel()
    ax.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls=_DOTS)
    band = bool(np.isfinite(own.low))
    if band:
        grid = np.linspace(0, 1, 101)
        low, high = roc_band(summary.network.subject_predictions, grid)
        ax.fill_between(grid, low, high, color=INK, alpha=0.12, lw=0)
    for classifier in summary.classifiers[::-1]:
        area = classifier.subject_metrics["roc_auc_within_folds"].value
        if not np.isfinite(area):
            continue
        line_style, width = _line_style(classifier, summary), 2.2 if classifier is summary.network else 1.4
        name, curve = f"{classifier_name(classifier.name)}  {area:.2f}", mean_roc_curve(classifier.subject_predictions)
        ax.plot(*curve, color=line_style.colour, ls=line_style.dashes, lw=width, label=name)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    ax.set(xlabel="False positive rate (controls)", ylabel="True positive rate (patients)")
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(handles[::-1], labels[::-1], loc="lower right", title="ROC AUC", title_fontsize=8.5, alignment="left")
    return ReportFigure(
        "roc",
        fig,
        f"ROC curves by subject of the network{', with a band,' if band else ''} and of each baseline classifier.",
        "ROC curve by subject: for every threshold, the fraction of patients classified as sick (true positive rate) "
        "against the fraction of controls classified as sick (false positive rate). Closer to the upper left is "
        "better; the diagonal is chance level."
        + (" The band is the network's 95 % CI, by bootstrap over subjects." if band else "")
        + (
            " Each curve is the mean over folds, weighted by the number of patient-control pairs, so the area under it "
            "is the ROC AUC given in the legend."
            if len(summary.folds) > 1
            else ""
        ),
    )


def _draw_confusion(summary: CrossValidationSummary) -> ReportFigure | None:
    predictions = summary.network.subject_predictions
    if not predictions.subjects:
        return None
    counts = confusion_matrix(predictions.sick, predictions.probability >= THRESHOLD, labels=[False, True])
    fig, ax = _new_panel()
    total = counts.sum(axis=1, keepdims=True)
    fraction = np.divide(counts, total, out=np.zeros((2, 2)), where=total > 0)
    for row, truth in enumerate(("healthy", "sick")):
        for column in range(2):
            correct = row == column
            fill = to_rgba(COLOURS[truth], 0.12 + 0.5 * fraction[row, column] if correct and total[row, 0] else 0.0)
            corner = (column - 0.48, row - 0.48)
            ax.add_patch(Rectangle(corner, 0.96, 0.96, facecolor=fill, edgecolor=COLOURS[truth], lw=1.2))
            count = f"{counts[row, column]}"
            ax.text(column, row - 0.06, count, ha="center", va="center", fontsize=22, fontweight="bold")
            outcome = "correct" if correct else "wrong"
            note = f"{outcome}, {fraction[row, column]:.0%} of {total[row, 0]}" if total[row, 0] else "no subject"
            ax.text(column, row + 0.26, note, ha="center", va="center", fontsize=9)
    ax.set(xlim=(-0.52, 1.52), ylim=(1.52, -0.52), aspect="equal")
    ax.set_xticks([0, 1], ["predicted healthy", "predicted sick"])
    ax.set_yticks([0, 1], ["controls\n(healthy)", "patients\n(sick)"])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ReportFigure(
        "confusion",
        fig,
        f"Of {total[0, 0]} controls {counts[0, 0]} were classified as healthy; of {total[1, 0]} patients "
        f"{counts[1, 1]} were classified as sick.",
        f"Confusion matrix of subjects: true label by row, predicted label by column (sick if P(sick) is at least "
        f"{THRESHOLD:g}). The two unfilled boxes are errors.",
    )


def _draw_calibration(summary: CrossValidationSummary) -> ReportFigure | None:
    predictions = summary.network.subject_predictions
    if not predictions.subjects:
        return None
    bins = calibration_bins(predictions)
    fig, ax = _new_panel()
    ax.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls=_DOTS)
    for each in bins:
        ax.plot([each.mean_probability] * 2, [each.low, each.high], color=INK, lw=1.2, alpha=0.55)
        ax.plot(each.mean_probability, each.sick_fraction, marker="o", ms=7, color=INK, ls="none", clip_on=False)
        ax.text(each.centre, 1.07, f"{each.num_subjects}", ha="center", va="bottom")
    for edge in np.linspace(0, 1, each.num_bins + 1):
        ax.plot([edge, edge], [1.04, 1.12], color=FAINT, lw=1, clip_on=False)
    ax.set_title("Subjects per bin", loc="left", color=MUTED)
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.14), aspect="equal")
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.spines["left"].set_bounds(0, 1)
    ax.set(xlabel="Mean predicted P(sick)", ylabel="Fraction of patients")
    return ReportFigure(
        "calibration",
        fig,
        "Fraction of patients against the predicted probability, in bins of the latter.",
        "Calibration: fraction of patients among the subjects with about the same predicted P(sick), with a 95 % CI "
        "(Wilson). On the diagonal the predicted probability equals the observed fraction; above it the network "
        "underestimates, below it overestimates.",
    )


def _draw_subjects(summary: CrossValidationSummary) -> ReportFigure | None:
    predictions = summary.network.subject_predictions
    P = len(predictions.subjects)
    if not P:
        return None
    order = np.argsort(predictions.probability, kind="stable")
    named = P <= MAX_NAMED_SUBJECTS
    fig = Figure(figsize=(_WIDE, 0.9 + (0.165 * P if named else 6.5)), layout="constrained")
    ax = fig.subplots()
    low, high = summary.network.predictions.percentiles_by_subject([10, 90])
    wrong = (predictions.probability >= THRESHOLD) != predictions.sick
    ax.axvline(THRESHOLD, color=MUTED, lw=0.8, ls=_DOTS)
    size, line = (6.0, 1.2) if named else (max(2.5, min(6.0, 600 / P)), 0.7)
    rank = np.argsort(order)
    for label, is_sick, marker in (("healthy", False, "o"), ("sick", True, "^")):
        members = predictions.sick == is_sick
        ax.hlines(rank[members], low[members], high[members], color=COLOURS[label], lw=line, alpha=0.45)
        for missed in (False, True):
            some = members & (wrong == missed)
            if some.any():
                ax.plot(
                    predictions.probability[some],
                    rank[some],
                    ls="none",
                    marker=marker,
                    ms=size * (1.2 if missed else 1),
                    color=COLOURS[label],
                    fillstyle="none" if missed else "full",
                    mew=size / 4 if missed else 0.5,
                    label=f"{LABEL_NOUNS[label]}s, {'wrong' if missed else 'correct'} ({some.sum()})",
                )
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.9, P - 0.1), xlabel="P(sick) (mean over the windows of the subject)")
    if named:
        names = [truncate(predictions.subjects[k], 26) + (" ✗" if wrong[k] else "") for k in order]
        ax.set_yticks(range(P), names, fontsize=7.5)
        for k, text in zip(order, ax.get_yticklabels(), strict=True):
            text.set_fontweight("bold" if wrong[k] else "normal")
    else:
        ax.set_yticks([])
        ax.set_ylabel(f"{P} subjects, sorted")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    fig.legend(loc="outside upper left", ncols=2, handletextpad=0.3, columnspacing=1.2)
    return ReportFigure(
        "subjects",
        fig,
        f"P(sick) of every subject, sorted; {int(wrong.sum())} of {P} are misclassified.",
        "P(sick) of every subject. Circles are controls, triangles patients; open markers are misclassified subjects"
        + (", whose names are bold and marked ✗" if named else "")
        + ". The line through a marker covers the middle 80 % of the subject's windows: a long line means that the "
        "prediction varies over time.",
    )


def _draw_loss(summary: CrossValidationSummary) -> ReportFigure | None:
    runs = [result for result in summary.folds if result.epochs]
    if not runs:
        return None
    chosen_early = any(result.validation for result in runs)
    kinds = {"train": "Training set", "validation": "Validation set", "eval": "Test set"}
    if not all("validation" in epoch for result in runs for epoch in result.epochs):
        kinds.pop("validation")
    fig = Figure(figsize=_PANEL, layout="constrained")
    axes = fig.subplots(len(kinds), 1, sharex=True, sharey=True)
    ends_of: list[dict[int, tuple[float, float]]] = []
    for ax, (kind, title) in zip(axes, kinds.items(), strict=True):
        ends: dict[int, tuple[float, float]] = {}
        for result in runs:
            loss = np.array([epoch[kind]["loss"] for epoch in result.epochs], dtype=np.float64)
            epochs = np.arange(1, len(loss) + 1)
            ax.plot(epochs, loss, color=INK, lw=1.2, alpha=0.75, marker="o" if len(loss) == 1 else None)
            if chosen_early:
                k = result.chosen_epoch
                ax.plot(k + 1, loss[k], marker="D", ms=5, color=INK, ls="none")
            if np.isfinite(loss[-1]):
                ends[result.fold.index] = (float(epochs[-1]), float(loss[-1]))
        ax.set_title(title, loc="left")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
        ends_of.append(ends)
    axes[0].set_ylim(bottom=0)  # after all lines are drawn: it stops autoscaling
    for ax, ends in zip(axes, ends_of, strict=True):
        if 1 < len(runs) <= MAX_LABELLED_LINES // len(kinds):
            _label_line_ends(ax, ends)
    axes[-1].set_xlabel("Epoch")
    fig.supylabel("Loss (cross-entropy, nats)", fontsize=9)
    marks = " Diamonds mark the epochs chosen by early stopping on the validation set." if chosen_early else ""
    return ReportFigure(
        "loss",
        fig,
        "Loss of every fold by epoch, on the training set and on the test set.",
        f"Loss by epoch{', one line per fold' if len(runs) > 1 else ''}. Chance level is 0.69. A rising test loss with "
        "a falling training loss means overfitting. The test loss was not used to choose an epoch or a setting."
        f"{marks}",
    )


def spread_labels(positions: Sequence[float], gap: float) -> list[float]:
    """Shift ascending positions until neighbours are at least ``gap`` apart; crowded groups keep their mean."""
    groups: list[list[float]] = []
    for position in positions:
        groups.append([position])
        while len(groups) > 1 and _spread(groups[-1], gap)[0] - _spread(groups[-2], gap)[-1] < gap:
            groups[-2:] = [groups[-2] + groups[-1]]
    return [position for group in groups for position in _spread(group, gap)]


def _spread(group: Sequence[float], gap: float) -> list[float]:
    centre = float(np.mean(group))
    return [centre + gap * (k - (len(group) - 1) / 2) for k in range(len(group))]


@dataclass(frozen=True)
class _LineStyle:
    """Line and marker style of a classifier, the same in all figures."""

    colour: str
    dashes: Any
    marker: str


def _line_style(classifier: ClassifierSummary, summary: CrossValidationSummary) -> _LineStyle:
    if classifier is summary.network:
        return _LineStyle(INK, "-", "o")
    return _LINE_STYLES.get(classifier.name, _LineStyle(MUTED, (0, (3, 1)), "P"))


_LINE_STYLES = {
    "prior_baseline": _LineStyle(MUTED, (0, (1, 1.5)), "x"),
    "walking_speed": _LineStyle(COLOURS["walking-speed"], (0, (5, 2)), "s"),
    "gait_features": _LineStyle(COLOURS["gait-features"], (0, (5, 1.5, 1, 1.5)), "D"),
    "minirocket": _LineStyle(COLOURS["minirocket"], (0, (3, 1)), "v"),
}


def _label_line_ends(ax: Axes, ends: dict[int, tuple[float, float]]) -> None:
    """Write each fold's number at the end (epoch, loss) of its line, shifted where numbers would overlap."""
    bottom, top = ax.get_ylim()
    right = max((epoch for epoch, _ in ends.values()), default=1.0)
    folds = sorted(ends, key=lambda fold: ends[fold][1])
    heights = spread_labels([ends[fold][1] for fold in folds], 0.11 * (top - bottom))
    for fold, height in zip(folds, heights, strict=True):
        ax.annotate(
            f"{fold}", (right, height), xytext=(5, 0), textcoords="offset points", va="center", fontsize=7.5,
            annotation_clip=False,
        )  # fmt: skip


def _new_panel() -> tuple[Figure, Axes]:
    fig = Figure(figsize=_PANEL, layout="constrained")
    return fig, fig.subplots()
