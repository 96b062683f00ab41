"""Synthetic recordings: what is written is what was walked, as a laboratory's file, and the cohort fits the format."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from gait.body.body import Body
from gait.body.marker_layout import MarkerLayout
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.capture import read_cohort, read_recording
from gait.errors import GaitError
from gait.synthetic import (
    NO_ERRORS,
    MarkerErrors,
    disorder,
    make_cohort,
    make_person,
    make_walk,
    read_truth,
    walker,
    write_recordings,
    write_walk,
)
from gait.synthetic.__main__ import main
from gait.synthetic.virtual_markers import PLUG_IN_GAIT_39, exact_markers, placement_offsets, record_markers
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


def slow_markers(path: Path, frames: list[int]) -> np.ndarray:
    """(F, 39, 3) from the full posed mesh of the truth beside a recording, by the layout's definition."""
    truth = read_truth(path)
    own = layout().select(PLUG_IN_GAIT_39)
    full = body().to(dtype=torch.float64)
    pose, place = (torch.as_tensor(a[frames]).double() for a in (truth.poses, truth.translation_m))
    vertices = full(pose, torch.as_tensor(truth.betas).double(), place).vertices.numpy()
    points = np.empty((len(frames), 39, 3))
    for m, (face, bary, distance) in enumerate(zip(own.face, own.bary, own.distance_m, strict=True)):
        a, b, c = (vertices[:, v] for v in full.faces[face])
        normal = np.cross(b - a, c - a)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        points[:, m] = bary[0] * a + bary[1] * b + bary[2] * c + distance * normal
    return points


def test_without_errors_the_recording_is_the_truth(tmp_path: Path) -> None:
    person = make_person(body(), 2)
    path = tmp_path / "somebody" / "walk1.c3d"
    walk = make_walk(body(), person, disorder("drop_foot", "right"), seconds=2)
    write_walk(walk, body(), layout(), path, errors=NO_ERRORS, prefix="Subject")
    recording = read_recording(path)
    assert recording.labels == PLUG_IN_GAIT_39
    assert (recording.source_unit, recording.source_up, recording.rate_hz) == ("mm", "+z", 100.0)
    assert recording.visible.all()
    frames = [0, 50, 199]
    assert np.abs(recording.positions_m[frames] - slow_markers(path, frames)).max() < 1e-5
    assert [(e.label, e.side) for e in recording.events] == [(e.label, e.side) for e in walk.events]
    assert np.allclose([e.time_s for e in recording.events], [e.time_s for e in walk.events], atol=1e-4)
    truth = read_truth(path)
    assert np.array_equal(truth.poses, walk.truth.poses)
    assert np.array_equal(truth.joints_m, walk.truth.joints_m)
    assert (truth.rate_hz, truth.model_sha256) == (100.0, body().sha256)
    assert str(truth.extra["disorder"]) == "drop_foot"
    assert str(truth.extra["disorder_side"]) == "right"


def test_errors_have_the_size_they_are_said_to_have(tmp_path: Path) -> None:
    person = make_person(body(), 3)
    walk = make_walk(body(), person, seconds=4)
    path = tmp_path / "walk.c3d"
    write_walk(walk, body(), layout(), path, errors=MarkerErrors(placement_m=0, technical_along_m=0))
    recording = read_recording(path)
    exact, rotations = exact_markers(body(), walk.truth, layout().select(PLUG_IN_GAIT_39))
    noise = (recording.positions_m - exact)[recording.visible]
    assert noise.std() == pytest.approx(0.001, rel=0.05)
    assert 0.008 < 1 - recording.visible.mean() < 0.035
    assert np.isnan(recording.positions_m[~recording.visible]).all()
    # Constant in its segment: the same offset in every frame.
    errors = MarkerErrors(noise_m=0, gap_share=0)
    tracks = record_markers(body(), walk.truth, layout(), errors, person_seed=1, walk_seed=1)
    _, rotations = exact_markers(body(), walk.truth, layout())
    exact, _ = exact_markers(body(), walk.truth, layout())
    own = np.einsum("tmji,tmj->tmi", rotations[:, tracks.segments], tracks.positions_m - exact)
    assert np.ptp(own, axis=0).max() < 1e-5


def test_placement_error_lies_in_the_skin_and_along_the_segment() -> None:
    random = np.random.default_rng(0)
    betas = np.zeros(body().num_betas)
    errors = MarkerErrors()
    drawn = np.stack([placement_offsets(body(), betas, layout(), errors, random)[0] for _ in range(40)])
    anatomical = np.array([kind == "anatomical" for kind in layout().kinds])
    length = np.linalg.norm(drawn, axis=-1)
    assert length[:, anatomical].mean() == pytest.approx(0.010, rel=0.05)
    shank = layout().labels.index("LTIB")
    assert 0.018 < drawn[:, shank, 1].std() < 0.032
    assert np.abs(drawn[:, shank, 1]).max() < 0.09


def test_one_persons_markers_sit_alike_in_all_walks(tmp_path: Path) -> None:
    person = make_person(body(), 4)
    offsets = []
    for seed in (1, 2):
        walk = make_walk(body(), person, seconds=1.5, seed=seed)
        offsets.append(write_walk(walk, body(), layout(), tmp_path / f"walk{seed}.c3d").offsets_m)
    assert np.array_equal(*offsets)


def test_cohort_is_written_read_and_kept(tmp_path: Path) -> None:
    path = make_cohort(tmp_path, healthy=1, ill=2, walks=1, body=body(), seed=3)
    subjects = read_cohort(path)
    assert [s.name for s in subjects] == ["healthy_1", "parkinsonian_1", "stiff_knee_right_1"]
    assert [s.healthy for s in subjects] == [True, False, False]
    written = [gait for subject in subjects for gait in subject.gaits]
    before = [gait.read_bytes() for gait in written]
    for gait in written:
        assert 390 <= read_recording(gait).frames <= 510
        assert read_truth(gait).frames == read_recording(gait).frames
    assert list(write_recordings(path, body=body(), seed=3)) == []
    assert list(write_recordings(path, body=body(), seed=3, overwrite=True)) == written
    assert [gait.read_bytes() for gait in written] == before


def test_example_cohort_names_six_healthy_and_every_disorder_once() -> None:
    content = json.loads((ROOT / "example_cohort.json").read_text(encoding="utf-8"))
    subjects = read_cohort(ROOT / "example_cohort.json")
    assert sum(s.healthy for s in subjects) == 6
    ill = [walker(s.name).disorder for s in subjects if not s.healthy]
    assert sorted(what.name for what in ill if what) == sorted(
        ["parkinsonian", "stiff_knee", "drop_foot", "crouch", "stance_avoidance", "trunk_lean"]
    )
    for name, entry in content.items():
        assert entry["gaits"] == [f"example_recordings/{name}/walk{k}.c3d" for k in (1, 2)]
        assert (entry["model_file"], entry["constrained_model"]) == ("open_neutral.npz", False)
        assert "constraint_file" not in entry
        assert entry["healthy"] == name.startswith("healthy")


def test_command_line_in_miniature(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cohort = tmp_path / "cohort.json"
    cohort.write_text(json.dumps({"crouch_2": {"gaits": ["r/crouch_2/walk1.c3d"], "healthy": False}}))
    arguments = ["--cohort", str(cohort), "--model_folder", str(ROOT / "data")]
    assert main(arguments) == 0
    assert "1 recordings" in capsys.readouterr().out
    assert (tmp_path / "r/crouch_2/walk1_truth.npz").exists()
    assert main(arguments) == 0
    assert "0 recordings" in capsys.readouterr().out
    cohort.write_text(json.dumps({"anybody": {"gaits": ["a.c3d"], "healthy": True}}))
    assert main(arguments) == 2
    assert "anybody" in capsys.readouterr().err


def test_missing_truth_is_one_plain_line(tmp_path: Path) -> None:
    with pytest.raises(GaitError, match="no such file"):
        read_truth(tmp_path / "walk1.c3d")
    (tmp_path / "walk1_truth.npz").write_bytes(b"no archive")
    with pytest.raises(GaitError, match="damaged"):
        read_truth(tmp_path / "walk1.c3d")
