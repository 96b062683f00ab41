"""The page of a whole run: made in miniature by the real command, and what it says where something is missing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from gait.body.marker_placement import plug_in_gait_layout
from gait.errors import GaitError
from gait.files.step_cache import Said, StepCache, digest
from gait.fitting.fit_report import FitReport
from gait.learning.fold_result import save_result
from gait.motion.folds import person_folds
from gait.report.__main__ import main
from gait.report.run.build import RunReportResult, RunSettings, tell_run
from gait.report.run.fit_summary import fitted_cohort
from gait.report.run.model import NetworkSection, RunReport
from gait.report.run.page import story_page
from gait.report.training.cross_validation_summary import pooled
from gait.report.training.write_report import write_report
from gait.synthetic import make_person, make_walk
from gait.viewing.comparison_video import LETTERS, film_side_by_side
from gait.viewing.file_backend import FileBackend
from gait.viewing.loaded_trial import BodyModelLocator
from gait.viewing.offscreen_renderer import RenderingUnavailableError
from gait.viewing.run_viewer import ViewRequest, opened
from gait.viewing.video import drawing
from tests.helpers.explanation_cases import SMALL_MLP, SMALL_TRANSFORMER, WINDOW, write_network
from tests.helpers.fitting_cases import OPEN_BODY, SECRET, model_folder, texts_of, write_c3d
from tests.helpers.learning_results import LEAK, fold_result, fold_results
from tests.helpers.viewing_cases import BODIES, MODELS, REPOSITORY, open_body, unlike, write_shown_walk

pytestmark = pytest.mark.usefixtures("one_thread")

ODD = "P<b>1&"
"""A person's name that a page must not take for its own words."""
PERSONS = ("healthy/P1", "healthy/P2", f"sick/{ODD}", "sick/P3")


def fit_report(mean_mm: float, worst: str, worst_mm: float, **changes: Any) -> dict[str, Any]:
    """As a fit leaves it."""
    known: dict[str, Any] = dict.fromkeys(FitReport.__dataclass_fields__, ())
    known |= {
        "residual_mm": {"mean": mean_mm, "rms": mean_mm, "p95": mean_mm, "max": 9.0, "max_frame_mean": 2 * mean_mm},
        "markers": {
            name: {"mean_mm": value, "visible": 1.0, "offset_mm": 3.0, "kind": "anatomical"}
            for name, value in ((worst, worst_mm), ("LASI", 1.0), ("STRN", None))
        },
        "worst_markers": (worst, "LASI"),
        "frames": 160,
        "frames_per_second": 700.0,
        "stature_m": 1.7,
        "offset_mm": {"anatomical": 3.0, "technical": None},
        "joints": {},
    }
    return {**known, **changes, "model_file": "open_neutral.npz", "layout": "Plug-in", "versions": {"gait": "0.1.0"}}


def write_training(folder: Path, kind: str, labels: dict[str, bool], skill: float = 3.0, **changes: Any) -> Path:
    """What training two folds leaves, with networks of random weights."""
    for fold in person_folds(labels, 2):
        result = fold_result(
            fold, labels, network=kind, window_length=WINDOW, frame_rate_hz=100.0, skill=skill,
            command=f"train_{kind}.py --cross all", **changes,
        )  # fmt: skip
        save_result(result, folder)
        architecture = SMALL_MLP if kind == "mlp" else SMALL_TRANSFORMER
        write_network(folder / f"fold{fold.index}" / f"{kind}.ckpt", architecture, seed=fold.index)
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fitted walks of four persons, and two trainings on them."""
    base = tmp_path_factory.mktemp("world")
    for number, person in enumerate(PERSONS):
        folder = write_shown_walk(base / "poses" / person / "walk1", seed=number + 1, markers=0)
        faults = ({"line": "LKNE jumped, frames 3 to 9: left out"},) if number == 3 else ()
        report = fit_report(1.5 + number, f"M{number}", 2.5 + number, faults=faults, patient=SECRET)
        (folder / "fit_report.json").write_text(json.dumps(report), encoding="utf-8")
    labels = {person: person.startswith("sick") for person in PERSONS}
    write_training(base / "trained_mlp", "mlp", labels)
    write_report(base / "trained_mlp", "mlp")
    write_training(base / "trained_transformer", "transformer", labels, skill=1.5)
    return base


def settings(world: Path, export: Path, **changes: Any) -> RunSettings:
    known = {
        "poses": world / "poses",
        "trained": (world / "trained_mlp", world / "trained_transformer"),
        "export": export,
        "bodies": BODIES,
        "stride": 40,
        "speed": 4.0,
    }
    return RunSettings(**(known | changes))


@pytest.fixture(scope="module")
def run(world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunReportResult, list[str]]:
    """Where it was told, what became of it, and what was said meanwhile."""
    export = tmp_path_factory.mktemp("told") / "demo out"
    lines: list[str] = []
    done = tell_run(settings(world, export, notes=("Made up: <i>nobody</i> is ill.",)), lines.append)
    return export, done, lines


class _Tags(HTMLParser):
    """Which elements a page has, what they refer to, and what is read in it."""

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


def test_the_page_tells_of_fits_networks_maps_and_films(
    run: tuple[Path, RunReportResult, list[str]], world: Path
) -> None:
    export, done, lines = run
    assert done.problems == ()
    assert done.page == export / "index.html"
    page = read(done.page)
    said = " ".join(page.words.split())
    assert "4 persons walked once each. The bodies fitted to them lie 3.0 mm from the markers on average." in said
    assert "fits worst is sick/P3/walk1" in said or "fits worst is sick/P<b>1&/walk1" in said
    assert "The worst marker is M3, 5.5 mm on average" in said
    assert "LKNE jumped, frames 3 to 9" in said
    for words in ("balanced accuracy", "Walking speed", "Gait features", "95 % interval", "Leak check"):
        assert words in said
    assert "Nothing that should not matter tells the label." in said
    for person in PERSONS:
        assert said.count(person.partition("/")[2]) >= 3, "in the table of fits, in that of everybody, in a fold"
    assert "it is no diagnosis" in said
    assert {"film", "bodies", "told-apart", "pivotal", "viewer", "settings"} <= set(page.ids)
    kinds = {"mlp", "transformer"}
    assert {path.name for path in export.iterdir()} == {
        "index.html", ".finished_steps.json",
        *(f"{name}_{kind}.{ending}" for kind in kinds for name, ending in
          (("cohort", "png"), ("cohort", "csv"), ("persons", "csv"), ("film", "mp4"), ("film", "png"))),
        *(f"{kind}_{label}" for kind in kinds for label in ("healthy", "sick")),
    }  # fmt: skip
    assert page.names.count("video") == 2
    assert len(lines) == 2 * (1 + 2 + 1)
    assert all(re.fullmatch(r".+: \d+ s", line) for line in lines), "a plain line a step, and how long it took"


def test_the_page_needs_nothing_from_elsewhere_and_its_links_lead_somewhere(
    run: tuple[Path, RunReportResult, list[str]],
) -> None:
    page = read(run[1].page)
    assert not {"script", "link", "iframe"} & set(page.names)
    inside = [link for link in page.links if link.startswith("data:")]
    assert sum(link.startswith("data:image/png;base64,") for link in inside) == 2 + 4 + 2
    assert sum(link.startswith("data:video/mp4;base64,") for link in inside) == 2
    assert len(set(inside)) == len(inside), "each thing is in it once"
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids
        elif not link.startswith("data:"):
            from urllib.parse import unquote

            assert (run[0] / unquote(link)).is_file(), link


def test_names_are_words_and_no_part_of_the_page(run: tuple[Path, RunReportResult, list[str]]) -> None:
    content = run[1].page.read_text(encoding="utf-8")
    assert ODD not in content
    assert "P&lt;b&gt;1&amp;" in content
    assert "Made up: &lt;i&gt;nobody&lt;/i&gt; is ill." in content
    assert not {"b", "i"} & (set(read(run[1].page).names) - {"i"}), "the only i are the dots of the dials"
    assert content.count("<i ") == content.count('<i style="left:') == content.count("</i>")
    assert SECRET not in content


def test_the_commands_open_the_viewer_on_the_walks(run: tuple[Path, RunReportResult, list[str]], world: Path) -> None:
    import shlex

    said = read(run[1].page).words.replace(" \\\n    ", " ")
    assert len(run[1].commands) == 4
    for command in run[1].commands:
        assert command in said
        words = shlex.split(command)
        assert words[1] == "attention_viewer.py"
        flags = dict(zip(words[2::2], words[3::2], strict=True))
        assert Path(flags["--network"]).is_file()
        assert (Path(flags["--gait"]) / "poses.npz").is_file()
    assert "/sick/" in run[1].commands[-1]


def test_a_second_run_finds_its_work_done(run: tuple[Path, RunReportResult, list[str]], world: Path) -> None:
    export, done, _ = run
    before = done.page.read_bytes()
    films = {path: path.stat().st_mtime_ns for path in export.rglob("*") if path.suffix in (".mp4", ".png", ".npz")}
    lines: list[str] = []
    again = tell_run(settings(world, export, notes=("Made up: <i>nobody</i> is ill.",)), lines.append)
    assert [line.rpartition(": ")[2] for line in lines] == ["finished before"] * 8
    assert again == done
    assert again.page.read_bytes() == before
    assert {path: path.stat().st_mtime_ns for path in films} == films


def test_only_what_has_changed_is_done_again(
    run: tuple[Path, RunReportResult, list[str]], world: Path, tmp_path: Path
) -> None:
    export = tmp_path / "copy"
    shutil.copytree(run[0], export)
    (export / "film_mlp.mp4").unlink()
    (export / "transformer_sick" / "explanation.png").unlink()
    lines: list[str] = []
    tell_run(settings(world, export), lines.append)
    done = sorted(line.rpartition(":")[0] for line in lines if "finished before" not in line)
    assert len(done) == 2
    assert "as the MLP sees them" in done[0]
    assert "for the transformer in sick/" in done[1]


def test_without_a_training_the_page_tells_of_the_fits(world: Path, tmp_path: Path) -> None:
    done = tell_run(settings(world, tmp_path / "out", trained=(tmp_path,)), lambda line: None)
    (problem,) = done.problems
    assert "no trained network in it" in problem
    assert "\n" not in problem
    said = read(done.page).words
    assert "What is missing here" in said
    assert problem in said
    assert "3.0 mm" in said
    assert "No trained network can be read." in said
    assert done.commands == ()


def test_without_poses_the_page_tells_of_the_networks(world: Path, tmp_path: Path) -> None:
    done = tell_run(settings(world, tmp_path / "out", poses=tmp_path / "nowhere"), lambda line: None)
    assert any("no fit_report.json" in problem for problem in done.problems)
    assert all("\n" not in problem for problem in done.problems)
    said = read(done.page).words
    assert "No fit can be read." in said
    assert "Walking speed" in said
    assert "Nothing could be explained." in said


def test_with_nothing_to_tell_of_there_is_one_line_and_no_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--poses", tmp_path / "poses", "--trained", tmp_path / "trained", "--export", tmp_path / "out"]
    assert main(list(map(str, words))) == 2
    said = capsys.readouterr()
    assert len(said.err.splitlines()) == 1
    assert "no fit_report.json" in said.err
    assert not (tmp_path / "out").exists()


def test_without_the_body_there_is_a_skeleton_and_a_line(world: Path, tmp_path: Path) -> None:
    bodies = BodyModelLocator(tmp_path, "open_neutral.npz")
    done = tell_run(settings(world, tmp_path / "out", bodies=bodies, trained=(world / "trained_mlp",)), lambda _: None)
    assert done.problems == ()
    said = read(done.page).words
    assert "which is not in" in said
    assert (tmp_path / "out" / "film_mlp.mp4").is_file()
    lines: list[str] = []
    tell_run(settings(world, tmp_path / "out", trained=(world / "trained_mlp",)), lines.append)
    assert sum("finished before" in line for line in lines) == 1, "with the body, pictures and film are made anew"


def test_where_nothing_can_be_drawn_the_rest_is_there(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> None:
        raise RenderingUnavailableError("Cannot draw without a screen: no EGL.")

    from gait.review import explanation_export

    from gait.viewing import offscreen_window as stage

    monkeypatch.setattr(stage, "egl_context", none)
    monkeypatch.setattr(explanation_export, "shared_renderer", none)
    done = tell_run(settings(world, tmp_path / "out", trained=(world / "trained_mlp",)), lambda line: None)
    assert done.problems == ("Cannot draw without a screen: no EGL.",)
    page = read(done.page)
    assert "video" not in page.names
    assert "Cannot draw without a screen: no EGL." in page.words
    assert (tmp_path / "out" / "mlp_sick" / "explanation.png").is_file()
    assert not (tmp_path / "out" / "film_mlp.mp4").exists()


def test_a_network_that_is_right_about_nobody_has_no_film(world: Path, tmp_path: Path) -> None:
    labels = {person: person.startswith("sick") for person in PERSONS}
    trained = write_training(tmp_path / "trained", "mlp", labels, skill=-9.0)
    done = tell_run(settings(world, tmp_path / "out", trained=(trained,)), lambda line: None)
    assert done.problems == ()
    page = read(done.page)
    assert "There is no film of the MLP: no healthy and no sick one that it judged rightly" in page.words
    assert "video" not in page.names
    assert page.words.count("wrong") >= 4


def test_two_trainings_of_one_kind_and_a_damaged_fold_are_lines(world: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(world / "trained_mlp", copy)
    (copy / "fold1" / "mlp.ckpt").write_bytes(b"no network")
    given = settings(world, tmp_path / "out", trained=(copy, world / "trained_mlp"))
    done = tell_run(given, lambda line: None)
    assert len(done.problems) == 2
    assert any("holds such a network already" in problem for problem in done.problems)
    assert any("fold1" in problem for problem in done.problems)
    assert (tmp_path / "out" / "cohort_mlp.png").is_file()


def story(networks: list[NetworkSection], page: Path, **changes: Any) -> RunReport:
    known = {"fits": None, "films": (), "notes": (), "problems": (), "remarks": (), "python": "python"}
    return RunReport(networks=tuple(networks), page=page, **(known | changes))


def test_of_very_many_persons_those_judged_wrongly_are_shown(tmp_path: Path) -> None:
    results = fold_results(60, 60, 3, skill=1.0, leak_check=LEAK, baselines={})
    network = NetworkSection("transformer", tmp_path, pooled(results), tuple(pooled([one]) for one in results), None)
    page = tmp_path / "index.html"
    page.write_text(story_page(story([network], page)), encoding="utf-8")
    said = " ".join(read(page).words.split())
    people = network.summary.network.people
    wrong = int(((people.probability >= 0.5) != people.sick).sum())
    assert f"{wrong} persons of 120 were judged wrongly" in said
    assert "Frame rate alone tells healthy from sick." in said
    assert "Warning: something other than gait tells the groups apart" in said


def test_one_person_alone_and_markers_never_seen(tmp_path: Path) -> None:
    folder = tmp_path / "poses" / "sick" / "P1" / "walk1"
    folder.mkdir(parents=True)
    report = fit_report(1.0, "LASI", 1.0)
    nothing = dict.fromkeys(report["residual_mm"])
    report |= {"residual_mm": nothing, "markers": {}}
    (folder / "fit_report.json").write_text(json.dumps(report), encoding="utf-8")
    broken = tmp_path / "poses" / "sick" / "P2" / "walk1"
    broken.mkdir(parents=True)
    (broken / "fit_report.json").write_text("{", encoding="utf-8")
    fits = fitted_cohort(tmp_path / "poses")
    assert len(fits.problems) == 1
    assert "P2" in fits.problems[0]
    assert fits.worst_marker is None
    page = tmp_path / "index.html"
    page.write_text(story_page(story([], page, fits=fits)), encoding="utf-8")
    assert "1 person walked once each" in read(page).words


def test_residuals_of_a_cohort_count_every_frame_alike(world: Path) -> None:
    fits = fitted_cohort(world / "poses")
    assert [gait.name for gait in fits.gaits] == sorted(f"{person}/walk1" for person in PERSONS)
    longer = (replace(fits.gaits[0], report=replace(fits.gaits[0].report, frames=480)), *fits.gaits[1:])
    means = np.array([gait.mean_mm for gait in longer])
    slowly = sum(mean * gait.report.frames for mean, gait in zip(means, longer, strict=True)) / (480 + 3 * 160)
    assert replace(fits, gaits=longer).mean_mm == pytest.approx(slowly)
    assert fits.worst_gait.mean_mm == pytest.approx(4.5)


def test_a_film_of_two_shows_each_as_the_window_alone_would(world: Path, tmp_path: Path) -> None:
    workbench = FileBackend(BODIES)
    looks = [
        ViewRequest(workbench, world / "poses" / person / "walk1", network, size=(321, 301))
        for person, network in ((PERSONS[0], None), (PERSONS[3], world / "trained_mlp/fold0/mlp.ckpt"))
    ]
    film, still = tmp_path / "film.mp4", tmp_path / "still.png"
    assert film_side_by_side(*looks, film, still, speed=2.0) == ()
    reader = imageio_ffmpeg.read_frames(str(film))
    about = next(reader)
    assert about["size"] == (640, 300)
    frames = [np.frombuffer(frame, np.uint8).reshape(300, 640, 3) for frame in reader]
    assert len(frames) == 24, "1.6 s at twice the speed of life, 30 a second"
    picture = np.asarray(Image.open(still))
    assert np.median(np.abs(frames[12].astype(int) - picture)) < 12
    for half, look in zip((picture[:, :320], picture[:, 320:]), looks, strict=True):
        with opened(look) as session, drawing(session, tmp_path, 320, 300, panel=False, letters=LETTERS) as draw:
            draw(0.0)
            session.seek(12 * 2 / 30 * 100)
            assert unlike(draw(1 / 30), half) < 0.002
    assert unlike(picture[:, :320], picture[:, 320:]) > 0.05


def test_the_film_ends_with_the_shorter_walk(world: Path, tmp_path: Path) -> None:
    short = write_shown_walk(tmp_path / "healthy/P9/walk1", seconds=0.8, markers=0)
    looks = [
        ViewRequest(FileBackend(BODIES), folder, size=(200, 200))
        for folder in (short, world / "poses" / PERSONS[0] / "walk1")
    ]
    film_side_by_side(*looks, tmp_path / "a.mp4", tmp_path / "a.png")
    assert next(imageio_ffmpeg.read_frames(str(tmp_path / "a.mp4")))["duration"] == pytest.approx(0.8, abs=0.04)


def test_finished_steps_are_those_of_the_same_files_and_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, result = tmp_path / "source", tmp_path / "result"
    source.write_text("a")
    result.write_text("b")
    made_from = digest([source], 3)
    assert digest([source], 3) == made_from
    StepCache(tmp_path).finish("draw", made_from, Said(("a line",), ("a remark",)))
    assert StepCache(tmp_path).said("draw", made_from, [result]) == Said(("a line",), ("a remark",))
    assert StepCache(tmp_path).said("write", made_from, [result]) is None
    assert StepCache(tmp_path).said("draw", made_from, [tmp_path / "gone"]) is None
    assert digest([source], 4) != made_from
    source.write_text("c")
    assert digest([source], 3) != made_from
    for damaged in ("{", "[]", '{"draw": 3}', '{"draw": {"made_from": "x"}}'):
        (tmp_path / ".finished_steps.json").write_text(damaged)
        assert StepCache(tmp_path).said("draw", made_from, [result]) is None
        assert StepCache(tmp_path).said("draw", "x", [result]) is None
    with pytest.raises(GaitError, match="gone"):
        digest([tmp_path / "gone"])


def test_a_folder_that_cannot_be_written_is_one_line(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    words = ["--poses", world / "poses", "--export", tmp_path / "file" / "out", "--base_folder", MODELS]
    assert main(list(map(str, words))) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert len(capsys.readouterr().err.splitlines()) <= 1


@pytest.mark.slow
def test_from_recordings_to_the_page_by_the_commands_themselves(tmp_path: Path) -> None:
    """Fit, train both networks, tell: in miniature, of recordings that hold a person's name."""
    body = open_body()
    layout = plug_in_gait_layout(body)
    cohort = {}
    (tmp_path / "recordings").mkdir()
    for number in range(4):
        walk = make_walk(body, make_person(body, number), seconds=1.4, seed=number)
        file = write_c3d(tmp_path / "recordings" / f"walk{number}.c3d", body, layout, walk)
        cohort[f"P{number}"] = {"gaits": [str(file)], "healthy": number < 2, "model_file": OPEN_BODY.name}
    (tmp_path / "cohort.json").write_text(json.dumps(cohort), encoding="utf-8")
    models = model_folder(tmp_path / "data")
    training = ["--base_folder", "poses", "--k_folds", "2", "--cross", "all", "--interval_size", "32", "--stride", "16",
                "--epochs", "1", "--cluster", "--workers", "1"]  # fmt: skip
    for words in (
        ["shape_optimizer.py", "--cohort", "cohort.json", "--model_folder", models, "--save_folder", "poses"],
        ["train_multi_mlp.py", *training, "--pfe_layers", "8", "--fc_layers", "8", "--lrp", "--save_folder", "mlp"],
        ["train_transformer.py", *training,
         "--pfe_dim", "8", "--fc_dim", "8", "--ffn_dim", "8", "--save_folder", "tr"],
        ["-m", "gait.report", "--poses", "poses", "--trained", "mlp", "tr", "--export", "told", "--stride", "40",
         "--speed", "4", "--base_folder", models / "SUPR"],
    ):  # fmt: skip
        script = [words[0] if words[0] == "-m" else str(REPOSITORY / words[0]), *map(str, words[1:])]
        done = subprocess.run(
            [sys.executable, *script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        assert SECRET not in done.stdout + done.stderr
    said = " ".join(read(tmp_path / "told" / "index.html").words.split())
    assert "4 persons walked once each" in said
    assert "The MLP and the transformer: 4 persons were judged (2 healthy, 2 sick), each once" in said
    assert {"cohort_mlp.png", "cohort_transformer.png"} <= {path.name for path in (tmp_path / "told").iterdir()}
    for path, content in texts_of(tmp_path / "told"):
        for part in (SECRET, *SECRET.split()):
            assert part.encode() not in content, path
