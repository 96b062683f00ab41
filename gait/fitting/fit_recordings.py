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
from gait.fitting.subject_fit import FitOptions, SubjectFit, TrialFit, UnusableRecordingError, fit_shape_and_poses
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
    rounds = _Rounds(recordings, checks, body, layout, repair, options, start)
    return rounds.fit(MAX_CONTINUED_ROUNDS if earlier else MAX_ROUNDS), rounds.checks


class _Rounds:
    """Fits of the recordings of one subject, each without the marker errors that the fits before have shown."""

    def __init__(
        self,
        recordings: Sequence[Recording],  # as they were read
        checks: list[RecordingQc],  # of the corrected recordings
        body: Body,
        layout: MarkerLayout,
        repair: bool,
        options: FitOptions,
        start: SubjectFit | None,
    ):
        self.checks = checks
        self._recordings = recordings
        self._body, self._layout, self._repair, self._options, self._start = body, layout, repair, options, start
        self._unfiltered: set[int] = set()  # recordings with too little data left without flagged markers

    def fit(self, max_rounds: int) -> SubjectFit:
        """Fit until no further error is found; return the last fit, with the errors of each trial."""
        used = self._without_errors()
        subject_fit = self._fit(used)
        for _ in range(max_rounds):
            if not self._find_swapped_labels(subject_fit):
                self._classify(subject_fit)
            wanted = self._without_errors()
            if all(_same_data(a, b) for a, b in zip(wanted, used, strict=True)):
                break
            used = wanted
            subject_fit = self._fit(used)
        return replace(subject_fit, trials=tuple(self._with_errors(r, t) for r, t in enumerate(subject_fit.trials)))

    def _without_errors(self) -> list[Recording]:
        return [
            check.recording if r in self._unfiltered else check.without_flagged(self._repair)
            for r, check in enumerate(self.checks)
        ]

    def _fit(self, used: list[Recording]) -> SubjectFit:
        """Fit recordings; replace one of which too little is left by the one with all its markers."""
        while True:
            try:
                return fit_shape_and_poses(used, self._body, self._layout, self._options, self._start)
            except UnusableRecordingError as error:
                r = next(r for r, recording in enumerate(used) if recording is error.recording)
                if used[r] is self.checks[r].recording:
                    raise UnusableRecordingError(self._recordings[r], error.reason) from error
                self._unfiltered.add(r)
                used[r] = self.checks[r].recording

    def _find_swapped_labels(self, subject_fit: SubjectFit) -> bool:
        """Return whether labels are swapped; if one trial has swapped labels, another one may have them too."""
        found = False
        suspected = [swap_suspected(trial) for trial in subject_fit.trials]
        for r in sorted(range(len(self.checks)), key=lambda r: not suspected[r]):
            if not self.checks[r].swaps_checked and (suspected[r] or found):
                pairs = find_swapped_labels(FittedBody.from_fit(subject_fit.trials[r], self._options))
                self.checks[r] = self.checks[r].with_swapped_labels(pairs)
                found |= bool(pairs)
        return found

    def _classify(self, subject_fit: SubjectFit) -> None:
        for r, trial in enumerate(subject_fit.trials):
            if self.checks[r].needs_classification(trial.residual_m):
                self.checks[r] = self.checks[r].classify_flagged(FittedBody.from_fit(trial, self._options))

    def _with_errors(self, r: int, trial: TrialFit) -> TrialFit:
        found = self.checks[r].marker_errors(self._repair)
        if r in self._unfiltered:
            found = tuple(_downgrade_to_reported(error, self._recordings[r]) for error in found)
        return replace(trial, marker_errors=found)


def _same_data(a: Recording, b: Recording) -> bool:
    return a is b or a.positions_m.tobytes() == b.positions_m.tobytes()


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
