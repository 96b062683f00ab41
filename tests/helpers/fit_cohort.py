"""Fit a cohort in the process of the test."""

from collections.abc import Iterator, Sequence

from gait.cohort.cohort_file import Subject
from gait.cohort.fit_settings import FitSettings
from gait.cohort.fit_subject import fit_subject
from gait.cohort.trial_folder import TrialOutcome


def fit_cohort(subjects: Sequence[Subject], settings: FitSettings) -> Iterator[TrialOutcome]:
    """Fit one subject after the other; yield one outcome per trial."""
    for subject in subjects:
        yield from fit_subject(subject, settings)
