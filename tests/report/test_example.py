"""The example of a finished run: which trial and network the viewer opens if none is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gait.explaining.cohort_paths import cohort_files
from gait.motion.pose_files import POSES_FILE
from gait.report.run.example import Example, find_example, walk_page_file

HEAD = "subject,label,probability_sick,correct,fold,num_strides,role"
PATIENT = "sick/P2,sick,0.9000,1,1,11,representative most_uncertain"


def write_run(folder: Path, *rows: str, kind: str = "mlp") -> Path:
    for subject in ("healthy/P1", "sick/P2"):
        for trial in ("walk10", "walk2"):
            path = folder / "optimized_poses" / subject / trial
            path.mkdir(parents=True, exist_ok=True)
            (path / POSES_FILE).touch()
    network = folder / f"trained_{kind}" / "fold1" / f"{kind}.ckpt"
    network.parent.mkdir(parents=True)
    network.touch()
    cohort_files(folder, kind)[2].write_text("\n".join([HEAD, *rows]), encoding="utf-8")
    return folder


def test_the_representative_patient_and_its_network_are_found(tmp_path: Path) -> None:
    run = write_run(tmp_path, "healthy/P1,healthy,0.1,1,0,9,representative", PATIENT)
    expected = Example(run / "optimized_poses/sick/P2/walk2", run / "trained_mlp/fold1/mlp.ckpt")
    assert find_example(run) == expected
    shutil.rmtree(run / "trained_mlp")
    assert find_example(run) is None, "its network is gone"
    write_run(run, PATIENT, kind="transformer")
    found = find_example(run)
    assert found is not None
    assert found.network == run / "trained_transformer/fold1/transformer.ckpt"


def test_the_clearest_of_the_explained_patients_is_preferred(tmp_path: Path) -> None:
    rows = (PATIENT.replace("P2", "P1"), PATIENT.replace("0.9000", "0.7").replace("representative", ""))
    run = write_run(tmp_path, *rows)
    (run / "optimized_poses/healthy/P1").rename(run / "optimized_poses/sick/P1")
    network = run / "trained_mlp/fold1/mlp.ckpt"
    assert find_example(run) == Example(run / "optimized_poses/sick/P1/walk2", network)
    walk_page_file(run, "P2").touch()
    assert find_example(run) == Example(run / "optimized_poses/sick/P2/walk2", network)
    walk_page_file(run, "P1").touch()
    assert find_example(run) == Example(run / "optimized_poses/sick/P1/walk2", network)


@pytest.mark.parametrize("rows", [(), ("sick/P2",), (PATIENT.replace("P2", "P9"),), (PATIENT.replace("1,11", "x,11"),)])
def test_an_unfinished_or_damaged_run_has_no_example(tmp_path: Path, rows: tuple[str, ...]) -> None:
    assert find_example(tmp_path) is None
    assert find_example(write_run(tmp_path, *rows)) is None
