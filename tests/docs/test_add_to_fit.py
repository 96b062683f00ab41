"""Add the examples of docs/ of a file format, a marker set and an exporter, each as one new file, and fit with them.

One run fits a recording of that format and one of that marker set, and exports both as the exporter does; the exporter
then runs alone, on the fits.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gait.body.body import Body
from gait.body.marker_placement import plug_in_gait_layout
from gait.capture.read_recording import read_recording
from gait.capture.recording import Recording
from gait.synthetic import make_subject, make_trial
from tests.helpers.checkout import add_example, copy_checkout, run_each_in
from tests.helpers.fitting_cases import write_c3d

PAGES = ("add_file_format.md", "add_marker_set.md", "add_exporter.md")
NAMES = {
    **{"C7": "NAPE", "SHO": "SHTIP_{}", "ASI": "{}SPINA", "PSI": "{}DIMPLE", "THI": "{}WAND", "KNE": "kneeout {}"},
    **{"ANK": "{}MALL", "TOE": "{}BALL", "HEE": "{}CALX"},
}
"""The name of each Plug-in Gait marker in the recording: canonical names and aliases of the added set."""


@pytest.fixture(scope="module")
def recording(open_body: Body, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    trial = make_trial(open_body, make_subject(open_body, 1), None, seconds=0.5, seed=1)
    folder = tmp_path_factory.mktemp("recording")
    return read_recording(write_c3d(folder / "walk1.c3d", open_body, plug_in_gait_layout(open_body), trial))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the package, and add one file per page."""
    folder = copy_checkout(tmp_path_factory.mktemp("copy") / "checkout")
    for page in PAGES:
        add_example(page, folder)
    return folder


@pytest.fixture(scope="module")
def printed(recording: Recording, checkout: Path) -> list[str]:
    """Fit the recording twice, in the added format and by markers of the added set, and export both again.

    Return what the fit and the exporter print, and the message on a file that no format reads.
    """
    lines = [",".join(f"{label}.{axis}" for label in recording.labels for axis in "xyz")]
    for frame in 1000 * recording.positions_m.reshape(recording.num_frames, -1):
        lines.append(",".join("" if np.isnan(value) else f"{value:.3f}" for value in frame))
    (checkout / "walk1.csv").write_text("\n".join(lines), encoding="utf-8")

    named = {
        name.format(label[0]): recording.positions_m[:, m]
        for m, label in enumerate(recording.labels)
        if (name := NAMES.get(label, NAMES.get(label[1:])))
    }
    assert len(named) == 17
    frames = {
        str(t): {name: p[t].tolist() for name, p in named.items() if np.isfinite(p[t]).all()}
        for t in range(recording.num_frames)
    }
    (checkout / "walk2.json").write_text(json.dumps({"Frames": frames, "framerate": 100}), encoding="utf-8")

    cohort = {name: {"trials": [file], "healthy": True} for name, file in (("P1", "walk1.csv"), ("P2", "walk2.json"))}
    (checkout / "cohort.json").write_text(json.dumps(cohort), encoding="utf-8")
    (checkout / "refuse.py").write_text(
        "import gait\ntry: gait.read_recording('a.xyz')\nexcept Exception as error: print(error)\n"
    )
    words = ["--cohort", "cohort.json", "--model_folder", "data", "--save_folder", "out", "--no_pictures"]
    return run_each_in(
        checkout,
        ["shape_optimizer.py", *words, "--workers", 1, "--export_as", "residuals_tsv"],
        ["-m", "gait.exporting", "residuals_tsv", "out", "--output", "later"],
        ["refuse.py"],
    )


def test_added_file_format_is_read_and_fitted(checkout: Path, printed: list[str]) -> None:
    report = json.loads((checkout / "out/healthy/P1/walk1/fit_report.json").read_text())
    assert report["residual_mm"]["mean"] < 5
    assert "CSV (.csv)" in printed[2]


@pytest.mark.usefixtures("printed")
def test_added_marker_set_is_read_placed_and_fitted(checkout: Path) -> None:
    report = json.loads((checkout / "out/healthy/P2/walk2/fit_report.json").read_text())
    assert set(report["markers"]) == {
        "NAPE",
        *(side + name for side in "LR" for name in ("TIP", "SPINA", "DIMPLE", "WAND", "GENU", "MALL", "BALL", "CALX")),
    }
    assert report["markers"]["LWAND"]["kind"] == "technical"
    assert report["residual_mm"]["mean"] < 5
    assert "Walk Lab" in report["layout"]
    assert any("heights of the named markers" in note for note in report["notes"])


@pytest.mark.usefixtures("printed")
def test_added_exporter_runs_with_the_fit_and_after_it(checkout: Path) -> None:
    during = checkout / "out/healthy/P1/walk1/walk1_residuals.tsv"
    lines = dict(line.split("\t") for line in during.read_text(encoding="utf-8").splitlines())
    assert 0 < float(lines["LASI"]) < 30
    later = checkout / "later/healthy/P1/walk1/walk1_residuals.tsv"
    assert later.read_bytes() == during.read_bytes()
