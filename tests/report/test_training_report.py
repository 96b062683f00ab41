"""The training report: fold results on disk, metrics as JSON, predictions as CSV, TensorBoard, and the page."""

from __future__ import annotations

import csv
import dataclasses
import html.parser
import io
import json
import os
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboardX.proto.event_pb2 import Event

from gait.errors import GaitError
from gait.learning.cross_validation_summary import pool_folds
from gait.learning.fold_result import FoldResult, read_results, result_file, save_result, to_strict_json
from gait.learning.metrics import METRICS, estimate_metrics
from gait.learning.predictions import Predictions
from gait.motion.folds import Fold
from gait.report.training.figures import (
    draw_figures,
    spread_labels,
)
from gait.report.training.metrics_json import all_metrics, fold_metrics
from gait.report.training.page import report_page
from gait.report.training.tensorboard import TensorBoardLogger
from gait.report.training.text_summary import compare_with_baselines, headline, limitations, terminal_summary
from gait.report.training.write_report import write_report
from tests.helpers.learning_results import (
    CONFOUNDED,
    constant,
    epochs,
    fold_result,
    fold_results,
    predicted,
    subject_labels,
)

SECTIONS = [
    "Comparison with baseline classifiers",
    "Figures",
    "Folds",
    "Confounder check",
    "Problems of the data",
    "Settings and commands",
]
_VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(html.parser.HTMLParser):
    """The page as a browser parses it: closed tags, text in order, all attributes."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []  # tag, name, value
        self.texts: list[tuple[str, str]] = []  # innermost tag, text
        self.headings: list[str] = []
        self.figures: list[str] = []
        self.feed(content)
        self.close()
        assert self.open == [], self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag == "figure":
            self.figures.append(dict(attrs)["id"] or "")
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data))
            if self.open and self.open[-1] == "h2":
                self.headings.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(data for tag, data in self.texts if tag not in ("style", "title")).split())


def page_of(results: list[FoldResult], figures: bool = False) -> tuple[Page, str]:
    """Return the page, without figures as they take a second."""
    summary = pool_folds(results)
    drawn = draw_figures(summary) if figures else {}
    content = report_page(summary, [pool_folds([result]) for result in results], drawn)
    return Page(content), content


def strict(path: Path) -> dict:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def events(folder: Path) -> list[Event]:
    """Read all events of a folder as the format defines them: length, its CRC, data, its CRC."""
    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        content, offset = path.read_bytes(), 0
        while offset < len(content):
            (length,) = struct.unpack_from("<Q", content, offset)
            found.append(Event.FromString(content[offset + 12 : offset + 12 + length]))
            offset += 12 + length + 4
    return found


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for event in events(folder):
        for value in event.summary.value:
            if value.HasField("simple_value"):
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training folder with three folds and their report."""
    folder = tmp_path_factory.mktemp("trained")
    for result in fold_results():
        save_result(result, folder)
    write_report(folder, "transformer")
    return folder


# Results on disk


def test_write_report_without_results_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(GaitError, match="train a fold first"):
        write_report(tmp_path, "transformer")


def test_write_report_excludes_folds_of_other_settings(tmp_path: Path) -> None:
    first, second, third = fold_results()
    save_result(dataclasses.replace(first, arguments=first.arguments | {"lr": 0.5}), tmp_path)
    save_result(dataclasses.replace(second, arguments=second.arguments | {"workers": 7, "cross": 1}), tmp_path)
    save_result(third, tmp_path)
    report = write_report(tmp_path, "transformer", reference=third)
    assert any("Excluded: fold 0, which was trained with other settings" in line for line in report.lines)
    metrics = strict(tmp_path / "metrics_transformer_all.json")
    assert metrics["crossid"] == [1, 2]
    assert "Excluded: fold 0" in Page(report.page.read_text(encoding="utf-8")).text
    # Other test subjects would make the metrics incomparable, too.
    save_result(dataclasses.replace(first, sick=first.sick | {"sick/S99": True}), tmp_path)
    assert "Excluded: fold 0" in " ".join(write_report(tmp_path, "transformer", reference=third).lines)


def test_write_report_excludes_damaged_results(tmp_path: Path) -> None:
    first, second, third = fold_results()
    for result in (first, second, third):
        save_result(result, tmp_path)
    result_file(tmp_path, "transformer", 1).write_bytes(b"PK damaged")
    report = write_report(tmp_path, "transformer", reference=first)
    assert strict(tmp_path / "metrics_transformer_all.json")["crossid"] == [0, 2]
    assert any("result_transformer_fold1.npz: not the result of a fold" in line for line in report.lines)
    for path in tmp_path.glob("result_*"):
        path.write_bytes(b"")
    with pytest.raises(GaitError, match=r"fold0.npz: not the result of a fold.*fold2.npz"):
        write_report(tmp_path, "transformer")


def test_write_report_without_reference_uses_the_newest_fold(tmp_path: Path) -> None:
    first, second, _ = fold_results()
    save_result(first, tmp_path)
    save_result(dataclasses.replace(second, arguments=second.arguments | {"seed": 8}), tmp_path)
    os.utime(result_file(tmp_path, "transformer", 0), (1, 1))
    assert "Excluded: fold 0" in " ".join(write_report(tmp_path, "transformer").lines)


# Report page


def test_report_page_has_sections_and_figures_in_order(written: Path) -> None:
    page = Page((written / "report_transformer.html").read_text(encoding="utf-8"))
    assert page.headings == SECTIONS
    assert page.figures == ["comparison", "roc", "confusion", "calibration", "loss", "subjects"]
    assert "role" not in {name for tag, name, _ in page.attributes if tag == "aside"}


def test_report_page_and_terminal_summary_begin_with_the_confounder_warning() -> None:
    results = fold_results(confounder_check=CONFOUNDED)
    page, _ = page_of(results)
    shown = [data for tag, data in page.texts if tag not in ("style", "title")]
    assert shown[0] == "Warning: read this before the results"
    assert shown[1] == CONFOUNDED["messages"][0]  # type: ignore[index]
    assert page.text.index(shown[1]) < page.text.index("Unseen subjects were classified")
    assert terminal_summary(pool_folds(results))[0] == f"warning: {CONFOUNDED['messages'][0]}"  # type: ignore[index]
    assert page.text.count(shown[1]) == 2  # again in the section of the confounder check
    assert (
        page.text.count("Frame rate: predicts the label (ROC AUC 1.00).") == 2
    )  # in the warning and in the list of factors
    assert [data for tag, data in page.texts if tag == "strong"] == ["Frame rate: predicts the label (ROC AUC 1.00)."]
    assert "Height: does not predict the label (ROC AUC 0.52)." in page.text
    calm, _ = page_of(fold_results())
    assert "Warning" not in calm.text
    assert "No factor predicts the label." in calm.text


def test_report_page_is_self_contained(written: Path) -> None:
    content = (written / "report_transformer.html").read_text(encoding="utf-8")
    page = Page(content)
    assert not re.search(r"https?:|//[a-z]", content)
    assert not re.search(r"@import|<script|javascript:|<link|<iframe", content, re.IGNORECASE)
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), (tag, name)
        if name in ("src", "href", "xlink:href", "srcset", "data", "poster"):
            assert value.startswith("#"), (tag, name, value)
        assert all(place.startswith("#") for place in re.findall(r"url\(\s*['\"]?([^)]*)", value))
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    wanted = {value[1:] for _, name, value in page.attributes if name == "href"}
    wanted |= {place for _, _, value in page.attributes for place in re.findall(r"url\(#([^)]*)\)", value)}
    assert wanted <= set(ids)
    assert wanted


def test_as_svg_uses_the_colours_of_the_page(written: Path) -> None:
    content = (written / "report_transformer.html").read_text(encoding="utf-8")
    drawings = re.findall(r"<svg.*?</svg>", content, re.DOTALL)
    assert len(drawings) == 6
    style = content[: content.index("</style>")]
    for drawing in drawings:
        assert "var(--ink)" in drawing
        assert set(re.findall(r"var\(--([a-z-]+)\)", drawing)) <= set(re.findall(r"--([a-z-]+):", style))
        assert set(re.findall(r"#[0-9a-f]{6}\b", drawing)) <= {"#000000", "#ffffff"}
        assert not re.search(r"(?:fill|stroke): #(?:000000|ffffff)", drawing)


HOSTILE = {
    "healthy/H1": "healthy/<script>alert('1')</script>",
    "healthy/H2": 'healthy/"onload="x" & <b>',
    "healthy/H3": "healthy/$\\frac{1$ and ^{_",
    "healthy/H4": "healthy/\u202eback\x1b[31m\x00",
    "sick/S1": f"sick/{'very_long_name_' * 20}",
    "sick/S2": "sick/山田太郎 עומר",
    "sick/S3": "sick/\udce4\udcf6 broken",
}


def test_report_page_escapes_names(tmp_path: Path) -> None:
    results = fold_results(name=lambda name: HOSTILE.get(name, name), skill=0.0, problems=("<i>walk</i>: \x1b[2J",))
    page, content = page_of(results, figures=True)
    assert "<script" not in content
    assert "<b>" not in content
    assert "<i>" not in content
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202a-\u202e\ud800-\udfff]", content)
    assert "<script>alert('1')</script>" in page.text
    assert "$\\frac{1$ and ^{_" in page.text
    assert "山田太郎 עומר" in page.text
    svg_texts = [data for tag, data in page.texts if tag == "text"]
    assert max(map(len, svg_texts)) < 70
    for result in results:
        save_result(result, tmp_path)
    lines = write_report(tmp_path, "transformer").lines
    assert all(line.isprintable() for line in lines)
    "\n".join(lines).encode()
    strict(tmp_path / "metrics_transformer_all.json")
    with (tmp_path / "predictions_by_subject_transformer.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.reader(file))) == 25


def test_headline_states_the_metrics() -> None:
    results = fold_results()
    summary = pool_folds(results)
    by_subject = estimate_metrics(Predictions.concatenate([r.evaluation for r in results]), by="subjects")
    accuracy = by_subject["balanced_accuracy"]
    line = headline(summary)
    assert f"balanced accuracy of {accuracy.value:.2f} (95 % CI {accuracy.low:.2f} to {accuracy.high:.2f})" in line
    speed = estimate_metrics(Predictions.concatenate([r.baselines["walking_speed"] for r in results]), by="subjects")
    assert f"walking speed alone reaches {speed['balanced_accuracy'].value:.2f}" in line
    page, _ = page_of(results)
    assert line in page.text
    for name in METRICS:
        assert f"{by_subject[name].value:.2f}" in page.text
    assert "24 subjects were classified (12 controls, 12 patients)" in page.text
    assert "not a diagnosis" in page.text


def test_headline_states_the_auc_at_matched_speed(tmp_path: Path) -> None:
    speeds = {name: 0.36 + 0.001 * k for k, name in enumerate(subject_labels(12, 12))}
    results = fold_results(speeds=speeds)
    matched = pool_folds(results).matched_speed
    assert matched is not None
    line = headline(pool_folds(results))
    auc = f"the ROC AUC is {matched.auc.value:.2f} (95 % CI {matched.auc.low:.2f} to {matched.auc.high:.2f})"
    assert f"At matched walking speed ({matched.num_pairs} pairs of a patient and a control within 0.03" in line
    assert f"{auc}; the speed alone has {matched.speed_alone.value:.2f}" in line
    assert line in page_of(results)[0].text
    for result in results:
        save_result(result, tmp_path)
    write_report(tmp_path, "transformer")
    assert strict(tmp_path / "metrics_transformer_all.json")["matched_speed"]["num_pairs"] == matched.num_pairs
    far = fold_results(speeds={name: (0.2 if is_sick else 0.4) for name, is_sick in subject_labels(12, 12).items()})
    assert "At matched walking speed the ROC AUC is undefined: 0 pairs of a patient" in headline(pool_folds(far))
    assert pool_folds(fold_results(speeds=dict.fromkeys(speeds))).matched_speed is None


def test_report_page_states_that_folds_are_missing() -> None:
    page, _ = page_of(fold_results()[1:2])
    assert "only fold 1 of 3" in page.text
    assert "These results are of fold 1 alone, one of 3: 8 subjects of 24 were classified" in page.text
    partial, _ = page_of(fold_results()[1:])
    assert "Only folds 1, 2 of 3 are trained: 16 subjects of 24 were classified" in partial.text


def test_report_page_lists_the_test_subjects_of_each_fold(written: Path) -> None:
    content = (written / "report_transformer.html").read_text(encoding="utf-8")
    for result in fold_results():
        part = content[content.index(f"<h3>Fold {result.fold.index}</h3>") :].split("<h3>")[1]
        assert all(re.search(rf"\b{name.split('/')[1]}\b", part) for name in result.fold.evaluation)


def test_report_page_states_timeout_and_chosen_epoch() -> None:
    labels = subject_labels(6, 6)
    held = ("healthy/H1", "sick/S1")
    curve = tuple(epoch | {"validation": epoch["train"]} for epoch in epochs(3))
    fold = Fold(0, 2, tuple(sorted(labels))[:8], tuple(sorted(labels))[8:])
    page, _ = page_of([fold_result(fold, labels, validation=held, chosen_epoch=1, timed_out=True, epochs=curve)])
    assert "--timeout ended the training early in fold 0" in page.text
    assert "The epoch was chosen on a validation set of training subjects" in page.text
    assert "epoch 2 is used" in page.text
    assert "Validation set, to choose the epoch" in page.text
    assert "Validation set" in page.text
    plain, _ = page_of(fold_results())
    assert "The network of the last epoch is used" in plain.text


def test_loss_figure_axes_contain_all_losses() -> None:
    figures = dict.fromkeys(("accuracy", "precision", "recall", "specificity", "f1"), 0.5)
    rising = tuple(
        {"train": {"loss": 0.6, **figures}, "eval": {"loss": 0.6 + 2 * k, **figures}, "seconds": 1.0} for k in range(3)
    )
    training, evaluation = draw_figures(pool_folds(fold_results(epochs=rising)))["loss"].fig.axes
    assert evaluation.get_ylim()[1] > 4.6
    assert training.get_ylim() == evaluation.get_ylim()
    assert training.get_ylim()[0] == 0


def test_report_page_states_a_missing_confounder_check() -> None:
    page, _ = page_of(fold_results(confounder_check={}))
    assert "It was not run." in page.text


# Comparison with baselines


def comparison_text(network: float, baseline: float, subjects: int = 20) -> str:
    labels = subject_labels(subjects, subjects)
    fold = Fold(0, 2, ("healthy/X", "sick/X"), tuple(sorted(labels)))
    predictions = {name: predicted(fold.evaluation, labels, skill, seed=5) for name, skill in
              (("network", network), ("gait_features", baseline))}  # fmt: skip
    baselines = {"gait_features": predictions["gait_features"]}
    result = fold_result(fold, labels, evaluation=predictions["network"], baselines=baselines)
    return " ".join(compare_with_baselines(pool_folds([result])))


def test_compare_with_baselines_names_baselines_that_are_not_outperformed() -> None:
    assert "The network is better than gait features (+0." in comparison_text(3.0, 0.0)
    assert "The network is worse than gait features (−0." in comparison_text(0.0, 3.0)
    assert "The network is not better than gait features (0.00, 0.00 to 0.00)" in comparison_text(3.0, 3.0)
    assert "The network scores higher than gait features" in comparison_text(1.0, 0.7, subjects=8)


def test_prior_baseline_is_at_chance_within_unequal_folds() -> None:
    results = fold_results(13, 12, 5)
    for result in results:
        fraction = float(np.mean([result.sick[name] for name in result.fold.training]))
        result.baselines["prior_baseline"] = constant(result.evaluation, fraction)
    metrics = all_metrics(pool_folds(results))["baselines"]["prior_baseline"]
    for view in ("windows", "subjects"):
        assert metrics[view]["roc_auc_within_folds"] == {"value": 0.5, "low": 0.5, "high": 0.5}
        assert metrics[view]["roc_auc_pooled"]["value"] < 0.45
    page, _ = page_of(results)
    assert "of the same fold" in page.text
    assert "it can fall below chance" in page.text
    alone, _ = page_of(results[:1])
    assert "ROC AUC, pooled" not in alone.text


def test_report_page_marks_the_best_baseline() -> None:
    summary = pool_folds(fold_results())
    assert summary.best_baseline is not None
    highest = max(summary.baselines, key=lambda classifier: classifier.subject_metrics["balanced_accuracy"].value)
    assert summary.best_baseline.name == highest.name
    _, content = page_of(fold_results())
    marked = re.findall(r"<th scope=\"col\">([^<]*) <small class=\"best\">", content)
    assert marked == ["Gait features", "Gait features"]
    assert highest.name == "gait_features"


# Odd cohorts


@pytest.mark.parametrize(("healthy", "sick"), [(0, 4), (4, 0), (1, 1), (1, 5), (70, 60)], ids=lambda count: str(count))
def test_write_report_of_unusual_cohorts(tmp_path: Path, healthy: int, sick: int) -> None:
    labels = subject_labels(healthy, sick)
    fold = Fold(0, 2, ("healthy/X", "sick/X"), tuple(sorted(labels)))
    save_result(fold_result(fold, labels, epochs=epochs(1)), tmp_path)
    report = write_report(tmp_path, "transformer")
    page = Page(report.page.read_text(encoding="utf-8"))
    assert page.headings == SECTIONS
    assert "nan" not in page.text.lower().split()
    metrics = strict(tmp_path / "metrics_transformer_fold0.json")
    one_label = not healthy or not sick
    assert (metrics["subjects"]["roc_auc_within_folds"]["value"] is None) == one_label
    assert ("roc" in page.figures) != one_label
    if one_label:
        assert f"all {healthy + sick} subjects classified here are" in headline(
            pool_folds(read_results(tmp_path, "transformer")[0])
        )
    if min(healthy, sick) == 1:
        assert metrics["subjects"]["roc_auc_within_folds"]["low"] is None
        assert "no CI" in page.text
        assert "The band is" not in page.text


def test_write_report_without_predictions_and_epochs(tmp_path: Path) -> None:
    labels = subject_labels(4, 4)
    fold = Fold(0, 2, tuple(sorted(labels))[:6], tuple(sorted(labels))[6:])
    no_predictions = predicted(fold.evaluation, labels, 1.0, windows=0)
    baselines = {"prior_baseline": constant(no_predictions, 0.5)}
    result = fold_result(
        fold, labels, evaluation=no_predictions, baselines=baselines, epochs=(), chosen_epoch=0, timed_out=True
    )
    save_result(result, tmp_path)
    report = write_report(tmp_path, "transformer")
    page = Page(report.page.read_text(encoding="utf-8"))
    assert "No subject could be classified" in page.text
    assert "Not classified, because no window of their trials is left: sick/S3, sick/S4." in page.text
    assert page.figures == []
    metrics = strict(tmp_path / "metrics_transformer_all.json")
    assert metrics["epochs"] == 0
    assert metrics["subjects"]["brier"] == {"value": None, "low": None, "high": None}


def test_subjects_figure_omits_many_names_and_the_page_lists_misclassified_ones() -> None:
    labels = subject_labels(90, 90)
    fold = Fold(0, 2, ("healthy/X", "sick/X"), tuple(sorted(labels)))
    page, _ = page_of([fold_result(fold, labels, skill=1.0)], figures=True)
    in_figures = " ".join(data for tag, data in page.texts if tag == "text")
    assert "healthy/H1" not in in_figures
    assert "180 subjects, sorted" in in_figures
    assert re.search(r"Misclassified subjects.*(healthy/H|sick/S)\d+ \((control|patient), ", page.text)


# Metrics as JSON


ORIGINAL_KEYS = {
    "seed": 7, "positive_ratio_used": False, "learning_rate": 1e-4, "interval_length": 128, "batch_size": 64,
    "pfe_dimension": 64, "fc_dimension": 32, "feat_head": 2, "fc_head": 4,
}  # fmt: skip
EPOCH_METRICS = {"loss", "accuracy", "precision", "recall", "specificity", "f1"}


def test_metrics_json_has_original_and_new_keys(written: Path) -> None:
    for index, result in enumerate(fold_results()):
        metrics = strict(written / f"metrics_transformer_fold{index}.json")
        assert {key: metrics[key] for key in ORIGINAL_KEYS} == ORIGINAL_KEYS
        assert metrics["crossid"] == index
        assert metrics["epochs"] == 3
        for epoch in range(3):
            assert metrics[str(epoch)].keys() == {"eval", "train"}
            for kind in ("eval", "train"):
                assert metrics[str(epoch)][kind].keys() == EPOCH_METRICS
                assert metrics[str(epoch)][kind]["loss"] == result.epochs[epoch][kind]["loss"]
        for view in ("windows", "subjects"):
            expected = estimate_metrics(result.evaluation, by=view)
            assert {name: metrics[view][name] for name in METRICS} == to_strict_json(expected)
            assert metrics["baselines"]["walking_speed"][view].keys() == set(METRICS)
        assert metrics["baselines"]["minirocket"] == {"missing": "MiniRocket needs aeon, which is not installed."}
        assert metrics["confounder_check"]["confounded"] is False
        assert metrics["fold"]["evaluation"] == list(result.fold.evaluation)
    together = strict(written / "metrics_transformer_all.json")
    assert together["crossid"] == [0, 1, 2]
    losses = [result.epochs[2]["eval"]["loss"] for result in fold_results()]
    assert together["2"]["eval"]["loss"] == pytest.approx(np.mean(losses))
    joined = Predictions.concatenate([result.evaluation for result in fold_results()])
    expected = estimate_metrics(joined, by="subjects")["roc_auc_within_folds"]
    assert together["subjects"]["roc_auc_within_folds"] == to_strict_json(expected)


def test_fold_metrics_of_an_mlp_has_layers() -> None:
    windows = {"interval_size": 128, "stride": 8, "frame_rate": 100.0, "seed": 0}
    (result, *_) = fold_results(network="mlp", arguments={"pfe_layers": [8, 4], "fc_layers": [6], "lr": 0.1, **windows})
    metrics = fold_metrics(pool_folds([result]))
    assert (metrics["pfe_layers"], metrics["fc_layers"]) == ([8, 4], [6])
    assert "pfe_dimension" not in metrics


def test_metrics_json_writes_undefined_values_as_null() -> None:
    results = fold_results(epochs=epochs(1, undefined=True))
    for metrics in (fold_metrics(pool_folds(results[:1])), all_metrics(pool_folds(results))):
        assert json.loads(json.dumps(metrics, allow_nan=False))["0"]["eval"]["precision"] is None


def test_predictions_by_subject_table_has_each_classifier(written: Path) -> None:
    with (written / "predictions_by_subject_transformer.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["subject"]: row for row in csv.DictReader(file)}
    assert list(rows)[:3] == ["healthy/H1", "healthy/H2", "healthy/H3"]
    assert list(rows)[9] == "healthy/H10"
    for result in fold_results():
        said = result.evaluation.by_subject()
        for name, sick, probability in zip(said.subjects, said.sick, said.probability, strict=True):
            row = rows[name]
            assert float(row["probability_transformer"]) == pytest.approx(probability, abs=1e-4)
            assert int(row["fold"]) == result.fold.index
            assert (row["sick"], row["correct"]) == (str(int(sick)), str(int((probability >= 0.5) == sick)))


# TensorBoard


def test_tensorboard_logger_writes_every_epoch(tmp_path: Path) -> None:
    curve = epochs(3, undefined=True)
    with TensorBoardLogger(tmp_path, "mlp", 2) as board:
        for index, epoch in enumerate(curve):
            board.epoch(index, epoch)
    found = scalars(tmp_path / "tensorboard_mlp" / "fold2")
    assert set(found) == {
        f"{kind} {name}/epoch"
        for kind in ("Train", "Eval")
        for name in ("Loss", "Accuracy", "Recall", "Specificity", "F1")  # the precision is not defined
    }
    for tag, kind, name in (("Train Loss", "train", "loss"), ("Eval Accuracy", "eval", "accuracy")):
        assert [step for step, _ in found[f"{tag}/epoch"]] == [0, 1, 2]
        assert [value for _, value in found[f"{tag}/epoch"]] == pytest.approx([epoch[kind][name] for epoch in curve])


def test_tensorboard_logger_of_a_resumed_training_has_each_epoch_once(tmp_path: Path) -> None:
    curve = epochs(4)
    with TensorBoardLogger(tmp_path, "mlp", 0) as board:
        for index in range(3):  # killed after the third, resumed from the second
            board.epoch(index, curve[index])
    (old,) = (tmp_path / "tensorboard_mlp" / "fold0").iterdir()
    old.rename(old.with_name("events.out.tfevents.1.earlier"))  # the name holds the second, which may be the same now
    with TensorBoardLogger(tmp_path, "mlp", 0, past_epochs=curve[:2]) as board:
        for index in (2, 3):
            board.epoch(index, curve[index])
    found = scalars(tmp_path / "tensorboard_mlp" / "fold0")["Train Loss/epoch"]
    assert [step for step, _ in found] == [0, 1, 2, 3]


def test_write_summary_logs_final_metrics_and_figures(written: Path) -> None:
    folder = written / "tensorboard_transformer" / "summary"
    summary = pool_folds(fold_results())
    found = scalars(folder)
    for classifier in summary.classifiers:
        ((_, value),) = found[f"Subjects ROC AUC/{classifier.name}"]
        assert value == pytest.approx(classifier.subject_metrics["roc_auc_within_folds"].value)
    drawn = {}
    for event in events(folder):
        for value in event.summary.value:
            if value.HasField("image"):
                drawn[value.tag] = Image.open(io.BytesIO(value.image.encoded_image_string))
    assert drawn.keys() == {"comparison", "roc", "confusion", "calibration", "loss", "subjects"}
    for name, image in drawn.items():
        grey = np.asarray(image.convert("L"))
        assert grey.shape[0] > 100, name
        assert grey.max() == 255, name  # white paper
        assert grey.min() < 90, name  # and ink


# Figures


def test_confusion_figure_counts_subjects() -> None:
    summary = pool_folds(fold_results(skill=1.0))
    said = summary.network.subject_predictions
    healthy = int((~said.sick & (said.probability < 0.5)).sum())
    sick = int((said.sick & (said.probability >= 0.5)).sum())
    assert draw_figures(summary)["confusion"].alt_text == (
        f"Of 12 controls {healthy} were classified as healthy; of 12 patients {sick} were classified as sick."
    )


def test_spread_labels_shifts_crowded_labels() -> None:
    placed = spread_labels([0.0, 0.01, 0.02, 0.5, 0.9, 0.95], 0.1)
    assert np.diff(placed).min() >= 0.1 - 1e-9
    assert placed[1] == pytest.approx(0.01)
    assert placed[3] == 0.5
    assert np.mean(placed[:3]) == pytest.approx(0.01)
    assert spread_labels([], 0.1) == []


def test_limitations_name_unclassified_subjects() -> None:
    labels = subject_labels(11, 11)
    fold = Fold(0, 2, ("healthy/X", "sick/X"), tuple(sorted(labels)))
    all_but_two = predicted(tuple(sorted(labels))[:-2], labels, 1.0)
    lines = limitations(pool_folds([fold_result(fold, labels, evaluation=all_but_two, baselines={})]))
    assert any("Not classified" in line and "sick/S8, sick/S9" in line for line in lines)
