"""The benchmark of the demo: its flags are those of the demo, and a run in miniature."""

import re

from tests.helpers.paths import REPOSITORY


def test_flags_are_those_of_setup_sh(module):
    demo = module("demo")
    words = " ".join((REPOSITORY / "setup.sh").read_text(encoding="utf-8").replace("\\\n", " ").split())
    for flags in (demo.TRAINING, *demo.FLAGS.values()):
        for flag in re.findall(r"--\S+(?: (?!--)\S+)*", flags):
            assert re.search(rf"{re.escape(flag)}[ )]", words), flag


def test_demo_quick(run):
    found, *_ = run("demo", "--quick")
    (one,) = found["networks"]["mlp"].values()
    assert (one["patients"], one["controls"]) == (3, 3)
    assert one["of_patients_called_sick"] <= one["patients_called_sick"] <= 3
    assert one["joint_of_the_cause_first"] <= 3
    assert 0 < one["chance"] < 0.3
    assert set(one["by_patient"]) == {"sick/parkinsonian", "sick/parkinsonian_2", "sick/stiff_knee_left"}
