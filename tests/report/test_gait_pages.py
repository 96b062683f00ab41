"""Gait pages and tables of real fits: numbers against the analysis, signs, and that nothing unobserved is stated."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import numpy as np
import pytest

from gait.arrays import true_runs
from gait.body.anatomy import read_anatomy
from gait.body.body import Body
from gait.body.marker_placement import plug_in_gait_layout
from gait.cohort.cohort_file import read_cohort
from gait.cohort.fit_settings import FitSettings
from gait.kinematics.joint_angles import ANGLES
from gait.kinematics.norm_comparison import compare_with_norm
from gait.kinematics.norms import read_angle_norm
from gait.kinematics.scores import gait_profile
from gait.kinematics.spatiotemporal import PARAMETERS
from gait.kinematics.trial_analysis import analyse_subject, analyse_trial
from gait.marker_sets import MARKER_SETS
from gait.motion.pose_files import read_poses
from gait.motion.pose_npz import write_npz
from gait.motion.subject_trials import find_subject_folders
from gait.report.__main__ import main
from gait.report.gait.build import GaitPageSettings, build_gait_pages
from gait.report.gait.comparison import Sample, compare
from gait.report.gait.comparison_page import comparison_page, comparison_rows
from gait.report.gait.curve_grid import AXES, LOWER_BODY, UPPER_BODY
from gait.report.gait.measured_subject import MeasuredSubject, measure_subject
from gait.report.gait.norm_section import describe_band
from gait.report.gait.norm_set import NormResults, NormSet, default_norms
from gait.report.gait.numbers import format_value
from gait.report.gait.subject_page import subject_page
from gait.report.gait.svg_chart import Bar, BarGroup, CurveAxis, DrawnCurve, NormBand, bar_chart, curve_chart
from gait.synthetic import make_subject, make_trial, write_recording
from gait.synthetic.pathologies import make_pathology
from tests.helpers.browser import needs_browser, open_page
from tests.helpers.fit_cohort import fit_cohort
from tests.helpers.fitting_cases import model_folder

if TYPE_CHECKING:  # it may be missing
    from playwright.sync_api import Browser

pytestmark = pytest.mark.usefixtures("one_thread")

PLUG_IN_GAIT = MARKER_SETS["plug_in_gait"]
LEG_MARKERS = replace(PLUG_IN_GAIT, recorded=PLUG_IN_GAIT.recorded[PLUG_IN_GAIT.recorded.index("LASI") :])
"""Plug-in Gait without any marker above the pelvis."""
ODD = "P<b>1&"
"""A subject name that contains HTML."""
NUM_CONTROLS = 13
"""Of a norm: ten, and the slowest and the fastest one, which the others' speeds do not cover."""


@pytest.fixture(scope="module")
def poses(tmp_path_factory: pytest.TempPathFactory, open_body: Body) -> Path:
    """Fits of synthetic subjects: with two trials, with markers on the legs alone, with a stiff left knee."""
    folder = tmp_path_factory.mktemp("gait_pages")
    model_folder(folder / "data")
    layout = plug_in_gait_layout(open_body)
    entries = {}
    for seed, (name, healthy, trials, markers) in enumerate(
        [("anna", True, 2, PLUG_IN_GAIT), ("bert", True, 1, LEG_MARKERS), (ODD, False, 1, PLUG_IN_GAIT)], start=31
    ):
        subject = make_subject(open_body, seed)
        pathology = None if healthy else make_pathology("stiff_knee", side="left", severity=1.0)
        paths = [folder / f"recordings{seed}" / f"walk{k}.c3d" for k in range(1, trials + 1)]
        for k, path in enumerate(paths, start=1):
            trial = make_trial(open_body, subject, pathology, seconds=2.8, seed=k)
            write_recording(trial, open_body, layout, path, marker_set=markers)
        entries[name] = {"trials": [str(path) for path in paths], "healthy": healthy}
    (folder / "cohort.json").write_text(json.dumps(entries), encoding="utf-8")
    settings = FitSettings(folder / "data", folder / "fitted", figures=False)
    assert {each.state for each in fit_cohort(read_cohort(folder / "cohort.json"), settings)} == {"fitted"}
    return settings.save_folder


@pytest.fixture(scope="module")
def export(poses: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with all pages and tables, written by the command."""
    folder = tmp_path_factory.mktemp("report") / "pages out"
    assert main(["--poses", str(poses), "--export", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def subjects(poses: Path) -> dict[str, MeasuredSubject]:
    """Analyses of the same subjects."""
    found = [measure_subject(folder) for folder in find_subject_folders(poses)]
    return {subject.subject_id: subject for subject in found}


class _Page(HTMLParser):
    """Elements, links and text of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: list[str] = []
        self.links: list[str] = []
        self.labels: list[str] = []
        self.words = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "poster")]
        self.labels += [value or "" for name, value in attrs if name == "aria-label"]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag in ("td", "th"):
            self.words += " "

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words += data


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def folder_of(export: Path, subject: str) -> Path:
    return export / "subjects" / subject


def test_each_subject_has_a_page_and_tables_linked_from_the_cohort(export: Path) -> None:
    names = {"analysis.json", "curves.csv", "events.csv", "gait.html", "parameters.csv", "scores.csv"}
    for subject in ("healthy/anna", "healthy/bert", f"sick/{ODD}"):
        assert {path.name for path in folder_of(export, subject).iterdir()} == names
    assert {path.name for path in export.iterdir()} == {"index.html", "mean_curves.csv", "subjects", "subjects.csv"}
    pages = [export / "index.html", *export.glob("subjects/*/*/gait.html")]
    assert len(pages) == 4
    for path in pages:
        page = _Page(path)
        assert not {"script", "link", "img", "iframe"} & set(page.names)
        assert page.links
        for link in page.links:
            file, _, place = unquote(link).partition("#")
            assert (path.parent / file if file else path).resolve().is_file(), link
            assert f'id="{place}"' in path.read_text(encoding="utf-8") or not place
        assert ODD not in path.read_text(encoding="utf-8"), "names are escaped"
    assert ODD in _Page(export / "index.html").words


def test_curves_of_the_table_are_those_of_the_analysis(export: Path, subjects: dict[str, MeasuredSubject]) -> None:
    for name, subject in subjects.items():
        curves = subject.analysis.curves
        found: dict[tuple[str, str], dict[tuple[str, str], list[float]]] = {}
        for row in rows_of(folder_of(export, name) / "curves.csv"):
            assert row["subject"] == name
            if row["counts"] == "1" and row["degrees"]:
                strides = found.setdefault((row["angle"], row["side"]), {})
                values = strides.setdefault((row["trial"], row["stride"]), [])
                assert int(row["percent"]) == len(values)
                values.append(float(row["degrees"]))
        observed = {key for key in curves.curves if np.isfinite(curves.mean(*key)).any()}
        assert found.keys() == observed
        for key, strides in found.items():
            assert np.mean(list(strides.values()), axis=0) == pytest.approx(curves.mean(*key), abs=1e-3)
        summary = json.loads((folder_of(export, name) / "analysis.json").read_text(encoding="utf-8"))
        means = {(each["angle"], each["side"]): each["mean"] for each in summary["curves"]}
        assert means.keys() == observed
        for key, mean in means.items():
            assert mean == pytest.approx(curves.mean(*key), abs=1e-3)


def test_parameters_of_page_and_table_are_those_of_the_analysis(
    export: Path, subjects: dict[str, MeasuredSubject]
) -> None:
    for name, subject in subjects.items():
        parameters = subject.analysis.parameters
        rows = rows_of(folder_of(export, name) / "parameters.csv")
        for parameter in ("walking_speed", "step_length", "stance", "foot_clearance"):
            for side in ("left", "right"):
                values = [
                    float(row["value"])
                    for row in rows
                    if row["parameter"] == parameter and row["side"] == side and row["counts"] == "1" and row["value"]
                ]
                assert values == pytest.approx(parameters.of(parameter, side), abs=1e-5)
                assert {row["unit"] for row in rows if row["parameter"] == parameter} in ({"m/s"}, {"m"}, {"%"})
        words = " ".join(_Page(folder_of(export, name) / "gait.html").words.split())
        left = format_value("stride_time", parameters.mean("stride_time", "left"))
        assert re.search(rf"Stride time, s {left}( ± |\b)", words)
        speed = format_value("walking_speed", parameters.mean("walking_speed", "both"))
        assert f"walking at {speed} m/s" in words
        assert speed_of_cohort_page(export, subject.name) == speed


def speed_of_cohort_page(export: Path, name: str) -> str:
    """Return the walking speed in the cohort page's row of a subject."""
    words = " ".join(_Page(export / "index.html").words.split())
    match = re.search(rf"(?:control|patient) {re.escape(name)} \d+ \d+, \d+ [\d.]+ mm ([\d.]+) ", words)
    assert match
    return match[1]


def test_events_have_the_clock_of_the_recording(
    export: Path, poses: Path, subjects: dict[str, MeasuredSubject]
) -> None:
    sequence = read_poses(poses / "healthy" / "anna" / "walk2")
    trial = subjects["healthy/anna"].analysis.trials[1]
    rows = [row for row in rows_of(folder_of(export, "healthy/anna") / "events.csv") if row["trial"] == "walk2"]
    times = [float(row["time_s"]) for row in rows]
    assert times == sorted(times)
    for side in ("left", "right"):
        for event, frames in (
            ("initial contact", trial.events.initial_contacts),
            ("foot off", trial.events.foot_offs),
        ):
            own = [row for row in rows if row["side"] == side and row["event"] == event]
            assert [float(row["frame"]) for row in own] == pytest.approx(frames[side] + sequence.first_frame, abs=1e-3)
            assert [float(row["time_s"]) for row in own] == pytest.approx(
                (frames[side] + sequence.first_frame - 1) / sequence.rate_hz, abs=1e-4
            )
            sources = trial.events.contact_sources if event == "initial contact" else trial.events.off_sources
            assert tuple(row["source"] for row in own) == sources[side]


def test_what_is_not_observed_is_not_stated(export: Path) -> None:
    page = _Page(folder_of(export, "healthy/bert") / "gait.html")
    assert "no markers" in page.words
    for title in ("Shoulder", "Elbow", "Head"):
        assert not any(label.startswith(title) and "degrees" in label for label in page.labels)
    assert re.search(r"Not observed: [^.]*Head[^.]*Shoulder", page.words)
    summary = json.loads((folder_of(export, "healthy/bert") / "analysis.json").read_text(encoding="utf-8"))
    missing = {each["angle"] for each in summary["not_observed"]}
    assert {"shoulder_flexion", "elbow_flexion"} <= missing
    assert not missing & {each["angle"] for each in summary["curves"]}
    rows = rows_of(folder_of(export, "healthy/bert") / "curves.csv")
    assert {row["degrees"] for row in rows if row["angle"] == "elbow_flexion"} == {""}
    anna = _Page(folder_of(export, "healthy/anna") / "gait.html")
    assert any(label.startswith("Elbow flexion: left from") for label in anna.labels)


def test_stiff_knee_is_drawn_below_the_other_one(export: Path) -> None:
    page = (folder_of(export, f"sick/{ODD}") / "gait.html").read_text(encoding="utf-8")
    chart = re.search(r'<svg class="chart"[^>]*aria-label="Knee flexion: [^"]*".*?</svg>', page, re.DOTALL)
    assert chart
    heights = {}
    for side in ("left", "right"):
        path = re.search(rf'class="mean {side}" d="M([^"]*)"', chart[0])
        assert path
        heights[side] = path_heights(path[1])
    swing = slice(62, 85)
    assert heights["left"][swing].min() > heights["right"][swing].min() + 5, "y of SVG points down"
    label = re.search(r"left from \S+ to (\S+) degrees; right from \S+ to (\S+) degrees", chart[0])
    assert label
    assert int(label[1]) < int(label[2])


def path_heights(commands: str) -> np.ndarray:
    """Return the y of each point of a path M x y l dx dy ..."""
    start, _, moves = commands.partition("l")
    y = float(start.split()[1])
    return np.concatenate([[y], y + np.cumsum([float(number) for number in moves.split()[1::2]])])


def test_chart_has_positive_up_gaps_and_marks() -> None:
    mean = np.linspace(-10, 50, 101)
    mean[40:60] = np.nan
    curve = DrawnCurve(mean, foot_off=60.0, marked=(slice(10, 20),))
    norm = NormBand(np.full(101, -5.0), np.full(101, 5.0))
    chart = curve_chart(CurveAxis("Hip flexion", -20, 70, "Flex", "Ext"), {"left": curve}, norm, unobserved=["right"])
    path = re.search(r'class="mean left" d="([^"]*)"', chart)
    assert path
    pieces = path[1].split("M")[1:]
    assert len(pieces) == 2
    assert path_heights(pieces[0])[0] > path_heights(pieces[1])[-1]
    flexion, extension = (re.search(rf"translate\(11 ([\d.]+)\)[^>]*>{word}<", chart) for word in ("Flex", "Ext"))
    assert flexion
    assert extension
    assert float(flexion[1]) < float(extension[1])
    assert chart.count('class="mark left"') == 1
    assert "right not observed" in chart
    assert 'class="norm"' in chart


def test_one_sd_is_drawn_only_inside_a_wider_band() -> None:
    mean, sd = np.zeros(101), np.full(101, 4.0)
    for factor, drawn in ((3.0, True), (1.0, False)):
        band = NormBand.of((mean - factor * sd, mean + factor * sd), mean, sd)
        chart = curve_chart(CurveAxis("Hip flexion", -20, 70), {"left": DrawnCurve(mean)}, band)
        assert ('class="norm-sd"' in chart) == drawn


def test_chart_grows_with_its_curves_and_keeps_letters_apart() -> None:
    curves = {"left": DrawnCurve(np.full(101, 95.0)), "right": DrawnCurve(np.full(101, 95.5))}
    chart = curve_chart(CurveAxis("Knee flexion", -15, 75, "Flex", "Ext"), curves)
    ys = [float(y) for y in re.findall(r'class="letter \w+" x="[\d.]+" y="([\d.]+)"', chart)]
    assert abs(ys[0] - ys[1]) >= 9.9
    for side in ("left", "right"):
        path = re.search(rf'class="mean {side}" d="M([^"]*)"', chart)
        assert path
        assert path_heights(path[1]).min() >= 26, "within the axes"


def test_subject_without_a_stride_has_a_page_without_curves(poses: Path) -> None:
    walking = measure_subject(poses / "healthy" / "anna")
    trial = walking.analysis.trials[0]
    assert trial.quality.num_strides["left"] > 0
    page = subject_page(walking, NormResults(), NormSet(), "../index.html", ["curves.csv"])
    assert "Hip flexion" in page
    sequence = read_poses(poses / "healthy" / "anna" / "walk1")
    standing = replace(
        sequence,
        poses=np.repeat(sequence.poses[:1], 100, axis=0),
        joints_m=np.repeat(sequence.joints_m[:1], 100, axis=0),
        translation_m=np.repeat(sequence.translation_m[:1], 100, axis=0),
        joint_status=None,
        joint_sigma_m=None,
        gap_filled=None,
        recorded_events=None,
        rotation_error=None,
    )
    analysis = analyse_subject([analyse_trial(standing, subject="healthy/anna", trial="static")])
    page = subject_page(
        replace(walking, analysis=analysis, reports={}), NormResults(), NormSet(), "../index.html", ["curves.csv"]
    )
    assert "no whole stride" in page
    assert "Hip flexion" not in page


def test_damaged_trial_is_one_line_and_the_rest_is_written(poses: Path, tmp_path: Path) -> None:
    shutil.copytree(poses, tmp_path / "fitted")
    (tmp_path / "fitted" / "healthy" / "bert" / "walk1" / "poses.npz").write_bytes(b"damaged")
    (tmp_path / "fitted" / "healthy" / "anna" / "walk2" / "fit_report.json").write_text("{", encoding="utf-8")
    settings = GaitPageSettings(poses=tmp_path / "fitted", export=tmp_path / "out")
    result = build_gait_pages(settings, print)
    assert result.num_subjects == 2
    assert len(result.problems) == 2
    assert all("\n" not in problem for problem in result.problems)
    assert any("bert" in problem and "poses.npz" in problem for problem in result.problems)
    assert "Missing parts" in _Page(result.page).words


def test_folder_without_fits_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "recordings").mkdir()
    assert main(["--poses", str(tmp_path), "--export", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no fitted trial" in line
    assert not (tmp_path / "out").exists()


def test_format_value_is_in_the_shown_unit() -> None:
    assert format_value("step_width", 0.0823) == "8.2"


def test_names_of_directions_are_those_of_the_definitions() -> None:
    words = {
        "Ant": "anterior", "Post": "posterior", "Up": "up", "Down": "down", "Flex": "flexion", "Ext": "extension",
        "Add": "adduction", "Abd": "abduction", "Int": "internal", "Var": "varus", "Val": "valgus",
        "Dors": "dorsiflexion", "Plant": "plantarflexion", "Inv": "inversion", "Ev": "eversion", "Forw": "forward",
        "Back": "backward", "Ahead": "ahead", "Behind": "behind", "To own side": "to this side",
        "To other side": "to the other side",
    }  # fmt: skip
    assert AXES.keys() == {angle.name for angle in ANGLES}
    for angle in ANGLES:
        axis = AXES[angle.name]
        for shown, meant in ((axis.positive, angle.positive), (axis.negative, angle.negative)):
            word = words.get(shown, "")
            if shown == "Ext" and angle.plane == "transverse":
                word = "external"
            if angle.name == "pelvis_rotation":  # in reports internal: this side is ahead
                word = {"Int": "ahead", "Ext": "behind"}[shown]
            assert word
            assert word in meant, angle.name
    shown_angles = [name for row in (*LOWER_BODY, *UPPER_BODY) for name in row.angles if name]
    assert sorted(shown_angles) == sorted(AXES), "each angle has one place"
    planes = {angle.name: angle.plane for angle in ANGLES}
    for row in (*LOWER_BODY, *UPPER_BODY):
        for name, plane in zip(row.angles, ("sagittal", "frontal", "transverse"), strict=True):
            assert not name or planes[name] == plane


def test_comparison_of_two_measurements_has_no_p_below_five_strides(poses: Path, tmp_path: Path) -> None:
    compare_words = ["--compare", "anna", ODD]
    assert main(["--poses", str(poses), "--export", str(tmp_path), *compare_words]) == 0
    page = _Page(tmp_path / "comparison.html")
    assert "fewer than 5 strides on each side" in page.words
    assert "Strides of one measurement stand for that measurement alone" in page.words
    rows = rows_of(tmp_path / "comparison.csv")
    assert {row["p"] for row in rows} == {""}
    subjects = {each.name: each for each in map(measure_subject, find_subject_folders(poses))}
    difference = {
        int(row["percent"]): float(row["difference_deg"])
        for row in rows
        if (row["angle"], row["side"]) == ("knee_flexion", "left")
    }
    anna, sick = (subjects[name].analysis.curves.mean("knee_flexion", "left") for name in ("anna", ODD))
    assert [difference[percent] for percent in range(101)] == pytest.approx(sick - anna, abs=2e-3)
    assert min(difference.values()) < -10, "the knee is stiff"
    assert "comparison.html" in _Page(tmp_path / "index.html").links


def test_comparison_of_many_strides_marks_where_they_differ() -> None:
    random = np.random.default_rng(0)
    bump = 15 * np.exp(-(((np.arange(101) - 70) / 8) ** 2))
    rows = [30 * np.sin(np.arange(101) / 20) + random.standard_normal((8, 1)) for _ in range(4)]
    keys = [("knee_flexion", "left"), ("knee_flexion", "right")]
    parameters = {(each.name, side): np.ones(8) for each in PARAMETERS for side in ("left", "right")}
    before = Sample("pre", "stride", dict(zip(keys, rows[:2], strict=True)), parameters)
    after = Sample("post", "stride", dict(zip(keys, [rows[2] + bump, rows[3]], strict=True)), parameters)
    page = comparison_page(compare(before, after), "index.html")
    assert "1 of 2 curves differs significantly." in " ".join(page.split())
    marks = re.findall(r'class="mark (\w+)" x="([\d.]+)"', page)
    assert {side for side, _ in marks} == {"second", "left"}, "in the overlay and in the difference"
    significant = [row[6] for row in comparison_rows(compare(before, after)) if row[9] == 1]
    assert 70 in significant
    assert 20 not in significant


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("anna", "healthy"), "one is a group and the other a measurement"),
        (("anna", "P99"), "no such subject"),
        (("anna", "bert/run*"), "it has walk1"),
    ],
)
def test_comparison_of_unknown_samples_is_one_line(
    poses: Path, tmp_path: Path, names: tuple[str, str], words: str
) -> None:
    result = build_gait_pages(GaitPageSettings(poses=poses, export=tmp_path, compare=names), print)
    (problem,) = result.problems
    assert words in problem
    assert not (tmp_path / "comparison.html").exists()


def test_page_shows_band_scores_and_source_of_a_norm(poses: Path, tmp_path: Path) -> None:
    settings = GaitPageSettings(poses=poses, export=tmp_path, norms=("schwartz2008",))
    assert build_gait_pages(settings, print).problems == ()
    subject = measure_subject(poses / "healthy" / "anna")
    norm = read_angle_norm("schwartz2008")
    curves = norm.at_speed(subject.dimensionless_speed)
    assert curves is not None
    profile = gait_profile(subject.mean_curves, curves)
    rows = rows_of(folder_of(tmp_path, "healthy/anna") / "scores.csv")
    scores = {(row["score"], row["side"], row["angle"]): row["value"] for row in rows}
    for (angle, side), value in profile.gvs_deg.items():
        assert float(scores["GVS", side, angle]) == pytest.approx(value, abs=1e-3)
    for side, value in profile.gps_deg.items():
        assert float(scores["GPS", side, ""]) == pytest.approx(value, abs=1e-3)
    path = folder_of(tmp_path, "healthy/anna") / "gait.html"
    words = " ".join(_Page(path).words.split())
    assert f"left {profile.gps_deg['left']:.1f}, right {profile.gps_deg['right']:.1f}" in words
    for part in (norm.source.of_whom, norm.source.licence, "at this subject’s speed", "not stated"):
        assert part in words
    assert 'class="norm"' in path.read_text(encoding="utf-8")
    assert f"{profile.gps_deg['overall']:.1f}" in _Page(tmp_path / "index.html").words


def test_findings_are_beyond_norm_and_error(poses: Path, tmp_path: Path) -> None:
    build_gait_pages(GaitPageSettings(poses=poses, export=tmp_path, norms=("schwartz2008",)), print)
    folder = folder_of(tmp_path, f"sick/{ODD}")
    content = json.loads((folder / "analysis.json").read_text(encoding="utf-8"))
    curves = {(each["angle"], each["side"]): each for each in content["curves"]}
    (norm,) = content["norms"]
    bands = {each["angle"]: {key: np.array(each[key]) for key in ("mean", "high")} for each in norm["bands"]}
    marked = {key: np.zeros(101, dtype=bool) for key in curves}
    assert norm["deviations"]
    for each in norm["deviations"]:
        marked[each["angle"], each["side"]][each["first_percent"] : each["last_percent"] + 1] = True
    for (angle, side), curve in curves.items():
        if angle in bands:
            away = np.abs(np.array(curve["mean"]) - bands[angle]["mean"]) - 2 * (
                bands[angle]["high"] - bands[angle]["mean"]
            )
            beyond = away > 1.96 * np.array(curve["standard_error"])
            assert not (marked[angle, side] & ~beyond).any()
            runs = true_runs(beyond & ~marked[angle, side])
            assert all(run.stop - run.start < 3 for run in runs), "only short runs are not marked"
    page = (folder / "gait.html").read_text(encoding="utf-8")
    findings = [each for each in norm["deviations"] if each["angle"] in AXES]
    assert page.count('<rect class="mark ') == len(findings)
    assert "95 % error of the mean by the fit" in page
    words = " ".join(_Page(folder / "gait.html").words.split())
    assert re.search(
        r"Knee flexion, \d+ to \d+ % of the cycle: below the norm \(direction: extension\), up to \d", words
    )
    gps = next(each for each in rows_of(folder / "scores.csv") if (each["score"], each["side"]) == ("GPS", "overall"))
    assert f"Gait Profile Score of both sides {float(gps['value']):.1f}°" in words
    rows = [row for row in rows_of(folder / "curves.csv") if row["angle"] == "knee_flexion"]
    assert all(0.2 < float(row["standard_error"]) < 10 for row in rows)


def test_unknown_norm_is_one_line_and_pages_are_written(poses: Path, tmp_path: Path) -> None:
    result = build_gait_pages(GaitPageSettings(poses=poses, export=tmp_path, norms=("schwarz",)), print)
    assert len(result.problems) == 1
    assert "schwarz: is no norm" in result.problems[0]
    assert result.num_subjects == 3


@pytest.fixture(scope="module")
def controls(tmp_path_factory: pytest.TempPathFactory, open_body: Body) -> Path:
    """True poses of synthetic controls, at several speeds."""
    folder = tmp_path_factory.mktemp("controls")
    for seed in range(NUM_CONTROLS):
        truth = make_trial(open_body, make_subject(open_body, 100 + seed), seconds=3.4).ground_truth
        truth.extra.clear()
        trial = folder / "healthy" / f"control_{seed}" / "walk1"
        trial.mkdir(parents=True)
        write_npz(trial, replace(truth, anatomy=read_anatomy(open_body, truth.betas)))
    return folder


def test_own_controls_are_a_norm_with_a_band_for_whole_curves(poses: Path, controls: Path, tmp_path: Path) -> None:
    settings = GaitPageSettings(poses=controls, export=tmp_path, norms=(str(controls),))
    result = build_gait_pages(settings, print)
    assert result.problems == ()
    pages = [_Page(path) for path in sorted(tmp_path.glob("subjects/healthy/*/gait.html"))]
    assert len(pages) == NUM_CONTROLS
    inside = [
        page
        for page in pages
        if "whole curve of an angle lies inside the band with a probability of 95 %" in page.words
    ]
    assert len(inside) == NUM_CONTROLS
    words = " ".join(pages[0].words.split())
    assert f"{NUM_CONTROLS} persons" in words
    assert words.count("This subject is one of these controls") == 2
    index = _Page(tmp_path / "index.html").words
    assert "the score of a control who is one of them is somewhat too small" in " ".join(index.split())
    assert re.search(r"95 % of persons like the controls, at their own pace, have an overall GPS from \d", words)
    assert re.search(rf"Cadence, steps/min \S+( ± \S+)? \S+( ± \S+)? \d, \d \S+ % \d+ ± \d+ \({NUM_CONTROLS}\)", words)


def test_controls_among_the_poses_are_the_norm_if_they_are_enough(controls: Path, poses: Path, tmp_path: Path) -> None:
    assert default_norms(controls) == (str(controls),)
    assert default_norms(poses) == ("schwartz2008",)
    without_labels = tmp_path / "persons"
    shutil.copytree(controls / "healthy", without_labels)
    assert default_norms(without_labels) == ("schwartz2008",)


def test_too_few_controls_are_refused(poses: Path, tmp_path: Path) -> None:
    result = build_gait_pages(GaitPageSettings(poses=poses, export=tmp_path, norms=(str(poses),)), print)
    assert len(result.problems) == 1
    assert "has 2 persons who walk; a norm needs at least 10" in result.problems[0]


def test_page_says_when_a_norm_does_not_hold_for_the_subjects_speed() -> None:
    norm = read_angle_norm("schwartz2008")
    fast = replace(norm, bands=norm.bands[2:])
    curves = {("knee_flexion", "left"): np.zeros(101)}
    slower = "at dimensionless speed 0.36, because the subject walks more slowly (0.10) than all persons of the norm"
    for speed, words in ((0.1, f"{slower} (from 0.36)"), (math.nan, "speed or leg length is unknown")):
        comparison = compare_with_norm(curves, {}, fast, speed)
        assert comparison is not None
        assert words in describe_band(comparison)
    own = compare_with_norm(curves, {}, norm, 0.4)
    assert own is not None
    assert "at this subject’s speed" in describe_band(own)


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_can_be_read_on_any_screen(export: Path, browser: Browser, scheme: str) -> None:
    for file in (export / "index.html", folder_of(export, f"sick/{ODD}") / "gait.html"):
        with open_page(browser, file, size=(400, 800), color_scheme=scheme) as opened:
            assert opened.requests == opened.errors == opened.violations() == []
            assert opened.width_of_content() == 400
            assert opened.accessibility_problems() == []


def test_spread_between_trials_is_shown_if_there_are_two(export: Path) -> None:
    heads = {name: _Page(folder_of(export, name) / "gait.html").words for name in ("healthy/anna", "healthy/bert")}
    assert "Further SD between trials" in heads["healthy/anna"]
    assert "between trials" not in heads["healthy/bert"].split("Symmetry and repeatability")[1]


def test_score_and_that_of_the_norm_are_both_seen() -> None:
    chart = bar_chart([BarGroup("Pelvic tilt", [Bar("left", 2.0, 7.0)])], "°", "Profile")
    bars = re.findall(r'class="bar (\w+)" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)"', chart)
    (kind, x, y, width), (own, own_x, own_y, own_width) = ((each[0], *map(float, each[1:])) for each in bars)
    assert (kind, own) == ("reference", "left"), "the score is drawn after the norm, above it"
    assert own_y > y
    assert x < own_x
    assert own_x + own_width < x + width
