import json
from pathlib import Path

import pytest

from gait.cohort.cohort_file import Subject, read_cohort
from gait.errors import GaitError


def write(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "cohort.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_read_cohort(tmp_path):
    path = write(
        tmp_path,
        {
            "S2": {
                "marker_layout_file": "constraints.json",
                "trials": ["a/walk1.c3d", "a/walk2.c3d"],
                "healthy": False,
                "constrained_model": True,
                "model_file": "supr_male.npy",
            },
            "S1": {"trials": ["b/walk1.c3d"], "healthy": True},
        },
    )
    one, two = read_cohort(path)
    assert one == Subject("S1", (Path("b/walk1.c3d"),), True, None, False, "open_neutral.npz")
    trials = (Path("a/walk1.c3d"), Path("a/walk2.c3d"))
    assert two == Subject("S2", trials, False, Path("constraints.json"), True, "supr_male.npy")


OLD_KEYS = {"gaits": "trials", "constraint_file": "marker_layout_file", "person_number": "subject_index"}


def test_read_cohort_with_old_keys(tmp_path):
    entry = {"gaits": ["walk.c3d"], "healthy": False, "constraint_file": "constraints.json", "person_number": 2}
    old = read_cohort(write(tmp_path, {"S1": entry}))
    new = read_cohort(write(tmp_path, {"S1": {OLD_KEYS.get(key, key): value for key, value in entry.items()}}))
    assert old == new == (Subject("S1", (Path("walk.c3d"),), False, Path("constraints.json"), subject_index=2),)


@pytest.mark.parametrize(("old", "new"), OLD_KEYS.items())
def test_read_cohort_refuses_old_and_new_key_together(tmp_path, old, new):
    path = write(tmp_path, {"S1": GOOD | {old: ["a.c3d"], new: ["a.c3d"]}})
    with pytest.raises(GaitError, match=f"has both '{new}' and '{old}', .*; remove '{old}'") as error:
        read_cohort(path)
    assert "\n" not in str(error.value)


def test_read_cohort_resolves_paths_to_working_directory_or_cohort_file(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "work" / "here.c3d").touch()
    (tmp_path / "data" / "here.c3d").touch()
    (tmp_path / "data" / "beside.c3d").touch()
    monkeypatch.chdir(tmp_path / "work")
    path = write(tmp_path / "data", {"S": {"trials": ["here.c3d", "beside.c3d", "nowhere.c3d"], "healthy": True}})
    (subject,) = read_cohort(path)
    assert subject.trials == (Path("here.c3d"), tmp_path / "data" / "beside.c3d", Path("nowhere.c3d"))


GOOD = {"trials": ["walk.c3d"], "healthy": True}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"S1": {"trials":\n ["a.c3d",]}}', r"line 2, column \d+: is not JSON"),
        ("[]", "must be an object of subjects"),
        ("3", "must be an object of subjects"),
        ("{}", "has no subject"),
        ({"S1": ["walk.c3d"]}, "subject 'S1' must be an object with trials, healthy, not a list"),
        ({"S1": {"trials": ["a.c3d"]}}, "lacks healthy; its keys are: trials; required: trials, healthy"),
        ({"S1": {}}, "lacks trials, healthy; its keys are: none"),
        ({"S1": GOOD | {"trials": "a.c3d"}}, "'trials' must be a list of file names, not \"a.c3d\""),
        ({"S1": GOOD | {"trials": {"a": 1}}}, "'trials' must be a list of file names, not an object"),
        ({"S1": GOOD | {"trials": [3]}}, "'trials' must be a list of file names, not 3"),
        ({"S1": GOOD | {"trials": []}}, "'trials' is empty"),
        (
            {"S1": GOOD | {"trials": ["a/walk.c3d", "b/walk.c3d"]}},
            "would both be saved in the folder 'walk'",
        ),
        ({"S1": GOOD | {"trials": ["walk.c3d", "Walk.trc"]}}, "would both be saved in the folder 'Walk'"),
        ({"S1": GOOD | {"trials": ["walk.c3d", "walk.c3d"]}}, "would both be saved"),
        (
            {"S1": GOOD | {"healthy": "yes"}},
            "'healthy' must be true or false, or a rule, see docs/fitting.md, not \"yes\"",
        ),
        ({"S1": GOOD | {"healthy": 1}}, "'healthy' must be true or false, or a rule, see docs/fitting.md, not 1"),
        ({"S1": GOOD | {"subject_index": 0}}, "'subject_index' must be an integer from 1, not 0"),
        ({"S1": GOOD | {"subject_index": True}}, "'subject_index' must be an integer from 1, not true"),
        ({"S1": GOOD | {"subject_index": "second"}}, "'subject_index' must be an integer from 1"),
        (
            {"S1": GOOD | {"constrained_model": None}},
            "'constrained_model' must be true or false, not null",
        ),
        ({"S1": GOOD | {"model_file": 3}}, "'model_file' must be a file name, not 3"),
        ({"S1": GOOD | {"marker_layout_file": 3}}, "'marker_layout_file' must be a file name, not 3"),
        (
            {"S1": GOOD | {"constrain_model": True}},
            "has the unknown key 'constrain_model'; rename it to 'constrained_model'",
        ),
        ({"S1": GOOD | {"person_numbr": 1}}, "has the unknown key 'person_numbr'; rename it to 'subject_index'"),
        ({"../S1": GOOD}, "cannot be the name of a folder"),
        ({"a/b": GOOD}, "cannot be the name of a folder"),
        ({"a\\b": GOOD}, "cannot be the name of a folder"),
        ({"..": GOOD}, "cannot be the name of a folder"),
        ({"": GOOD}, "cannot be the name of a folder"),
        ({" S1": GOOD}, "cannot be the name of a folder"),
        ({"S1": GOOD, "s1": GOOD}, "two subjects are called 'S1' and 's1'"),
        (
            '{"S1": {"trials": ["a.c3d"], "healthy": true}, "S1": {"trials": ["b.c3d"], "healthy": true}}',
            "two subjects",
        ),
        ('{"S1": {"trials": ["a.c3d"], "healthy": true, "healthy": false}}', "two keys of subject 'S1'"),
    ],
)
def test_read_cohort_refuses_wrong_entries(tmp_path, content, message):
    path = write(tmp_path, content)
    with pytest.raises(GaitError, match=message) as error:
        read_cohort(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_read_cohort_refuses_missing_and_binary_files(tmp_path):
    with pytest.raises(GaitError, match="cannot be read"):
        read_cohort(tmp_path / "nowhere.json")
    (tmp_path / "cohort.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(GaitError, match="is not text"):
        read_cohort(tmp_path / "cohort.json")
