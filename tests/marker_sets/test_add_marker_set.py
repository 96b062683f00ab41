"""Add the marker set of docs/add_marker_set.md as one new file, and fit a recording of its markers."""

import json

import numpy as np

from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.capture import read_recording
from gait.synthetic import make_subject, make_trial
from tests.helpers.checkout import add_example, copy_checkout, run_in
from tests.helpers.fitting_cases import OPEN_BODY, write_c3d

NAMES = {
    **{"C7": "NAPE", "SHO": "SHTIP_{}", "ASI": "{}SPINA", "PSI": "{}DIMPLE", "THI": "{}WAND", "KNE": "kneeout {}"},
    **{"ANK": "{}MALL", "TOE": "{}BALL", "HEE": "{}CALX"},
}
"""The name of each Plug-in Gait marker in the recording: canonical names and aliases of the added set."""


def test_added_marker_set_is_read_placed_and_fitted(tmp_path):
    checkout = copy_checkout(tmp_path / "copy")
    add_example("add_marker_set.md", checkout)
    body = load_body(OPEN_BODY)
    trial = make_trial(body, make_subject(body, 1), None, seconds=0.5, seed=1)
    recording = read_recording(write_c3d(tmp_path / "walk1.c3d", body, plug_in_gait_layout(body), trial))
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
    (checkout / "walk1.json").write_text(json.dumps({"Frames": frames, "framerate": 100}), encoding="utf-8")
    (checkout / "cohort.json").write_text(json.dumps({"P1": {"trials": ["walk1.json"], "healthy": True}}))

    run_in(checkout, "shape_optimizer.py", "--cohort", "cohort.json", "--model_folder", "data", "--save_folder", "out")
    report = json.loads((checkout / "out/healthy/P1/walk1/fit_report.json").read_text())
    assert set(report["markers"]) == {
        "NAPE",
        *(side + name for side in "LR" for name in ("TIP", "SPINA", "DIMPLE", "WAND", "GENU", "MALL", "BALL", "CALX")),
    }
    assert report["markers"]["LWAND"]["kind"] == "technical"
    assert report["residual_mm"]["mean"] < 5
    assert "Walk Lab" in report["layout"]
    assert any("heights of the named markers" in note for note in report["notes"])
