"""Inputs of a subject's fit: recordings, body model, markers and priors, identified by hashes of their content.

A finished trial is skipped only if all inputs are unchanged. A recording that is added, replaced or removed changes the
body shape that all trials of the subject share.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from gait.capture.pose_formats import parse_trial_path, pose_format
from gait.cohort.cohort_file import Subject
from gait.cohort.fit_settings import FitSettings
from gait.files.fingerprint import file_sha256, fingerprint, hash_files
from gait.fitting.residual_scales import ResidualScales
from gait.marker_sets import MARKER_SETS

OLD_NAMES = {"constraint_file": "marker_layout_file", "person_number": "subject_index"}
"""Names of inputs in older fit reports, which are still compared."""

ADDED = ("marker_sets",)
"""Inputs that older fit reports lack."""


def fit_fingerprint(subject: Subject, settings: FitSettings) -> dict[str, Any]:
    """Return the fingerprint of a subject's fit; missing recordings are ignored."""
    layout = subject.marker_layout_file
    files = {parse_trial_path(path).file for path in subject.trials}
    inputs = {}
    if any(map(pose_format, subject.trials)):  # a model that is added later is used
        inputs["pose_models"] = {name: path.stat().st_size for name, path in settings.smpl_models().items()}
    return fingerprint(
        "fit",
        recordings=hash_files(path for path in files if path.is_file()),
        model=file_sha256(settings.expected_model_path(subject.model_file)),
        constrained_model=subject.constrained_model,
        marker_layout_file=None if layout is None else hash_files([layout]),
        marker_sets=hash_files(each.path for each in MARKER_SETS.values()),  # also for the names beside a layout file
        learned_prior=hash_files(settings.vposer.rglob("*.ckpt")),
        repair=settings.repair,
        weights=asdict(ResidualScales()),
        subject_index=subject.subject_index,
        **inputs,
    )
