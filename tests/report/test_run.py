"""The run report: built in miniature by the real command, and its messages on missing parts."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gait.body.marker_placement import plug_in_gait_layout
from gait.fitting.fit_report import FitReport
from gait.fitting.marker_quality.marker_error import MarkerError
from gait.learning.cross_validation_summary import pool_folds
from gait.learning.fold_result import save_result
from gait.motion.folds import make_folds
from gait.report.__main__ import main
from gait.report.run import build
from gait.report.run.build import RunReportResult, RunSettings, build_run_report
from gait.report.run.fit_summary import read_cohort_fits
from gait.report.run.model import NetworkSection, RunReport
from gait.report.run.page import run_page
from gait.report.training.write_report import write_report
from gait.synthetic import make_subject, make_trial
from gait.viewing.offscreen_renderer import RenderingUnavailableError
from tests.helpers.explanation_cases import SMALL_MLP, SMALL_TRANSFORMER, WINDOW, write_network
from tests.helpers.fitting_cases import OPEN_BODY, SECRET, file_contents, model_folder, write_c3d
from tests.helpers.learning_results import CONFOUNDED, fold_result, fold_results
from tests.helpers.viewing_cases import MODELS, REPOSITORY, open_body, write_fitted_trial

pytestmark = pytest.mark.usefixtures("one_thread")

ODD = "P<b>1&"
"""A subject name that contains HTML."""
SUBJECTS = ("healthy/P1", "healthy/P2", f"sick/{ODD}", "sick/P3")


def fit_report(mean_mm: float, worst: str, worst_mm: float, **changes: Any) -> dict[str, Any]:
    """Return a fit report as it is on disk."""
    known: dict[str, Any] = dict.fromkeys(FitReport.__dataclass_fields__, ())
    known |= {
        "residual_mm": {"mean": mean_mm, "rms": mean_mm, "p95": mean_mm, "max": 9.0, "max_frame_mean": 2 * mean_mm},
        "markers": {
            name: {"mean_mm": value, "visible": 1.0, "placement_offset_mm": 3.0, "kind": "anatomical"}
            for name, value in ((worst, worst_mm), ("LASI", 1.0), ("STRN", None))
        },
        "worst_markers": (worst, "LASI"),
        "frames": 160,
        "frames_per_second": 700.0,
        "stature_m": 1.7,
        "placement_offset_mm": {"anatomical": 3.0, "technical": None},
        "joints": {},
    }
    return {**known, **changes, "model_file": "open_neutral.npz", "layout": "Plug-in", "versions": {"gait": "0.1.0"}}


def write_training(folder: Path, kind: str, labels: dict[str, bool], skill: float = 3.0, **changes: Any) -> Path:
    """Write the results of two folds, with networks of random weights."""
    for fold in make_folds(labels, 2):
        result = fold_result(
            fold, labels, network=kind, window_length=WINDOW, frame_rate_hz=100.0, skill=skill,
            command=f"train_{kind}.py --cross all", **changes,
        )  # fmt: skip
        save_result(result, folder)
        architecture = SMALL_MLP if kind == "mlp" else SMALL_TRANSFORMER
        write_network(folder / f"fold{fold.index}" / f"{kind}.ckpt", architecture, seed=fold.index)
    return folder


@pytest.fixture(scope="module", autouse=True)
def _coarse() -> Iterator[None]:
    """Explain one window in eight."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "TRIAL_STRIDE", 8)
        yield


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fitted trials of four subjects, and two trainings on them."""
    base = tmp_path_factory.mktemp("world")
    for number, subject in enumerate(SUBJECTS):
        folder = write_fitted_trial(base / "poses" / subject / "walk1", seed=number + 1, markers=0)
        jump = MarkerError("jump", "LKNE", None, 3, 9, None, "excluded")
        errors = (jump.as_dict(),) if number == 3 else ()
        report = fit_report(1.5 + number, f"M{number}", 2.5 + number, marker_errors=errors, patient=SECRET)
        (folder / "fit_report.json").write_text(json.dumps(report), encoding="utf-8")
    labels = {subject: subject.startswith("sick") for subject in SUBJECTS}
    write_training(base / "trained_mlp", "mlp", labels)
    write_report(base / "trained_mlp", "mlp")
    write_training(base / "trained_transformer", "transformer", labels, skill=1.5)
    return base


def settings(world: Path, export: Path, **changes: Any) -> RunSettings:
    known: dict[str, Any] = {
        "poses": world / "poses",
        "trained": (world / "trained_mlp", world / "trained_transformer"),
        "export": export,
        "model_folder": MODELS,
        "stride": 40,
        "workers": 1,  # so that patches hold
    }
    return RunSettings(**(known | changes))


@pytest.fixture(scope="module")
def run(world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunReportResult, list[str]]:
    """Export folder, result and progress lines of a run report."""
    export = tmp_path_factory.mktemp("report") / "demo out"
    lines: list[str] = []
    result = build_run_report(settings(world, export, notes=("Synthetic: <i>not</i> real.",)), lines.append)
    return export, result, lines


class _Tags(HTMLParser):
    """Elements, links and text of a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.words = ""
        self.feed(page.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        if tag not in ("meta", "img"):
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "poster"):
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words += data


def read(page: Path) -> _Tags:
    tags = _Tags(page)
    assert not tags.open
    return tags


def test_run_page_has_fits_networks_attributions_and_walks(
    run: tuple[Path, RunReportResult, list[str]], world: Path
) -> None:
    export, result, lines = run
    assert result.problems == ()
    assert result.page == export / "index.html"
    page = read(result.page)
    shown_text = " ".join(page.words.split())
    assert "4 subjects, 4 trials. Mean distance between measured and fitted markers: 3.0 mm." in shown_text
    assert "largest residual is sick/P3/walk1" in shown_text or "largest residual is sick/P<b>1&/walk1" in shown_text
    assert "The marker with the largest residual is M3, 5.5 mm on average" in shown_text
    assert "jump of LKNE, frames 3 to 9" in shown_text
    for words in ("balanced accuracy", "Walking speed", "Gait features", "95 % CI", "Confounder check"):
        assert words in shown_text
    assert "No factor predicts the label." in shown_text
    for subject in SUBJECTS:
        assert shown_text.count(subject.partition("/")[2]) >= 3, (
            "in the tables of fits and of all subjects, and in a fold"
        )
    assert "it is no diagnosis" in shown_text
    assert {"walk", "fits", "classification", "attribution", "viewer", "settings"} <= set(page.ids)
    kinds = {"mlp", "transformer"}
    assert {path.name for path in export.iterdir()} == {
        "index.html", ".step_cache.json",
        *(f"{name}_{kind}.{ending}" for kind in kinds for name, ending in
          (("cohort", "png"), ("cohort", "csv"), ("attribution_subjects", "csv"), ("recurring_findings", "csv"),
           ("walk", "html"), ("walk", "png"))),
        *(f"{kind}_{label}" for kind in kinds for label in ("healthy", "sick")),
    }  # fmt: skip
    assert {path.parent.name for path in export.rglob("evidence.html")} == {
        f"{kind}_{label}" for kind in kinds for label in ("healthy", "sick")
    }
    assert sum(link.endswith("/evidence.html") for link in page.links) == 4 + 2, "of the patients also beside the walk"
    assert "video" not in page.names
    assert shown_text.count("Open the walk of sick/") == 2
    assert len(lines) == 2 * (1 + 2)
    assert all(re.fullmatch(r".+: \d+ s", line) for line in lines), "one line per step, with its duration"


def test_run_page_is_self_contained_and_its_links_work(
    run: tuple[Path, RunReportResult, list[str]],
) -> None:
    page = read(run[1].page)
    assert not {"script", "link", "iframe"} & set(page.names)
    inside = [link for link in page.links if link.startswith("data:")]
    assert sum(link.startswith("data:image/png;base64,") for link in inside) == 2 + 4 + 2
    assert len(set(inside)) == len(inside), "each thing is in it once"
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids
        elif not link.startswith("data:"):
            from urllib.parse import unquote

            assert (run[0] / unquote(link)).is_file(), link


def test_run_page_escapes_names(run: tuple[Path, RunReportResult, list[str]]) -> None:
    content = run[1].page.read_text(encoding="utf-8")
    assert ODD not in content
    assert "P&lt;b&gt;1&amp;" in content
    assert "Synthetic: &lt;i&gt;not&lt;/i&gt; real." in content
    assert not {"b", "i"} & (set(read(run[1].page).names) - {"i"}), (
        "the only i elements are the dots of the probability bars"
    )
    assert content.count("<i ") == content.count('<i style="left:') == content.count("</i>")
    assert SECRET not in content


def test_viewer_commands_open_existing_trials(run: tuple[Path, RunReportResult, list[str]], world: Path) -> None:
    import shlex

    shown_text = read(run[1].page).words.replace(" \\\n    ", " ")
    assert len(run[1].commands) == 4
    for command in run[1].commands:
        assert command in shown_text
        words = shlex.split(command)
        assert words[1] == "attention_viewer.py"
        flags = dict(zip(words[2::2], words[3::2], strict=True))
        assert Path(flags["--network"]).is_file()
        assert (Path(flags["--gait"]) / "poses.npz").is_file()
    assert "/sick/" in run[1].commands[-1]


def test_build_run_report_again_finds_all_steps_finished(
    run: tuple[Path, RunReportResult, list[str]], world: Path
) -> None:
    export, result, _ = run
    before = result.page.read_bytes()
    rendered = {path: path.stat().st_mtime_ns for path in export.rglob("*") if path.suffix in (".mp4", ".png", ".npz")}
    lines: list[str] = []
    again = build_run_report(settings(world, export, notes=("Synthetic: <i>not</i> real.",)), lines.append)
    assert [line.rpartition(": ")[2] for line in lines] == ["already finished"] * 6
    assert again == result
    assert again.page.read_bytes() == before
    assert {path: path.stat().st_mtime_ns for path in rendered} == rendered


def test_build_run_report_repeats_only_missing_steps(
    run: tuple[Path, RunReportResult, list[str]], world: Path, tmp_path: Path
) -> None:
    export = tmp_path / "copy"
    shutil.copytree(run[0], export)
    (export / "walk_mlp.html").unlink()
    (export / "transformer_sick" / "explanation.png").unlink()
    lines: list[str] = []
    build_run_report(settings(world, export), lines.append)
    result = sorted(line.rpartition(":")[0] for line in lines if "already finished" not in line)
    assert len(result) == 2
    assert "Attribution of the MLP in sick/" in result[0]
    assert "Attribution of the transformer in sick/" in result[1]


def test_build_run_report_without_training_reports_the_fits(world: Path, tmp_path: Path) -> None:
    gait_page = tmp_path / "out" / "cohort.html"
    result = build_run_report(settings(world, tmp_path / "out", trained=(tmp_path,)), lambda line: None, gait_page)
    assert "cohort.html" in read(result.page).links
    (problem,) = result.problems
    assert "no training result" in problem
    assert "\n" not in problem
    shown_text = read(result.page).words
    assert "Missing parts" in shown_text
    assert problem in shown_text
    assert "3.0 mm" in shown_text
    assert "No trained network can be read." in shown_text
    assert result.commands == ()


def test_build_run_report_without_poses_reports_the_networks(world: Path, tmp_path: Path) -> None:
    result = build_run_report(settings(world, tmp_path / "out", poses=tmp_path / "nowhere"), lambda line: None)
    assert any("no fit_report.json" in problem for problem in result.problems)
    assert all("\n" not in problem for problem in result.problems)
    shown_text = read(result.page).words
    assert "No fit can be read." in shown_text
    assert "Walking speed" in shown_text
    assert "No attribution could be computed." in shown_text


@pytest.mark.parametrize(
    ("poses", "trained", "message"),
    [("none", "trained_mlp", "no such folder"), ("poses", "none", "no training result")],
)
def test_main_with_nothing_to_report_prints_one_line_and_writes_no_page(
    poses: str, trained: str, message: str, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--poses", world / poses, "--trained", world / trained, "--export", tmp_path / "out"]
    assert main(list(map(str, words))) == 2
    shown_text = capsys.readouterr()
    assert len(shown_text.err.splitlines()) == 1
    assert message in shown_text.err
    assert not (tmp_path / "out").exists()


def test_build_run_report_without_body_model_shows_a_skeleton(
    run: tuple[Path, RunReportResult, list[str]], world: Path, tmp_path: Path
) -> None:
    export = shutil.copytree(run[0], tmp_path / "out")
    lines: list[str] = []
    without = settings(world, export, model_folder=tmp_path, trained=(world / "trained_mlp",))
    result = build_run_report(without, lines.append)
    assert result.problems == ()
    shown_text = read(result.page).words
    assert "which is not in" in shown_text
    assert (export / "walk_mlp.html").is_file(), "on the open body"
    assert sum("already finished" in line for line in lines) == 1, "without the body, figures and page are made again"


def test_build_run_report_without_rendering_writes_the_rest(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> None:
        raise RenderingUnavailableError("Cannot draw without a screen: no EGL.")

    from gait.report import write_explanation_figures
    from gait.report.walk_page import still_picture

    monkeypatch.setattr(still_picture, "shared_renderer", none)
    monkeypatch.setattr(write_explanation_figures, "shared_renderer", none)
    result = build_run_report(settings(world, tmp_path / "out", trained=(world / "trained_mlp",)), lambda line: None)
    assert result.problems == ()
    page = read(result.page)
    assert "Cannot draw without a screen: no EGL." in page.words
    assert (tmp_path / "out" / "mlp_sick" / "explanation.png").is_file()
    assert (tmp_path / "out" / "walk_mlp.html").is_file(), "with skeletons in its still picture"


def test_build_run_report_without_correct_predictions_has_no_walk_page(world: Path, tmp_path: Path) -> None:
    labels = {subject: subject.startswith("sick") for subject in SUBJECTS}
    trained = write_training(tmp_path / "trained", "mlp", labels, skill=-9.0)
    result = build_run_report(settings(world, tmp_path / "out", trained=(trained,)), lambda line: None)
    assert result.problems == ()
    page = read(result.page)
    assert "There is no walk page of the MLP: no correctly classified patient is explained" in page.words
    assert "video" not in page.names
    assert page.words.count("wrong") >= 4


def test_build_run_report_reports_duplicate_trainings_and_damaged_folds(world: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(world / "trained_mlp", copy)
    (copy / "fold1" / "mlp.ckpt").write_bytes(b"no network")
    given = settings(world, tmp_path / "out", trained=(copy, world / "trained_mlp"))
    result = build_run_report(given, lambda line: None)
    assert len(result.problems) == 2
    assert any("already holds such a network" in problem for problem in result.problems)
    assert any("fold1" in problem for problem in result.problems)
    assert (tmp_path / "out" / "cohort_mlp.png").is_file()


def run_report(networks: list[NetworkSection], page: Path, **changes: Any) -> RunReport:
    known = {"fits": None, "walks": (), "notes": (), "problems": (), "remarks": (), "python": "python"}
    return RunReport(networks=tuple(networks), page=page, **(known | changes))


def test_run_page_of_many_subjects_shows_the_misclassified_ones(tmp_path: Path) -> None:
    results = fold_results(60, 60, 3, skill=1.0, confounder_check=CONFOUNDED, baselines={})
    network = NetworkSection(
        "transformer", tmp_path, pool_folds(results), tuple(pool_folds([one]) for one in results), None
    )
    page = tmp_path / "index.html"
    page.write_text(run_page(run_report([network], page)), encoding="utf-8")
    shown_text = " ".join(read(page).words.split())
    predictions = network.summary.network.subject_predictions
    wrong = int(((predictions.probability >= 0.5) != predictions.sick).sum())
    assert f"misclassified by at least one network: {wrong} of 120" in shown_text
    assert "Frame rate alone predicts the label." in shown_text
    assert "Warning: the groups differ in something other than gait" in shown_text


def test_examples_that_cannot_be_explained_are_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = fold_results(2, 2, 2, skill=1.0)
    network = NetworkSection("mlp", tmp_path, pool_folds(results), tuple(pool_folds([one]) for one in results), None)
    subject = results[0].fold.evaluation[0]
    steps = SimpleNamespace(problems=[])
    monkeypatch.setattr(build, "_trials", lambda *_: ())
    given = settings(tmp_path, tmp_path, examples=(subject, "unknown"))
    assert not list(build._examples([network], given, steps))  # type: ignore[arg-type]
    assert steps.problems == [
        f"--examples {subject}: no trial among the poses in {tmp_path / 'poses'}.",
        "--examples unknown: no such subject was classified by the MLP.",
    ]


def test_run_page_of_one_subject_without_visible_markers(tmp_path: Path) -> None:
    folder = tmp_path / "poses" / "sick" / "P1" / "walk1"
    folder.mkdir(parents=True)
    report = fit_report(1.0, "LASI", 1.0)
    nothing = dict.fromkeys(report["residual_mm"])
    report |= {"residual_mm": nothing, "markers": {}}
    (folder / "fit_report.json").write_text(json.dumps(report), encoding="utf-8")
    broken = tmp_path / "poses" / "sick" / "P2" / "walk1"
    broken.mkdir(parents=True)
    (broken / "fit_report.json").write_text("{", encoding="utf-8")
    fits = read_cohort_fits(tmp_path / "poses")
    assert len(fits.problems) == 1
    assert "P2" in fits.problems[0]
    assert fits.worst_marker is None
    page = tmp_path / "index.html"
    page.write_text(run_page(run_report([], page, fits=fits)), encoding="utf-8")
    assert "1 subject, 1 trial." in read(page).words


def test_cohort_mean_residual_weights_frames_equally(world: Path) -> None:
    fits = read_cohort_fits(world / "poses")
    assert [trial.name for trial in fits.trials] == sorted(f"{subject}/walk1" for subject in SUBJECTS)
    longer = (replace(fits.trials[0], report=replace(fits.trials[0].report, frames=480)), *fits.trials[1:])
    means = np.array([trial.mean_mm for trial in longer])
    slowly = sum(mean * trial.report.frames for mean, trial in zip(means, longer, strict=True)) / (480 + 3 * 160)
    assert replace(fits, trials=longer).mean_mm == pytest.approx(slowly)
    assert fits.worst_trial.mean_mm == pytest.approx(4.5)


def test_main_with_an_unwritable_folder_prints_one_line(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    words = ["--poses", world / "poses", "--export", tmp_path / "file" / "out", "--base_folder", MODELS]
    assert main(list(map(str, words))) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert len(capsys.readouterr().err.splitlines()) <= 1


@pytest.mark.slow
def test_scripts_from_recordings_to_run_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fit, train both networks and report, in miniature, with recordings that contain a subject's name.

    The scripts run in this process, which loads PyTorch only once; ``tests/scripts`` starts each of them on its own.
    """

    monkeypatch.chdir(tmp_path)
    body = open_body()
    layout = plug_in_gait_layout(body)
    cohort = {}
    (tmp_path / "recordings").mkdir()
    for number in range(4):
        trial = make_trial(body, make_subject(body, number), seconds=1.4, seed=number)
        file = write_c3d(tmp_path / "recordings" / f"walk{number}.c3d", body, layout, trial)
        cohort[f"P{number}"] = {"trials": [str(file)], "healthy": number < 2, "model_file": OPEN_BODY.name}
    (tmp_path / "cohort.json").write_text(json.dumps(cohort), encoding="utf-8")
    models = model_folder(tmp_path / "data")
    training = ["--base_folder", "poses", "--k_folds", "2", "--cross", "all", "--interval_size", "8", "--stride", "16",
                "--epochs", "1", "--cluster", "--workers", "1"]  # fmt: skip
    for words in (
        ["shape_optimizer.py", "--cohort", "cohort.json", "--model_folder", models, "--save_folder", "poses"],
        ["train_multi_mlp.py", *training, "--pfe_layers", "8", "--fc_layers", "8", "--lrp", "--save_folder", "mlp"],
        ["train_transformer.py", *training,
         "--pfe_dim", "8", "--fc_dim", "8", "--ffn_dim", "8", "--save_folder", "tr"],
        ["gait/report/__main__.py", "--poses", "poses", "--trained", "mlp", "tr", "--export", "report",
         "--stride", "40", "--base_folder", models / "SUPR"],
    ):  # fmt: skip
        monkeypatch.setattr(sys, "argv", list(map(str, words)))
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(REPOSITORY / words[0]), run_name="__main__")
        output = "".join(capsys.readouterr())
        assert ended.value.code == 0, (words, output)
        assert SECRET not in output
    shown_text = " ".join(read(tmp_path / "report" / "index.html").words.split())
    assert "4 subjects, 4 trials." in shown_text
    assert "The MLP and the transformer: 4 subjects were classified (2 controls, 2 patients), each once" in shown_text
    assert {"cohort_mlp.png", "cohort_transformer.png"} <= {path.name for path in (tmp_path / "report").iterdir()}
    for path, content in file_contents(tmp_path / "report"):
        for part in (SECRET, *SECRET.split()):
            assert part.encode() not in content, path
