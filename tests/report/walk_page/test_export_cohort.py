"""Pages of a cohort: each by the network that was not trained on its subject, and what is missing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gait.errors import GaitError
from gait.explaining.evidence.norm_at_speed import PUBLISHED_BY_SPEED, BandsAtSpeed
from gait.explaining.options import EvidenceOptions, ExplainOptions
from gait.kinematics.norms import read_angle_norm
from gait.learning.fold_result import save_result
from gait.motion.folds import make_folds
from gait.report.walk_page.export import without_folder_name
from gait.report.walk_page.export_cohort import PageSettings, export_cohort_pages
from gait.viewing.file_backend import FileBackend
from tests.helpers.explanation_cases import WINDOW, write_network
from tests.helpers.learning_results import fold_result
from tests.helpers.viewing_cases import BODIES, write_fitted_trial

pytestmark = pytest.mark.usefixtures("one_thread")
LABELS = {"healthy/P1": False, "healthy/P2": False, "sick/P3": True, "sick/P4": True}
FITTED = ("healthy/P1", "sick/P3")
BACKEND = FileBackend(BODIES, options=ExplainOptions(stride=32, method="lrp"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two folds of a training, and fits of half of its subjects."""
    folder = tmp_path_factory.mktemp("run")
    for fold in make_folds(LABELS, 2):
        save_result(fold_result(fold, LABELS, network="mlp", window_length=WINDOW, stride=8), folder / "trained")
        write_network(folder / "trained" / f"fold{fold.index}" / "mlp.ckpt", seed=fold.index)
    for seed, subject in enumerate(FITTED):
        write_fitted_trial(folder / "poses" / subject / "walk1", seed=seed, markers=0)
    return folder


def settings(run: Path, output: Path, **changes: object) -> PageSettings:
    evidence = EvidenceOptions(no_evidence=True)
    return PageSettings(run / "trained", run / "poses", output, evidence, **changes)  # type: ignore[arg-type]


def test_each_trial_has_a_page_and_a_row(run: Path, tmp_path: Path) -> None:
    told: list[str] = []
    pages = export_cohort_pages(settings(run, tmp_path), BACKEND, told.append)
    assert pages.num_pages == len(told) == 2
    assert sorted(line.split(":")[0] for line in pages.problems) == ["healthy/P2", "sick/P4"]
    index = pages.index.read_text(encoding="utf-8")
    for subject in FITTED:
        assert f'href="{subject}/walk1.html"' in index
        assert (tmp_path / subject / "walk1.html").stat().st_size > 1e5
    folds = {subject: fold.index for fold in make_folds(LABELS, 2) for subject in fold.evaluation}
    rows = index.split("<tr")[2:]
    assert all(f"<td>{folds[subject]}</td>" in row for subject, row in zip(_order(folds), rows, strict=True))


def _order(folds: dict[str, int]) -> list[str]:
    return sorted(FITTED, key=lambda subject: folds[subject])


def test_anonymous_pages_name_no_subject(run: Path, tmp_path: Path) -> None:
    pages = export_cohort_pages(settings(run, tmp_path, anonymous=True), BACKEND, lambda line: None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0001.html", "0002.html", "index.html"]
    for path in tmp_path.iterdir():
        text = path.read_text(encoding="utf-8")
        assert "walk1" not in text
        assert not any(subject in text for subject in LABELS)
    assert pages.num_pages == 2


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
