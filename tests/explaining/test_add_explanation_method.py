"""Add the method of docs/add_explanation_method.md as one new file, and explain a trial by it and by all methods."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gait.explaining.attribution_files import read_explanation
from tests.helpers.checkout import add_example, copy_checkout, run_each_in
from tests.helpers.explanation_cases import write_network
from tests.helpers.motion_cases import stick_figure, write_trial


def test_added_explanation_method_explains_a_trial_alone_and_among_all(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "copy")
    add_example("add_explanation_method.md", checkout)
    write_network(checkout / "mlp.ckpt")
    write_trial(checkout / "poses", "sick/P02/walk1", stick_figure(80))
    command = ["attention_viewer.py", "--network", "mlp.ckpt", "--gait", "poses/sick/P02/walk1", "--stride", "40"]
    command.append("--no_evidence")
    printed, _ = run_each_in(
        checkout,
        [*command, "--method", "smoothgrad", "--export", "alone"],
        [*command, "--all_methods", "--export", "all"],
    )
    assert "SmoothGrad: largest attribution" in printed
    alone, among = (read_explanation(checkout / name / "explanation.npz") for name in ("alone", "all/smoothgrad"))
    assert alone.attribution.settings == {"samples": 8, "noise": 0.01, "stride": 40}
    assert alone.attribution.signed
    np.testing.assert_array_equal(alone.attribution.values, among.attribution.values)
    assert (checkout / "all/gradient_input/explanation.npz").is_file()
