import json
from pathlib import Path

import pytest

from gait.capture import Subject, read_cohort
from gait.errors import GaitError


def write(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "cohort.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_published_layout(tmp_path):
    path = write(
        tmp_path,
        {
            "S2": {
                "constraint_file": "constraints.json",
                "gaits": ["a/walk1.c3d", "a/walk2.c3d"],
                "healthy": False,
                "constrained_model": True,
                "model_file": "supr_male.npy",
            },
            "S1": {"gaits": ["b/walk1.c3d"], "healthy": True},
        },
    )
    one, two = read_cohort(path)
    assert one == Subject("S1", (Path("b/walk1.c3d"),), True, None, False, "open_neutral.npz")
    gaits = (Path("a/walk1.c3d"), Path("a/walk2.c3d"))
    assert two == Subject("S2", gaits, False, Path("constraints.json"), True, "supr_male.npy")


def test_paths_from_the_working_directory_or_else_beside_the_file(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "work" / "here.c3d").touch()
    (tmp_path / "data" / "here.c3d").touch()
    (tmp_path / "data" / "beside.c3d").touch()
    monkeypatch.chdir(tmp_path / "work")
    path = write(tmp_path / "data", {"S": {"gaits": ["here.c3d", "beside.c3d", "nowhere.c3d"], "healthy": True}})
    (subject,) = read_cohort(path)
    assert subject.gaits == (Path("here.c3d"), tmp_path / "data" / "beside.c3d", Path("nowhere.c3d"))


GOOD = {"gaits": ["walk.c3d"], "healthy": True}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"S1": {"gaits":\n ["a.c3d",]}}', r"line 2, column \d+: is no JSON"),
        ("[]", "must be an object of subjects"),
        ("3", "must be an object of subjects"),
        ("{}", "names no subject"),
        ({"S1": ["walk.c3d"]}, "subject 'S1' must be an object with gaits, healthy, not a list"),
        ({"S1": {"gaits": ["a.c3d"]}}, "lacks healthy; its keys are: gaits; needed: gaits, healthy"),
        ({"S1": {}}, "lacks gaits, healthy; its keys are: none"),
        ({"S1": GOOD | {"gaits": "a.c3d"}}, "'gaits' must be a list of file names, not \"a.c3d\""),
        ({"S1": GOOD | {"gaits": {"a": 1}}}, "'gaits' must be a list of file names, not an object"),
        ({"S1": GOOD | {"gaits": [3]}}, "'gaits' must be a list of file names, not 3"),
        ({"S1": GOOD | {"gaits": []}}, "'gaits' is empty"),
        (
            {"S1": GOOD | {"gaits": ["a/walk.c3d", "b/walk.c3d"]}},
            "would both be written to the folder 'walk'",
        ),
        ({"S1": GOOD | {"gaits": ["walk.c3d", "Walk.trc"]}}, "would both be written to the folder 'Walk'"),
        ({"S1": GOOD | {"gaits": ["walk.c3d", "walk.c3d"]}}, "would both be written"),
        ({"S1": GOOD | {"healthy": "yes"}}, "'healthy' must be true or false, not \"yes\""),
        ({"S1": GOOD | {"healthy": 1}}, "'healthy' must be true or false, not 1"),
        ({"S1": GOOD | {"person_number": 0}}, "'person_number' must be a whole number from 1 on, not 0"),
        ({"S1": GOOD | {"person_number": True}}, "'person_number' must be a whole number from 1 on, not true"),
        ({"S1": GOOD | {"person_number": "second"}}, "'person_number' must be a whole number from 1 on"),
        ({"S1": GOOD | {"constrained_model": None}}, "'constrained_model' must be true or false, not null"),
        ({"S1": GOOD | {"model_file": 3}}, "'model_file' must be a file name, not 3"),
        ({"S1": GOOD | {"constraint_file": 3}}, "'constraint_file' must be a file name, not 3"),
        (
            {"S1": GOOD | {"constrain_model": True}},
            "has a key 'constrain_model'; 'constrained_model' is meant",
        ),
        ({"../S1": GOOD}, "cannot be the name of a folder"),
        ({"a/b": GOOD}, "cannot be the name of a folder"),
        ({"a\\b": GOOD}, "cannot be the name of a folder"),
        ({"..": GOOD}, "cannot be the name of a folder"),
        ({"": GOOD}, "cannot be the name of a folder"),
        ({" S1": GOOD}, "cannot be the name of a folder"),
        ({"S1": GOOD, "s1": GOOD}, "two subjects are called 'S1' and 's1'"),
        (
            '{"S1": {"gaits": ["a.c3d"], "healthy": true}, "S1": {"gaits": ["b.c3d"], "healthy": true}}',
            "two subjects",
        ),
        ('{"S1": {"gaits": ["a.c3d"], "healthy": true, "healthy": false}}', "two keys of subject 'S1'"),
    ],
)
def test_refused(tmp_path, content, message):
    path = write(tmp_path, content)
    with pytest.raises(GaitError, match=message) as error:
        read_cohort(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_file_and_no_text(tmp_path):
    with pytest.raises(GaitError, match="cannot be read"):
        read_cohort(tmp_path / "nowhere.json")
    (tmp_path / "cohort.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(GaitError, match="is no text"):
        read_cohort(tmp_path / "cohort.json")
