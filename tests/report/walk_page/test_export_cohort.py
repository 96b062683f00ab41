"""Pages of a cohort: each by the network that was not trained on its subject, and what is missing."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gait.errors import GaitError
from gait.explaining.evidence.norm_at_speed import BandsAtSpeed
from gait.explaining.options import EvidenceOptions, ExplainOptions
from gait.kinematics.norms import read_angle_norm
from gait.kinematics.published_speed_change import PUBLISHED_BY_SPEED
from gait.learning.fold_result import save_result
from gait.learning.networks import NETWORKS
from gait.motion.folds import make_folds
from gait.report.walk_page.export import without_folder_name
from gait.report.walk_page.export_cohort import PageSettings, export_cohort_pages
from gait.viewing.file_backend import FileBackend
from tests.helpers.explanation_cases import SMALL_MLP, SMALL_TRANSFORMER, WINDOW, write_network
from tests.helpers.learning_results import fold_result
from tests.helpers.viewing_cases import BODIES, write_fitted_trial

pytestmark = pytest.mark.usefixtures("one_thread")
LABELS = {"healthy/P1": False, "healthy/P2": False, "sick/P3": True, "sick/P4": True}
KINDS = {"mlp": SMALL_MLP, "transformer": SMALL_TRANSFORMER}
FITTED = ("healthy/P1", "sick/P3")
BACKEND = FileBackend(BODIES, options=ExplainOptions(stride=32, method="lrp"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two folds of two trainings, and fits of half of its subjects."""
    folder = tmp_path_factory.mktemp("run")
    for fold in make_folds(LABELS, 2):
        for kind, architecture in KINDS.items():
            save_result(fold_result(fold, LABELS, network=kind, window_length=WINDOW, stride=8), folder / "trained")
            write_network(folder / "trained" / f"fold{fold.index}" / f"{kind}.ckpt", architecture, seed=fold.index)
    for seed, subject in enumerate(FITTED):
        write_fitted_trial(folder / "poses" / subject / "walk1", seed=seed, markers=0)
    return folder


def settings(run: Path, output: Path, **changes: object) -> PageSettings:
    evidence = EvidenceOptions(no_evidence=True)
    return replace(PageSettings(run / "trained", run / "poses", output, evidence), **changes)  # type: ignore[arg-type]


def test_each_trial_has_a_page_of_each_kind_of_network_and_a_row(run: Path, tmp_path: Path) -> None:
    told: list[str] = []
    pages = export_cohort_pages(settings(run, tmp_path), BACKEND, told.append)
    assert pages.num_pages == len(told) == 4
    assert sorted(line.split(":")[0] for line in pages.problems) == ["healthy/P2", "sick/P4"]
    index = pages.index.read_text(encoding="utf-8")
    folds = {subject: fold.index for fold in make_folds(LABELS, 2) for subject in fold.evaluation}
    shown = [(kind, subject) for kind in KINDS for subject in sorted(FITTED, key=lambda subject: folds[subject])]
    for row, (kind, subject) in zip(index.split("<tr")[2:], shown, strict=True):
        assert f'href="{kind}/{subject}/walk1.html"' in row
        assert f"<td>{NETWORKS[kind].title}</td><td>{folds[subject]}</td>" in row
        assert NETWORKS[kind].title in (tmp_path / kind / subject / "walk1.html").read_text(encoding="utf-8")


def test_anonymous_pages_name_no_subject(run: Path, tmp_path: Path) -> None:
    trained, output = tmp_path / "trained", tmp_path / "pages"
    shutil.copytree(run / "trained", trained, ignore=shutil.ignore_patterns("*transformer*"))
    pages = export_cohort_pages(settings(run, output, trained=trained, anonymous=True), BACKEND, lambda line: None)
    assert sorted(path.name for path in output.iterdir()) == ["0001.html", "0002.html", "index.html"]
    for path in output.iterdir():
        text = path.read_text(encoding="utf-8")
        assert "walk1" not in text
        assert not any(subject in text for subject in LABELS)
    assert pages.num_pages == 2
    assert ">Network<" not in pages.index.read_text(encoding="utf-8")  # of one kind


def test_folder_without_a_training_is_one_line(run: Path, tmp_path: Path) -> None:
    with pytest.raises(GaitError, match="no training result"):
        export_cohort_pages(
            PageSettings(tmp_path, run / "poses", tmp_path / "out", EvidenceOptions()), BACKEND, lambda line: None
        )
    assert not (tmp_path / "out").exists()


@dataclass(frozen=True)
class _Walk:
    """The parts of an explained walk that name its norm."""

    controls: Any
    bands: BandsAtSpeed


def test_norm_on_an_anonymous_page_does_not_name_its_folder() -> None:
    walk: Any = _Walk(SimpleNamespace(norm=None), BandsAtSpeed("controls in clinic_of_P3", {}, {}))
    assert without_folder_name(walk).bands.title == "controls"
    published = read_angle_norm(PUBLISHED_BY_SPEED)
    walk = _Walk(SimpleNamespace(norm=published), BandsAtSpeed(published.source.title, {}, {}))
    assert without_folder_name(walk).bands.title == published.source.title
