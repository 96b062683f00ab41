"""Folds of subjects: each evaluated once, both labels in every fold, the same on every computer."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gait.errors import GaitError
from gait.motion.folds import make_folds, split_validation

SUBJECTS = {f"healthy/P{n:02d}": False for n in range(13)} | {f"sick/Q{n:02d}": True for n in range(11)}


def counts(fold, subjects):
    """Return the numbers of healthy and sick evaluation subjects."""
    sick = sum(subjects[name] for name in fold.evaluation)
    return len(fold.evaluation) - sick, sick


@st.composite
def cohorts(draw):
    """Draw subjects of both labels, some with both, and a number of folds."""
    names = draw(st.lists(st.text("abcxyz01ä ", min_size=1, max_size=5), min_size=4, max_size=60, unique=True))
    labels = draw(st.lists(st.sampled_from(["healthy", "sick", "both"]), min_size=len(names), max_size=len(names)))
    subjects = {}
    for subject, label in zip(names, labels, strict=True):
        subjects |= {f"{name}/{subject}": name == "sick" for name in ("healthy", "sick") if label in (name, "both")}
    max_folds = min(sum(subjects.values()), len(subjects) - sum(subjects.values()))
    return subjects, draw(st.integers(2, max(2, max_folds)))


@settings(max_examples=200, deadline=None)
@given(cohorts(), st.randoms())
def test_make_folds_is_stratified_complete_and_independent_of_order(cohort, random):
    subjects, k_folds = cohort
    sick = sum(subjects.values())
    if min(sick, len(subjects) - sick) < k_folds:
        with pytest.raises(GaitError):
            make_folds(subjects, k_folds)
        return
    folds = make_folds(subjects, k_folds)
    assert [(fold.index, fold.count) for fold in folds] == [(k, k_folds) for k in range(k_folds)]
    assert sorted(name for fold in folds for name in fold.evaluation) == sorted(subjects)
    for fold in folds:
        assert set(fold.training) == subjects.keys() - set(fold.evaluation)
        assert list(fold.training) == sorted(fold.training)
        assert list(fold.evaluation) == sorted(fold.evaluation)
        evaluated = {name.partition("/")[2] for name in fold.evaluation}
        assert not evaluated & {name.partition("/")[2] for name in fold.training}, "one subject in both"
    for which in zip(*(counts(fold, subjects) for fold in folds), strict=True):
        assert max(which) - min(which) <= 1
    in_both = len(subjects) - len({name.partition("/")[2] for name in subjects})
    sizes = [len(fold.evaluation) for fold in folds]
    assert max(sizes) - min(sizes) <= (2 if in_both else 1)
    shuffled = list(subjects.items())
    random.shuffle(shuffled)
    assert make_folds(dict(shuffled), k_folds) == folds


def test_make_folds_keeps_its_assignment():
    """Another assignment would make results of different computers or versions incomparable."""
    found = [" ".join(name.partition("/")[2] for name in fold.evaluation) for fold in make_folds(SUBJECTS, 5)]
    assert found == [
        "P03 P07 P11 Q06 Q07",
        "P02 P05 P06 Q02 Q09",
        "P00 P10 P12 Q00 Q05",
        "P04 P08 Q01 Q08 Q10",
        "P01 P09 Q03 Q04",
    ]


def test_make_folds_separates_alphabetical_neighbours():
    """Subjects are often numbered in the order of acquisition."""
    for fold in make_folds(SUBJECTS, 4):
        numbers = [int(name[-2:]) for name in fold.evaluation if name.startswith("healthy")]
        assert max(numbers) - min(numbers) > len(numbers)
        assert len({number % 4 for number in numbers}) > 1


def test_make_folds_ignores_unicode_normal_form():
    """Some file systems decompose accented letters."""
    names = ["Jürgen", "Zoë", "Ægir", "Noël", "Çelik", "Ólöf"]
    results = []
    for form in ("NFC", "NFD"):
        subjects = {
            unicodedata.normalize(form, f"{label}/{n}"): label == "sick" for n in names for label in ("healthy",)
        }
        subjects |= {unicodedata.normalize(form, f"sick/{n}{n}"): True for n in names}
        folds = make_folds(subjects, 3)
        results.append([{unicodedata.normalize("NFC", name) for name in fold.evaluation} for fold in folds])
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("subjects", "k_folds", "line"),
    [
        ({"healthy/a": False, "sick/b": True, "sick/c": True}, 2, "there are 1 healthy and 2 sick. Add subjects"),
        ({"sick/b": True, "sick/c": True}, 2, "there are 0 healthy and 2 sick"),
        ({"healthy/a": False}, 2, "there are 1 healthy and 0 sick"),
        ({}, 2, "there are 0 healthy and 0 sick"),
        (SUBJECTS, 12, "there are 13 healthy and 11 sick. Give --k_folds 11, or"),
        (SUBJECTS, 1, "at least 2"),
        (SUBJECTS, 0, "at least 2"),
    ],
)
def test_make_folds_raises_for_too_few_subjects(subjects, k_folds, line):
    with pytest.raises(GaitError, match=line) as error:
        make_folds(subjects, k_folds)
    assert str(k_folds) in str(error.value)
    assert "\n" not in str(error.value)


# --- early stopping --------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(cohorts(), st.floats(0.01, 0.99))
def test_split_validation_takes_training_subjects_of_both_labels(cohort, fraction):
    subjects, k_folds = cohort
    try:
        folds = make_folds(subjects, k_folds)
    except GaitError:
        return
    for fold in folds:
        train = [subjects[name] for name in fold.training]
        if min(train.count(True), train.count(False)) < 2:
            with pytest.raises(GaitError, match="at least 2"):
                split_validation(fold, subjects, fraction)
            continue
        training, validation = split_validation(fold, subjects, fraction)
        assert sorted(training + validation) == list(fold.training)
        for sick in (False, True):
            total, validating = (sum(subjects[n] is sick for n in names) for names in (fold.training, validation))
            assert 1 <= validating < total
        evaluated = {name.partition("/")[2] for name in validation}
        assert not evaluated & {name.partition("/")[2] for name in training}, "one subject in both"
        assert split_validation(fold, dict(reversed(subjects.items())), fraction) == (training, validation)


def test_split_validation_takes_the_fraction_of_each_label():
    folds = make_folds(SUBJECTS, 5)
    for fold in folds:
        _, validation = split_validation(fold, SUBJECTS, 0.3)
        for sick in (False, True):
            total, validating = (sum(SUBJECTS[n] is sick for n in names) for names in (fold.training, validation))
            assert validating == round(0.3 * total)
    assert len({split_validation(fold, SUBJECTS, 0.3)[1] for fold in folds}) == 5


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_split_validation_raises_for_invalid_fraction(fraction):
    with pytest.raises(GaitError, match="between 0 and 1"):
        split_validation(make_folds(SUBJECTS, 5)[0], SUBJECTS, fraction)
