"""From a fitted trial, and a network that explains it, to the page's file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gait.errors import GaitError
from gait.explaining.evidence.compute_evidence import FindCounterfactual, compute_evidence
from gait.explaining.evidence.controls import Cohort
from gait.explaining.evidence.counterfactual import find_counterfactual
from gait.explaining.evidence.explained_walk import ExplainedWalk, explain_walk
from gait.explaining.evidence.export_evidence import SegmentEvidence
from gait.explaining.evidence.find_cohort import find_cohort
from gait.explaining.evidence.finding import Evidence
from gait.explaining.methods import METHODS
from gait.explaining.options import EvidenceOptions, ExplainOptions
from gait.explaining.trained_network import TrainedNetwork
from gait.files.atomic_write import atomic_file
from gait.kinematics.norms import PublishedNorm, read_angle_norm
from gait.kinematics.published_speed_change import PUBLISHED_BY_SPEED
from gait.report.walk_page.build import build_page
from gait.report.walk_page.curve_section import curve_section, verdict_reference
from gait.report.walk_page.walk_data import CHANGED_WALK, WalkPage
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
    evidence: EvidenceOptions | None = None,
    known: SegmentEvidence | None = None,
) -> tuple[str, ...]:
    """Write the page of a trial's folder, explained by the methods that the backend's options name.

    ``beside`` is a second trial, or a folder of trials for the mean stride of its controls. ``evidence`` are the
    options of the verdicts; None: without. ``known`` is the evidence of this trial, by the same options, if it is
    computed already. Returns one line per part that failed.

    Raises:
        GaitError: something cannot be read, no method can explain the network, or the file cannot be written.
    """
    page, problems = make_walk_page(
        backend, trial, network=network, beside=load_beside(backend, beside), anonymous=anonymous, evidence=evidence,
        known=known,
    )  # fmt: skip
    write_page(file, page)
    return problems


def make_walk_page(
    backend: FileBackend,
    trial: Path,
    *,
    network: TrainedNetwork | None = None,
    beside: LoadedTrial | None = None,
    anonymous: bool = False,
    evidence: EvidenceOptions | None = None,
    known: SegmentEvidence | None = None,
    cohort: Cohort | None = None,
) -> tuple[WalkPage, tuple[str, ...]]:
    """Return what ``export_walk_page`` writes, and one line per part that failed.

    ``cohort`` is what the network's evidence compares the trial with, if it is read already.

    Raises:
        GaitError: something cannot be read, or no method can explain the network.
    """
    loaded = backend.load_trial(trial)
    problems: list[str] = []
    overlays = () if network is None else explain_trial_overlays(backend, loaded, network, problems)
    page = WalkPage(loaded, overlays, beside, anonymous)
    norms = None if evidence is None else evidence.norms
    if network is not None and evidence is not None and not evidence.no_evidence:
        try:
            if known is None:
                others = cohort or find_cohort(network, loaded.folder, norms, backend.options)
                seek = None if evidence.no_counterfactual else find_counterfactual
                page = with_evidence(page, others, backend.options, seek)
            else:
                found = known.evidence
                page = add_evidence(
                    page, known.walk, replace(found, counterfactual=None) if evidence.no_counterfactual else found
                )
        except GaitError as error:
            problems.append(f"No evidence: {error}")
    if page.curves is None:
        page = replace(page, curves=curve_section(loaded, drawn_norm(norms)))
    return page, tuple(problems)


def load_beside(backend: FileBackend, folder: Path | None) -> LoadedTrial | None:
    """Return the second body: a trial, or the mean stride of the controls in a folder of trials.

    Raises:
        GaitError: it cannot be read.
    """
    if folder is None:
        return None
    is_trial = not folder.is_dir() or is_fitted_trial(folder)
    return backend.load_trial(folder) if is_trial else backend.load_normative_stride(folder)


def with_evidence(
    page: WalkPage, cohort: Cohort, options: ExplainOptions, seek: FindCounterfactual | None = None
) -> WalkPage:
    """Return a page with findings and verdicts, and the curves beside the bands that the verdicts are of.

    The evidence is of the first method that is signed. If ``seek`` finds a walk on which the network decides otherwise,
    it is the second body, unless the page has one.

    Raises:
        GaitError: no method is signed, or the trial has no stride.
    """
    network = page.overlays[0].network
    signed = [overlay for overlay in page.overlays if overlay.attribution.signed]
    if not signed:
        raise GaitError("this method does not say for which class a joint speaks; use another --method.")
    own = options.with_method(signed[0].method.name)
    walk = explain_walk(network, page.trial.folder, cohort, own, page.trial.sequence, signed[0].attribution)
    return add_evidence(page, walk, compute_evidence(walk, own, find_counterfactual=seek))


def add_evidence(page: WalkPage, walk: ExplainedWalk, evidence: Evidence) -> WalkPage:
    """Return a page with evidence that is computed already, and the curves beside the bands of its verdicts."""
    walk = without_folder_name(walk) if page.anonymous else walk
    own_norm = walk.controls.norm
    norm = own_norm if isinstance(own_norm, PublishedNorm) else read_angle_norm(PUBLISHED_BY_SPEED)
    curves = curve_section(page.trial, norm, verdict_reference(walk, evidence.findings))
    found = None if evidence.counterfactual is None else evidence.counterfactual.boundary
    beside = page.beside
    if found is not None and beside is None:
        beside = replace(page.trial, name=CHANGED_WALK, sequence=found.sequence)
    return replace(page, curves=curves, evidence=evidence, beside=beside)


def without_folder_name(walk: ExplainedWalk) -> ExplainedWalk:
    """Return a walk for anonymous pages: the title of a norm of own controls does not name their folder."""
    if isinstance(walk.controls.norm, PublishedNorm):
        return walk
    return replace(walk, bands=replace(walk.bands, title="controls"))


def drawn_norm(norms: str | None) -> PublishedNorm:
    """Return the norm beside curves without verdicts: the published one that ``norms`` names, or the one by speed.

    Raises:
        GaitError: it cannot be read.
    """
    is_named = norms is not None and not Path(norms).is_dir()
    return read_angle_norm(norms if is_named and norms else PUBLISHED_BY_SPEED)


def write_page(file: Path, page: WalkPage, still: bytes | None = None) -> None:
    """Write a page to a file; arguments and errors as in ``build_page``."""
    text = build_page(page, still)
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
