"""``report_<network>.html``: one page that needs nothing else, no network, no script."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gait.learning.fold_result import FoldResult
from gait.report.training.cross_validation_summary import ClassifierSummary, CrossValidationSummary, Estimates
from gait.report.training.display_names import BASELINES, METRICS, in_order, judge_name
from gait.report.training.figures import NAMED_PERSONS, Picture, as_svg
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
    beside_baselines,
    caveats,
    counted,
    figure,
    headline,
    leak_warning,
    missing_baselines,
    terms,
    wrong_persons,
)


def report_page(
    summary: CrossValidationSummary,
    single: Sequence[CrossValidationSummary],
    pictures: Mapping[str, Picture],
    left_out: Sequence[str] = (),
) -> str:
    """The page as HTML.

    Args:
        summary: all folds together.
        single: each of them alone, in the same order.
        pictures: of ``summary``.
        left_out: lines on results in the folder that are not part of this.
    """
    network = judge_name(summary.network.name)
    which = "" if len(summary.folds) > 1 else f", fold {summary.folds[0].fold.index} of {summary.fold_count} alone"
    parts = [
        _warning(summary),
        f"<header><h1>Healthy and sick gait told apart: {text(network)}{which}</h1>",
        f'<p class="answer">{text(headline(summary))}</p>',
        bullet_list([*caveats(summary), *left_out], "caveats"),
        _terms(summary.folds[0]),
        "</header>",
        section("Beside simpler judges", _judges(summary, pictures)),
        section("Pictures", _pictures(summary, pictures)),
        section("Folds", _folds(summary, single)),
        section("Leak check", _leak_check(summary)),
        section("Problems of the data", _problems(summary)),
        section("Settings, and how to repeat this", _settings(summary)),
    ]
    return whole_page(f"{network}: healthy and sick gait told apart", parts)


def _warning(summary: CrossValidationSummary) -> str:
    lines = leak_warning(summary)
    if not lines:
        return ""
    said = paragraphs(lines)
    return f'<aside class="warning" role="alert"><h2>Warning: read this before the figures</h2>{said}</aside>'


def _terms(result: FoldResult) -> str:
    return "<dl>" + "".join(f"<dt>{text(word)}</dt><dd>{text(said)}</dd>" for word, said in terms(result)) + "</dl>"


def _judges(summary: CrossValidationSummary, pictures: Mapping[str, Picture]) -> str:
    lines = "".join(f"<p>{text(line)}</p>" for line in beside_baselines(summary))
    tables = [
        f"<h3>By person</h3>{_metrics(summary, 'persons')}",
        f"<h3>By window</h3>{_metrics(summary, 'windows')}",
    ]
    what = "".join(
        f"<dt>{text(judge_name(judge.name))}</dt><dd>{text(BASELINES[judge.name])}.</dd>"
        for judge in summary.baselines
        if judge.name in BASELINES
    )
    return (
        lines
        + _figure(pictures, "comparison", "wide")
        + bullet_list(missing_baselines(summary))
        + "".join(tables)
        + f"<dl>{what}</dl>"
    )


def _metrics(summary: CrossValidationSummary, view: str) -> str:
    best = summary.best_baseline
    heads = []
    for judge in summary.judges:
        mark = ' <small class="best">best baseline</small>' if judge is best else ""
        kind = ' class="of-network"' if judge is summary.network else ""
        heads.append(f'<th scope="col"{kind}>{text(judge_name(judge.name))}{mark}</th>')
    rows = []
    for name, (title, meaning) in METRICS.items():
        if name == "roc_auc_pooled" and len(summary.folds) == 1:
            continue
        cells = "".join(estimate_cell(_of(judge, view)[name], judge is summary.network) for judge in summary.judges)
        rows.append(f'<tr><th scope="row">{text(title)}<small>{text(meaning)}</small></th>{cells}</tr>')
    return table(["<th></th>", *heads], rows)


def _pictures(summary: CrossValidationSummary, pictures: Mapping[str, Picture]) -> str:
    panels = "".join(_figure(pictures, name) for name in ("roc", "confusion", "calibration", "loss"))
    drawn = f'<div class="panels">{panels}</div>' if panels else "<p>There is nothing to draw.</p>"
    return drawn + _figure(pictures, "persons", "wide") + _wrong(summary)


def _wrong(summary: CrossValidationSummary) -> str:
    said = [
        f"{name} ({'sick' if sick else 'healthy'}, {figure(probability)})"
        for name, sick, probability in wrong_persons(summary.network)
    ]
    if not said:
        return "<p>Nobody was judged wrongly.</p>" if summary.network.people.persons else ""
    more = f"; and {len(said) - NAMED_PERSONS} more" if len(said) > NAMED_PERSONS else ""
    return (
        '<p class="small">Judged wrongly, with their probability of sick, the surest mistakes first: '
        f"{text('; '.join(said[:NAMED_PERSONS]))}{more}.</p>"
    )


def _folds(summary: CrossValidationSummary, single: Sequence[CrossValidationSummary]) -> str:
    heads = ["Fold", "Persons judged", "Balanced accuracy", "ROC AUC", "Loss, training", "Loss, evaluation", "Epochs",
             "Windows, training", "evaluation", "Time"]  # fmt: skip
    rows = []
    for alone in single:
        (result,) = alone.folds
        last = result.epochs[-1] if result.epochs else None
        sick = sum(result.sick[name] for name in result.fold.evaluation)
        epochs = f"{len(result.epochs)}"
        if result.validation and result.epochs:
            epochs += f"<small>epoch {result.chosen_epoch + 1} counts</small>"
        if result.timed_out:
            epochs += "<small>ended by --timeout</small>"
        rows.append(
            f'<tr><th scope="row">{result.fold.index}</th>'
            f"<td>{len(result.fold.evaluation)}"
            f"<small>{len(result.fold.evaluation) - sick} healthy, {sick} sick</small></td>"
            + "".join(
                f"<td>{figure(alone.network.persons[name].value)}</td>" for name in ("balanced_accuracy", "roc_auc")
            )
            + "".join(f"<td>{figure(last[kind]['loss']) if last else '–'}</td>" for kind in ("train", "eval"))
            + f"<td>{epochs}</td><td>{result.training_windows:,}</td><td>{result.evaluation_windows:,}</td>"
            f"<td>{duration(result.seconds)}</td></tr>"
        )
    epochs_table = table([f"<th scope='col'>{text(head)}</th>" for head in heads], rows)
    who = []
    for result in summary.folds:
        cells = [("Judged", result.fold.evaluation)]
        if result.validation:
            cells.append(("Held back to choose the epoch", result.validation))
        if len(summary.folds) == 1:
            held = set(result.validation)
            cells.append(("Trained on", tuple(name for name in result.fold.training if name not in held)))
        said = "".join(f"<dt>{text(what)}</dt><dd>{_named(names, result)}</dd>" for what, names in cells)
        rest = len(result.fold.training) - len(result.validation)
        others = "" if len(summary.folds) == 1 else f"<dt>Trained on</dt><dd>all {counted(rest, 'other')}.</dd>"
        who.append(f"<h3>Fold {result.fold.index}</h3><dl>{said}{others}</dl>")
    few = min(len(result.fold.evaluation) for result in summary.folds)
    note = (
        f"<p>Folds differ by chance when they judge few persons each (here {few} and more)."
        if len(single) > 1
        else "<p>"
    )
    return f"{note} The losses are those of the last epoch, a mean over windows.</p>{epochs_table}{''.join(who)}"


def _named(names: Iterable[str], result: FoldResult) -> str:
    groups = []
    for label, is_sick in (("healthy", False), ("sick", True)):
        some = sorted((name for name in names if result.sick[name] == is_sick), key=in_order)
        if some:
            shown = ", ".join(text(name.removeprefix(f"{label}/")) for name in some)
            groups.append(f'<span class="{label}">{label}</span> {shown}')
    return "; ".join(groups) or "nobody"


def _leak_check(summary: CrossValidationSummary) -> str:
    found = summary.folds[-1].leak_check
    why = (
        "<p>Can the label be told from what should not matter: frame rate, marker set, length of the recordings, share "
        "of missing markers, height? If it can, a network may learn that instead of gait.</p>"
    )
    factors = found.get("factors", {})
    once_more = {factor["line"].lower() for factor in factors.values()}
    lines = [line for line in found.get("lines") or ("It was not made.",) if line.lower() not in once_more]
    return why + paragraphs(lines) + _factors(factors)


def _factors(factors: Mapping[str, Any]) -> str:
    """A line a factor, those that leak first and strong."""
    lines = [(not factor["leaks"], factor["line"]) for factor in factors.values()]
    said = [text(line[:1].upper() + line[1:]) for _, line in sorted(lines, key=lambda each: each[0])]
    leaks = sum(factor["leaks"] for factor in factors.values())
    items = "".join(f"<li>{f'<strong>{line}</strong>' if k < leaks else line}</li>" for k, line in enumerate(said))
    note = "ROC AUC by person, of that alone: 0.5 is chance. p is corrected for the number of things tried."
    return f'<ul class="small">{items}</ul><p class="small">{note}</p>' if items else ""


def _problems(summary: CrossValidationSummary) -> str:
    return bullet_list(summary.problems) or "<p>None: every recording could be used.</p>"


def _settings(summary: CrossValidationSummary) -> str:
    first = summary.folds[0]
    commands = dict.fromkeys(result.command for result in summary.folds if result.command)
    repeat = "".join(f"<pre>{text(command)}</pre>" for command in commands)
    measured = {
        "window": f"{first.window_length} frames",
        "frame rate": f"{first.frame_rate_hz:g} Hz",
        "stride": counted(first.stride, "frame"),
        "normalisation": first.normalisation,
        "seed": first.seed,
    }
    flags = {f"--{name}": value for name, value in first.arguments.items()}
    versions: dict[str, Any] = dict(first.versions)
    if any(result.versions != first.versions for result in summary.folds):
        versions = {f"{name} (fold {first.fold.index})": value for name, value in versions.items()}
        versions["other folds"] = "were trained with other versions; see their metrics files"
    tables = {"Windows": measured, "Network": first.architecture, "Versions": versions, "Arguments": flags}
    columns = "".join(f"<div><h3>{name}</h3>{plain_table(rows)}</div>" for name, rows in tables.items())
    return f'{repeat}<div class="settings">{columns}</div>'


def _figure(pictures: Mapping[str, Picture], name: str, kind: str = "") -> str:
    if name not in pictures:
        return ""
    picture = pictures[name]
    svg = as_svg(picture).replace("<svg", f'<svg role="img" aria-label="{text(picture.alternative)}"', 1)
    named = f' class="{kind}"' if kind else ""
    return f'<figure id="{name}"{named}>{svg}<figcaption>{text(picture.caption)}</figcaption></figure>'


def _of(judge: ClassifierSummary, view: str) -> Estimates:
    return judge.persons if view == "persons" else judge.windows
