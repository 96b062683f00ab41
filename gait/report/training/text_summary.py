"""What the figures say, in plain sentences: for the page and for the end of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gait.learning.fold_result import FoldResult
from gait.learning.metrics import THRESHOLD, MetricWithInterval, interval_note
from gait.report.training.cross_validation_summary import RESAMPLES, ClassifierSummary, CrossValidationSummary
from gait.report.training.display_names import judge_name, shortened, within_sentence

_MANY = 12


def figure(value: float) -> str:
    """A metric with two digits; a dash where it is not defined."""
    return f"{value:.2f}".replace("-", "−") if math.isfinite(value) else "–"


def interval(estimate: MetricWithInterval) -> str:
    """``0.84 to 0.99``; nothing where there is none."""
    return f"{figure(estimate.low)} to {figure(estimate.high)}" if math.isfinite(estimate.low) else ""


def counted(number: int, what: str) -> str:
    """``1 person``, ``12 persons``, ``1,205 windows``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def some_of(names: Sequence[str]) -> str:
    """The names, of very many the first ones."""
    more = len(names) - _MANY
    shown = ", ".join(shortened(name, 60) for name in names[:_MANY])
    return f"{shown} and {more} more" if more > 0 else shown


def leak_warning(summary: CrossValidationSummary) -> tuple[str, ...]:
    """What the leak check found; nothing if all is well."""
    found = summary.folds[-1].leak_check
    return tuple(found.get("lines", ())) if found.get("leaks") else ()


def headline(summary: CrossValidationSummary) -> str:
    """What was asked and answered."""
    judged = summary.network.persons["balanced_accuracy"]
    if not summary.network.people.persons:
        return "Nobody could be judged: no recording of the evaluation persons is as long as a window."
    if not math.isfinite(judged.value):
        label = "sick" if summary.network.people.sick.all() else "healthy"
        return f"Whether persons can be told apart is not known: all {_persons(summary)} judged here are {label}."
    line = (
        f"Persons that the network never saw were told apart with a balanced accuracy of {_with_interval(judged)}"
        f"{{}}. A guess has 0.50."
    )
    speed = next((judge for judge in summary.baselines if judge.name == "walking_speed"), None)
    if speed is None:
        return line.format("")
    alone = _with_interval(speed.persons["balanced_accuracy"], bare=True)
    return line.format(f"; walking speed alone reaches {alone}")


def beside_baselines(summary: CrossValidationSummary) -> tuple[str, ...]:
    """Where the network is better than a simpler judge and where not, the baselines one by one; none left unsaid."""
    better: list[str] = []
    ahead_by_chance: list[str] = []
    no_better: list[str] = []
    worse: list[str] = []
    for judge in summary.baselines:
        ahead = judge.network_ahead
        if not math.isfinite(ahead.value):
            continue
        sure = math.isfinite(ahead.low)
        said = f"{within_sentence(judge.name)} ({_ahead(ahead)})"
        if ahead.value <= 0:
            (worse if sure and ahead.high < 0 else no_better).append(said)
        else:
            (better if sure and ahead.low > 0 else ahead_by_chance).append(said)
    lines = []
    if worse:
        lines.append(f"The network is worse than {_listed(worse)}.")
    if no_better:
        lines.append(f"The network is not better than {_listed(no_better)}.")
    if ahead_by_chance:
        lines.append(f"The network is ahead of {_listed(ahead_by_chance)}, but on so few persons that may be chance.")
    if better:
        lines.append(f"The network is better than {_listed(better)}.")
    if lines:
        lines.append(
            "In brackets: the network's balanced accuracy by person less the other's, with the difference's 95 % "
            "interval."
        )
    return tuple(lines)


def caveats(summary: CrossValidationSummary) -> tuple[str, ...]:
    """What must be known before the headline is believed."""
    people, first = summary.network.people, summary.folds[0]
    sick = int(people.sick.sum())
    by_label = f"{len(people.sick) - sick} healthy, {sick} sick"
    lines = []
    if summary.whole:
        lines.append(
            f"{_persons(summary)} were judged ({by_label}), each once, by a network trained without them: "
            f"{summary.fold_count} folds, so {summary.fold_count} networks whose probabilities are pooled."
        )
    elif len(summary.folds) == 1:
        lines.append(
            f"These are the figures of fold {first.fold.index} alone, one of {summary.fold_count}: {_persons(summary)} "
            f"of {len(first.sick)} were judged ({by_label}). Train the others (--cross all) before you believe them."
        )
    else:
        there = ", ".join(str(result.fold.index) for result in summary.folds)
        lines.append(
            f"Only folds {there} of {summary.fold_count} are trained: {_persons(summary)} of {len(first.sick)} were "
            f"judged ({by_label}). Train the others before you believe the figures."
        )
    if len(summary.folds) > 1:
        lines.append(
            "ROC AUC counts pairs within folds: a sick and a healthy person whom the same network judged, as each "
            "network has a scale of its own (Forman & Scholz 2010)."
        )
    unjudged = [name for result in summary.folds for name in result.fold.evaluation if name not in set(people.persons)]
    if unjudged:
        lines.append(f"Not judged, as no recording of theirs is as long as a window: {some_of(unjudged)}.")
    lines.append(
        f"Intervals are 95 %, by bootstrap over persons ({RESAMPLES:,} resamples). They say how the figures would vary "
        "with other persons of this kind, measured like these; not how they would in another laboratory."
    )
    note = interval_note(people) if people.persons else None
    if note:
        lines.append(note)
    stopped = [str(result.fold.index) for result in summary.folds if result.timed_out]
    if stopped:
        lines.append(
            f"--timeout ended the training early in fold{'s' if len(stopped) > 1 else ''} {', '.join(stopped)}: "
            "more epochs might do better, or worse."
        )
    if any(result.validation for result in summary.folds):
        lines.append("The epoch was chosen on training persons that were held back, not on those judged here.")
    else:
        lines.append("The last epoch counts; nothing was chosen by looking at the persons judged here.")
    lines.append(
        "Healthy and sick are the folders that the recordings were put in. A probability here is no diagnosis, and "
        "says nothing about why somebody walks differently."
    )
    return tuple(lines)


def terms(result: FoldResult) -> tuple[tuple[str, str], ...]:
    """What the report's words mean."""
    seconds = result.window_length / result.frame_rate_hz
    return (
        (
            "Person",
            "somebody in one of the folders healthy and sick; a person is in the training or judged, never both.",
        ),
        ("Recording", "one walk of a person."),
        (
            "Window",
            f"a piece of a recording, {result.window_length} frames at {result.frame_rate_hz:g} a second "
            f"({seconds:.2f} s), one every {counted(result.stride, 'frame')}. The network judges windows; the "
            "probability of a person is the mean of all of that person's windows.",
        ),
        (
            "Sick",
            f"what the network looks for. A person or window is called sick from a probability of {THRESHOLD:g} on.",
        ),
    )


def closing_lines(summary: CrossValidationSummary) -> tuple[str, ...]:
    """What a run says at its end: a leak first, then the answer, a table, whom it was wrong about, and problems."""
    wrong = [
        f"{shortened(name, 60)} ({figure(probability)})" for name, _, probability in wrong_persons(summary.network)
    ]
    return (
        *(f"warning: {line}" for line in leak_warning(summary)),
        headline(summary),
        *beside_baselines(summary),
        caveats(summary)[0],
        "",
        *_table(summary),
        "",
        *([f"judged wrongly, with the probability of sick, the surest first: {some_of(wrong)}"] if wrong else []),
        *missing_baselines(summary),
        *summary.problems,
    )


def missing_baselines(summary: CrossValidationSummary) -> tuple[str, ...]:
    """Which are missing, and why."""
    return tuple(
        line if judge_name(name) in line else f"{judge_name(name)} is missing: {line}"
        for name, line in summary.missing.items()
    )


def _table(summary: CrossValidationSummary) -> list[str]:
    """A row a judge: two metrics by person and by window, each with its interval."""
    rows = [["", "by person", "", "by window", ""], ["", *["balanced accuracy", "ROC AUC"] * 2]]
    for judge in summary.judges:
        estimates = [view[name] for view in (judge.persons, judge.windows) for name in ("balanced_accuracy", "roc_auc")]
        rows.append([judge_name(judge.name), *(_with_interval(estimate, bare=True) for estimate in estimates)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def wrong_persons(judge: ClassifierSummary) -> tuple[tuple[str, bool, float], ...]:
    """Person, whether sick, probability of who was judged wrongly, the worst first."""
    people = judge.people
    wrong = [
        (name, bool(sick), float(probability))
        for name, sick, probability in zip(people.persons, people.sick, people.probability, strict=True)
        if (probability >= THRESHOLD) != sick
    ]
    return tuple(sorted(wrong, key=lambda one: -abs(one[2] - THRESHOLD)))


def _persons(summary: CrossValidationSummary) -> str:
    return counted(len(summary.network.people.persons), "person")


def _with_interval(estimate: MetricWithInterval, bare: bool = False) -> str:
    if not math.isfinite(estimate.low):
        return figure(estimate.value) if bare else f"{figure(estimate.value)} (no interval: too few persons)"
    return f"{figure(estimate.value)} ({'' if bare else '95 % interval '}{interval(estimate)})"


def _ahead(ahead: MetricWithInterval) -> str:
    sign = "+" if ahead.value > 0 else ""
    span = f", {interval(ahead)}" if math.isfinite(ahead.low) else ""
    return f"{sign}{figure(ahead.value)}{span}"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
