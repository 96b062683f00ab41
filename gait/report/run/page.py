"""Page of the run report, from fits to attributions: one self-contained file without scripts."""

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
from gait.report.run.classification import classification_section
from gait.report.run.fit_summary import TrialFitSummary, mean_residual_mm, worst_marker_of
from gait.report.run.model import ComparisonVideo, RunReport, TrialSection
from gait.report.run.page_parts import MAX_SUBJECTS_SHOWN, anchor, link, subject_cell, truncate_lines
from gait.report.run.style import RUN_STYLE
from gait.report.training.display_names import classifier_name
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
    confounder_warning,
    format_interval,
    format_number,
    pluralize,
)
from gait.text import natural_key

MAX_EMBEDDED_BYTES = 24 << 20
"""Larger videos are linked instead of embedded."""


def run_page(report: RunReport) -> str:
    """Return the page as HTML.

    Raises:
        GaitError: a figure cannot be read.
    """
    return whole_page(
        "Gait: fits, networks and attributions",
        [
            _warnings(report),
            _header(report),
            *(section(title, content, name) for name, (title, content) in _sections(report).items()),
        ],
        RUN_STYLE,
    )


def _sections(report: RunReport) -> dict[str, tuple[str, str]]:
    """Return title and HTML content of each section, by its anchor."""
    videos = "".join(_comparison_video(report, video) for video in report.videos)
    found = {"video": ("A control and a patient side by side", videos)} if videos else {}
    return found | {
        "fits": ("Body fits", _body_fits(report)),
        "classification": ("Classification", classification_section(report)),
        "attribution": ("Attribution: which joints and phases drive the networks", _attribution(report)),
        "viewer": ("Interactive viewer", _commands(report)),
        "settings": ("Settings and commands", _settings(report)),
    }


def _warnings(report: RunReport) -> str:
    """Return what must be read first: the user's notes, confounders, and missing parts."""
    confounders = dict.fromkeys(line for network in report.networks for line in confounder_warning(network.summary))
    parts = []
    if report.notes:
        parts.append(f'<aside class="note"><h2>Read this first</h2>{paragraphs(report.notes)}</aside>')
    for title, lines in (
        ("Warning: the groups differ in something other than gait", tuple(confounders)),
        ("Missing parts", report.problems),
    ):
        if lines:
            parts.append(f'<aside class="warning" role="alert"><h2>{text(title)}</h2>{paragraphs(lines)}</aside>')
    return "".join(parts)


def _header(report: RunReport) -> str:
    sentences = []
    if report.fits is not None:
        subjects, trials = len(report.fits.subjects), len(report.fits.trials)
        sentences.append(
            f"{pluralize(subjects, 'subject')}, {pluralize(trials, 'trial')}. Mean distance between measured and "
            f"fitted markers: {_mm(report.fits.mean_mm)}."
        )
    accuracies = [
        (network, network.summary.network.subject_metrics["balanced_accuracy"]) for network in report.networks
    ]
    known = [(network, estimate) for network, estimate in accuracies if math.isfinite(estimate.value)]
    if known:
        by_network = [
            f"{_estimate(estimate, '95 % CI ' * (k == 0))} by the {network.title}"
            for k, (network, estimate) in enumerate(known)
        ]
        speeds = [classifier for classifier in known[0][0].summary.baselines if classifier.name == "walking_speed"]
        speed = (
            f"walking speed alone has {_estimate(speeds[0].subject_metrics['balanced_accuracy'])}, " if speeds else ""
        )
        sentences.append(
            f"Balanced accuracy on unseen subjects: {', '.join(by_network)}; {speed}chance level is 0.50, and 1.00 "
            "means that every subject is classified correctly."
        )
    about = (
        "This page reports a complete run. A statistical body model was fitted to marker recordings of walking. Neural "
        "networks (an MLP and a transformer) were trained on the joint movement alone to classify trials as healthy or "
        "sick. Explanation methods then computed an attribution: which joints at which time contributed to the "
        "decision. Each subject was classified and explained by a network that was not trained on this subject. The "
        "labels healthy (controls) and sick (patients) are the folders in which the trials were placed. An "
        "attribution describes the network; it is no diagnosis."
    )
    links = " · ".join(f'<a href="#{name}">{text(title)}</a>' for name, (title, _) in _sections(report).items())
    return (
        "<header><h1>From marker recordings to attributions</h1>"
        f'<p class="answer">{text(" ".join(sentences))}</p><p>{text(about)}</p><nav>{links}</nav></header>'
    )


def _comparison_video(report: RunReport, video: ComparisonVideo) -> str:
    left, right = video.network.trials
    size = video.file.stat().st_size
    source = f"data:video/mp4;base64,{_base64(video.file)}" if size <= MAX_EMBEDDED_BYTES else link(report, video.file)
    caption = (
        f"Left: {_trial_name(left)}. Right: {_trial_name(right)}. Played at {video.speed:g} times real speed, both "
        "from the first frame. The body has the colours of the heat map below it at the time of the vertical line: "
        f"{_colour_key(left)} Each trial is explained by the {video.network.title} that was not trained on the "
        "subject, and has its own colour scale. Bars above the heat map are stance phases, from initial contact to "
        "foot off; the curve at the bottom is P(sick)."
    )
    # The image lies beneath the video, which hides it as soon as it plays; in print only the image appears.
    return (
        '<figure class="broad video"><div class="wide-image"><div class="both">'
        f'<img width="{video.width}" height="{video.height}" src="{_embedded(video.thumbnail)}" '
        'alt="A frame of the video">'
        f'<video controls loop muted autoplay playsinline src="{source}" '
        'aria-label="Video of two subjects walking"></video></div></div>'
        '<p class="small swipe">Swipe sideways for the other subject.</p>'
        f"<figcaption>{text(caption)} Video file: {anchor(report, video.file)}.</figcaption></figure>"
    )


def _body_fits(report: RunReport) -> str:
    fits = report.fits
    if fits is None:
        return "<p>No fit can be read.</p>"
    lines = [
        "One statistical body model was fitted to each subject: its shape once, its pose in every frame, so that the "
        "virtual markers on the body match the measured ones. The residual is the distance between a measured marker "
        f"and its virtual marker; a mean below 5 mm is usual. The mean over all frames is {_mm(fits.mean_mm)}.",
    ]
    worst = fits.worst_trial
    lines.append(
        f"The trial with the largest residual is {worst.name}: {_mm(worst.mean_mm)} on average, "
        f"{_mm(worst.worst_frame_mm)} in its worst frame."
    )
    marker = fits.worst_marker
    if marker is not None:
        lines.append(
            f"The marker with the largest residual is {marker[0]}, {_mm(marker[1])} on average in {marker[2].name}."
        )
    errors = [f"{trial.name}: {error['message']}" for trial in fits.trials for error in trial.report.marker_errors]
    lines.append(
        f"Marker quality control found {pluralize(len(errors), 'marker error')}, which were excluded, corrected or "
        "reported:"
        if errors
        else "Marker quality control found no error."
    )
    parts = [paragraphs(lines), bullet_list(truncate_lines(errors))]
    subjects = fits.subjects
    shown = sorted(subjects, key=lambda name: -_finite(mean_residual_mm(subjects[name])))[:MAX_SUBJECTS_SHOWN]
    if len(shown) < len(subjects):
        parts.append(paragraphs([f"The {len(shown)} subjects with the largest residuals, of {len(subjects)}:"]))
    heads = ["Subject", "Trials", "Frames", "Mean residual", "Worst frame", "Worst marker", "Stature"]
    rows = [_fit_row(name, subjects[name]) for name in sorted(shown, key=natural_key)]
    parts.append(table([f'<th scope="col">{head}</th>' for head in heads], rows))
    if worst.figure is not None:
        parts.append(
            _html_figure(
                report,
                worst.figure,
                f"The fit of {worst.name}: residuals by marker and time, and the body with its markers.",
                f"The trial with the largest residual, {worst.name}: residuals by marker and time, and the fitted body "
                "with measured and virtual markers. Every trial has such a figure, fit.png, beside its poses.",
            )
        )
    return "".join(parts)


def _fit_row(subject: str, trials: Sequence[TrialFitSummary]) -> str:
    marker = worst_marker_of(trials)
    marked = "–" if marker is None else f"{text(marker[0])}<small>{_mm(marker[1])}</small>"
    worst = max((_finite(trial.worst_frame_mm) for trial in trials), default=math.nan)
    return (
        f'<tr><th scope="row">{subject_cell(subject)}</th><td>{len(trials)}</td>'
        f"<td>{sum(trial.report.frames for trial in trials):,}</td><td>{_mm(mean_residual_mm(trials))}</td>"
        f"<td>{_mm(worst)}</td><td>{marked}</td><td>{trials[0].report.stature_m:.2f} m</td></tr>"
    )


def _attribution(report: RunReport) -> str:
    explained = [network for network in report.networks if network.cohort_figure is not None]
    if not explained:
        return "<p>No attribution could be computed.</p>"
    parts = [
        "<p>An attribution gives each joint in each frame its contribution to the decision of a network. Means over "
        "subjects are aligned by gait cycle, from one initial contact of a foot to its next.</p>"
    ]
    for network in explained:
        assert network.cohort_figure is not None
        name = classifier_name(network.kind)
        findings = bullet_list([_sentence(line) for line in network.cohort_summary[1:]])
        parts.append(f'<div class="together"><h3>{text(name)}: all subjects</h3>{findings}')
        colours = f" {_sentence(_colour_key(network.trials[0]))}" if network.trials else ""
        parts.append(
            _html_figure(
                report,
                network.cohort_figure,
                f"Attribution of the {network.title} by joint and phase of the gait cycle",
                "Top: group means, joints from head to feet by percent of the gait cycle, and the difference patients "
                f"minus controls. Bottom: single subjects, and P(sick) of every subject.{colours}",
            )
            + "</div>"
        )
        for trial in network.trials:
            label = f'<span class="{trial.label}">{"patient" if trial.label == "sick" else "control"}</span>'
            parts.append(
                f'<div class="together"><h3>{text(name)}: most representative {label}, {text(trial.name)}</h3>'
                f"{paragraphs([_sentence(line) for line in trial.summary[1:]])}"
            )
            parts.append(
                _html_figure(
                    report,
                    trial.figure,
                    f"Attribution of the {network.title} in {trial.name}: over time, by gait cycle, and on the body",
                    "Top: P(sick) and attribution by joint over time. Bottom: the attribution by gait cycle, left and "
                    f"right, and on the body at four times. {_sentence(_colour_key(trial))}",
                )
                + "</div>"
            )
    parts.append(
        "<p>The most representative subject of a group is the correctly classified one whose attribution by gait cycle "
        "is most similar to the mean of the others.</p>"
    )
    return "".join(parts)


def viewer_commands(report: RunReport) -> tuple[str, ...]:
    """Return one viewer command per explained trial; the last one opens the patient of the first video, if any."""
    trials = [trial for network in report.networks for trial in network.trials]
    if report.videos:
        trials.sort(key=lambda trial: trial is report.videos[0].network.trials[-1])
    return tuple(_command(report, trial) for trial in trials)


def _command(report: RunReport, trial: TrialSection) -> str:
    files = f"--network {shlex.quote(str(trial.network))} --gait {shlex.quote(str(trial.folder))}"
    return f"{report.python} attention_viewer.py {files}"


def _on_two_lines(command: str) -> str:
    """Return the command as HTML, broken before ``--gait``; browsers would break it within the flag."""
    return text(command).replace(" --gait ", " \\\n    --gait ")


def _commands(report: RunReport) -> str:
    trials = [(network, trial) for network in report.networks for trial in network.trials]
    if not trials:
        return "<p>There is no explained trial to open.</p>"
    parts = [
        "<p>Each of these commands opens the viewer on one of the trials above: a body that can be viewed from all "
        "sides, coloured by attribution, with heat map and curves below it. Run them in the folder in which this page "
        "was made. Press H for all keys.</p>"
    ]
    for network, trial in trials:
        parts.append(
            f'<p class="command">{text(classifier_name(network.kind))}, {text(trial.name)}</p>'
            f"<pre>{_on_two_lines(_command(report, trial))}</pre>"
        )
    parts.append(
        "<p><code>--beside FOLDER</code> adds another trial for comparison, or the mean stride of the controls in a "
        "folder of trials; <code>--all_methods --export FOLDER</code> writes the attributions of all methods as "
        "figures and tables.</p>"
    )
    return "".join(parts)


def _settings(report: RunReport) -> str:
    parts = [bullet_list(report.remarks)]
    columns: list[tuple[str, Mapping[str, Any]]] = []
    if report.fits is not None:
        columns.append(("Fit", report.fits.trials[0].provenance))
    for network in report.networks:
        result = network.summary.folds[0]
        commands = dict.fromkeys(one.command for one in network.summary.folds if one.command)
        parts += [f"<pre>{text(f'{report.python} {command}')}</pre>" for command in commands]
        named = ("epochs", "lr", "batch_size", "k_folds", "seed")
        rows: dict[str, Any] = {
            "window": f"{result.window_length} frames at {result.frame_rate_hz:g} Hz",
            "stride": pluralize(result.stride, "frame"),
            **{name: result.arguments[name] for name in named if name in result.arguments},
            **result.architecture,
        }
        if network.trials:
            attribution = network.trials[0].explanation.attribution
            rows["explanation method"] = METHODS[attribution.method].title
            rows |= {f"method: {key.replace('_', ' ')}": value for key, value in attribution.settings.items()}
        columns.append((classifier_name(network.kind), rows))
    if report.networks:
        columns.append(("Versions", report.networks[0].summary.folds[0].versions))
    tables = "".join(f"<div><h3>{text(name)}</h3>{plain_table(rows)}</div>" for name, rows in columns)
    return f'{"".join(parts)}<div class="settings">{tables}</div>'


def _html_figure(report: RunReport, file: Path, alt_text: str, caption: str) -> str:
    """Return a wide figure, which scrolls on narrow screens, with a link to its file."""
    return (
        f'<figure class="broad"><div class="wide-image"><img src="{_embedded(file)}" alt="{text(alt_text)}"></div>'
        f"<figcaption>{text(caption)} Image file: {anchor(report, file)}.</figcaption></figure>"
    )


def _embedded(file: Path) -> str:
    return f"data:image/png;base64,{_base64(file)}"


def _base64(file: Path) -> str:
    try:
        return base64.b64encode(file.read_bytes()).decode("ascii")
    except OSError as error:
        raise GaitError(f"{file}: cannot be read ({error.strerror or error}).") from None


def _trial_name(trial: TrialSection) -> str:
    probability = trial.explanation.attribution.trial_probability
    return f"{trial.name} (P(sick) = {format_number(probability)})"


def _colour_key(trial: TrialSection) -> str:
    if trial.explanation.attribution.signed:
        return "orange is evidence for the sick class, blue for the healthy class, grey is not explained."
    return "brighter means more attention to the joint, for either class; grey is not explained."


def _sentence(line: str) -> str:
    """Return a line as a sentence, capitalized and with a full stop."""
    line = line[:1].upper() + line[1:]
    return line if line.endswith((".", "!", "?")) else f"{line}."


def _estimate(estimate: MetricWithInterval, what: str = "") -> str:
    return format_number(estimate.value) + (
        f" ({what}{format_interval(estimate)})" if math.isfinite(estimate.low) else ""
    )


def _mm(value: float) -> str:
    return f"{value:.1f} mm" if math.isfinite(value) else "–"


def _finite(value: float) -> float:
    return value if math.isfinite(value) else -1.0
