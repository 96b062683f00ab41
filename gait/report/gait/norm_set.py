"""The norms of a report: published ones by name or file, and the user's own controls."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from gait.errors import GaitError
from gait.kinematics.controls import control_curves
from gait.kinematics.gait_events import SIDES
from gait.kinematics.gdi_reference import fit_gdi_reference
from gait.kinematics.norm_comparison import NormComparison, compare_with_norm
from gait.kinematics.norms import GdiReference, Norm, NormSource, ParameterNorm, read_gdi_reference, read_norm
from gait.kinematics.published_speed_change import PUBLISHED_BY_SPEED
from gait.kinematics.scores import GaitProfile, gait_deviation_index
from gait.kinematics.spatiotemporal import PARAMETERS
from gait.kinematics.speed_norm import MIN_PERSONS, ControlCurves, SpeedNorm, fit_speed_norm
from gait.motion.subject_trials import find_subject_folders
from gait.motion.trial_paths import HEALTHY, SICK, parse_subject_id
from gait.report.gait.measured_subject import MeasuredSubject


@dataclass(frozen=True)
class ParameterReference:
    """Mean and standard deviation of a spatio-temporal parameter between controls."""

    mean: float  # in the unit of ``PARAMETERS``
    sd: float
    persons: int


@dataclass(frozen=True, eq=False)
class Control:
    """What a norm needs of one control."""

    curves: tuple[ControlCurves, ...]  # one for each pace; the person is the resolved folder of the subject
    parameters: Mapping[str, float]  # mean over the strides of both sides; NaN if not observed


@dataclass(frozen=True, eq=False)
class NormSet:
    """All references of a report."""

    norms: tuple[Norm, ...] = ()  # of angle curves; the first one is drawn
    gdi: tuple[GdiReference, ...] = ()  # the published one first, then that of own controls
    parameters: Mapping[str, ParameterReference] = field(default_factory=dict)  # of own controls, by name
    parameter_title: str = ""  # whose they are
    controls: SpeedNorm | None = None  # that of the norms which is of own controls


def read_norm_set(names: Sequence[str], controls: Iterable[Control]) -> NormSet:
    """Read the norms of ``--norms``; ``controls`` are those in the folders among them.

    Raises:
        GaitError: a norm cannot be read, or there are too few controls.
    """
    controls = tuple(controls)
    found: list[Norm] = []
    gdi = [read_gdi_reference()]
    controls_norm: SpeedNorm | None = None
    parameters: dict[str, ParameterReference] = {}
    for name in names:
        if Path(name).is_dir():
            controls_norm = fit_speed_norm(
                [curves for control in controls for curves in control.curves], name=f"Own controls in {Path(name).name}"
            )
            found.append(controls_norm)
            controls_norm.gps_range()  # these two are kept by the norm, and sent with it to the workers
            controls_norm.control_profiles()
            parameters = _parameter_references(controls)
            with suppress(GaitError):  # too few controls have all nine angles
                gdi.append(fit_gdi_reference(controls_norm.controls, gdi[0]))
            continue
        read = read_norm(name)
        if isinstance(read, GdiReference):
            gdi = [read, *gdi[1:]]
        elif isinstance(read, ParameterNorm):
            raise GaitError(
                f"--norms {name}: holds ranges by sex and age, which fits do not store; name a norm of angle curves, "
                "or a folder of fitted controls, which gives ranges of parameters, too."
            )
        else:
            found.append(read)
    title = "" if controls_norm is None else controls_norm.source.title
    return NormSet(tuple(found), tuple(gdi), parameters, title, controls_norm)


def find_controls(names: Sequence[str]) -> tuple[Path, ...]:
    """Return the folders of the controls in the folders among the names of ``--norms``: all subjects but patients.

    Raises:
        GaitError: a folder has no fitted trial of a control.
    """
    folders = []
    for name in names:
        if Path(name).is_dir():
            subjects = [each for each in find_subject_folders(Path(name)) if not _is_patient(each)]
            if not subjects:
                raise GaitError(f"--norms {name}: has no fitted trial of a control; its folder {HEALTHY} is read.")
            folders += subjects
    if len({Path(name).resolve() for name in names if Path(name).is_dir()}) > 1:
        raise GaitError("--norms: name one folder of controls; put those of several folders into one.")
    return tuple(folders)


def default_norms(poses: Path) -> tuple[str, ...]:
    """Return the norms of a report that names none: the folder of poses if enough of its subjects are controls.

    Otherwise the published norm by speed.
    """
    subjects = find_subject_folders(poses)
    is_control = [parse_subject_id(each / "trial").startswith(f"{HEALTHY}/") for each in subjects]
    labelled = all(control or _is_patient(each) for control, each in zip(is_control, subjects, strict=True))
    return (str(poses),) if labelled and sum(is_control) >= MIN_PERSONS else (PUBLISHED_BY_SPEED,)


def control_of(subject: MeasuredSubject, folder: Path) -> Control:
    """Return what a norm needs of an analysed control."""
    analysis = subject.analysis
    person = str(folder.resolve())
    return Control(
        tuple(replace(curves, person=person) for curves in control_curves([analysis])),
        {each.name: analysis.parameters.mean(each.name, "both") for each in PARAMETERS},
    )


@dataclass(frozen=True, eq=False)
class GdiResult:
    """The Gait Deviation Index of both sides against one reference."""

    source: NormSource
    gdi: Mapping[str, float]  # by side; NaN if an angle is not observed


@dataclass(frozen=True, eq=False)
class NormResults:
    """What the norms of a report say of one subject."""

    comparisons: tuple[NormComparison, ...] = ()  # in the order of ``NormSet.norms``
    gdi: tuple[GdiResult, ...] = ()  # in the order of ``NormSet.gdi``
    own_profile: GaitProfile | None = None  # of one of the norm's controls: against the other ones

    @property
    def drawn(self) -> NormComparison | None:
        """The comparison whose band is drawn."""
        return self.comparisons[0] if self.comparisons else None


def compare_subject(subject: MeasuredSubject, folder: Path, norms: NormSet) -> NormResults:
    """Compare a subject, read from a folder, with all norms."""
    curves = subject.mean_curves
    found = [
        compare_with_norm(curves, subject.analysis.mean_errors_deg, norm, subject.dimensionless_speed)
        for norm in norms.norms
    ]
    return NormResults(
        tuple(comparison for comparison in found if comparison is not None),
        tuple(
            GdiResult(each.source, {side: gait_deviation_index(curves, side, each) for side in SIDES})
            for each in norms.gdi
        ),
        _own_profile(subject, str(folder.resolve()), norms.controls),
    )


def _own_profile(subject: MeasuredSubject, person: str, norm: SpeedNorm | None) -> GaitProfile | None:
    """Return the scores of one of the norm's controls against the others, of its walk nearest to its mean speed."""
    if norm is None or math.isnan(subject.dimensionless_speed):
        return None
    walks = zip(norm.controls, norm.control_profiles(), strict=True)
    own = [(control.dimensionless_speed, profile) for control, profile in walks if control.person == person]
    return min(own, key=lambda walk: abs(walk[0] - subject.dimensionless_speed))[1] if own else None


def _is_patient(subject: Path) -> bool:
    return parse_subject_id(subject / "trial").startswith(f"{SICK}/")


def _parameter_references(controls: Sequence[Control]) -> dict[str, ParameterReference]:
    """Return mean and SD between controls of each parameter that at least two of them have."""
    found = {}
    for parameter in PARAMETERS:
        values = np.array([control.parameters[parameter.name] for control in controls])
        values = values[np.isfinite(values)]
        if len(values) > 1:
            found[parameter.name] = ParameterReference(float(values.mean()), float(values.std(ddof=1)), len(values))
    return found
