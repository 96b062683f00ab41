"""From a fitted trial, and a network that explains it, to the page's file."""

from __future__ import annotations

from pathlib import Path

from gait.errors import GaitError
from gait.explaining.methods import METHODS
from gait.explaining.options import ExplainOptions
from gait.explaining.trained_network import TrainedNetwork
from gait.files.atomic_write import atomic_file
from gait.kinematics.norms import Norm
from gait.report.walk_page.build import build_page
from gait.report.walk_page.curve_section import curve_section
from gait.report.walk_page.walk_data import WalkPage
from gait.viewing.attribution_overlay import AttributionOverlay
from gait.viewing.file_backend import FileBackend
from gait.viewing.loaded_trial import LoadedTrial, is_fitted_trial


def export_walk_page(
    file: Path,
    backend: FileBackend,
    trial: Path,
    *,
    network: TrainedNetwork | None = None,
    beside: Path | None = None,
    anonymous: bool = False,
    norm: Norm | None = None,
) -> tuple[str, ...]:
    """Write the page of a trial's folder, explained by the methods that the backend's options name.

    ``beside`` is a second trial, or a folder of trials for the mean stride of its controls. Returns one line per method
    that failed.

    Raises:
        GaitError: something cannot be read, no method can explain the network, or the file cannot be written.
    """
    loaded = backend.load_trial(trial)
    problems: list[str] = []
    overlays = () if network is None else explain_trial_overlays(backend, loaded, network, problems)
    second = None
    if beside is not None:
        is_trial = not beside.is_dir() or is_fitted_trial(beside)
        second = backend.load_trial(beside) if is_trial else backend.load_normative_stride(beside)
    write_page(file, WalkPage(loaded, overlays, second, anonymous, curve_section(loaded, norm)))
    return tuple(problems)


def write_page(file: Path, page: WalkPage) -> None:
    """Write a page to a file; errors as in ``build_page``."""
    text = build_page(page)
    with atomic_file(file) as partial:
        partial.write_text(text, encoding="utf-8")


def explain_trial_overlays(
    backend: FileBackend, trial: LoadedTrial, network: TrainedNetwork, problems: list[str]
) -> tuple[AttributionOverlay, ...]:
    """Explain a trial by each method that the backend's options name; of methods that fail, add a line to ``problems``.

    Raises:
        GaitError: every method fails.
    """
    overlays = []
    for one in _each_method(backend.options, network):
        try:
            attribution = backend.explain(network, trial, one, lambda done, count: None)
            summary = backend.faithfulness_summary(network, trial, one)
        except GaitError as error:
            problems.append(str(error))
            continue
        overlays.append(AttributionOverlay(trial, network, METHODS[one], attribution, summary))
    if not overlays:
        raise GaitError(problems[0])
    return tuple(overlays)


def _each_method(options: ExplainOptions, network: TrainedNetwork) -> tuple[str, ...]:
    """Return the names of the methods to run on a network."""
    return tuple(one.method for one in options.each_method(network) if one.method is not None)
