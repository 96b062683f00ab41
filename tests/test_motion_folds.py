"""Folds of persons: balanced, stratified, the same everywhere."""

import pytest

from gait.errors import GaitError
from gait.motion.folds import person_folds

PERSONS = {f"healthy/P{n:02d}": False for n in range(13)} | {f"sick/Q{n:02d}": True for n in range(11)}


def test_everybody_is_evaluated_once_and_classes_are_spread():
    folds = person_folds(PERSONS, 5)
    assert sorted(name for fold in folds for name in fold.evaluation) == sorted(PERSONS)
    for fold in folds:
        assert set(fold.training) == PERSONS.keys() - set(fold.evaluation)
        assert sum(PERSONS[name] for name in fold.evaluation) in (2, 3)
        assert len(fold.evaluation) in (4, 5)


def test_too_few_persons_is_one_line_with_their_number():
    with pytest.raises(GaitError, match="1 healthy and 3 ill"):
        person_folds({"healthy/a": False, "sick/b": True, "sick/c": True, "sick/d": True}, 2)
