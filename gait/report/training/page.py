"""The training report ``report_<network>.html``: the data of ``templates/training.html.jinja``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gait.learning.cross_validation_summary import CrossValidationSummary
from gait.report.display_names import BASELINES, METRICS
from gait.report.render import render
from gait.report.training.figures import MAX_NAMED_SUBJECTS, ReportFigure
from gait.report.training.text_summary import (
    GAIN_NOTE,
    compare_with_baselines,
    confounder_warning,
    glossary,
    headline,
    left_out_sentences,
    limitations,
    misclassified,
    missing_baselines,
    window_settings,
)
from gait.text import capitalize


def report_page(
    summary: CrossValidationSummary,
    per_fold: Sequence[CrossValidationSummary],
    figures: Mapping[str, ReportFigure],
    excluded: Sequence[str] = (),
) -> str:
    """Return the page as HTML, from all folds pooled, each fold alone, and the figures of the former by name.

    ``excluded`` are messages about results in the folder that are not included.
    """
    check = summary.folds[-1].confounder_check
    factors = sorted(check.get("factors", {}).values(), key=lambda factor: not factor["is_confounder"])
    repeated = {factor["message"].lower() for factor in factors}
    comparisons = compare_with_baselines(summary)
    return render(
        "training.html.jinja",
        summary=summary,
        per_fold=per_fold,
        figures=figures,
        warning=confounder_warning(summary),
        headline=headline(summary),
        caveats=[*limitations(summary), *left_out_sentences(summary.folds[0].left_out), *excluded],
        glossary=glossary(summary.folds[0]),
        comparisons=[*comparisons, GAIN_NOTE] if comparisons else [],
        missing=missing_baselines(summary),
        metrics={name: title for name, title in METRICS.items() if name != "roc_auc_pooled" or len(summary.folds) > 1},
        baselines={each.name: BASELINES[each.name] for each in summary.baselines if each.name in BASELINES},
        wrong=misclassified(summary.network),
        max_named=MAX_NAMED_SUBJECTS,
        smallest_fold=min(len(result.fold.evaluation) for result in summary.folds),
        confounder_check=[
            line for line in check.get("messages") or ("It was not run.",) if line.lower() not in repeated
        ],
        factors=[(each["is_confounder"], capitalize(each["message"])) for each in factors],
        commands=list(dict.fromkeys(result.command for result in summary.folds if result.command)),
        settings=_settings(summary),
    )


def _settings(summary: CrossValidationSummary) -> dict[str, Mapping[str, Any]]:
    first = summary.folds[0]
    versions: dict[str, Any] = dict(first.versions)
    if any(result.versions != first.versions for result in summary.folds):
        versions = {f"{name} (fold {first.fold.index})": value for name, value in versions.items()}
        versions["other folds"] = "were trained with other versions; see their metrics files"
    return {
        "Windows": {
            **window_settings(first),
            "normalisation": first.normalisation,
            "seed": first.arguments["seed"],
        },
        "Network": first.architecture,
        "Versions": versions,
        "Arguments": {f"--{name}": value for name, value in first.arguments.items()},
    }
