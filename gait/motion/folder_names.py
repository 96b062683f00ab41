"""Names of folders and files that a fit leaves and a training finds; here, so that naming them loads nothing."""

HEALTHY, SICK = "healthy", "sick"
"""The two folders of persons, by label."""

REPORT_FILE = "fit_report.json"
"""In the folder of each gait."""
