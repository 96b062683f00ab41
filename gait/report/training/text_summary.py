"""Results of a cross-validation in plain sentences, for the training report and the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from gait.body.skeleton import Joint, display_names
from gait.learning.cross_validation_summary import RESAMPLES, ClassifierSummary, CrossValidationSummary
from gait.learning.fold_result import FoldResult
from gait.learning.matched_speed import MIN_PAIRS, WITHIN, MatchedAuc
from gait.learning.metrics import THRESHOLD, MetricWithInterval, interval_caveat
from gait.motion.window_placement import CYCLES, window_duration
from gait.report.display_names import classifier_name, name_in_sentence
from gait.text import format_number, join_words, pluralize, truncate

MAX_LISTED = 12
"""Longer lists of names are cut within a sentence."""

GAIN_NOTE = "In brackets: balanced accuracy by subject, network minus baseline, with the 95 % CI."
"""Explains the numbers in the sentences of ``compare_with_baselines``; shown once below them."""


def format_interval(estimate: MetricWithInterval) -> str:
    """Return for example ``0.84 to 0.99``, or nothing if there is no interval."""
    return f"{format_number(estimate.low)} to {format_number(estimate.high)}" if math.isfinite(estimate.low) else ""


def truncate_list(names: Sequence[str]) -> str:
    """Return at most ``MAX_LISTED`` names, and the number of omitted ones."""
    more = len(names) - MAX_LISTED
    shown = ", ".join(truncate(name, 60) for name in names[:MAX_LISTED])
    return f"{shown} and {more} more" if more > 0 else shown


def confounder_warning(summary: CrossValidationSummary) -> tuple[str, ...]:
    """Return the messages of the confounder check if it found a confounder, otherwise nothing."""
    found = summary.folds[-1].confounder_check
    return tuple(found.get("messages", ())) if found.get("confounded") else ()


def headline(summary: CrossValidationSummary) -> str:
    """Return the main result in one or two sentences."""
    accuracy = summary.network.subject_metrics["balanced_accuracy"]
    if not summary.network.subject_predictions.subjects:
        return "No subject could be classified: no window of the test subjects is left."
    if not math.isfinite(accuracy.value):
        label = "patients" if summary.network.subject_predictions.sick.all() else "controls"
        return f"The accuracy is undefined: all {_num_subjects(summary)} classified here are {label}."
    line = (
        f"Unseen subjects were classified with a balanced accuracy of {_with_interval(accuracy)}"
        f"{{}}. Chance level is 0.50."
    )
    speed = next((classifier for classifier in summary.baselines if classifier.name == "walking_speed"), None)
    if speed is None:
        return line.format("")
    alone = _with_interval(speed.subject_metrics["balanced_accuracy"], bare=True)
    matched = " ".join(("", *matched_speed_sentences(summary.matched_speed)))
    return line.format(f"; walking speed alone reaches {alone}") + matched


def matched_speed_sentences(matched: MatchedAuc | None) -> tuple[str, ...]:
    """Return what the ROC AUC is among patients and controls of the same walking speed; nothing if unknown."""
    if matched is None:
        return ()
    pairs = f"{pluralize(matched.num_pairs, 'pair')} of a patient and a control"
    if not math.isfinite(matched.auc.value):
        return (f"At matched walking speed the ROC AUC is undefined: {pairs}, fewer than {MIN_PAIRS}.",)
    return (
        f"At matched walking speed ({pairs} within {WITHIN:g} of dimensionless speed) the ROC AUC is "
        f"{_with_interval(matched.auc)}; the speed alone has {_with_interval(matched.speed_alone, bare=True)} there.",
    )


def compare_with_baselines(summary: CrossValidationSummary) -> tuple[str, ...]:
    """Return sentences that compare the network with the baselines; each baseline is named once."""
    found: dict[str, list[str]] = {"worse": [], "no better": [], "not significant": [], "better": []}
    for classifier in summary.baselines:
        gain = classifier.accuracy_gain
        if not math.isfinite(gain.value):
            continue
        if gain.value <= 0:
            outcome = "worse" if gain.high < 0 else "no better"  # without an interval its bounds are NaN
        else:
            outcome = "better" if gain.low > 0 else "not significant"
        found[outcome].append(f"{name_in_sentence(classifier.name)} ({_format_gain(gain)})")
    sentences = {
        "worse": "The network is worse than {}.",
        "no better": "The network is not better than {}.",
        "not significant": "The network scores higher than {}, but with so few subjects this may be chance.",
        "better": "The network is better than {}.",
    }
    return tuple(sentences[outcome].format(join_words(names)) for outcome, names in found.items() if names)


def left_out_sentences(left_out: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what markers do not observe, and so is left out, from ``FoldResult.left_out``; usually nothing."""
    lines = []
    num_lacking, num_trials = left_out.get("num_lacking", {}), left_out.get("num_trials", 0)

    def count_trials(names: Sequence[str]) -> str:
        counts = sorted({num_lacking[name] for name in names if name in num_lacking})
        number = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        return f"not observed by markers in {number} of {pluralize(num_trials, 'trial')}"

    if names := left_out.get("joints", []):
        lines.append(f"Left out of all trials: {_format_joints(names)}, {count_trials(names)}.")
    rest = [name for name in num_lacking if name not in names]
    if trials := left_out.get("trials"):
        lines.append(f"Left out, as markers do not observe {_format_joints(rest)}: {truncate_list(trials)}.")
        if subjects := left_out["subjects"]:
            lines.append(f"No trial is left of {truncate_list(subjects)}.")
    elif rest:
        lines.append(f"Used at the positions of the pose prior: {_format_joints(rest)}, {count_trials(rest)}.")
    if windows := left_out.get("num_windows"):
        lines.append(
            "Windows left out, as markers do not observe a joint in most of their frames: "
            f"{sum(windows.values()):,}, of {truncate_list(list(windows))}."
        )
    return tuple(lines)


def _format_joints(names: Sequence[str]) -> str:
    return display_names([Joint[name] for name in names])


def limitations(summary: CrossValidationSummary) -> tuple[str, ...]:
    """Return the limitations of the main result, one or two sentences per line."""
    predictions, first = summary.network.subject_predictions, summary.folds[0]
    sick = int(predictions.sick.sum())
    by_label = f"{pluralize(len(predictions.sick) - sick, 'control')}, {pluralize(sick, 'patient')}"
    were = "was" if len(predictions.sick) == 1 else "were"
    lines = []
    if summary.complete:
        lines.append(
            f"{_num_subjects(summary)} {were} classified ({by_label}), each once, by a network trained without them: "
            f"{summary.num_folds} folds, so {summary.num_folds} networks whose predictions are pooled."
        )
    elif len(summary.folds) == 1:
        lines.append(
            f"These results are of fold {first.fold.index} alone, one of {summary.num_folds}: {_num_subjects(summary)} "
            f"of {len(first.sick)} {were} classified ({by_label}). Train the other folds (--cross all) before you rely "
            "on them."
        )
    else:
        present = ", ".join(str(result.fold.index) for result in summary.folds)
        lines.append(
            f"Only folds {present} of {summary.num_folds} are trained: {_num_subjects(summary)} of {len(first.sick)} "
            f"{were} classified ({by_label}). Train the other folds before you rely on the results."
        )
    if len(summary.folds) > 1:
        lines.append(
            "ROC AUC is computed from pairs within folds: a patient and a control classified by the same network, "
            "because the networks of different folds are not on one scale (Forman & Scholz 2010)."
        )
    unclassified = [
        name for result in summary.folds for name in result.fold.evaluation if name not in set(predictions.subjects)
    ]
    if unclassified:
        lines.append(f"Not classified, because no window of their trials is left: {truncate_list(unclassified)}.")
    lines.append(
        f"Intervals are 95 % confidence intervals (CI), by bootstrap over subjects ({RESAMPLES:,} resamples). They "
        "show how the metrics would vary with other subjects of the same population, measured in the same way; they do "
        "not cover another laboratory."
    )
    caveat = interval_caveat(predictions) if predictions.subjects else None
    if caveat:
        lines.append(caveat)
    timed_out = [str(result.fold.index) for result in summary.folds if result.timed_out]
    if timed_out:
        lines.append(
            f"--timeout ended the training early in fold{'s' if len(timed_out) > 1 else ''} {', '.join(timed_out)}: "
            "more epochs might give a better or a worse network."
        )
    if any(result.validation for result in summary.folds):
        lines.append("The epoch was chosen on a validation set of training subjects, not on the test subjects.")
    else:
        lines.append("The network of the last epoch is used; nothing was chosen by its result on the test subjects.")
    lines.append(
        "The labels healthy and sick are the folders in which the trials were placed. A predicted probability is not a "
        "diagnosis and does not explain why a subject walks differently."
    )
    return tuple(lines)


def glossary(result: FoldResult) -> tuple[tuple[str, str], ...]:
    """Return the terms of the report with their definitions."""
    return (
        (
            "Subject",
            "a participant, in the folder healthy (control) or sick (patient); in each fold a subject is either in the "
            "training set or in the test set, never in both.",
        ),
        ("Trial", "one recording of a subject's gait."),
        (
            "Window",
            f"a segment of a trial: {_window_text(result)}. The network classifies windows; the probability of a "
            "subject is the mean over all windows of all trials of the subject.",
        ),
        (
            "P(sick)",
            "predicted probability of the sick class. A subject or a window is classified as sick from "
            f"{THRESHOLD:g} upwards.{_threshold_text(result)}",
        ),
    )


def window_settings(result: FoldResult) -> dict[str, str]:
    """Return what windows are, by name, for the tables of settings."""
    if result.windows == CYCLES:
        duration = window_duration(result.window_length, result.frame_rate_hz, result.windows)
        return {"window": f"{duration}, {result.window_length} frames", "begin of windows": "initial contacts"}
    return {
        "window": f"{result.window_length} frames",
        "frame rate": f"{result.frame_rate_hz:g} Hz",
        "stride": pluralize(result.stride, "frame"),
    }


def _window_text(result: FoldResult) -> str:
    duration = window_duration(result.window_length, result.frame_rate_hz, result.windows)
    if result.windows == CYCLES:
        return (
            f"{duration} from an initial contact on, at 100 frames per stride ({result.window_length} frames); windows "
            "that begin with the right foot are mirrored"
        )
    return (
        f"{result.window_length} frames at {result.frame_rate_hz:g} frames per second ({duration}), one starting every "
        f"{pluralize(result.stride, 'frame')}"
    )


def _threshold_text(result: FoldResult) -> str:
    if not result.threshold:
        return ""
    return (
        f" That is where the logit is {result.threshold['logit']:.2f}, which separates best "
        f"{result.threshold['num_subjects']} training subjects whom the judging network had not seen."
    )


def terminal_summary(summary: CrossValidationSummary) -> tuple[str, ...]:
    """Return the lines printed after training: warnings, headline, metrics, misclassified subjects, problems."""
    comparisons = compare_with_baselines(summary)
    wrong = [
        f"{truncate(name, 60)} ({format_number(probability)})"
        for name, _, probability in misclassified(summary.network)
    ]
    return (
        *(f"warning: {line}" for line in confounder_warning(summary)),
        *left_out_sentences(summary.folds[0].left_out),
        headline(summary),
        *comparisons,
        *([GAIN_NOTE] if comparisons else []),
        limitations(summary)[0],
        "",
        *_table(summary),
        "",
        *([f"misclassified, with P(sick), farthest from the threshold first: {truncate_list(wrong)}"] if wrong else []),
        *missing_baselines(summary),
        *summary.problems,
    )


def missing_baselines(summary: CrossValidationSummary) -> tuple[str, ...]:
    """Return one line per missing baseline, with the reason."""
    return tuple(
        line if classifier_name(name) in line else f"{classifier_name(name)} is missing: {line}"
        for name, line in summary.missing.items()
    )


def _table(summary: CrossValidationSummary) -> list[str]:
    """Return one row per classifier: two metrics by subject and by window, each with its interval."""
    rows = [["", "by subject", "", "by window", ""], ["", *["balanced accuracy", "ROC AUC"] * 2]]
    for classifier in summary.classifiers:
        estimates = [
            metrics[name]
            for metrics in (classifier.subject_metrics, classifier.window_metrics)
            for name in ("balanced_accuracy", "roc_auc_within_folds")
        ]
        rows.append(
            [classifier_name(classifier.name), *(_with_interval(estimate, bare=True) for estimate in estimates)]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def misclassified(classifier: ClassifierSummary) -> tuple[tuple[str, bool, float], ...]:
    """Return (subject, is sick, P(sick)) of each misclassified subject, farthest from the threshold first."""
    predictions = classifier.subject_predictions
    wrong = [
        (name, bool(sick), float(probability))
        for name, sick, probability in zip(predictions.subjects, predictions.sick, predictions.probability, strict=True)
        if (probability >= THRESHOLD) != sick
    ]
    return tuple(sorted(wrong, key=lambda one: -abs(one[2] - THRESHOLD)))


def _num_subjects(summary: CrossValidationSummary) -> str:
    return pluralize(len(summary.network.subject_predictions.subjects), "subject")


def _with_interval(estimate: MetricWithInterval, bare: bool = False) -> str:
    value = format_number(estimate.value)
    if not math.isfinite(estimate.low):
        return value if bare else f"{value} (no CI: too few subjects)"
    return f"{value} ({'' if bare else '95 % CI '}{format_interval(estimate)})"


def _format_gain(gain: MetricWithInterval) -> str:
    span = f", {format_interval(gain)}" if math.isfinite(gain.low) else ""
    return f"{format_number(gain.value, signed=True)}{span}"
