"""TRC files of markers are read back, by a few lines of numpy and by this package's own reader.

OpenSim's reader needs eight fields in the header, and as many fields in each line, one empty field at its end aside.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gait.body.pose_sequence import PoseSequence
from gait.capture.formats.trc import read_trc
from gait.exporting import export_trial_folder
from gait.exporting.__main__ import Arguments, main
from gait.exporting.exporter import NotExportableError
from gait.motion.pose_npz import write_npz
from tests.exporting.conftest import FIRST_FRAME, SavedTrial


def test_markers_are_read_back(walk: SavedTrial, tmp_path: Path) -> None:
    (path,) = export_trial_folder(["trc"], walk.folder, tmp_path)
    assert path.name == "walk1.trc"
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines[1].split("\t")) == len(lines[2].split("\t")) == 8
    assert {len(line.removesuffix("\t").split("\t")) for line in lines[5:]} == {2 + 3 * len(walk.labels)}
    assert tuple(lines[3].split("\t")[2::3]) == walk.labels
    columns = range(2 + 3 * len(walk.labels))
    table = np.genfromtxt(io.StringIO("\n".join(lines[5:])), delimiter="\t", usecols=columns)
    np.testing.assert_array_equal(table[:, 0], FIRST_FRAME + np.arange(walk.sequence.num_frames))
    np.testing.assert_allclose(table[:, 1], np.arange(walk.sequence.num_frames) / walk.sequence.rate_hz, atol=1e-5)
    positions = table[:, 2:].reshape(*walk.observed_m.shape)
    np.testing.assert_allclose(positions, 1e3 * walk.observed_m, atol=0.01)
    found = read_trc(path)
    assert (found.labels, found.unit, found.rate_hz) == (walk.labels, "mm", walk.sequence.rate_hz)
    np.testing.assert_allclose(found.positions, 1e3 * walk.observed_m, atol=0.01)


def test_each_segment_of_a_split_trial_has_its_frames(walk: SavedTrial, tmp_path: Path) -> None:
    T, folder = walk.sequence.num_frames, tmp_path / "walk1"
    parts = {"segment1": slice(0, 100), "segment2": slice(120, T)}
    runs = [[FIRST_FRAME + frames.start, FIRST_FRAME + frames.stop - 1] for frames in parts.values()]
    excluded = [[FIRST_FRAME + 100, FIRST_FRAME + 119]]
    for name, frames in parts.items():
        (folder / name).mkdir(parents=True)
        arrays = ("poses", "translation_m", "joints_m", "joint_status")
        of_part = {key: getattr(walk.sequence, key)[frames] for key in arrays}
        write_npz(folder / name, replace(walk.sequence, first_frame=FIRST_FRAME + frames.start, **of_part))
    report = {"segments": runs, "excluded_frames": excluded}
    (folder / "fit_report.json").write_text(json.dumps(report), encoding="utf-8")
    np.savez(folder / "residuals.npz", labels=walk.labels, observed_m=walk.observed_m, virtual_m=walk.virtual_m)
    for path, frames in zip(export_trial_folder(["trc"], folder), parts.values(), strict=True):
        found = read_trc(path)
        assert found.first_frame == FIRST_FRAME + frames.start
        np.testing.assert_allclose(found.positions, 1e3 * walk.observed_m[frames], atol=0.01)


def test_poses_without_markers_are_refused_in_one_line(
    walk: SavedTrial, poses_only: Callable[[PoseSequence], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = poses_only(walk.sequence)
    with pytest.raises(NotExportableError, match="have no markers; joints_trc has"):
        export_trial_folder(["trc"], folder)
    assert main(Arguments(exporter="trc", folders=(folder,))) == 1
    assert capsys.readouterr().err.startswith(f"{folder}: not exported as trc: ")
