"""Fit all subjects of a cohort file and save the results, one folder per trial."""

FIT_MODULE = "gait.cohort.fit_subject"
"""Module that worker processes import in advance."""
