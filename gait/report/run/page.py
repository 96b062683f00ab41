"""The one page of a whole run: from recordings to what the networks looked at. It needs nothing else, no network."""

from __future__ import annotations

import base64
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gait.errors import GaitError
from gait.explaining.methods import METHODS
from gait.learning.metrics import MetricWithInterval
from gait.report.run.classification import told_apart_section
from gait.report.run.fit_summary import TrialFitSummary, mean_residual_mm, worst_marker_of
from gait.report.run.model import ComparisonVideo, RunReport, TrialSection
from gait.report.run.page_parts import MOST_PERSONS, anchor, first_of, link, person_cell
from gait.report.run.style import STORY_STYLE
from gait.report.training.display_names import in_order, judge_name
from gait.report.training.html import (
    bullet_list,
    paragraphs,
    plain_table,
    section,
    table,
    text,
    whole_page,
)
from gait.report.training.text_summary import (
    counted,
    figure,
    interval,
    leak_warning,
)

_MOST_EMBEDDED = 24 << 20  # bytes of a film within the page


def story_page(story: RunReport) -> str:
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
        STORY_STYLE,
    )


def _sections(story: RunReport) -> dict[str, tuple[str, str]]:
    """Title and content, by the name that links call it."""
    films = "".join(_film(story, film) for film in story.films)
    found = {"film": ("A healthy and a sick walker side by side", films)} if films else {}
    return found | {
        "bodies": ("From recordings to bodies", _fits(story)),
        "told-apart": ("Who was told apart", told_apart_section(story)),
        "pivotal": ("What was pivotal for the networks", _pivotal(story)),
        "viewer": ("Look for yourself", _commands(story)),
        "settings": ("Settings, and how to repeat this", _settings(story)),
    }


def _warnings(story: RunReport) -> str:
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


def _head(story: RunReport) -> str:
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
            f"by the {network.title} with {'a balanced accuracy of ' * (k == 0)}"
            f"{_estimate(estimate, '95 % interval ' * (k == 0))}"
            for k, (network, estimate) in enumerate(known)
        ]
        speeds = [judge for judge in known[0][0].summary.baselines if judge.name == "walking_speed"]
        speed = f"walking speed alone has {_estimate(speeds[0].persons['balanced_accuracy'])}, " if speeds else ""
        said.append(
            f"Healthy and sick persons that they never saw were told apart {', '.join(told)}; {speed}a guess has 0.50, "
            "and 1.00 is everybody judged rightly."
        )
    about = (
        "This page tells a whole run: marker recordings of walks became the movement of bodies, two kinds of neural "
        "networks, an MLP and a transformer, learnt to tell healthy from sick walks by that movement alone, and then "
        "it was asked which parts of the movement, and when, had been pivotal for them. Networks were always asked "
        "about persons they had not learnt from. Healthy and sick are the folders that the recordings were put in. "
        "What a network looked at says something about the network; it is no diagnosis."
    )
    links = " · ".join(f'<a href="#{name}">{text(title)}</a>' for name, (title, _) in _sections(story).items())
    return (
        "<header><h1>From recordings of walks to what networks looked at</h1>"
        f'<p class="answer">{text(" ".join(said))}</p><p>{text(about)}</p><nav>{links}</nav></header>'
    )


def _film(story: RunReport, film: ComparisonVideo) -> str:
    left, right = film.network.walks
    size = film.file.stat().st_size
    source = f"data:video/mp4;base64,{_base64(film.file)}" if size <= _MOST_EMBEDDED else link(story, film.file)
    said = (
        f"Left {_of_walk(left)}, right {_of_walk(right)}, at {film.speed:g} times real speed, both from the "
        f"first frame on. The body has the colours of the map beneath it at the moment of the line: {_reading(left)} "
        f"Each is explained by the {film.network.title} that did not see this person, and has its own scale. The bars "
        "above the map are stance, from heel strike to toe off; the curve at the bottom is the probability of sick."
    )
    # The picture lies beneath the film, which hides it as soon as it plays; on paper it is all there is.
    return (
        '<figure class="broad film"><div class="wide-picture"><div class="both">'
        f'<img width="{film.width}" height="{film.height}" src="{_embedded(film.still)}" alt="A moment of the film">'
        f'<video controls loop muted autoplay playsinline src="{source}" '
        'aria-label="Film of two persons walking"></video></div></div>'
        '<p class="small swipe">Swipe sideways for the other walker.</p>'
        f"<figcaption>{text(said)} The film as a file: {anchor(story, film.file)}.</figcaption></figure>"
    )


def _fits(story: RunReport) -> str:
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
    parts = [paragraphs(lines), bullet_list(first_of(faults))]
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


def _fit_row(person: str, gaits: Sequence[TrialFitSummary]) -> str:
    marker = worst_marker_of(gaits)
    marked = "–" if marker is None else f"{text(marker[0])}<small>{_mm(marker[1])}</small>"
    worst = max((_finite(gait.worst_frame_mm) for gait in gaits), default=math.nan)
    return (
        f'<tr><th scope="row">{person_cell(person)}</th><td>{len(gaits)}</td>'
        f"<td>{sum(gait.report.frames for gait in gaits):,}</td><td>{_mm(mean_residual_mm(gaits))}</td>"
        f"<td>{_mm(worst)}</td><td>{marked}</td><td>{gaits[0].report.stature_m:.2f} m</td></tr>"
    )


def _pivotal(story: RunReport) -> str:
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
        parts.append(f'<div class="together"><h3>{text(name)}: everybody</h3>{said}')
        reading = f" {_sentence(_reading(network.walks[0]))}" if network.walks else ""
        parts.append(
            _picture(
                story,
                network.cohort_picture,
                f"What was pivotal for the {network.title}, by joint and phase of the gait cycle",
                "Above: means of the groups, joints from head to feet by phase of the gait cycle, and the difference "
                f"between sick and healthy. Below: single persons, and everybody's probability.{reading}",
            )
            + "</div>"
        )
        for walk in network.walks:
            label = f'<span class="{walk.label}">{walk.label}</span>'
            parts.append(
                f'<div class="together"><h3>{text(name)}: the most typical {label} person, {text(walk.name)}</h3>'
                f"{paragraphs([_sentence(line) for line in walk.lines[1:]])}"
            )
            parts.append(
                _picture(
                    story,
                    walk.picture,
                    f"What was pivotal for the {network.title} in {walk.name}: in time, by gait cycle, and on the body",
                    "Above: the probability of sick, and importance by joint, over time. Below: the same by gait "
                    f"cycle, left and right, and on the body at four moments. {_sentence(_reading(walk))}",
                )
                + "</div>"
            )
    parts.append(
        "<p>The most typical person of a group is who was judged rightly and whose map by gait cycle is the most like "
        "the mean of the others'.</p>"
    )
    return "".join(parts)


def viewer_commands(story: RunReport) -> tuple[str, ...]:
    """Each opens the viewer on one of the walks; the last one on the sick person of the first film, if there is one."""
    walks = [walk for network in story.networks for walk in network.walks]
    if story.films:
        walks.sort(key=lambda walk: walk is story.films[0].network.walks[-1])
    return tuple(_command(story, walk) for walk in walks)


def _command(story: RunReport, walk: TrialSection) -> str:
    files = f"--network {shlex.quote(str(walk.network))} --gait {shlex.quote(str(walk.folder))}"
    return f"{story.python} attention_viewer.py {files}"


def _on_two_lines(command: str) -> str:
    """Browsers would break a line within ``--gait``."""
    return text(command).replace(" --gait ", " \\\n    --gait ")


def _commands(story: RunReport) -> str:
    walks = [(network, walk) for network in story.networks for walk in network.walks]
    if not walks:
        return "<p>There is nobody whose explanation could be opened.</p>"
    parts = [
        "<p>Each of these commands opens the viewer on one of the walks above: a body to walk around, in the colours "
        "of importance, with the map and the curves beneath. Give them in the folder that this run was made in; "
        "H shows every key.</p>"
    ]
    for network, walk in walks:
        parts.append(
            f'<p class="command">{text(judge_name(network.kind))}, {text(walk.name)}</p>'
            f"<pre>{_on_two_lines(_command(story, walk))}</pre>"
        )
    parts.append(
        "<p>With <code>--beside FOLDER</code> another walk goes along, or the mean healthy one of a folder of walks; "
        "with <code>--all_methods --export FOLDER</code> every method explains the walk, as pictures and tables.</p>"
    )
    return "".join(parts)


def _settings(story: RunReport) -> str:
    parts = [bullet_list(story.remarks)]
    columns: list[tuple[str, Mapping[str, Any]]] = []
    if story.fits is not None:
        columns.append(("Fit", story.fits.gaits[0].made_by))
    for network in story.networks:
        result = network.summary.folds[0]
        commands = dict.fromkeys(one.command for one in network.summary.folds if one.command)
        parts += [f"<pre>{text(f'{story.python} {command}')}</pre>" for command in commands]
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


def _picture(story: RunReport, file: Path, alternative: str, caption: str) -> str:
    """A wide picture within the page, which scrolls where there is no room, and opens as a file."""
    return (
        f'<figure class="broad"><div class="wide-picture"><img src="{_embedded(file)}" alt="{text(alternative)}"></div>'
        f"<figcaption>{text(caption)} As a file: {anchor(story, file)}.</figcaption></figure>"
    )


def _embedded(file: Path) -> str:
    return f"data:image/png;base64,{_base64(file)}"


def _base64(file: Path) -> str:
    try:
        return base64.b64encode(file.read_bytes()).decode("ascii")
    except OSError as error:
        raise GaitError(f"{file}: cannot be read ({error.strerror or error}).") from None


def _of_walk(walk: TrialSection) -> str:
    probability = walk.explanation.importance.person_probability
    return f"{walk.name} (probability of sick {figure(probability)})"


def _reading(walk: TrialSection) -> str:
    if walk.explanation.importance.signed:
        return "orange spoke for sick, blue for healthy, nearly white did not matter, grey is not explained."
    return "the brighter, the more a joint was looked at, for whichever verdict; grey is not explained."


def _sentence(line: str) -> str:
    """A line of a run as a sentence."""
    line = line[:1].upper() + line[1:]
    return line if line.endswith((".", "!", "?")) else f"{line}."


def _estimate(estimate: MetricWithInterval, what: str = "") -> str:
    return figure(estimate.value) + (f" ({what}{interval(estimate)})" if math.isfinite(estimate.low) else "")


def _mm(value: float) -> str:
    return f"{value:.1f} mm" if math.isfinite(value) else "–"


def _finite(value: float) -> float:
    return value if math.isfinite(value) else -1.0
