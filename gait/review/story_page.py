"""The one page of a whole run: from recordings to what the networks looked at. It needs nothing else, no network."""

from __future__ import annotations

import base64
import math
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gait.errors import GaitError
from gait.explaining.methods import METHODS
from gait.learning.fold_result import FoldResult
from gait.learning.metrics import THRESHOLD, Estimate
from gait.learning.report.names import BASELINES, in_order, judge_name
from gait.learning.report.page_parts import (
    bullet_list,
    estimate_cell,
    paragraphs,
    plain_table,
    section,
    table,
    text,
    whole_page,
)
from gait.learning.report.pooled_folds import Judge
from gait.learning.report.sentences import (
    beside_baselines,
    caveats,
    counted,
    figure,
    headline,
    interval,
    leak_warning,
    missing_baselines,
)
from gait.review.fitted_cohort import FittedGait, mean_residual_mm, worst_marker_of
from gait.review.story import ExplainedWalk, Film, NetworkStory, Story

MOST_PERSONS = 40
"""Of more persons than these a table shows those that need a look."""
_MOST_EMBEDDED = 24 << 20  # bytes of a film within the page


def story_page(story: Story) -> str:
    """The page as HTML.

    Raises:
        GaitError: a picture that is to be shown cannot be read.
    """
    return whole_page(
        "Gait: from recordings to what networks looked at",
        [
            _warnings(story),
            _head(story),
            *(section(title, content, name) for name, (title, content) in _sections(story).items()),
        ],
        _STYLE,
    )


def _sections(story: Story) -> dict[str, tuple[str, str]]:
    """Title and content, by the name that links call it."""
    found = {} if story.film is None else {"film": ("A healthy and a sick one", _film(story, story.film))}
    return found | {
        "bodies": ("From recordings to bodies", _fits(story)),
        "told-apart": ("Who was told apart", _told_apart(story)),
        "pivotal": ("What was pivotal for the networks", _pivotal(story)),
        "viewer": ("Look for yourself", _commands(story)),
        "settings": ("Settings, and how to repeat this", _settings(story)),
    }


def _warnings(story: Story) -> str:
    """What must be known before anything else is believed: notes of who made the run, leaks, what is missing."""
    leaks = dict.fromkeys(line for network in story.networks for line in leak_warning(network.summary))
    parts = []
    if story.notes:
        parts.append(f'<aside class="note"><h2>Read this first</h2>{paragraphs(story.notes)}</aside>')
    for title, lines in (
        ("Warning: something other than gait tells the groups apart", tuple(leaks)),
        ("What is missing here", story.problems),
    ):
        if lines:
            parts.append(f'<aside class="warning" role="alert"><h2>{text(title)}</h2>{paragraphs(lines)}</aside>')
    return "".join(parts)


def _head(story: Story) -> str:
    said = []
    if story.fits is not None:
        persons, gaits = len(story.fits.persons), len(story.fits.gaits)
        walked = counted(gaits, "time") if gaits > persons else "once each"
        said.append(
            f"{counted(persons, 'person')} walked {walked}. The bodies fitted to them lie "
            f"{_mm(story.fits.mean_mm)} from the markers on average."
        )
    judged = [(network, network.summary.network.persons["balanced_accuracy"]) for network in story.networks]
    known = [(network, estimate) for network, estimate in judged if math.isfinite(estimate.value)]
    if known:
        told = [
            f"the {network.title} with a balanced accuracy of {_estimate(estimate, '95 % interval ' * (k == 0))}"
            for k, (network, estimate) in enumerate(known)
        ]
        speeds = [judge for judge in known[0][0].summary.baselines if judge.name == "walking_speed"]
        speed = f"walking speed alone has {_estimate(speeds[0].persons['balanced_accuracy'])}, " if speeds else ""
        said.append(
            f"Of persons that they never saw, {' and '.join(told)} told healthy from sick; {speed}a guess 0.50."
        )
    about = (
        "This page tells a whole run: marker recordings of walks became the movement of bodies, two kinds of networks "
        "learnt to tell healthy from sick walks by that movement alone, and then it was asked which parts of the "
        "movement, and when, had been pivotal for them. Networks were always asked about persons they had not learnt "
        "from. Healthy and sick are the folders that the recordings were put in. What a network looked at says "
        "something about the network; it is no diagnosis."
    )
    links = " · ".join(f'<a href="#{name}">{text(title)}</a>' for name, (title, _) in _sections(story).items())
    return (
        "<header><h1>From recordings of walks to what networks looked at</h1>"
        f'<p class="answer">{text(" ".join(said))}</p><p>{text(about)}</p><nav>{links}</nav></header>'
    )


def _film(story: Story, film: Film) -> str:
    left, right = film.network.walks
    size = film.file.stat().st_size
    source = f"data:video/mp4;base64,{_base64(film.file)}" if size <= _MOST_EMBEDDED else _link(story, film.file)
    said = (
        f"Left {_of_walk(left)}, right {_of_walk(right)}, at {film.speed:g} times the speed of life, both from the "
        f"first frame on. The body has the colours of the map beneath it at the moment of the line: {_reading(left)} "
        f"Each is explained by the {film.network.title} that did not see this person, and has its own scale. The bars "
        "above the map are when either foot is on the floor; the curve at the bottom is the probability of sick."
    )
    return (
        f'<figure class="broad"><div class="wide-picture"><video controls loop muted autoplay playsinline '
        f'poster="{_embedded(film.still)}" src="{source}" aria-label="Film of two persons walking"></video>'
        f'<img class="on-paper" src="{_embedded(film.still)}" alt="A moment of the film"></div>'
        f"<figcaption>{text(said)} The film as a file: {_anchor(story, film.file)}.</figcaption></figure>"
    )


def _fits(story: Story) -> str:
    fits = story.fits
    if fits is None:
        return "<p>No fit can be read.</p>"
    lines = [
        "One statistical human body was shaped to each person and posed in every frame so that it wears the markers as "
        "the recording has them. A residual is the distance from a marker as recorded to its place on the fitted body; "
        f"under 5 mm on average is usual. Over all frames the mean is {_mm(fits.mean_mm)}.",
    ]
    worst = fits.worst_gait
    lines.append(
        f"The walk that fits worst is {worst.name}: {_mm(worst.mean_mm)} on average, {_mm(worst.worst_frame_mm)} in "
        "its worst frame."
    )
    marker = fits.worst_marker
    if marker is not None:
        lines.append(f"The worst marker is {marker[0]}, {_mm(marker[1])} on average in {marker[2].name}.")
    faults = [f"{gait.name}: {fault['line']}" for gait in fits.gaits for fault in gait.report.faults]
    lines.append(
        f"Bad data was found in {counted(len(faults), 'place')} and left out or put right:"
        if faults
        else "No bad data was found: no marker that jumped, no names exchanged."
    )
    parts = [paragraphs(lines), bullet_list(_first(faults))]
    persons = fits.persons
    shown = sorted(persons, key=lambda name: -_finite(mean_residual_mm(persons[name])))[:MOST_PERSONS]
    if len(shown) < len(persons):
        parts.append(paragraphs([f"The {len(shown)} persons that fit worst, of {len(persons)}:"]))
    heads = ["Person", "Walks", "Frames", "Mean residual", "Worst frame", "Worst marker", "Stature"]
    rows = [_fit_row(name, persons[name]) for name in sorted(shown, key=in_order)]
    parts.append(table([f'<th scope="col">{head}</th>' for head in heads], rows))
    if worst.picture is not None:
        parts.append(
            _picture(
                story,
                worst.picture,
                f"The fit of {worst.name}: residuals by marker and moment, and the body with its markers.",
                f"The worst walk, {worst.name}: residuals by marker and moment, and the body that wears the markers. "
                "Every walk has such a picture, fit.png, beside its poses.",
            )
        )
    return "".join(parts)


def _fit_row(person: str, gaits: Sequence[FittedGait]) -> str:
    marker = worst_marker_of(gaits)
    marked = "–" if marker is None else f"{text(marker[0])}<small>{_mm(marker[1])}</small>"
    worst = max((_finite(gait.worst_frame_mm) for gait in gaits), default=math.nan)
    return (
        f'<tr><th scope="row">{_person(person)}</th><td>{len(gaits)}</td>'
        f"<td>{sum(gait.report.frames for gait in gaits):,}</td><td>{_mm(mean_residual_mm(gaits))}</td>"
        f"<td>{_mm(worst)}</td><td>{marked}</td><td>{gaits[0].report.stature_m:.2f} m</td></tr>"
    )


def _told_apart(story: Story) -> str:
    if not story.networks:
        return "<p>No trained network can be read.</p>"
    parts = []
    for network in story.networks:
        lines = (headline(network.summary), *beside_baselines(network.summary))
        parts.append(f"<h3>{text(judge_name(network.kind))}</h3>{paragraphs(lines)}")
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
    parts.append(f"<h3>Folds</h3>{_folds(story.networks)}")
    leak = first.folds[-1].leak_check.get("lines") or ("It was not made.",)
    parts.append(
        "<h3>Leak check</h3><p>Can the groups be told apart by what should not matter: frame rate, marker set, length "
        f"of the recordings, share of missing markers, height?</p><p>{text(leak[0])}</p>"
    )
    links = [
        f"{_anchor(story, network.report)} on the {text(network.title)}"
        for network in story.networks
        if network.report is not None
    ]
    if links:
        parts.append(f"<p>More figures, curves and every setting: {', '.join(links)}.</p>")
    return "".join(parts)


def _judges(networks: Sequence[NetworkStory]) -> list[str]:
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


def _judge_row(name: str, judge: Judge, about: str = "", *, of_network: bool = False) -> str:
    small = f"<small>{text(about)}</small>" if about else ""
    kind = ' class="of-network"' if of_network else ""
    cells = "".join(estimate_cell(judge.persons[metric], of_network) for metric in ("balanced_accuracy", "roc_auc"))
    return f'<tr><th scope="row"{kind}>{text(name)}{small}</th>{cells}<td>{_right(judge)}</td></tr>'


def _figures(judge: Judge) -> str:
    return repr([judge.persons[metric].value for metric in ("balanced_accuracy", "roc_auc")])


def _right(judge: Judge) -> str:
    people = judge.people
    return f"{int(((people.probability >= THRESHOLD) == people.sick).sum())} of {len(people.persons)}"


def _everybody(networks: Sequence[NetworkStory]) -> str:
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
    shown = everybody if len(everybody) <= MOST_PERSONS else _first(wrong)
    note = ""
    if len(shown) < len(everybody):
        note = f"{counted(len(wrong), 'person')} of {len(everybody)} were judged wrongly by a network; shown:"
    heads = ["Person", *(f"Probability of sick, by the {network.title}" for network in networks)]
    rows = [
        f'<tr><th scope="row">{_person(name)}</th>{"".join(_dial(one.get(name)) for one in said)}</tr>'
        for name in shown
    ]
    drawn = table([f'<th scope="col">{text(head)}</th>' for head in heads], rows) if rows else ""
    return (
        "<p>The line in the middle is one half: a person is called sick from there on. Each was judged by a network "
        f"that had not seen them.</p>{paragraphs([note] if note else [])}{drawn}"
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


def _folds(networks: Sequence[NetworkStory]) -> str:
    """Who was judged in which fold, and how well; once for networks of the same folds."""
    parts = []
    alike: dict[str, list[NetworkStory]] = {}
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
            shown = ", ".join(text(name.partition("/")[2]) for name in _first(names))
            groups.append(f'<span class="{label}">{label}</span> {shown}')
    return "; ".join(groups)


def _pivotal(story: Story) -> str:
    explained = [network for network in story.networks if network.cohort_picture is not None]
    if not explained:
        return "<p>Nothing could be explained.</p>"
    parts = [
        "<p>Each joint and frame has a share of a network's decision. Means over many persons are taken by the phase "
        "of the gait cycle, from one strike of a foot to its next.</p>"
    ]
    for network in explained:
        assert network.cohort_picture is not None
        name = judge_name(network.kind)
        said = bullet_list([_sentence(line) for line in network.cohort_lines[1:]])
        parts.append(f"<h3>{text(name)}: everybody</h3>{said}")
        reading = f" {_sentence(_reading(network.walks[0]))}" if network.walks else ""
        parts.append(
            _picture(
                story,
                network.cohort_picture,
                f"What was pivotal for the {network.title}, by joint and phase of the gait cycle",
                "Above: means of the groups, joints from head to feet by phase of the gait cycle, and the difference "
                f"between sick and healthy. Below: single persons, and everybody's probability.{reading}",
            )
        )
        for walk in network.walks:
            parts.append(
                f'<h3>{text(name)}: the most typical <span class="{walk.label}">{walk.label}</span> one, '
                f"{text(walk.name)}</h3>{paragraphs([_sentence(line) for line in walk.lines[1:]])}"
            )
            parts.append(
                _picture(
                    story,
                    walk.picture,
                    f"What was pivotal for the {network.title} in {walk.name}: in time, by gait cycle, and on the body",
                    "Above: the probability of sick, and importance by joint, over time. Below: the same by gait "
                    f"cycle, left and right, and on the body at four moments. {_sentence(_reading(walk))}",
                )
            )
    parts.append(
        "<p>The most typical one of a group is who was judged rightly and whose map by gait cycle is the most like the "
        "mean of the others'.</p>"
    )
    return "".join(parts)


def _commands(story: Story) -> str:
    walks = [walk for network in story.networks for walk in network.walks]
    if not walks:
        return "<p>There is nobody whose explanation could be opened.</p>"
    parts = [
        "<p>Each of these commands opens the viewer on one of the walks above: the body to walk around, in the colours "
        "of importance, with the map and the curves beneath. Give them in the suite's folder; H shows every key.</p>"
    ]
    for walk in walks:
        words = f"--network {_word(walk.network)} --gait {_word(walk.folder)}"
        parts.append(f"<pre>{text(f'{story.program} {words}')}</pre>")
    parts.append(
        f"<p>With <code>--beside FOLDER</code> another walk, or the mean healthy one of a folder of walks, goes along; "
        f"<code>--all_methods --export FOLDER</code> explains by every method there is. All of them: <code>"
        f"{text(story.program)} --help</code>.</p>"
    )
    return "".join(parts)


def _settings(story: Story) -> str:
    parts = [bullet_list(story.remarks)]
    columns: list[tuple[str, Mapping[str, Any]]] = []
    if story.fits is not None:
        first = story.fits.gaits[0].report
        columns.append(("Fit", {"worst markers are named by": "mean residual", "markers": len(first.markers)}))
    for network in story.networks:
        result = network.summary.folds[0]
        commands = dict.fromkeys(one.command for one in network.summary.folds if one.command)
        parts += [f"<pre>{text(command)}</pre>" for command in commands]
        named = ("epochs", "lr", "batch_size", "k_folds", "seed")
        rows: dict[str, Any] = {
            "window": f"{result.window_length} frames at {result.frame_rate_hz:g} Hz",
            "stride": counted(result.stride, "frame"),
            **{name: result.arguments[name] for name in named if name in result.arguments},
            **result.architecture,
        }
        if network.walks:
            importance = network.walks[0].explanation.importance
            rows["explained by"] = METHODS[importance.method].title
            rows |= {f"its {key.replace('_', ' ')}": value for key, value in importance.settings.items()}
        columns.append((judge_name(network.kind), rows))
    if story.networks:
        columns.append(("Versions", story.networks[0].summary.folds[0].versions))
    tables = "".join(f"<div><h3>{text(name)}</h3>{plain_table(rows)}</div>" for name, rows in columns)
    return f'{"".join(parts)}<div class="settings">{tables}</div>'


def _picture(story: Story, file: Path, alternative: str, caption: str) -> str:
    """A wide picture within the page, which scrolls where there is no room, and opens as a file."""
    return (
        f'<figure class="broad"><div class="wide-picture"><img src="{_embedded(file)}" alt="{text(alternative)}"></div>'
        f"<figcaption>{text(caption)} As a file: {_anchor(story, file)}.</figcaption></figure>"
    )


def _embedded(file: Path) -> str:
    return f"data:image/png;base64,{_base64(file)}"


def _base64(file: Path) -> str:
    try:
        return base64.b64encode(file.read_bytes()).decode("ascii")
    except OSError as error:
        raise GaitError(f"{file}: cannot be read ({error.strerror or error}).") from None


def _anchor(story: Story, file: Path) -> str:
    return f'<a href="{_link(story, file)}">{text(file.name)}</a>'


def _link(story: Story, file: Path) -> str:
    """From the page's place to a file, as an address within a page."""
    way = os.path.relpath(file.resolve(), story.page.resolve().parent)
    return quote(Path(way).as_posix(), safe="/", errors="surrogateescape")


def _of_walk(walk: ExplainedWalk) -> str:
    probability = walk.explanation.importance.person_probability
    return f"{walk.name} (probability of sick {figure(probability)})"


def _reading(walk: ExplainedWalk) -> str:
    if walk.explanation.importance.signed:
        return "orange spoke for sick, blue for healthy, nearly white did not matter, grey is not explained."
    return "the brighter, the more a joint was looked at, for whichever verdict; grey is not explained."


def _sentence(line: str) -> str:
    """A line of a run as a sentence."""
    line = line[:1].upper() + line[1:]
    return line if line.endswith((".", "!", "?")) else f"{line}."


def _person(name: str) -> str:
    """``sick/P02`` with its label in the label's colour."""
    label, _, rest = name.partition("/")
    return f'<span class="{text(label)}">{text(label)}</span> {text(rest)}'


def _word(path: Path) -> str:
    return shlex.quote(str(path))


def _estimate(estimate: Estimate, what: str = "") -> str:
    return figure(estimate.value) + (f" ({what}{interval(estimate)})" if math.isfinite(estimate.low) else "")


def _mm(value: float) -> str:
    return f"{value:.1f} mm" if math.isfinite(value) else "–"


def _finite(value: float) -> float:
    return value if math.isfinite(value) else -1.0


def _first(lines: Sequence[str]) -> list[str]:
    more = len(lines) - MOST_PERSONS
    return [*lines[:MOST_PERSONS], *([f"and {more} more"] if more > 0 else [])]


_STYLE = """
.note { border-left: 5px solid var(--healthy); background: var(--shade); padding: .9rem 1.1rem .4rem;
  margin-bottom: 1.75rem; }
.note h2 { border: 0; margin: 0 0 .4rem; padding: 0; font-size: 1.15rem; }
.broad { position: relative; left: 50%; width: min(96vw, 1500px); transform: translateX(-50%); }
.broad figcaption { margin-left: auto; margin-right: auto; max-width: 53.5rem; }
.wide-picture { overflow-x: auto; }
.wide-picture img, .wide-picture video { display: block; width: 100%; height: auto; border-radius: 4px; }
.wide-picture .on-paper { display: none; }
nav { font-size: .9rem; } a { color: inherit; }
.dial { display: inline-block; position: relative; width: 9rem; max-width: 30vw; height: .8rem;
  margin: 0 .5rem 0 .4rem; vertical-align: -.05rem;
  background: linear-gradient(var(--faint), var(--faint)) center / 100% 2px no-repeat,
  linear-gradient(var(--muted), var(--muted)) center / 1.5px 100% no-repeat; }
.dial i { position: absolute; top: .05rem; width: .7rem; height: .7rem; margin-left: -.35rem; border-radius: 50%;
  background: currentColor; }
.wrong { color: var(--warning); }
td { white-space: nowrap; } td:has(.healthy, .sick) { white-space: normal; }
@media (max-width: 60rem) { .wide-picture img { min-width: 56rem; } }
@media print { .broad { left: 0; width: 100%; transform: none; } .wide-picture { overflow: visible; }
  .wide-picture video { display: none; } .wide-picture .on-paper { display: block; } .wide-picture img { min-width: 0; }
  section { break-inside: auto; } }
"""
