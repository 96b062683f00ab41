"""Add the network of docs/add_network.md as one new file, train it, and explain a trial by it."""

import csv

import numpy as np

from gait.body.skeleton import BODY_JOINTS
from tests.helpers.checkout import add_example, copy_checkout, run_each_in
from tests.helpers.motion_cases import stick_figure, write_trial

METHODS = ("integrated_gradients", "lrp")


def test_added_network_is_trained_reported_and_explained(tmp_path):
    checkout = copy_checkout(tmp_path / "copy")
    add_example("add_network.md", checkout)
    poses, trained = checkout / "poses", checkout / "trained"
    for number in range(3):
        for label, lean in (("healthy", 5), ("sick", 20)):
            write_trial(poses, f"{label}/P{number}/walk1", stick_figure(40, lean_deg=lean, phase=number))

    words = ["--base_folder", poses, "--save_folder", trained, "--interval_size", 8, "--k_folds", 3, "--width", 3]
    explain = ["attention_viewer.py", "--network", trained / "fold0/toy.ckpt", "--gait", poses / "sick/P0/walk1"]
    about, printed, *_ = run_each_in(
        checkout,
        ["-m", "gait.learning", "--help"],
        ["-m", "gait.learning", "toy", *words],
        *([*explain, "--export", method, "--method", method] for method in METHODS),
    )
    assert "toy: The toy network weights each joint" in about
    assert "trained/fold0/toy.ckpt" in printed
    assert "Toy network" in (trained / "report_toy.html").read_text(encoding="utf-8")
    values = []
    for method in METHODS:
        (table,) = (checkout / method).rglob("explanation*.csv")
        with table.open(encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        values.append(np.array([[row[joint.name.lower()] for joint in BODY_JOINTS] for row in rows], dtype=float))
    assert values[0].shape == values[1].shape
    assert np.abs(values[1]).max() > 0
