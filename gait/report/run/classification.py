"""The section of a whole run's page on who was told apart."""

from __future__ import annotations

from collections.abc import Sequence

from gait.learning.fold_result import FoldResult
from gait.learning.metrics import THRESHOLD
from gait.report.run.model import NetworkSection, RunReport
from gait.report.run.page_parts import MOST_PERSONS, anchor, first_of, person_cell
from gait.report.training.cross_validation_summary import ClassifierSummary
from gait.report.training.display_names import BASELINES, in_order, judge_name
from gait.report.training.html import bullet_list, estimate_cell, paragraphs, table, text
from gait.report.training.text_summary import beside_baselines, caveats, counted, figure, headline, missing_baselines


def told_apart_section(story: RunReport) -> str:
    """As HTML: the networks beside simpler judges, everybody, folds, and the leak check."""
    if not story.networks:
        return "<p>No trained network can be read.</p>"
    one = story.networks[0].summary.folds[0]
    parts = [
        f"<p>A network judges pieces of {one.window_length / one.frame_rate_hz:.2f} s of a walk; the probability of a "
        "person is the mean over all pieces of all walks. The MLP, a multi-layer perceptron, weighs every joint of "
        "every frame; the transformer also looks from joint to joint and from frame to frame (attention).</p>"
    ]
    brackets = ""
    for network in story.networks:
        *beside, what = beside_baselines(network.summary) or ("",)
        brackets = what or brackets
        parts.append(f"<h3>{text(judge_name(network.kind))}</h3>{paragraphs([headline(network.summary), *beside])}")
    if brackets:
        parts.append(f'<p class="small">{text(brackets)}</p>')
    first = story.networks[0].summary
    parts.append("<h3>Beside simpler judges, by person</h3>")
    heads = ["Judge", "Balanced accuracy", "ROC AUC", "Judged right"]
    parts.append(table([f'<th scope="col">{text(head)}</th>' for head in heads], list(_judges(story.networks))))
    parts.append(
        '<p class="small">Beneath each figure is its 95 % interval over persons. Balanced accuracy is the mean of the '
        "share of the sick who are called sick and the share of the healthy who are called healthy; ROC AUC says how "
        "often a sick one gets a higher probability than a healthy one. A guess has 0.50 of both.</p>"
    )
    parts.append(bullet_list([line for network in story.networks for line in missing_baselines(network.summary)]))
    parts.append(f"<h3>Everybody</h3>{_everybody(story.networks)}")
    parts.append(f"<h3>Folds: who was judged by which network</h3>{_folds(story.networks)}")
    leak = first.folds[-1].leak_check.get("lines") or ("It was not made.",)
    parts.append(
        "<h3>Leak check</h3><p>Can the groups be told apart by what should not matter: frame rate, marker set, length "
        f"of the recordings, share of missing markers, height?</p><p>{text(leak[0])}</p>"
    )
    links = [
        f"{anchor(story, network.report)} on the {text(network.title)}"
        for network in story.networks
        if network.report is not None
    ]
    if links:
        parts.append(f"<p>More figures, curves and every setting: {', '.join(links)}.</p>")
    return "".join(parts)


def _judges(networks: Sequence[NetworkSection]) -> list[str]:
    """The networks, then each baseline once where it had the same figures beside all of them."""
    rows = [_judge_row(judge_name(network.kind), network.summary.network, of_network=True) for network in networks]
    baselines = [(network, judge) for network in networks for judge in network.summary.baselines]
    for name in dict.fromkeys(judge.name for _, judge in baselines):
        own = [(network, judge) for network, judge in baselines if judge.name == name]
        about = BASELINES.get(name, "").partition(";")[0]
        if len({_figures(judge) for _, judge in own}) == 1:
            rows.append(_judge_row(judge_name(name), own[0][1], about))
        else:
            rows += [_judge_row(f"{judge_name(name)}, beside the {one.title}", judge, about) for one, judge in own]
    return rows


def _judge_row(name: str, judge: ClassifierSummary, about: str = "", *, of_network: bool = False) -> str:
    small = f"<small>{text(about)}</small>" if about else ""
    kind = ' class="of-network"' if of_network else ""
    cells = "".join(estimate_cell(judge.persons[metric], of_network) for metric in ("balanced_accuracy", "roc_auc"))
    return f'<tr><th scope="row"{kind}>{text(name)}{small}</th>{cells}<td>{_right(judge)}</td></tr>'


def _figures(judge: ClassifierSummary) -> str:
    return repr([judge.persons[metric].value for metric in ("balanced_accuracy", "roc_auc")])


def _right(judge: ClassifierSummary) -> str:
    people = judge.people
    return f"{int(((people.probability >= THRESHOLD) == people.sick).sum())} of {len(people.persons)}"


def _everybody(networks: Sequence[NetworkSection]) -> str:
    """Each person's probability of sick, by each network."""
    said = [
        {
            name: (bool(sick), float(probability))
            for name, sick, probability in zip(
                network.summary.network.people.persons,
                network.summary.network.people.sick,
                network.summary.network.people.probability,
                strict=True,
            )
        }
        for network in networks
    ]
    everybody = sorted({name for one in said for name in one}, key=in_order)
    if not everybody:
        return "<p>Nobody was judged: no recording is as long as a window.</p>"
    wrong = [name for name in everybody if any(name in one and not _is_right(*one[name]) for one in said)]
    shown = everybody if len(everybody) <= MOST_PERSONS else first_of(wrong)
    note = ""
    if len(shown) < len(everybody):
        note = f"{counted(len(wrong), 'person')} of {len(everybody)} were judged wrongly by a network; shown:"
    heads = ["Person", *(f"Probability of sick, by the {network.title}" for network in networks)]
    rows = [
        f'<tr><th scope="row">{person_cell(name)}</th>{"".join(_dial(one.get(name)) for one in said)}</tr>'
        for name in shown
    ]
    drawn = table([f'<th scope="col">{text(head)}</th>' for head in heads], rows) if rows else ""
    return (
        "<p>Blue dots are healthy persons, orange ones sick. The line in the middle is one half: a person is called "
        f"sick from there on. Each was judged by a network that had not seen them.</p>"
        f"{paragraphs([note] if note else [])}{drawn}"
    )


def _dial(said: tuple[bool, float] | None) -> str:
    if said is None:
        return "<td>not judged</td>"
    sick, probability = said
    mark = "" if _is_right(sick, probability) else '<strong class="wrong">wrong</strong>'
    kind = "sick" if sick else "healthy"
    return (
        f'<td><span class="dial {kind}"><i style="left:{100 * probability:.1f}%"></i></span> {figure(probability)} '
        f"{mark}</td>"
    )


def _is_right(sick: bool, probability: float) -> bool:
    return (probability >= THRESHOLD) == sick


def _folds(networks: Sequence[NetworkSection]) -> str:
    """Who was judged in which fold, and how well; once for networks of the same folds."""
    parts = []
    alike: dict[str, list[NetworkSection]] = {}
    for network in networks:
        folds = repr([result.fold for result in network.summary.folds])
        alike.setdefault(folds, []).append(network)
    for some in alike.values():
        named = " and the ".join(network.title for network in some)
        parts.append(paragraphs([f"The {named}: {caveats(some[0].summary)[0]}"]))
        heads = ["Fold", "Judged", *(f"Balanced accuracy, {network.title}" for network in some)]
        rows = []
        for number, alone in enumerate(some[0].single):
            cells = "".join(
                f"<td>{figure(one.single[number].network.persons['balanced_accuracy'].value)}</td>" for one in some
            )
            (result,) = alone.folds
            rows.append(f'<tr><th scope="row">{result.fold.index}</th><td>{_judged(result)}</td>{cells}</tr>')
        parts.append(table([f'<th scope="col">{text(head)}</th>' for head in heads], rows))
    return "".join(parts)


def _judged(result: FoldResult) -> str:
    groups = []
    for label, is_sick in (("healthy", False), ("sick", True)):
        names = sorted((name for name in result.fold.evaluation if result.sick[name] == is_sick), key=in_order)
        if names:
            shown = ", ".join(text(name.partition("/")[2]) for name in first_of(names))
            groups.append(f'<span class="{label}">{label}</span> {shown}')
    return "; ".join(groups)
