"""The run report, from fits to attributions: the data of ``templates/run.html.jinja``."""

from __future__ import annotations

import base64
import mimetypes
import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gait.errors import GaitError
from gait.explaining.cohort_paths import recurrence_file
from gait.explaining.explain_cohort import CohortSummary
from gait.explaining.methods import METHODS
from gait.learning.cross_validation_summary import ClassifierSummary
from gait.learning.metrics import THRESHOLD
from gait.learning.networks import NETWORKS
from gait.motion.window_placement import window_duration
from gait.report.cohort_figure import cohort_sentences, format_proportion
from gait.report.display_names import BASELINES, classifier_name
from gait.report.render import MAX_SUBJECTS_SHOWN, by_label, first_few, relative_url, render
from gait.report.run.fit_summary import CohortFitSummary, mean_residual_mm, worst_marker_of
from gait.report.run.model import NetworkSection, RunReport, TrialSection
from gait.report.training.text_summary import (
    GAIN_NOTE,
    compare_with_baselines,
    confounder_warning,
    headline,
    left_out_sentences,
    limitations,
    missing_baselines,
    window_settings,
)
from gait.report.walk_page.walk_data import CHANGED_WALK
from gait.text import natural_key

MAX_FINDINGS_SHOWN = 12


def run_page(report: RunReport) -> str:
    """Return the page as HTML.

    Raises:
        GaitError: a figure cannot be read.
    """
    accuracies = [
        (network.title, network.summary.network.subject_metrics["balanced_accuracy"]) for network in report.networks
    ]
    baselines = (each for network in report.networks for each in network.summary.baselines)
    return render(
        "run.html.jinja",
        report=report,
        fits=report.fits,
        methods=METHODS,
        changed_walk=CHANGED_WALK,
        cohort_sentences=cohort_sentences,
        recurrence_rows=recurrence_rows,
        recurrence_file=recurrence_file,
        link=partial(relative_url, report.page),
        data_url=_data_url,
        confounders=list(dict.fromkeys(line for one in report.networks for line in confounder_warning(one.summary))),
        accuracies=[(title, accuracy) for title, accuracy in accuracies if np.isfinite(accuracy.value)],
        walking_speed=next((each for each in baselines if each.name == "walking_speed"), None),
        **_fits(report.fits),
        **_classification(report.networks),
        commands=[
            (network.kind, trial.name, _command(report, trial))
            for network in report.networks
            for trial in network.trials
        ],
        training_commands=[
            command
            for network in report.networks
            for command in dict.fromkeys(
                f"{report.python} {fold.command}" for fold in network.summary.folds if fold.command
            )
        ],
        settings=_settings(report),
    )


def viewer_commands(report: RunReport) -> tuple[str, ...]:
    """Return one viewer command per explained trial; the last one opens that of the first walk page, if any."""
    trials = [trial for network in report.networks for trial in network.trials]
    if report.walks:
        trials.sort(key=lambda trial: trial is report.walks[0].trial)
    return tuple(" ".join(_command(report, trial)) for trial in trials)


def _command(report: RunReport, trial: TrialSection) -> tuple[str, str]:
    """Return the two lines of the command; browsers would break it within a flag."""
    network, folder = (shlex.quote(str(path)) for path in (trial.network, trial.folder))
    return f"{report.python} attention_viewer.py --network {network}", f"--gait {folder}"


def recurrence_rows(summary: CohortSummary) -> list[dict[str, str | bool]]:
    """Return the findings that recur, then the most frequent others, as text."""
    rows = summary.recurrences or []
    recurring = [row for row in rows if row["recurs"]]
    others = sorted((row for row in rows if not row["recurs"]), key=lambda row: -row["patients"] - row["controls"])
    return [
        {
            "finding": f"{row['motion']} in {row['phase']}, {row['direction']} the norm",
            "patients": format_proportion(row, "patients"),
            "controls": format_proportion(row, "controls"),
            "p": "–" if row["p"] is None or row["p"] != row["p"] else f"{row['p']:.2g}",
            "corrected": "–" if row["p"] is None or row["p"] != row["p"] else f"{row['p_corrected']:.2g}",
            "recurs": bool(row["recurs"]),
        }
        for row in [*recurring, *others][:MAX_FINDINGS_SHOWN]
    ]


def _fits(fits: CohortFitSummary | None) -> dict[str, Any]:
    """Return marker errors, and the rows of the table of subjects."""
    if fits is None:
        return {}
    subjects = fits.subjects
    shown = sorted(subjects, key=lambda name: -np.nan_to_num(mean_residual_mm(subjects[name]), nan=-1.0))
    return {
        "marker_errors": [
            f"{trial.name}: {error.message}" for trial in fits.trials for error in trial.report.marker_errors
        ],
        "fit_rows": [
            {
                "subject": name,
                "num_trials": len(subjects[name]),
                "num_frames": sum(trial.report.frames for trial in subjects[name]),
                "mean_mm": mean_residual_mm(subjects[name]),
                "worst_frame_mm": np.fmax.reduce([trial.worst_frame_mm for trial in subjects[name]]),
                "worst_marker": worst_marker_of(subjects[name]),
                "stature_m": subjects[name][0].report.stature_m,
            }
            for name in sorted(shown[:MAX_SUBJECTS_SHOWN], key=natural_key)
        ],
    }


def _classification(networks: Sequence[NetworkSection]) -> dict[str, Any]:
    """Return networks and baseline classifiers, all subjects, folds, and the confounder check."""
    if not networks:
        return {"networks": []}
    fold = networks[0].summary.folds[0]
    shown = [
        {
            "kind": network.kind,
            "headline": headline(network.summary),
            "comparisons": compare_with_baselines(network.summary),
            "column": f"P(sick), {network.title}",
        }
        for network in networks
    ]
    same_folds: dict[str, list[NetworkSection]] = {}
    for network in networks:
        same_folds.setdefault(repr([result.fold for result in network.summary.folds]), []).append(network)
    last_check = networks[0].summary.folds[-1].confounder_check
    return {
        "networks": shown,
        "window_duration": window_duration(fold.window_length, fold.frame_rate_hz, fold.windows),
        "descriptions": [NETWORKS[network.kind].description for network in networks],
        "gain_note": GAIN_NOTE if any(one["comparisons"] for one in shown) else "",
        "classifiers": _classifier_rows(networks),
        "missing_baselines": list(
            dict.fromkeys(line for network in networks for line in missing_baselines(network.summary))
        ),
        **_all_subjects(networks),
        "fold_groups": [_fold_group(group) for group in same_folds.values()],
        "confounder_result": (last_check.get("messages") or ("It was not run.",))[0],
        "training_reports": [(network.title, network.report) for network in networks if network.report is not None],
    }


def _classifier_rows(networks: Sequence[NetworkSection]) -> list[dict[str, Any]]:
    """Return the rows of the networks, then of each baseline: once if its metrics are the same for all networks."""
    rows = [_classifier_row(classifier_name(each.kind), each.summary.network, of_network=True) for each in networks]
    baselines = [(network, classifier) for network in networks for classifier in network.summary.baselines]
    for name in dict.fromkeys(classifier.name for _, classifier in baselines):
        own = [(network, classifier) for network, classifier in baselines if classifier.name == name]
        about = BASELINES.get(name, "").partition(";")[0]
        if len({_metric_values(classifier) for _, classifier in own}) == 1:
            rows.append(_classifier_row(classifier_name(name), own[0][1], about))
        else:
            rows += [
                _classifier_row(f"{classifier_name(name)}, on the folds of the {one.title}", classifier, about)
                for one, classifier in own
            ]
    return rows


def _classifier_row(
    name: str, classifier: ClassifierSummary, about: str = "", of_network: bool = False
) -> dict[str, Any]:
    predictions = classifier.subject_predictions
    return {
        "name": name,
        "about": about,
        "of_network": of_network,
        "metrics": classifier.subject_metrics,
        "num_correct": int(((predictions.probability >= THRESHOLD) == predictions.sick).sum()),
        "num_subjects": len(predictions.subjects),
    }


def _metric_values(classifier: ClassifierSummary) -> str:
    return repr([classifier.subject_metrics[metric].value for metric in ("balanced_accuracy", "roc_auc_within_folds")])


def _all_subjects(networks: Sequence[NetworkSection]) -> dict[str, Any]:
    """Return the prediction of each network, or None, by subject; of many subjects only the misclassified ones."""
    predictions = [
        {
            name: {"sick": bool(sick), "probability": probability, "correct": (probability >= THRESHOLD) == sick}
            for name, sick, probability in zip(one.subjects, one.sick, one.probability, strict=True)
        }
        for one in (network.summary.network.subject_predictions for network in networks)
    ]
    names = sorted({name for one in predictions for name in one}, key=natural_key)
    subjects = {name: [one.get(name) for one in predictions] for name in names}
    wrong = [name for name in names if any(one is not None and not one["correct"] for one in subjects[name])]
    few = len(names) <= MAX_SUBJECTS_SHOWN
    return {
        "num_subjects": len(names),
        "num_wrong": None if few else len(wrong),
        "num_more": 0 if few else max(0, len(wrong) - MAX_SUBJECTS_SHOWN),
        "subjects": {name: subjects[name] for name in (names if few else wrong)[:MAX_SUBJECTS_SHOWN]},
    }


def _fold_group(group: Sequence[NetworkSection]) -> dict[str, Any]:
    """Return the test subjects and the accuracies of each fold of networks that share their folds."""
    return {
        "titles": [network.title for network in group],
        "limitation": " ".join(
            [limitations(group[0].summary)[0], *left_out_sentences(group[0].summary.folds[0].left_out)]
        ),
        "columns": [f"Balanced accuracy, {network.title}" for network in group],
        "rows": [
            (
                result.fold.index,
                {label: first_few(names) for label, names in by_label(result.fold.evaluation, result.sick).items()},
                [one.per_fold[k].network.subject_metrics["balanced_accuracy"].value for one in group],
            )
            for k, result in enumerate(group[0].summary.folds)
        ],
    }


def _settings(report: RunReport) -> dict[str, Mapping[str, Any]]:
    """Return tables of names and values."""
    tables: dict[str, Mapping[str, Any]] = {}
    if report.fits is not None:
        tables["Fit"] = report.fits.trials[0].provenance
    for network in report.networks:
        result = network.summary.folds[0]
        named = ("epochs", "lr", "batch_size", "k_folds", "seed")
        rows: dict[str, Any] = {
            **window_settings(result),
            **{name: result.arguments[name] for name in named if name in result.arguments},
            **result.architecture,
        }
        if network.trials:
            attribution = network.trials[0].explanation.attribution
            rows["explanation method"] = METHODS[attribution.method].title
            rows |= {f"method: {key.replace('_', ' ')}": value for key, value in attribution.settings.items()}
        tables[classifier_name(network.kind)] = rows
    if report.networks:
        tables["Versions"] = report.networks[0].summary.folds[0].versions
    return tables


def _data_url(file: Path) -> str:
    """Return a file's content as a URL."""
    try:
        content = base64.b64encode(file.read_bytes()).decode("ascii")
    except OSError as error:
        raise GaitError(f"{file}: cannot be read ({error.strerror or error}).") from None
    return f"data:{mimetypes.guess_type(file.name)[0]};base64,{content}"
