"""Fit a person's recordings with their bad data found, named, and left out or put right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gait.body.body import Body
from gait.body.constraints_file import AngleBounds
from gait.body.marker_layout import MarkerLayout
from gait.body.pose_prior import PosePrior, natural_pose_prior
from gait.body.vposer import VPoser
from gait.capture.recording import Recording
from gait.errors import GaitError
from gait.fitting.marker_quality.leave_out_prediction import FittedBody
from gait.fitting.marker_quality.left_right_swap import exchanged_sides, put_right
from gait.fitting.marker_quality.marker_error import FaultAction, MarkerError
from gait.fitting.marker_quality.recording_qc import RecordingQc
from gait.fitting.marker_quality.swapped_labels import exchanged_throughout, may_be_exchanged
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.subject_fit import InsufficientMarkersError, SubjectFit, TrialFit, fit_person

MOST_ROUNDS = 4
"""A fault can hide another; looked for again so often."""


@dataclass(frozen=True)
class CheckedSubjectFit:
    """A person's fit and what was wrong with the recordings."""

    person: SubjectFit
    faults: tuple[tuple[MarkerError, ...], ...]  # of each recording, in their order

    def faults_of(self, gait: TrialFit) -> tuple[MarkerError, ...]:
        """What was wrong with the recording of one of the person's gaits."""
        return next(found for other, found in zip(self.person.gaits, self.faults, strict=True) if other is gait)


class UnusableRecordingError(GaitError):
    """A recording that is wrong as a whole; the person's others can be fitted without it."""

    def __init__(self, recording: Recording, fault: MarkerError):
        super().__init__(f"{recording.path}: {fault.line}.")
        self.recording = recording


def fit_checked(
    recordings: Sequence[Recording],
    body: Body,
    layout: MarkerLayout,
    *,
    repair: bool = False,
    weights: ResidualScales | None = None,
    prior: PosePrior | None = None,
    bounds: AngleBounds | None = None,
    vposer: VPoser | None = None,
) -> CheckedSubjectFit:
    """Fit a person as ``fit_person`` does, without the samples that are no marker in its place.

    Args:
        recordings: of one person, as they were read.
        body: the statistical body.
        layout: where markers sit on it.
        repair: put exchanged names and mirrored recordings right instead of leaving them out.
        weights: as in ``fit_person``, like those that follow.
        prior: of the joints.
        bounds: of single pose numbers.
        vposer: a learned prior.

    Raises:
        UnfitRecordingError: left and right of a recording are exchanged, and it is not to be repaired.
        GaitError: as ``fit_person``.
    """
    weights = weights or ResidualScales()
    prior = prior or natural_pose_prior()
    whole = [_whole(recording, repair) for recording in recordings]
    checks = [RecordingQc.of(recording, layout) for recording, _ in whole]

    kept: set[int] = set()  # recordings of which too little is left without what is suspected

    def fitted(cleaned: list[Recording]) -> SubjectFit:
        while True:
            try:
                return fit_person(cleaned, body, layout, weights=weights, prior=prior, bounds=bounds, vposer=vposer)
            except InsufficientMarkersError as error:
                r = next(r for r, recording in enumerate(cleaned) if recording is error.recording)
                if cleaned[r] is checks[r].recording:
                    raise InsufficientMarkersError(recordings[r]) from error
                kept.add(r)
                cleaned[r] = checks[r].recording

    def same_data(a: Recording, b: Recording) -> bool:
        return a is b or (a.positions_m.tobytes() == b.positions_m.tobytes())

    used = [check.spared(repair) for check in checks]
    person = fitted(used)
    for _ in range(MOST_ROUNDS):
        paired = False
        doubted = [may_be_exchanged(gait, person.layout) for gait in person.gaits]
        for r in sorted(range(len(checks)), key=lambda r: not doubted[r]):
            gait = person.gaits[r]  # where one recording of a person has exchanged names, another may too
            if not checks[r].asked_for_pairs and (doubted[r] or paired):
                joints = FittedBody.of(gait, body, person.layout, weights, prior, bounds).prior
                pairs = exchanged_throughout(used[r], body, person.layout, joints, weights)
                checks[r] = checks[r].with_pairs(pairs)
                paired |= bool(pairs)
        if not paired:
            for r, gait in enumerate(person.gaits):
                if checks[r].is_suspicious(gait.residual_m):
                    asked = FittedBody.of(gait, body, person.layout, weights, prior, bounds)
                    checks[r] = checks[r].judged_by(asked, person.layout)
        wanted = [check.recording if r in kept else check.spared(repair) for r, check in enumerate(checks)]
        if all(same_data(a, b) for a, b in zip(wanted, used, strict=True)):
            break
        used = wanted
        person = fitted(used)
    found = [
        (*known, *(_kept(fault, recordings[r]) if r in kept else fault for fault in check.faults(repair)))
        for r, ((_, known), check) in enumerate(zip(whole, checks, strict=True))
    ]
    return CheckedSubjectFit(person, tuple(found))


def _kept(fault: MarkerError, recording: Recording) -> MarkerError:
    """A fault of a recording of which too little would be left without it: names wrong throughout are put right."""
    throughout = fault.last_frame - fault.first_frame + 1 == recording.frames
    action: FaultAction = "corrected" if fault.kind == "exchanged" and throughout else "reported"
    return replace(fault, action=action, hint="too little is left without it")


def _whole(recording: Recording, repair: bool) -> tuple[Recording, tuple[MarkerError, ...]]:
    """A recording with what is wrong with all of it put right, and what that was.

    Raises:
        UnfitRecordingError: left and right are exchanged, and it is not to be repaired.
    """
    whole = MarkerError(
        kind="wrong unit",
        marker=None,
        other=None,
        first_frame=recording.first_frame,
        last_frame=recording.first_frame + recording.frames - 1,
        evidence_mm=None,
        action="corrected",
    )
    faults = []
    if recording.stated_unit:
        hint = f"the file says {recording.stated_unit}, the size of the body says {recording.source_unit}"
        faults.append(replace(whole, hint=hint))
    kind = exchanged_sides(recording)
    if kind is not None:
        fault = replace(whole, kind=kind)
        if not repair:
            hint = "left is right in it; --repair puts it right"
            raise UnusableRecordingError(recording, replace(fault, action="left out", hint=hint))
        faults.append(fault)
        recording = put_right(recording, kind)
    return recording, tuple(faults)
