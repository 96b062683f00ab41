"""Fit all subjects of a cohort file and save the results, one folder per trial."""
