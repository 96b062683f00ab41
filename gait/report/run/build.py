"""A whole run told on one page: fits, both networks, explanations of everybody, two persons and a film of them."""

from __future__ import annotations

import csv
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from gait.errors import GaitError
from gait.explaining.attribution import TrialAttribution
from gait.explaining.attribution_files import EXPLANATION_FILE, read_explanation
from gait.explaining.trained_network import open_network
from gait.files.atomic_write import replacing_file
from gait.files.step_cache import Said, StepCache, digest
from gait.learning.fold_result import result_file
from gait.motion.dataset import Trial
from gait.motion.dataset_spec import DatasetSpec
from gait.motion.pose_files import POSES_FILE
from gait.motion.trial_paths import HEALTHY, SICK
from gait.report.export_cohort import NETWORKS, CohortSettings, export_cohort
from gait.report.export_trial import PICTURE_FILE, ExportSettings, export_gait
from gait.report.run.fit_summary import fitted_cohort
from gait.report.run.model import ComparisonVideo, NetworkSection, RunReport, TrialSection
from gait.report.run.page import story_page, viewer_commands
from gait.report.training.cross_validation_summary import pooled
from gait.report.training.write_report import folds_of_one_question, page_file
from gait.viewing.comparison_video import film_side_by_side
from gait.viewing.file_backend import FileBackend
from gait.viewing.loaded_trial import BodyModelLocator, LoadedTrial
from gait.viewing.run_viewer import ViewRequest
from gait.viewing.viewer_backend import LoadedNetwork, Told

PAGE_FILE = "index.html"
_WALK_STRIDE = 1  # frames from one explained window of a single walk to the next: with fewer its map has stripes
_HALF = (640, 960)  # pixels of one person in the film
_LABELS = (HEALTHY, SICK)

Found = TypeVar("Found")


@dataclass(frozen=True)
class RunSettings:
    """Which run, and how it is told."""

    poses: Path  # the fit's save folder
    trained: tuple[Path, ...]  # save folders of trainings
    export: Path  # where the page goes, and what it shows
    bodies: BodyModelLocator
    notes: tuple[str, ...] = ()  # what a reader must know first, a line each
    stride: int | None = None  # frames from one explained window of everybody to the next; by the method's cost if None
    speed: float = 0.5  # of the film
    overwrite: bool = False  # do again what is finished


@dataclass(frozen=True)
class RunReportResult:
    """What became of it."""

    page: Path
    commands: tuple[str, ...]  # each opens the viewer on a walk; the last one is the most telling
    problems: tuple[str, ...]  # a plain line on each thing that is missing


def tell_run(settings: RunSettings, told: Callable[[str], object]) -> RunReportResult:
    """Explain, film, and write the page; what is missing is a line on it.

    Args:
        settings: which run.
        told: is given a line on each step when it ends.

    Raises:
        GaitError: there is nothing to tell of: neither a fit nor a training; or the page cannot be written.
    """
    steps = _Steps(settings, told)
    fits = steps.tried(lambda: fitted_cohort(settings.poses))
    if fits is not None:
        steps.problems += fits.problems
    networks = list(_networks(settings, steps))
    if fits is None and not networks:
        raise GaitError(steps.problems[0])
    explained = [_explained(network, settings, steps) for network in networks]
    films = [
        film for network in sorted(explained, key=_ability, reverse=True) for film in _film(network, settings, steps)
    ]
    page = settings.export / PAGE_FILE
    story = RunReport(
        fits=fits,
        networks=tuple(explained),
        films=tuple(films),
        notes=settings.notes,
        problems=tuple(dict.fromkeys(steps.problems)),
        remarks=tuple(dict.fromkeys(steps.remarks)),
        page=page,
        python=_python(),
    )
    with replacing_file(page) as partial:
        partial.write_text(story_page(story), encoding="utf-8", errors="replace")
    return RunReportResult(page, viewer_commands(story), story.problems)


class _Steps:
    """Does what is not finished, and keeps what went wrong."""

    def __init__(self, settings: RunSettings, told: Callable[[str], object]) -> None:
        self.problems: list[str] = []
        self.remarks: list[str] = []  # on what is there, but not as it could be
        self._finished = StepCache(settings.export)
        self._overwrite = settings.overwrite
        self._told = told

    def tried(self, act: Callable[[], Found]) -> Found | None:
        """What it gives; None, and a problem, where it cannot."""
        try:
            return act()
        except GaitError as error:
            self.problems.append(str(error))
            return None

    def done(
        self,
        name: str,
        made_from: Callable[[], str],
        files: Sequence[Path],
        act: Callable[[], tuple[Said, Sequence[str], bool]],
    ) -> tuple[str, ...] | None:
        """The lines of a step, done now or before; None where it fails.

        Args:
            name: of the step, as a person reads it.
            made_from: its digest.
            files: that it writes.
            act: does it, and gives what is to be said, its problems, and whether it would become the same once more;
                it is finished then, if there is no problem.
        """
        start = time.perf_counter()
        try:
            digested = made_from()
            said = None if self._overwrite else self._finished.said(name, digested, files)
            if said is not None:
                self._told(f"{name}: finished before")
            else:
                said, problems, same_again = act()
                if same_again and not problems:
                    self._finished.finish(name, digested, said)
                self.problems += problems
                self._told(f"{name}: {time.perf_counter() - start:.0f} s")
        except GaitError as error:
            self.problems.append(str(error))
            self._told(f"{name}: failed: {error}")
            return None
        self.remarks += said.remarks
        return said.lines


def _networks(settings: RunSettings, steps: _Steps) -> Iterator[NetworkSection]:
    """What the trainings say, one of each kind."""
    found: dict[str, Path] = {}
    for folder in settings.trained:
        kinds = [kind for kind in NETWORKS if any(folder.glob(f"result_{kind}_fold*.npz"))]
        if not kinds:
            steps.problems.append(
                f"{folder}: no trained network in it; train one with train_multi_mlp.py or train_transformer.py, and "
                "name its save folder."
            )
        for kind in kinds:
            if kind in found:
                steps.problems.append(f"{folder}: {found[kind]} holds such a network already; this one is left out.")
                continue
            found[kind] = folder
            read = steps.tried(partial(folds_of_one_question, folder, kind))
            if read is not None:
                results, left_out = read
                steps.problems += left_out
                report = page_file(folder, kind)
                yield NetworkSection(
                    kind, folder, pooled(results), tuple(pooled([one]) for one in results),
                    report if report.is_file() else None,
                )  # fmt: skip


def _explained(network: NetworkSection, settings: RunSettings, steps: _Steps) -> NetworkSection:
    """The same with the view over everybody, and one healthy and one ill person explained."""
    kind, folder, export = network.kind, network.folder, settings.export
    picture, table = export / f"cohort_{kind}.png", export / f"persons_{kind}.csv"

    def over_all() -> tuple[Said, Sequence[str], bool]:
        cohort = CohortSettings(folder, settings.poses, None, None, settings.stride)
        done = export_cohort(cohort, export)
        return Said(done.lines, done.notes), done.problems, True

    made_from = [
        *settings.poses.rglob(POSES_FILE),
        *(
            file
            for fold in network.summary.folds
            for file in (result_file(folder, kind, fold.fold.index), network.file(fold.fold.index))
        ),
    ]
    lines = steps.done(
        f"What was pivotal for the {network.title}, over everybody",
        lambda: digest(made_from, settings.stride),
        (picture, table),
        over_all,
    )
    if lines is None:
        return network
    first = network.summary.folds[0]
    source = DatasetSpec(settings.poses, first.frame_rate_hz, first.window_length)
    gaits = steps.tried(lambda: source.gaits().gaits) or ()
    walks = [
        walk
        for person, fold in (_typical(table) if gaits else ())
        if (walk := steps.tried(partial(_walk, network, person, fold, gaits, settings.poses)))
    ]
    explained = [one for walk in walks if (one := _explained_walk(network, walk, settings, steps))]
    said = tuple(line for line in lines if not line.startswith("written: "))
    return replace(network, cohort_picture=picture, cohort_lines=said, walks=tuple(explained))


@dataclass(frozen=True, eq=False)
class _Walk:
    """The walk of a typical person, and the network that did not see this person."""

    label: str
    gait: Trial
    network: Path


def _typical(table: Path) -> Iterator[tuple[str, int]]:
    """Person and fold of the most typical ones, healthy before sick."""
    with table.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if "typical" in row["noted as"]]
    for row in sorted(rows, key=lambda row: _LABELS.index(row["label"])):
        yield row["person"], int(row["fold"])


def _walk(network: NetworkSection, person: str, fold: int, gaits: Sequence[Trial], poses: Path) -> _Walk:
    """The longest walk of a person among the gaits of a folder."""
    own = [gait for gait in gaits if gait.person == person]
    if not own:
        raise GaitError(f"{person}: no walk among the poses in {poses}.")
    longest = max(own, key=lambda gait: len(gait.joints_m))
    return _Walk(person.partition("/")[0], longest, network.file(fold))


def _explained_walk(network: NetworkSection, walk: _Walk, settings: RunSettings, steps: _Steps) -> TrialSection | None:
    place = settings.export / f"{network.kind}_{walk.label}"

    def explain() -> tuple[Said, Sequence[str], bool]:
        opened = open_network(walk.network)
        export = ExportSettings(opened.methods[:1], None, _WALK_STRIDE, settings.bodies)
        done = export_gait(opened, walk.gait.folder, export, place)
        # What could not be drawn now may be another time.
        return Said(done.lines, done.notes), done.problems, not done.notes

    files = place / PICTURE_FILE, place / EXPLANATION_FILE
    lines = steps.done(
        f"What was pivotal for the {network.title} in {walk.gait.name}",
        lambda: digest([walk.network, walk.gait.folder / POSES_FILE], _WALK_STRIDE, settings.bodies),
        files,
        explain,
    )
    if lines is None:
        return None
    explanation = steps.tried(lambda: read_explanation(files[1]))
    if explanation is None:
        return None
    said = tuple(line for line in lines if not line.startswith("written: "))
    return TrialSection(walk.label, walk.gait.name, walk.gait.folder, walk.network, explanation, files[0], said)


def _film(network: NetworkSection, settings: RunSettings, steps: _Steps) -> Iterator[ComparisonVideo]:
    """One healthy and one ill person, if the network was right about such."""
    lacking = [label for label in _LABELS if label not in {walk.label for walk in network.walks}]
    if lacking:
        if network.cohort_picture is not None:
            steps.remarks.append(
                f"There is no film of the {network.title}: no {' and no '.join(lacking)} one that it judged rightly is "
                "explained."
            )
        return
    film, still = (settings.export / f"film_{network.kind}.{ending}" for ending in ("mp4", "png"))
    workbench = _ExplainedBefore(
        settings.bodies, known={walk.folder: walk.explanation.importance for walk in network.walks}
    )
    looks = [
        ViewRequest(workbench, walk.folder, walk.network, walk.explanation.importance.method, size=_HALF)
        for walk in network.walks
    ]

    def draw() -> tuple[Said, Sequence[str], bool]:
        remarks = film_side_by_side(looks[0], looks[1], film, still, settings.speed)
        return Said(remarks=remarks), (), not remarks

    made_from = [file for walk in network.walks for file in (walk.network, walk.folder / POSES_FILE)]
    lines = steps.done(
        f"The film of a healthy and a sick one, as the {network.title} sees them",
        lambda: digest(made_from, _WALK_STRIDE, settings.speed, settings.bodies),
        (film, still),
        draw,
    )
    if lines is not None:
        yield ComparisonVideo(network, film, still, 2 * _HALF[0], _HALF[1], settings.speed)


@dataclass(frozen=True)
class _ExplainedBefore(FileBackend):
    """Shows what is written about these walks, and does not explain them once more."""

    known: Mapping[Path, TrialAttribution] = field(default_factory=dict)  # by the folder of the poses

    def explained(self, network: LoadedNetwork, gait: LoadedTrial, method: str, told: Told) -> TrialAttribution:
        """What was pivotal for the network, as it was found before."""
        return self.known[gait.folder]


def _ability(network: NetworkSection) -> float:
    value = network.summary.network.persons["balanced_accuracy"].value
    return value if value == value else -1.0


def _python() -> str:
    """How Python is called from here."""
    python, here = Path(sys.executable), Path.cwd()
    return shlex.quote(str(python.relative_to(here))) if python.is_relative_to(here) else "python"
