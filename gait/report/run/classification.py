"""Section of the run report on the classification of subjects."""

from __future__ import annotations

from collections.abc import Sequence

from gait.learning.fold_result import FoldResult
from gait.learning.metrics import THRESHOLD
from gait.learning.networks import NETWORKS
from gait.report.run.model import NetworkSection, RunReport
from gait.report.run.page_parts import MAX_SUBJECTS_SHOWN, anchor, subject_cell, truncate_lines
from gait.report.training.cross_validation_summary import ClassifierSummary
from gait.report.training.display_names import BASELINES, classifier_name
from gait.report.training.html import bullet_list, estimate_cell, paragraphs, table, text
from gait.report.training.text_summary import (
    compare_with_baselines,
    format_number,
    headline,
    limitations,
    missing_baselines,
)
from gait.text import natural_key


def classification_section(report: RunReport) -> str:
    """Return HTML on networks and baseline classifiers, all subjects, folds, and the confounder check."""
    if not report.networks:
        return "<p>No trained network can be read.</p>"
    fold = report.networks[0].summary.folds[0]
    described = [NETWORKS[kind].description for kind in dict.fromkeys(n.kind for n in report.networks)]
    parts = [
        f"<p>A network classifies windows of {fold.window_length / fold.frame_rate_hz:.2f} s; the probability of a "
        f"subject is the mean over all windows of all trials. {text(' '.join(described))}</p>"
    ]
    brackets = ""
    for network in report.networks:
        # The last sentence explains the brackets; it is shown once, below all networks.
        *comparisons, explanation = compare_with_baselines(network.summary) or ("",)
        brackets = explanation or brackets
        parts.append(
            f"<h3>{text(classifier_name(network.kind))}</h3>{paragraphs([headline(network.summary), *comparisons])}"
        )
    if brackets:
        parts.append(f'<p class="small">{text(brackets)}</p>')
    first = report.networks[0].summary
    parts.append("<h3>Comparison with baseline classifiers, by subject</h3>")
    heads = ["Classifier", "Balanced accuracy", "ROC AUC", "Correct"]
    parts.append(
        table([f'<th scope="col">{text(head)}</th>' for head in heads], list(_classifier_rows(report.networks)))
    )
    parts.append(
        '<p class="small">Below each value is its 95 % CI over subjects. Balanced accuracy is the mean of sensitivity '
        "(fraction of patients classified as sick) and specificity (fraction of controls classified as healthy). ROC "
        "AUC is the probability that a patient scores higher than a control. Chance level is 0.50 for both.</p>"
    )
    parts.append(bullet_list([line for network in report.networks for line in missing_baselines(network.summary)]))
    parts.append(f"<h3>All subjects</h3>{_all_subjects(report.networks)}")
    parts.append(f"<h3>Folds: test subjects of each network</h3>{_folds(report.networks)}")
    lines = first.folds[-1].confounder_check.get("messages") or ("It was not run.",)
    parts.append(
        "<h3>Confounder check</h3><p>Can the label be predicted from something other than gait: frame rate, marker "
        f"set, trial length, fraction of missing markers, stature?</p><p>{text(lines[0])}</p>"
    )
    links = [
        f"{anchor(report, network.report)} on the {text(network.title)}"
        for network in report.networks
        if network.report is not None
    ]
    if links:
        parts.append(f"<p>More figures, learning curves and all settings: {', '.join(links)}.</p>")
    return "".join(parts)


def _classifier_rows(networks: Sequence[NetworkSection]) -> list[str]:
    """Return the rows of the networks, then of each baseline: once if its metrics are the same for all networks."""
    rows = [
        _classifier_row(classifier_name(network.kind), network.summary.network, of_network=True) for network in networks
    ]
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


def _classifier_row(name: str, classifier: ClassifierSummary, about: str = "", *, of_network: bool = False) -> str:
    small = f"<small>{text(about)}</small>" if about else ""
    kind = ' class="of-network"' if of_network else ""
    cells = "".join(
        estimate_cell(classifier.subject_metrics[metric], of_network)
        for metric in ("balanced_accuracy", "roc_auc_within_folds")
    )
    return f'<tr><th scope="row"{kind}>{text(name)}{small}</th>{cells}<td>{_num_correct(classifier)}</td></tr>'


def _metric_values(classifier: ClassifierSummary) -> str:
    return repr([classifier.subject_metrics[metric].value for metric in ("balanced_accuracy", "roc_auc_within_folds")])


def _num_correct(classifier: ClassifierSummary) -> str:
    predictions = classifier.subject_predictions
    return f"{int(((predictions.probability >= THRESHOLD) == predictions.sick).sum())} of {len(predictions.subjects)}"


def _all_subjects(networks: Sequence[NetworkSection]) -> str:
    """Return a table of P(sick) of each subject by each network."""
    predictions = [
        {
            name: (bool(sick), float(probability))
            for name, sick, probability in zip(
                network.summary.network.subject_predictions.subjects,
                network.summary.network.subject_predictions.sick,
                network.summary.network.subject_predictions.probability,
                strict=True,
            )
        }
        for network in networks
    ]
    names = sorted({name for one in predictions for name in one}, key=natural_key)
    if not names:
        return "<p>No subject was classified: all trials are shorter than a window.</p>"
    wrong = [name for name in names if any(name in one and not _is_correct(*one[name]) for one in predictions)]
    shown = names if len(names) <= MAX_SUBJECTS_SHOWN else truncate_lines(wrong)
    note = ""
    if len(shown) < len(names):
        note = f"Shown are the subjects misclassified by at least one network: {len(wrong)} of {len(names)}."
    heads = ["Subject", *(f"P(sick), {network.title}" for network in networks)]
    rows = [
        f'<tr><th scope="row">{subject_cell(name)}</th>'
        f"{''.join(_probability_bar(one.get(name)) for one in predictions)}</tr>"
        for name in shown
    ]
    drawn = table([f'<th scope="col">{text(head)}</th>' for head in heads], rows) if rows else ""
    return (
        "<p>Blue dots are controls, orange dots patients. The line in the middle is the threshold 0.5, from which on a "
        "subject is classified as sick. Each subject was classified by a network that was not trained on it.</p>"
        f"{paragraphs([note] if note else [])}{drawn}"
    )


def _probability_bar(prediction: tuple[bool, float] | None) -> str:
    if prediction is None:
        return "<td>not classified</td>"
    sick, probability = prediction
    mark = "" if _is_correct(sick, probability) else '<strong class="wrong">wrong</strong>'
    kind = "sick" if sick else "healthy"
    return (
        f'<td><span class="probability {kind}"><i style="left:{100 * probability:.1f}%"></i></span> '
        f"{format_number(probability)} {mark}</td>"
    )


def _is_correct(sick: bool, probability: float) -> bool:
    return (probability >= THRESHOLD) == sick


def _folds(networks: Sequence[NetworkSection]) -> str:
    """Return the test subjects and the accuracy of each fold; one table for networks that share their folds."""
    parts = []
    same_folds: dict[str, list[NetworkSection]] = {}
    for network in networks:
        folds = repr([result.fold for result in network.summary.folds])
        same_folds.setdefault(folds, []).append(network)
    for group in same_folds.values():
        names = " and the ".join(network.title for network in group)
        parts.append(paragraphs([f"The {names}: {limitations(group[0].summary)[0]}"]))
        heads = ["Fold", "Test subjects", *(f"Balanced accuracy, {network.title}" for network in group)]
        rows = []
        for index, fold in enumerate(group[0].per_fold):
            cells = "".join(
                f"<td>{format_number(one.per_fold[index].network.subject_metrics['balanced_accuracy'].value)}</td>"
                for one in group
            )
            (result,) = fold.folds
            rows.append(f'<tr><th scope="row">{result.fold.index}</th><td>{_subjects_of_fold(result)}</td>{cells}</tr>')
        parts.append(table([f'<th scope="col">{text(head)}</th>' for head in heads], rows))
    return "".join(parts)


def _subjects_of_fold(result: FoldResult) -> str:
    groups = []
    for label, is_sick in (("healthy", False), ("sick", True)):
        names = sorted((name for name in result.fold.evaluation if result.sick[name] == is_sick), key=natural_key)
        if names:
            shown = ", ".join(text(name.partition("/")[2]) for name in truncate_lines(names))
            groups.append(f'<span class="{label}">{label}</span> {shown}')
    return "; ".join(groups)
