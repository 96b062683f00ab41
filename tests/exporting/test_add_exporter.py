"""Add the exporter of docs/add_exporter.md as one new file, and run both commands with it."""

from __future__ import annotations

import json
from pathlib import Path

from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.synthetic import make_subject, make_trial
from tests.helpers.checkout import add_example, copy_checkout, run_in
from tests.helpers.fitting_cases import OPEN_BODY, write_c3d


def test_added_exporter_runs_with_the_fit_and_after_it(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "copy")
    add_example("add_exporter.md", checkout)
    body = load_body(OPEN_BODY)
    trial = make_trial(body, make_subject(body, 1), None, seconds=0.4, seed=1)
    write_c3d(checkout / "walk1.c3d", body, plug_in_gait_layout(body), trial)
    (checkout / "cohort.json").write_text(json.dumps({"P1": {"trials": ["walk1.c3d"], "healthy": True}}))
    run_in(
        checkout, "shape_optimizer.py", "--cohort", "cohort.json", "--model_folder", "data", "--save_folder", "out",
        "--no_pictures", "--export_as", "residuals_tsv",
    )  # fmt: skip
    during = checkout / "out/healthy/P1/walk1/walk1_residuals.tsv"
    lines = dict(line.split("\t") for line in during.read_text(encoding="utf-8").splitlines())
    assert 0 < float(lines["LASI"]) < 30
    run_in(checkout, "-m", "gait.exporting", "residuals_tsv", "out", "--output", "later")
    later = checkout / "later/healthy/P1/walk1/walk1_residuals.tsv"
    assert later.read_bytes() == during.read_bytes()
