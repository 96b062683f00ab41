"""Fit the trials of a subject with marker quality control: errors are found, classified, and excluded or corrected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gait.body.body import Body
from gait.body.constraints_file import AngleBounds
from gait.body.marker_layout import MarkerLayout
from gait.body.pose_prior import PosePrior, default_pose_prior
from gait.body.vposer import VPoser
from gait.capture.recording import Recording
from gait.errors import GaitError
from gait.fitting.marker_quality.leave_out_prediction import FittedBody
from gait.fitting.marker_quality.left_right_swap import correct_left_right, detect_left_right_swap
from gait.fitting.marker_quality.marker_error import MarkerError, MarkerErrorAction
from gait.fitting.marker_quality.recording_qc import RecordingQc
from gait.fitting.marker_quality.swapped_labels import find_swapped_labels, swap_suspected
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.subject_fit import InsufficientMarkersError, SubjectFit, TrialFit, fit_recordings

MAX_ROUNDS = 4
"""Maximum number of rounds; one error can hide another."""


@dataclass(frozen=True)
class CheckedSubjectFit:
    """The fit of a subject and the marker errors of the recordings."""

    fit: SubjectFit
    marker_errors: tuple[tuple[MarkerError, ...], ...]  # of each trial, in the order of the fit

    def marker_errors_of(self, trial: TrialFit) -> tuple[MarkerError, ...]:
        """Return the marker errors of one trial of the fit."""
        return next(errors for other, errors in zip(self.fit.trials, self.marker_errors, strict=True) if other is trial)


class UnusableRecordingError(GaitError):
    """A recording is unusable as a whole; the subject's other trials can be fitted without it."""

    def __init__(self, recording: Recording, error: MarkerError):
        super().__init__(f"{recording.path}: {error.message}.")
        self.recording = recording


def fit_with_qc(
    recordings: Sequence[Recording],
    body: Body,
    layout: MarkerLayout,
    *,
    repair: bool = False,
    scales: ResidualScales | None = None,
    prior: PosePrior | None = None,
    bounds: AngleBounds | None = None,
    vposer: VPoser | None = None,
) -> CheckedSubjectFit:
    """Fit the recordings of a subject like ``fit_recordings``, without marker errors.

    Args:
        recordings: recordings of one subject, as they were read.
        body: the body model.
        layout: markers on the body.
        repair: correct swapped labels and mirrored recordings instead of excluding them.
        scales: expected size of the residuals.
        prior: pose prior and range of motion; ``default_pose_prior`` by default.
        bounds: limits of single pose parameters, instead of those of the prior.
        vposer: learned pose prior.

    Raises:
        UnusableRecordingError: left and right of a recording are swapped, and ``repair`` is not set.
        GaitError: as in ``fit_recordings``.
    """
    scales = scales or ResidualScales()
    prior = prior or default_pose_prior()
    corrected = [_correct_whole_recording(recording, repair) for recording in recordings]
    checks = [RecordingQc.from_recording(recording, layout) for recording, _ in corrected]

    unfiltered: set[int] = set()  # recordings with too little data left without suspects

    def fit(used: list[Recording]) -> SubjectFit:
        while True:
            try:
                return fit_recordings(used, body, layout, scales=scales, prior=prior, bounds=bounds, vposer=vposer)
            except InsufficientMarkersError as error:
                r = next(r for r, recording in enumerate(used) if recording is error.recording)
                if used[r] is checks[r].recording:
                    raise InsufficientMarkersError(recordings[r]) from error
                unfiltered.add(r)
                used[r] = checks[r].recording

    def same_data(a: Recording, b: Recording) -> bool:
        return a is b or (a.positions_m.tobytes() == b.positions_m.tobytes())

    used = [check.without_suspects(repair) for check in checks]
    subject_fit = fit(used)
    for _ in range(MAX_ROUNDS):
        swap_found = False
        fitted_layout = subject_fit.layout
        suspected = [swap_suspected(trial, fitted_layout) for trial in subject_fit.trials]
        for r in sorted(range(len(checks)), key=lambda r: not suspected[r]):
            trial = subject_fit.trials[r]  # if one trial has swapped labels, another one may have them too
            if not checks[r].swaps_checked and (suspected[r] or swap_found):
                joint_prior = FittedBody.from_fit(trial, body, fitted_layout, scales, prior, bounds).prior
                pairs = find_swapped_labels(used[r], body, fitted_layout, joint_prior, scales)
                checks[r] = checks[r].with_swapped_labels(pairs)
                swap_found |= bool(pairs)
        if not swap_found:
            for r, trial in enumerate(subject_fit.trials):
                if checks[r].is_suspicious(trial.residual_m):
                    fitted_body = FittedBody.from_fit(trial, body, fitted_layout, scales, prior, bounds)
                    checks[r] = checks[r].classify_suspects(fitted_body, fitted_layout)
        wanted = [
            check.recording if r in unfiltered else check.without_suspects(repair) for r, check in enumerate(checks)
        ]
        if all(same_data(a, b) for a, b in zip(wanted, used, strict=True)):
            break
        used = wanted
        subject_fit = fit(used)
    marker_errors = []
    for r, ((_, errors), check) in enumerate(zip(corrected, checks, strict=True)):
        found = check.marker_errors(repair)
        if r in unfiltered:
            found = tuple(_downgrade_to_reported(error, recordings[r]) for error in found)
        marker_errors.append((*errors, *found))
    return CheckedSubjectFit(subject_fit, tuple(marker_errors))


def _downgrade_to_reported(error: MarkerError, recording: Recording) -> MarkerError:
    """Downgrade an error that cannot be excluded, because too little data would remain, to a reported one.

    Labels that are swapped in the whole trial are corrected instead.
    """
    whole_trial = error.num_frames == recording.num_frames
    action: MarkerErrorAction = "corrected" if error.kind == "label_swap" and whole_trial else "reported"
    return replace(error, action=action, hint="too little data would remain without it")


def _correct_whole_recording(recording: Recording, repair: bool) -> tuple[Recording, tuple[MarkerError, ...]]:
    """Correct errors that affect a whole recording; return the recording and these errors.

    Raises:
        UnusableRecordingError: left and right are swapped, and ``repair`` is not set.
    """
    whole = MarkerError(
        kind="unit_mismatch",
        marker=None,
        other=None,
        first_frame=recording.first_frame,
        last_frame=recording.first_frame + recording.num_frames - 1,
        mean_error_mm=None,
        action="corrected",
    )
    errors = []
    if recording.stated_unit:
        hint = f"the file states {recording.stated_unit}, the size of the body requires {recording.source_unit}"
        errors.append(replace(whole, hint=hint))
    kind = detect_left_right_swap(recording)
    if kind is not None:
        error = replace(whole, kind=kind)
        if not repair:
            hint = "left and right are swapped; --repair corrects it"
            raise UnusableRecordingError(recording, replace(error, action="excluded", hint=hint))
        errors.append(error)
        recording = correct_left_right(recording, kind)
    return recording, tuple(errors)
