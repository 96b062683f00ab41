"""The training report ``report_<network>.html``: one self-contained page without scripts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gait.learning.fold_result import FoldResult
from gait.report.training.cross_validation_summary import ClassifierSummary, CrossValidationSummary, Estimates
from gait.report.training.display_names import BASELINES, METRICS, classifier_name
from gait.report.training.figures import MAX_NAMED_SUBJECTS, ReportFigure, as_svg
from gait.report.training.html import (
    bullet_list,
    duration,
    estimate_cell,
    paragraphs,
    plain_table,
    section,
    table,
    text,
    whole_page,
)
from gait.report.training.text_summary import (
    compare_with_baselines,
    confounder_warning,
    format_number,
    glossary,
    headline,
    limitations,
    misclassified,
    missing_baselines,
    pluralize,
)
from gait.text import natural_key


def report_page(
    summary: CrossValidationSummary,
    per_fold: Sequence[CrossValidationSummary],
    figures: Mapping[str, ReportFigure],
    excluded: Sequence[str] = (),
) -> str:
    """Return the page as HTML.

    Args:
        summary: all folds, pooled.
        per_fold: each fold alone, in the same order.
        figures: figures of ``summary``, by name.
        excluded: messages about results in the folder that are not included.
    """
    network = classifier_name(summary.network.name)
    which = "" if len(summary.folds) > 1 else f", only fold {summary.folds[0].fold.index} of {summary.num_folds}"
    parts = [
        _warning(summary),
        f"<header><h1>Classification of healthy and pathological gait: {text(network)}{which}</h1>",
        f'<p class="answer">{text(headline(summary))}</p>',
        bullet_list([*limitations(summary), *excluded], "caveats"),
        _glossary(summary.folds[0]),
        "</header>",
        section("Comparison with baseline classifiers", _classifier_comparison(summary, figures)),
        section("Figures", _figures(summary, figures)),
        section("Folds", _folds(summary, per_fold)),
        section("Confounder check", _confounder_check(summary)),
        section("Problems of the data", _problems(summary)),
        section("Settings and commands", _settings(summary)),
    ]
    return whole_page(f"{network}: classification of healthy and pathological gait", parts)


def _warning(summary: CrossValidationSummary) -> str:
    lines = confounder_warning(summary)
    if not lines:
        return ""
    return (
        f'<aside class="warning" role="alert"><h2>Warning: read this before the results</h2>{paragraphs(lines)}</aside>'
    )


def _glossary(result: FoldResult) -> str:
    return (
        "<dl>"
        + "".join(f"<dt>{text(term)}</dt><dd>{text(definition)}</dd>" for term, definition in glossary(result))
        + "</dl>"
    )


def _classifier_comparison(summary: CrossValidationSummary, figures: Mapping[str, ReportFigure]) -> str:
    lines = "".join(f"<p>{text(line)}</p>" for line in compare_with_baselines(summary))
    tables = [
        f"<h3>By subject</h3>{_metrics(summary, 'subjects')}",
        f"<h3>By window</h3>{_metrics(summary, 'windows')}",
    ]
    descriptions = "".join(
        f"<dt>{text(classifier_name(classifier.name))}</dt><dd>{text(BASELINES[classifier.name])}.</dd>"
        for classifier in summary.baselines
        if classifier.name in BASELINES
    )
    return (
        lines
        + _html_figure(figures, "comparison", "wide")
        + bullet_list(missing_baselines(summary))
        + "".join(tables)
        + f"<dl>{descriptions}</dl>"
    )


def _metrics(summary: CrossValidationSummary, by: str) -> str:
    best = summary.best_baseline
    heads = []
    for classifier in summary.classifiers:
        mark = ' <small class="best">best baseline</small>' if classifier is best else ""
        kind = ' class="of-network"' if classifier is summary.network else ""
        heads.append(f'<th scope="col"{kind}>{text(classifier_name(classifier.name))}{mark}</th>')
    rows = []
    for name, (title, meaning) in METRICS.items():
        if name == "roc_auc_pooled" and len(summary.folds) == 1:
            continue
        cells = "".join(
            estimate_cell(_metrics_of(classifier, by)[name], classifier is summary.network)
            for classifier in summary.classifiers
        )
        rows.append(f'<tr><th scope="row">{text(title)}<small>{text(meaning)}</small></th>{cells}</tr>')
    return table(["<th></th>", *heads], rows)


def _figures(summary: CrossValidationSummary, figures: Mapping[str, ReportFigure]) -> str:
    panels = "".join(_html_figure(figures, name) for name in ("roc", "confusion", "calibration", "loss"))
    drawn = f'<div class="panels">{panels}</div>' if panels else "<p>There is no data to plot.</p>"
    return drawn + _html_figure(figures, "subjects", "wide") + _misclassified(summary)


def _misclassified(summary: CrossValidationSummary) -> str:
    wrong = [
        f"{name} ({'patient' if sick else 'control'}, {format_number(probability)})"
        for name, sick, probability in misclassified(summary.network)
    ]
    if not wrong:
        return "<p>No subject was misclassified.</p>" if summary.network.subject_predictions.subjects else ""
    more = f"; and {len(wrong) - MAX_NAMED_SUBJECTS} more" if len(wrong) > MAX_NAMED_SUBJECTS else ""
    return (
        '<p class="small">Misclassified subjects, with P(sick), farthest from the threshold first: '
        f"{text('; '.join(wrong[:MAX_NAMED_SUBJECTS]))}{more}.</p>"
    )


def _folds(summary: CrossValidationSummary, per_fold: Sequence[CrossValidationSummary]) -> str:
    heads = ["Fold", "Test subjects", "Balanced accuracy", "ROC AUC", "Training loss", "Test loss", "Epochs",
             "Training windows", "Test windows", "Time"]  # fmt: skip
    rows = []
    for fold in per_fold:
        (result,) = fold.folds
        last = result.epochs[-1] if result.epochs else None
        sick = sum(result.sick[name] for name in result.fold.evaluation)
        healthy = len(result.fold.evaluation) - sick
        epochs = f"{len(result.epochs)}"
        if result.validation and result.epochs:
            epochs += f"<small>epoch {result.chosen_epoch + 1} is used</small>"
        if result.timed_out:
            epochs += "<small>ended by --timeout</small>"
        rows.append(
            f'<tr><th scope="row">{result.fold.index}</th>'
            f"<td>{len(result.fold.evaluation)}"
            f"<small>{pluralize(healthy, 'control')}, {pluralize(sick, 'patient')}</small></td>"
            + "".join(
                f"<td>{format_number(fold.network.subject_metrics[name].value)}</td>"
                for name in ("balanced_accuracy", "roc_auc_within_folds")
            )
            + "".join(f"<td>{format_number(last[kind]['loss']) if last else '–'}</td>" for kind in ("train", "eval"))
            + f"<td>{epochs}</td><td>{result.training_windows:,}</td><td>{result.evaluation_windows:,}</td>"
            f"<td>{duration(result.seconds)}</td></tr>"
        )
    fold_table = table([f"<th scope='col'>{text(head)}</th>" for head in heads], rows)
    members = []
    for result in summary.folds:
        sets = [("Test set", result.fold.evaluation)]
        if result.validation:
            sets.append(("Validation set, to choose the epoch", result.validation))
        if len(summary.folds) == 1:
            validation = set(result.validation)
            sets.append(("Training set", tuple(name for name in result.fold.training if name not in validation)))
        listed = "".join(f"<dt>{text(title)}</dt><dd>{_named(names, result)}</dd>" for title, names in sets)
        rest = len(result.fold.training) - len(result.validation)
        others = "" if len(summary.folds) == 1 else f"<dt>Training set</dt><dd>all {pluralize(rest, 'other')}.</dd>"
        members.append(f"<h3>Fold {result.fold.index}</h3><dl>{listed}{others}</dl>")
    smallest = min(len(result.fold.evaluation) for result in summary.folds)
    note = (
        f"<p>Folds with few test subjects (here at least {smallest}) differ by chance." if len(per_fold) > 1 else "<p>"
    )
    return f"{note} Losses are means over windows in the last epoch.</p>{fold_table}{''.join(members)}"


def _named(names: Iterable[str], result: FoldResult) -> str:
    groups = []
    for label, is_sick in (("healthy", False), ("sick", True)):
        members = sorted((name for name in names if result.sick[name] == is_sick), key=natural_key)
        if members:
            shown = ", ".join(text(name.removeprefix(f"{label}/")) for name in members)
            groups.append(f'<span class="{label}">{label}</span> {shown}')
    return "; ".join(groups) or "no subject"


def _confounder_check(summary: CrossValidationSummary) -> str:
    found = summary.folds[-1].confounder_check
    question = (
        "<p>Can the label be predicted from something other than gait: frame rate, marker set, trial length, fraction "
        "of missing markers, stature? If so, a network may learn that instead of gait.</p>"
    )
    factors = found.get("factors", {})
    repeated = {factor["message"].lower() for factor in factors.values()}
    lines = [line for line in found.get("messages") or ("It was not run.",) if line.lower() not in repeated]
    return question + paragraphs(lines) + _factors(factors)


def _factors(factors: Mapping[str, Any]) -> str:
    """Return one line per factor, confounders first and in bold."""
    lines = [(not factor["is_confounder"], factor["message"]) for factor in factors.values()]
    shown = [text(line[:1].upper() + line[1:]) for _, line in sorted(lines, key=lambda each: each[0])]
    confounders = sum(factor["is_confounder"] for factor in factors.values())
    items = "".join(
        f"<li>{f'<strong>{line}</strong>' if k < confounders else line}</li>" for k, line in enumerate(shown)
    )
    note = "ROC AUC by subject, from this factor alone; chance is 0.5. p is corrected for the number of factors tested."
    return f'<ul class="small">{items}</ul><p class="small">{note}</p>' if items else ""


def _problems(summary: CrossValidationSummary) -> str:
    return bullet_list(summary.problems) or "<p>None: all trials could be used.</p>"


def _settings(summary: CrossValidationSummary) -> str:
    first = summary.folds[0]
    commands = dict.fromkeys(result.command for result in summary.folds if result.command)
    repeat = "".join(f"<pre>{text(command)}</pre>" for command in commands)
    windows = {
        "window": f"{first.window_length} frames",
        "frame rate": f"{first.frame_rate_hz:g} Hz",
        "stride": pluralize(first.stride, "frame"),
        "normalisation": first.normalisation,
        "seed": first.seed,
    }
    flags = {f"--{name}": value for name, value in first.arguments.items()}
    versions: dict[str, Any] = dict(first.versions)
    if any(result.versions != first.versions for result in summary.folds):
        versions = {f"{name} (fold {first.fold.index})": value for name, value in versions.items()}
        versions["other folds"] = "were trained with other versions; see their metrics files"
    tables = {"Windows": windows, "Network": first.architecture, "Versions": versions, "Arguments": flags}
    columns = "".join(f"<div><h3>{name}</h3>{plain_table(rows)}</div>" for name, rows in tables.items())
    return f'{repeat}<div class="settings">{columns}</div>'


def _html_figure(figures: Mapping[str, ReportFigure], name: str, kind: str = "") -> str:
    if name not in figures:
        return ""
    figure = figures[name]
    svg = as_svg(figure).replace("<svg", f'<svg role="img" aria-label="{text(figure.alt_text)}"', 1)
    css_class = f' class="{kind}"' if kind else ""
    return f'<figure id="{name}"{css_class}>{svg}<figcaption>{text(figure.caption)}</figcaption></figure>'


def _metrics_of(classifier: ClassifierSummary, by: str) -> Estimates:
    return classifier.subject_metrics if by == "subjects" else classifier.window_metrics
