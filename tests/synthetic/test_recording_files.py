"""Synthetic recordings, their ground truth files, simulated marker errors, and cohort files."""

from __future__ import annotations

import json
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from gait.body.body import Body
from gait.body.marker_layout import MarkerLayout
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.capture.read_recording import read_recording
from gait.cohort.cohort_file import read_cohort
from gait.errors import GaitError
from gait.motion.folds import make_folds
from gait.synthetic import (
    NO_ERRORS,
    MeasurementErrors,
    make_cohort,
    make_pathology,
    make_subject,
    make_trial,
    parse_subject_name,
    read_ground_truth,
    write_recording,
    write_recordings,
)
from gait.synthetic.__main__ import main
from gait.synthetic.pathologies import PATHOLOGY_NAMES
from gait.synthetic.virtual_markers import PLUG_IN_GAIT_39, draw_placement_offsets, noise_free_markers, record_markers
from tests.helpers.paths import REPOSITORY

ROOT = REPOSITORY
MODEL = ROOT / "data/SUPR/open_neutral.npz"
pytestmark = pytest.mark.usefixtures("one_thread")


@cache
def body() -> Body:
    return load_body(MODEL)


@cache
def layout() -> MarkerLayout:
    return plug_in_gait_layout(body())


def markers_by_definition(path: Path, frames: list[int]) -> np.ndarray:
    """Compute markers (F, 39, 3) from the full posed mesh of the ground truth, by the layout's definition."""
    truth = read_ground_truth(path)
    own = layout().select(PLUG_IN_GAIT_39)
    full = body().to(dtype=torch.float64)
    pose, place = (torch.as_tensor(a[frames]).double() for a in (truth.poses, truth.translation_m))
    vertices = full(pose, torch.as_tensor(truth.betas).double(), place).vertices.numpy()
    points = np.empty((len(frames), 39, 3))
    for m, (face, bary, distance) in enumerate(zip(own.face, own.barycentric, own.height_above_skin_m, strict=True)):
        a, b, c = (vertices[:, v] for v in full.faces[face])
        normal = np.cross(b - a, c - a)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        points[:, m] = bary[0] * a + bary[1] * b + bary[2] * c + distance * normal
    return points


def test_write_recording_without_errors_equals_the_ground_truth(tmp_path: Path) -> None:
    subject = make_subject(body(), 2)
    path = tmp_path / "subject" / "walk1.c3d"
    trial = make_trial(body(), subject, make_pathology("drop_foot", "right"), seconds=2)
    write_recording(trial, body(), layout(), path, errors=NO_ERRORS, prefix="Subject")
    recording = read_recording(path)
    assert recording.labels == PLUG_IN_GAIT_39
    assert (recording.source_unit, recording.source_up, recording.rate_hz) == ("mm", "+z", 100.0)
    assert recording.visible.all()
    frames = [0, 50, 199]
    assert np.abs(recording.positions_m[frames] - markers_by_definition(path, frames)).max() < 1e-5
    assert [(e.label, e.side) for e in recording.events] == [(e.label, e.side) for e in trial.events]
    assert np.allclose([e.time_s for e in recording.events], [e.time_s for e in trial.events], atol=1e-4)
    truth = read_ground_truth(path)
    assert np.array_equal(truth.poses, trial.ground_truth.poses)
    assert np.array_equal(truth.joints_m, trial.ground_truth.joints_m)
    assert (truth.rate_hz, truth.model_sha256) == (100.0, body().sha256)
    assert str(truth.extra["pathology"]) == "drop_foot"
    assert str(truth.extra["pathology_side"]) == "right"


def test_read_ground_truth_accepts_the_keys_of_earlier_versions(tmp_path: Path) -> None:
    path = tmp_path / "walk1.c3d"
    trial = make_trial(body(), make_subject(body(), 2), make_pathology("drop_foot", "right"), seconds=0.2)
    write_recording(trial, body(), layout(), path)
    file = tmp_path / "walk1_truth.npz"
    expected = read_ground_truth(path)
    former = {
        "pathology": "disorder",
        "pathology_side": "disorder_side",
        "affected_joints": "disorder_joints",
        "downstream_joints": "disorder_carried",
        "subject_seed": "person_seed",
        "trial_seed": "walk_seed",
    }
    with np.load(file) as archive:
        assert former.keys() <= set(archive.files)
        old = {former.get(key, key): archive[key] for key in archive.files}
    np.savez(file, **old)
    found = read_ground_truth(path)
    np.testing.assert_array_equal(found.poses, expected.poses)
    assert found.extra.keys() == expected.extra.keys()
    for key, value in expected.extra.items():
        np.testing.assert_array_equal(found.extra[key], value)


def test_measurement_errors_have_the_requested_sizes(tmp_path: Path) -> None:
    subject = make_subject(body(), 3)
    trial = make_trial(body(), subject, seconds=4)
    path = tmp_path / "walk.c3d"
    write_recording(trial, body(), layout(), path, errors=MeasurementErrors(placement_m=0, technical_along_m=0))
    recording = read_recording(path)
    exact, rotations = noise_free_markers(body(), trial.ground_truth, layout().select(PLUG_IN_GAIT_39))
    noise = (recording.positions_m - exact)[recording.visible]
    assert noise.std() == pytest.approx(0.001, rel=0.05)
    assert 0.008 < 1 - recording.visible.mean() < 0.035
    assert np.isnan(recording.positions_m[~recording.visible]).all()
    # The placement offset is constant in the segment's frame.
    errors = MeasurementErrors(noise_m=0, gap_fraction=0)
    tracks = record_markers(body(), trial.ground_truth, layout(), errors, subject_seed=1, trial_seed=1)
    _, rotations = noise_free_markers(body(), trial.ground_truth, layout())
    exact, _ = noise_free_markers(body(), trial.ground_truth, layout())
    own = np.einsum("tmji,tmj->tmi", rotations[:, tracks.segments], tracks.positions_m - exact)
    assert np.ptp(own, axis=0).max() < 1e-5


def test_draw_placement_offsets_shifts_technical_markers_along_their_segment() -> None:
    random = np.random.default_rng(0)
    betas = np.zeros(body().num_betas)
    errors = MeasurementErrors()
    drawn = np.stack([draw_placement_offsets(body(), betas, layout(), errors, random)[0] for _ in range(40)])
    anatomical = np.array([kind == "anatomical" for kind in layout().kinds])
    length = np.linalg.norm(drawn, axis=-1)
    assert length[:, anatomical].mean() == pytest.approx(0.010, rel=0.05)
    shank = layout().labels.index("LTIB")
    assert 0.018 < drawn[:, shank, 1].std() < 0.032
    assert np.abs(drawn[:, shank, 1]).max() < 0.09


def test_placement_offsets_are_the_same_in_all_trials_of_a_subject(tmp_path: Path) -> None:
    subject = make_subject(body(), 4)
    offsets = []
    for seed in (1, 2):
        trial = make_trial(body(), subject, seconds=1.5, seed=seed)
        offsets.append(write_recording(trial, body(), layout(), tmp_path / f"walk{seed}.c3d").offsets_m)
    assert np.array_equal(*offsets)


def test_make_cohort_writes_a_readable_cohort_and_keeps_existing_recordings(tmp_path: Path) -> None:
    path = make_cohort(tmp_path, healthy=1, sick=2, num_trials=1, body=body(), seed=3)
    subjects = read_cohort(path)
    assert [s.name for s in subjects] == ["healthy_1", "parkinsonian_1", "stiff_knee_right_1"]
    assert [s.healthy for s in subjects] == [True, False, False]
    written = [gait for subject in subjects for gait in subject.trials]
    before = [gait.read_bytes() for gait in written]
    for gait in written:
        assert 390 <= read_recording(gait).num_frames <= 510
        assert read_ground_truth(gait).num_frames == read_recording(gait).num_frames
    assert list(write_recordings(path, body=body(), seed=3)) == []
    assert list(write_recordings(path, body=body(), seed=3, overwrite=True)) == written
    assert [gait.read_bytes() for gait in written] == before


def test_parse_subject_name_gives_renamed_pathologies_their_former_subjects() -> None:
    for new, former in (
        ("antalgic_left_1", "stance_avoidance_left_1"),
        ("duchenne_trendelenburg_right", "trunk_lean_right"),
    ):
        subject, same = parse_subject_name(new, seed=3), parse_subject_name(former, seed=3)
        assert subject.seed == same.seed == zlib.crc32(f"3/{former}".encode())
        assert subject.pathology == same.pathology
        assert (subject.name, same.name) == (new, former)


def test_example_cohort_has_twelve_healthy_subjects_and_every_pathology_twice() -> None:
    content = json.loads((ROOT / "example_cohort.json").read_text(encoding="utf-8"))
    subjects = read_cohort(ROOT / "example_cohort.json")
    assert sum(s.healthy for s in subjects) == 12
    sick = [parse_subject_name(s.name).pathology for s in subjects if not s.healthy]
    assert sorted(what.name for what in sick if what) == sorted(2 * PATHOLOGY_NAMES)
    for name, entry in content.items():
        assert entry["trials"] == [f"example_recordings/{name}/walk1.c3d"]
        assert (entry["model_file"], entry["constrained_model"]) == ("open_neutral.npz", False)
        assert "marker_layout_file" not in entry
        assert entry["healthy"] == name.startswith("healthy")


def test_two_example_subjects_of_a_pathology_are_in_different_folds_of_the_demo() -> None:
    healthy = {subject.name: subject.healthy for subject in read_cohort(ROOT / "example_cohort.json")}
    folds = make_folds({f"{'healthy' if ok else 'sick'}/{name}": not ok for name, ok in healthy.items()}, 3)
    for fold in folds:
        known = [parse_subject_name(name.partition("/")[2]).pathology for name in fold.training]
        assert {one.name for one in known if one} == set(PATHOLOGY_NAMES), "each network has seen every pathology"


def test_main_writes_missing_recordings_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cohort = tmp_path / "cohort.json"
    cohort.write_text(json.dumps({"crouch_2": {"trials": ["r/crouch_2/walk1.c3d"], "healthy": False}}))
    arguments = ["--cohort", str(cohort), "--model_folder", str(ROOT / "data")]
    assert main(arguments) == 0
    assert "1 recordings" in capsys.readouterr().out
    assert (tmp_path / "r/crouch_2/walk1_truth.npz").exists()
    assert main(arguments) == 0
    assert "0 recordings" in capsys.readouterr().out
    cohort.write_text(json.dumps({"subject": {"trials": ["a.c3d"], "healthy": True}}))
    assert main(arguments) == 2
    assert "subject" in capsys.readouterr().err


def test_read_ground_truth_reports_a_missing_or_damaged_file(tmp_path: Path) -> None:
    with pytest.raises(GaitError, match="no such file"):
        read_ground_truth(tmp_path / "walk1.c3d")
    (tmp_path / "walk1_truth.npz").write_bytes(b"no archive")
    with pytest.raises(GaitError, match="damaged"):
        read_ground_truth(tmp_path / "walk1.c3d")
