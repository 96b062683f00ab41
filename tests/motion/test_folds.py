"""Folds of persons: everybody once, both classes everywhere, the same on every computer."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gait.errors import GaitError
from gait.motion.folds import person_folds, validation_split

PERSONS = {f"healthy/P{n:02d}": False for n in range(13)} | {f"sick/Q{n:02d}": True for n in range(11)}


def counts(fold, persons):
    """Healthy and ill persons who are evaluated."""
    ill = sum(persons[name] for name in fold.evaluation)
    return len(fold.evaluation) - ill, ill


@st.composite
def cohorts(draw):
    """Persons of both classes, some of whom are in both, and a number of folds that they suffice for."""
    subjects = draw(st.lists(st.text("abcxyz01ä ", min_size=1, max_size=5), min_size=4, max_size=60, unique=True))
    where = draw(st.lists(st.sampled_from(["healthy", "sick", "both"]), min_size=len(subjects), max_size=len(subjects)))
    persons = {}
    for subject, label in zip(subjects, where, strict=True):
        persons |= {f"{name}/{subject}": name == "sick" for name in ("healthy", "sick") if label in (name, "both")}
    most = min(sum(persons.values()), len(persons) - sum(persons.values()))
    return persons, draw(st.integers(2, max(2, most)))


@settings(max_examples=200, deadline=None)
@given(cohorts(), st.randoms())
def test_everybody_once_balanced_and_whatever_the_order(cohort, random):
    persons, k_folds = cohort
    ill = sum(persons.values())
    if min(ill, len(persons) - ill) < k_folds:
        with pytest.raises(GaitError):
            person_folds(persons, k_folds)
        return
    folds = person_folds(persons, k_folds)
    assert [(fold.index, fold.count) for fold in folds] == [(k, k_folds) for k in range(k_folds)]
    assert sorted(name for fold in folds for name in fold.evaluation) == sorted(persons)
    for fold in folds:
        assert set(fold.training) == persons.keys() - set(fold.evaluation)
        assert list(fold.training) == sorted(fold.training)
        assert list(fold.evaluation) == sorted(fold.evaluation)
        evaluated = {name.partition("/")[2] for name in fold.evaluation}
        assert not evaluated & {name.partition("/")[2] for name in fold.training}, "one subject on both sides"
    for which in zip(*(counts(fold, persons) for fold in folds), strict=True):
        assert max(which) - min(which) <= 1
    in_both = len(persons) - len({name.partition("/")[2] for name in persons})
    sizes = [len(fold.evaluation) for fold in folds]
    assert max(sizes) - min(sizes) <= (2 if in_both else 1)
    shuffled = list(persons.items())
    random.shuffle(shuffled)
    assert person_folds(dict(shuffled), k_folds) == folds


def test_the_same_on_every_computer():
    """Written down: another order would make results of different computers, or of tomorrow, incomparable."""
    found = [" ".join(name.partition("/")[2] for name in fold.evaluation) for fold in person_folds(PERSONS, 5)]
    assert found == [
        "P03 P07 P11 Q06 Q07",
        "P02 P05 P06 Q02 Q09",
        "P00 P10 P12 Q00 Q05",
        "P04 P08 Q01 Q08 Q10",
        "P01 P09 Q03 Q04",
    ]


def test_neighbours_in_the_alphabet_are_spread():
    """Subjects are often numbered in the order in which they came to the laboratory."""
    for fold in person_folds(PERSONS, 4):
        numbers = [int(name[-2:]) for name in fold.evaluation if name.startswith("healthy")]
        assert max(numbers) - min(numbers) > len(numbers)
        assert len({number % 4 for number in numbers}) > 1


def test_a_name_written_in_either_form_of_unicode_is_the_same_name():
    """Some file systems give back composed letters in two parts."""
    names = ["Jürgen", "Zoë", "Ægir", "Noël", "Çelik", "Ólöf"]
    results = []
    for form in ("NFC", "NFD"):
        persons = {
            unicodedata.normalize(form, f"{label}/{n}"): label == "sick" for n in names for label in ("healthy",)
        }
        persons |= {unicodedata.normalize(form, f"sick/{n}{n}"): True for n in names}
        folds = person_folds(persons, 3)
        results.append([{unicodedata.normalize("NFC", name) for name in fold.evaluation} for fold in folds])
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("persons", "k_folds", "line"),
    [
        ({"healthy/a": False, "sick/b": True, "sick/c": True}, 2, "there are 1 healthy and 2 ill"),
        ({"sick/b": True, "sick/c": True}, 2, "there are 0 healthy and 2 ill"),
        ({"healthy/a": False}, 2, "there are 1 healthy and 0 ill"),
        ({}, 2, "there are 0 healthy and 0 ill"),
        (PERSONS, 12, "there are 13 healthy and 11 ill"),
        (PERSONS, 1, "at least 2"),
        (PERSONS, 0, "at least 2"),
    ],
)
def test_too_few_persons_is_one_line_with_their_number(persons, k_folds, line):
    with pytest.raises(GaitError, match=line) as error:
        person_folds(persons, k_folds)
    assert str(k_folds) in str(error.value)
    assert "\n" not in str(error.value)


# --- early stopping --------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(cohorts(), st.floats(0.01, 0.99))
def test_validation_persons_are_training_persons_of_both_classes(cohort, share):
    persons, k_folds = cohort
    try:
        folds = person_folds(persons, k_folds)
    except GaitError:
        return
    for fold in folds:
        train = [persons[name] for name in fold.training]
        if min(train.count(True), train.count(False)) < 2:
            with pytest.raises(GaitError, match="at least 2"):
                validation_split(fold, persons, share)
            continue
        training, validation = validation_split(fold, persons, share)
        assert sorted(training + validation) == list(fold.training)
        for ill in (False, True):
            whole, aside = (sum(persons[n] is ill for n in names) for names in (fold.training, validation))
            assert 1 <= aside < whole
        evaluated = {name.partition("/")[2] for name in validation}
        assert not evaluated & {name.partition("/")[2] for name in training}, "one subject on both sides"
        assert validation_split(fold, dict(reversed(persons.items())), share) == (training, validation)


def test_validation_share():
    folds = person_folds(PERSONS, 5)
    for fold in folds:
        _, validation = validation_split(fold, PERSONS, 0.3)
        for ill in (False, True):
            whole, aside = (sum(PERSONS[n] is ill for n in names) for names in (fold.training, validation))
            assert aside == round(0.3 * whole)
    assert len({validation_split(fold, PERSONS, 0.3)[1] for fold in folds}) == 5


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(GaitError, match="between 0 and 1"):
        validation_split(person_folds(PERSONS, 5)[0], PERSONS, share)
