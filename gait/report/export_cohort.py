"""What was pivotal over a whole cohort, as files and a picture, without a screen.

In the folder, for each kind of network that was trained: ``cohort_<network>.png``, ``cohort_<network>.csv`` (group,
percent of the gait cycle, joints) and ``persons_<network>.csv``.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gait.body.skeleton import HEAD_TO_FEET, plain_name
from gait.errors import GaitError
from gait.explaining.attribution_files import csv_cell
from gait.explaining.explain_trial import explain_gait
from gait.explaining.group_attribution import GroupComparison, SubjectAttribution, cohort_view, person_importance
from gait.explaining.methods import METHODS, method_for
from gait.explaining.trained_network import TrainedNetwork, open_network
from gait.files.atomic_write import replacing_file
from gait.kinematics.gait_cycle import PERCENT, gait_cycles
from gait.learning.fold_result import FoldResult, read_results
from gait.motion.dataset import GaitDataset
from gait.motion.dataset_spec import DatasetSpec, sha256_of
from gait.report.cohort_figure import cohort_picture

NETWORKS = ("mlp", "transformer")


@dataclass(frozen=True)
class CohortSettings:
    """Who is explained, and how."""

    trained: Path  # a training's save folder
    poses: Path  # the fit's save folder
    method: str | None  # the network's default if None
    rule: str | None  # of lrp
    stride: int | None  # frames from window to window; by the method's cost if None
    body_file: Path | None = None  # of poses that come without joints
    pose_rate_hz: float | None = None


@dataclass(frozen=True)
class CohortExportResult:
    """What became of it."""

    lines: tuple[str, ...]  # what a person should read
    problems: tuple[str, ...]  # a plain line for each fold that is left out
    notes: tuple[str, ...]  # plain lines on recordings and persons that are left out


def export_cohort(settings: CohortSettings, export: Path) -> CohortExportResult:
    """Explain every person by the network that did not see them, and write the view over all.

    Raises:
        GaitError: nothing trained there, no poses, or a file cannot be written.
    """
    trained = Path(settings.trained)
    if not trained.is_dir():
        raise GaitError(f"{trained}: no such folder; name the one that a training saved in.")
    lines: list[str] = []
    problems: list[str] = []
    notes: list[str] = []
    found = False
    for network in NETWORKS:
        results, unread = read_results(trained, network)
        problems += unread
        if not results:
            continue
        found = True
        try:
            lines += _export_network(network, results, settings, Path(export), problems, notes)
        except GaitError as error:
            problems.append(str(error))
    if not found:
        raise GaitError(
            problems[0]
            if problems
            else f"{trained}: holds no result of a training, result_<network>_fold<k>.npz; name the folder that "
            "train_multi_mlp.py or train_transformer.py saved in."
        )
    if not lines:
        raise GaitError(problems[0])
    return CohortExportResult(tuple(lines), tuple(problems), tuple(dict.fromkeys(notes)))


def _export_network(
    kind: str,
    results: tuple[FoldResult, ...],
    settings: CohortSettings,
    export: Path,
    problems: list[str],
    notes: list[str],
) -> Iterator[str]:
    first = results[0]
    source = DatasetSpec(
        settings.poses, first.frame_rate_hz, first.window_length, settings.body_file, settings.pose_rate_hz
    )
    gaits = source.gaits()
    notes += gaits.problems
    if first.data_sha256 and sha256_of(gaits) != first.data_sha256:
        notes.append(
            f"{settings.poses}: not the poses that the {kind} was trained and judged on; verdicts are of those, "
            "explanations of these."
        )
    persons: list[SubjectAttribution] = []
    method = ""
    signed = False
    for result in results:
        try:
            if not first.asked_the_same(result):
                raise GaitError(f"fold {result.fold.index} of the {kind} was trained with other flags; left out.")
            network = open_network(settings.trained / f"fold{result.fold.index}" / f"{kind}.ckpt")
            method = settings.method or network.methods[0]
            signed = method_for(network.network, method).signed
            persons += _persons(network, method, result, gaits, settings, notes)
        except GaitError as error:
            problems.append(str(error))
    if not persons:
        raise GaitError(problems[-1] if problems else f"{settings.poses}: nobody of the trained folds is there.")
    view = cohort_view(persons)
    right = sum(one.right for one in persons)
    title = f"What was pivotal for the {'MLP' if kind == 'mlp' else kind}, over {len(persons)} persons"
    told = [
        f"{right} of {len(persons)} judged right, each by the network of the fold that did not see them.",
        f"{METHODS[method].title}, mean by joint and phase of the gait cycle: joints of the left side and the trunk "
        "over the left foot's cycle, those of the right side over the right foot's.",
        "What networks looked at is no diagnosis, and few persons show little.",
    ]
    with replacing_file(export / f"cohort_{kind}.png") as partial:
        partial.write_bytes(cohort_picture(view, signed, title, told))
    _write_groups(export / f"cohort_{kind}.csv", view)
    _write_persons(export / f"persons_{kind}.csv", view)
    yield f"{title}: {told[0]}"
    for label, one in view.typical.items():
        yield f"the most typical {label} one: {one.person}, probability of sick {one.probability:.2f}"
    yield f"the most doubtful one: {view.doubtful.person}, probability of sick {view.doubtful.probability:.2f}"
    yield f"written: {export / f'cohort_{kind}.png'}"


def _persons(
    network: TrainedNetwork,
    method: str,
    result: FoldResult,
    gaits: GaitDataset,
    settings: CohortSettings,
    notes: list[str],
) -> Iterator[SubjectAttribution]:
    judged = result.evaluation.by_person()
    for person, sick, probability in zip(judged.persons, judged.sick, judged.probability, strict=True):
        cycles = []
        for gait in (gait for gait in gaits.gaits if gait.person == person):
            importance = explain_gait(
                network.network, gait, network.window_length, method,
                baseline=network.mean_window, rule=settings.rule, stride=settings.stride,
            )  # fmt: skip
            cycles.append(gait_cycles(importance.values, gait.joints_m, gait.rate_hz))
        if not cycles:
            notes.append(f"{person}: judged in the training, but not among the poses; left out.")
            continue
        one = person_importance(person, float(probability), result.fold.index, cycles, sick=bool(sick))
        if not one.cycles:
            notes.append(f"{person}: no whole stride is found in the recordings, so that no map counts this person.")
        yield one


def _write_groups(path: Path, view: GroupComparison) -> None:
    with replacing_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["group", "persons", "percent", *map(plain_name, HEAD_TO_FEET)])
        for name, group in view.groups.items():
            for percent in PERCENT:
                cells = [csv_cell(group.importance[percent, joint]) for joint in HEAD_TO_FEET]
                writer.writerow([name, len(group.persons), percent, *cells])


def _write_persons(path: Path, view: GroupComparison) -> None:
    typical = {one.person for one in view.typical.values()}
    with replacing_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["person", "label", "probability of sick", "judged", "fold", "strides", "noted as"])
        for one in view.persons:
            noted = [
                word
                for word, is_so in (("typical", one.person in typical), ("doubtful", one is view.doubtful))
                if is_so
            ]
            writer.writerow(
                [
                    one.person, "sick" if one.sick else "healthy", f"{one.probability:.4f}",
                    "right" if one.right else "wrong", one.fold, one.cycles, " and ".join(noted),
                ]
            )  # fmt: skip
