"""Add the file format of docs/add_file_format.md as one new file, and fit a recording of that format."""

import json

import numpy as np

from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.capture import read_recording
from gait.synthetic import make_subject, make_trial
from tests.helpers.checkout import add_example, copy_checkout, run_in
from tests.helpers.fitting_cases import OPEN_BODY, write_c3d


def test_added_file_format_is_read_and_fitted(tmp_path):
    checkout = copy_checkout(tmp_path / "copy")
    add_example("add_file_format.md", checkout)
    body = load_body(OPEN_BODY)
    trial = make_trial(body, make_subject(body, 1), None, seconds=0.5, seed=1)
    recording = read_recording(write_c3d(tmp_path / "walk1.c3d", body, plug_in_gait_layout(body), trial))
    lines = [",".join(f"{label}.{axis}" for label in recording.labels for axis in "xyz")]
    for frame in 1000 * recording.positions_m.reshape(recording.num_frames, -1):
        lines.append(",".join("" if np.isnan(value) else f"{value:.3f}" for value in frame))
    (checkout / "walk1.csv").write_text("\n".join(lines), encoding="utf-8")
    (checkout / "cohort.json").write_text(json.dumps({"P1": {"trials": ["walk1.csv"], "healthy": True}}))

    run_in(checkout, "shape_optimizer.py", "--cohort", "cohort.json", "--model_folder", "data", "--save_folder", "out")
    report = json.loads((checkout / "out/healthy/P1/walk1/fit_report.json").read_text())
    assert report["residual_mm"]["mean"] < 5
    refused = "import gait.capture\ntry: gait.capture.read_recording('a.xyz')\nexcept Exception as error: print(error)"
    assert "CSV (.csv)" in run_in(checkout, "-c", refused).stdout
