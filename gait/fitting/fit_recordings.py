"""Fit the recordings of a subject without their marker errors, which are found, and excluded or corrected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gait.body.body import Body
from gait.body.marker_layout import MarkerLayout
from gait.body.marker_placement import recorded_markers_layout
from gait.capture.recording import Recording
from gait.fitting.marker_quality.leave_out_prediction import FittedBody
from gait.fitting.marker_quality.left_right_swap import correct_left_right, detect_left_right_swap
from gait.fitting.marker_quality.marker_error import MarkerError, MarkerErrorAction
from gait.fitting.marker_quality.recording_qc import RecordingQc
from gait.fitting.marker_quality.swapped_labels import find_swapped_labels, swap_suspected
from gait.fitting.subject_fit import FitOptions, SubjectFit, UnusableRecordingError, fit_shape_and_poses
from gait.fitting.technical_markers import fit_with_technical_markers, named_technical_markers

MAX_ROUNDS = 3
"""Maximum number of rounds; one error can hide another."""
MAX_CONTINUED_ROUNDS = 1
"""Maximum number of rounds with further markers, after the errors of the others have been found."""


def fit_recordings(
    recordings: Sequence[Recording],
    body: Body,
    layout: MarkerLayout | None = None,
    *,
    repair: bool = False,
    options: FitOptions | None = None,
) -> SubjectFit:
    """Fit one body shape and a pose per frame to the recordings of one subject, without errors in the marker data.

    Args:
        recordings: recordings of the same subject, as they were read: metres, y up.
        body: the body model.
        layout: markers on the body; by default the recorded ones and the rest of their marker set, placed on this body.
        repair: correct swapped labels and mirrored recordings instead of excluding them.
        options: priors and expected size of the residuals.

    Returns:
        The fit, in which ``trials[k]`` has the ``pose_sequences``, joints, residuals and marker errors of a recording.

    Raises:
        UnusableRecordingError: a recording shares too few markers with the layout or has too few visible ones, or its
            left and right are swapped and ``repair`` is not set.
        GaitError: the markers do not determine a body.
    """
    named: dict[str, int] = {}
    if layout is None:
        layout = recorded_markers_layout(
            body,
            [recording.labels for recording in recordings],
            dict.fromkeys(recording.marker_set for recording in recordings if recording.marker_set),
        )
        named = named_technical_markers(body, layout, recordings)
    options = options or FitOptions()
    corrected = [_correct_whole_recording(recording, repair) for recording in recordings]

    checks: list[RecordingQc] = []  # of the last fit; one with further markers goes on from them

    def fit(layout: MarkerLayout, start: SubjectFit | None) -> SubjectFit:
        used = [recording for recording, _ in corrected]
        earlier = checks if start is not None else ()
        subject_fit, checks[:] = _fit_without_errors(recordings, used, body, layout, repair, options, start, earlier)
        return subject_fit

    subject_fit = fit_with_technical_markers(fit, layout, named)
    trials = [
        replace(trial, marker_errors=(*errors, *trial.marker_errors))
        for (_, errors), trial in zip(corrected, subject_fit.trials, strict=True)
    ]
    return replace(subject_fit, trials=tuple(trials))


def _fit_without_errors(
    recordings: Sequence[Recording],
    corrected: Sequence[Recording],
    body: Body,
    layout: MarkerLayout,
    repair: bool,
    options: FitOptions,
    start: SubjectFit | None,
    earlier: Sequence[RecordingQc],
) -> tuple[SubjectFit, list[RecordingQc]]:
    """Fit the recordings, with errors of whole recordings ``corrected``, without the errors of single markers.

    Return also these errors; ``earlier`` are those of a fit to fewer markers, if there was one.

    Joint centres that cameras estimate are not checked: they are off by more than a marker that is accused.
    """
    recorded = {label for recording in corrected for label in recording.labels}
    if any(
        kind == "joint_centre" and label in recorded for label, kind in zip(layout.labels, layout.kinds, strict=True)
    ):
        try:
            return fit_shape_and_poses(corrected, body, layout, options), []
        except UnusableRecordingError as error:
            r = next(r for r, recording in enumerate(corrected) if recording is error.recording)
            raise UnusableRecordingError(recordings[r], error.reason) from error
    checks = [RecordingQc.from_recording(recording, layout) for recording in corrected]
    if earlier:
        checks = [check.continue_from(before) for check, before in zip(checks, earlier, strict=True)]

    unfiltered: set[int] = set()  # recordings with too little data left without flagged markers

    def fit(used: list[Recording]) -> SubjectFit:
        while True:
            try:
                return fit_shape_and_poses(used, body, layout, options, start)
            except UnusableRecordingError as error:
                r = next(r for r, recording in enumerate(used) if recording is error.recording)
                if used[r] is checks[r].recording:
                    raise UnusableRecordingError(recordings[r], error.reason) from error
                unfiltered.add(r)
                used[r] = checks[r].recording

    def same_data(a: Recording, b: Recording) -> bool:
        return a is b or a.positions_m.tobytes() == b.positions_m.tobytes()

    used = [check.without_flagged(repair) for check in checks]
    subject_fit = fit(used)
    for _ in range(MAX_CONTINUED_ROUNDS if earlier else MAX_ROUNDS):
        swap_found = False
        suspected = [swap_suspected(trial) for trial in subject_fit.trials]
        for r in sorted(range(len(checks)), key=lambda r: not suspected[r]):
            trial = subject_fit.trials[r]  # if one trial has swapped labels, another one may have them too
            if not checks[r].swaps_checked and (suspected[r] or swap_found):
                pairs = find_swapped_labels(FittedBody.from_fit(trial, options))
                checks[r] = checks[r].with_swapped_labels(pairs)
                swap_found |= bool(pairs)
        if not swap_found:
            for r, trial in enumerate(subject_fit.trials):
                if checks[r].needs_classification(trial.residual_m):
                    checks[r] = checks[r].classify_flagged(FittedBody.from_fit(trial, options))
        wanted = [
            check.recording if r in unfiltered else check.without_flagged(repair) for r, check in enumerate(checks)
        ]
        if all(same_data(a, b) for a, b in zip(wanted, used, strict=True)):
            break
        used = wanted
        subject_fit = fit(used)
    trials = []
    for r, (check, trial) in enumerate(zip(checks, subject_fit.trials, strict=True)):
        found = check.marker_errors(repair)
        if r in unfiltered:
            found = tuple(_downgrade_to_reported(error, recordings[r]) for error in found)
        trials.append(replace(trial, marker_errors=found))
    return replace(subject_fit, trials=tuple(trials)), checks


def _downgrade_to_reported(error: MarkerError, recording: Recording) -> MarkerError:
    """Downgrade an error that cannot be excluded, because too little data would remain, to a reported one.

    Labels that are swapped in the whole trial are corrected instead.
    """
    whole_trial = error.num_frames == recording.num_frames
    action: MarkerErrorAction = "corrected" if error.kind == "label_swap" and whole_trial else "reported"
    return replace(error, action=action, too_little_data=True)


def _correct_whole_recording(recording: Recording, repair: bool) -> tuple[Recording, tuple[MarkerError, ...]]:
    """Correct errors that affect a whole recording; return it and these errors, or raise UnusableRecordingError."""
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
        errors.append(replace(whole, stated_unit=recording.stated_unit, body_unit=recording.source_unit))
    kind = detect_left_right_swap(recording)
    if kind is not None:
        error = replace(whole, kind=kind)
        if not repair:
            raise UnusableRecordingError(recording, replace(error, action="excluded").message)
        errors.append(error)
        recording = correct_left_right(recording, kind)
    return recording, tuple(errors)
