"""What a trial is compared with: controls' curves, windows and logits, and how the logit depends on walking speed."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import scipy
import torch
from torch import Tensor

from gait.arrays import Vector
from gait.body.pose_sequence import PoseSequence
from gait.errors import GaitError
from gait.explaining.evidence.control_motion import (
    MIN_CONTROLS,
    ControlMotion,
    TrialMotion,
    control_motion,
    read_trial_motion,
)
from gait.explaining.evidence.measured_walk import MeasuredWalk, with_input
from gait.explaining.evidence.motions import motions_of
from gait.explaining.options import ExplainOptions
from gait.explaining.prepare_trial import prepare_trial
from gait.explaining.trained_network import TrainedNetwork
from gait.kinematics.controls import curves_by_pace
from gait.kinematics.gait_events import nearest_frames
from gait.kinematics.norms import PublishedNorm, read_angle_norm
from gait.kinematics.published_speed_change import PUBLISHED_BY_SPEED
from gait.kinematics.speed_norm import (
    MIN_PERSONS,
    ControlCurves,
    FamilyRatios,
    SpeedNorm,
    family_ratios,
    fit_speed_norm,
)
from gait.kinematics.strides import finite_mean
from gait.kinematics.trial_analysis import TrialAnalysis, analyse_trial
from gait.learning.trainer import window_logits
from gait.motion.dataset import Trial
from gait.motion.pose_files import find_pose_folders, read_poses
from gait.motion.subject_trials import find_subject_folders, find_trial_folders
from gait.motion.trial_paths import HEALTHY, SICK
from gait.motion.window_placement import CYCLES
from gait.motion.windows import WindowDataset

PUBLISHED_CRITICAL = 3.5
"""c for a published norm, which states no curves of single persons: that of 110 independent comparisons (11 angles of
two sides, and about five independent parts of a curve) by Šidák's formula, with a normal distribution."""
ERRORS_OF = 6
"""Controls of whose first trial the errors of the curves are computed: those of one laboratory are alike."""
WINDOWS_PER_TRIAL = 4
"""Windows of each control's trial that are kept as replacements."""
_BATCH_SIZE = 64


@dataclass(frozen=True, eq=False)
class CohortPerson:
    """What is kept of one person of the cohort."""

    subject: str  # "healthy/P01"
    sick: bool
    dimensionless_speed: float  # mean of the trials; NaN if unknown
    logit: float  # mean over the windows of the trials; NaN without one
    curves: tuple[ControlCurves, ...]  # of each pace; () of patients
    windows: Tensor  # (n, L, 22, 3) as the network sees them, all at the same phase; n = 0 of patients
    window_speeds: Vector  # (n,) dimensionless, of each window's trial
    errors_deg: Mapping[str, Vector] = field(default_factory=dict)  # (101,) of its curves, both sides; if computed
    motions: tuple[TrialMotion, ...] = ()  # of each trial of a control, for a network of rotations


@dataclass(frozen=True, eq=False)
class LogitBySpeed:
    """The logit of the cohort's persons by their dimensionless walking speed: a monotone curve."""

    speeds: Vector  # (P,) rising
    logits: Vector  # (P,) of the curve
    resampled: Vector  # (B, P) of the curves of resampled persons, at the same speeds
    variance_explained: float  # of the logits, each predicted by the curve of the other persons: R², at most 1
    variance_explained_by_label: float  # each by the mean of the others of its label; 0 with one label alone
    residual_sd: float  # of each person's logit about the curve of the others

    def at(self, speed: float) -> float:
        """Return the logit that the speed alone predicts; beyond the persons' speeds that of the nearest one."""
        return float(np.interp(speed, self.speeds, self.logits))

    def interval(self, speed: float) -> tuple[float, float]:
        """Return the 95 % bootstrap interval of the curve there, over persons."""
        values = [np.interp(speed, self.speeds, logits) for logits in self.resampled]
        low, high = np.percentile(values, [2.5, 97.5])
        return float(low), float(high)


@dataclass(frozen=True, eq=False)
class Controls:
    """The reference of one trial: never of the trial's own subject."""

    title: str  # of the norm, with the number of persons
    norm: SpeedNorm | PublishedNorm
    ratios: FamilyRatios | None  # of the norm's persons; None of a published norm
    windows: Tensor  # (M, L, 22, 3) of controls, all at the same phase of the gait cycle
    window_persons: tuple[str, ...]  # (M,)
    window_speeds: Vector  # (M,) dimensionless
    logit_by_speed: LogitBySpeed | None  # None with too few persons of known speed
    median_logit: float  # of the controls, of those whom the network has not seen if known; NaN without one
    errors_deg: Mapping[str, Vector] = field(default_factory=dict)  # (101,) standard errors of the controls' curves
    notes: tuple[str, ...] = ()
    motion: ControlMotion | None = None  # None of a network whose input is no rotations, or of too few controls

    def critical_value(self, curves: Collection[str] | None = None) -> float:
        """Return c of bands mean ± c · SD that hold all these curves of a new person with 95 %; None: all curves."""
        if self.ratios is None:
            return PUBLISHED_CRITICAL
        return self.ratios.critical_value(self.ratios.largest if curves is None else curves)


@dataclass(frozen=True, eq=False)
class Cohort:
    """Controls and patients as one network sees them."""

    trained: TrainedNetwork
    persons: tuple[CohortPerson, ...]
    title: str
    published: PublishedNorm | None = None  # the norm, if it is not that of the controls
    problems: tuple[str, ...] = ()

    def without(self, subject: str) -> Controls:
        """Return the reference of a trial of a subject, "sick/P02": all but the subject's own walks."""
        others = tuple(person for person in self.persons if person.subject != subject)
        if sum(not person.sick for person in others) < sum(not person.sick for person in self.persons):
            return self._controls(others)
        return replace(self._all, logit_by_speed=logit_by_speed(others))

    @cached_property
    def _all(self) -> Controls:
        return self._controls(self.persons)

    def _controls(self, persons: Sequence[CohortPerson]) -> Controls:
        controls = [person for person in persons if not person.sick]
        norm: SpeedNorm | PublishedNorm
        notes: tuple[str, ...] = ()
        if self.published is not None:
            norm = self.published
            notes = (f"The norm, {norm.source.title}, is of another laboratory: offsets of the angles may differ.",)
        else:
            # ``ratios`` replace the bands of single curves, so that these need no resampling
            norm = fit_speed_norm(_curves(controls), name=self.title, of_whom="controls in training", resamples=1)
        family = {curve for motion in motions_of(self.trained.input) for curve in motion.curves}
        return Controls(
            title=norm.source.title,
            norm=norm,
            ratios=family_ratios(norm, family) if isinstance(norm, SpeedNorm) else None,
            windows=torch.cat(
                [torch.empty(0, self.trained.window_length, 22, 3), *(person.windows for person in controls)]
            ),
            window_persons=tuple(person.subject for person in controls for _ in person.windows),
            window_speeds=np.concatenate([np.empty(0), *(person.window_speeds for person in controls)]),
            logit_by_speed=logit_by_speed(persons),
            errors_deg=_mean_errors([person.errors_deg for person in controls if person.errors_deg]),
            median_logit=median_logit(self.trained, controls),
            notes=notes,
            motion=control_motion([motion for person in controls for motion in person.motions]),
        )


def read_cohort(
    trained: TrainedNetwork, folder: Path | None, norm: str | None = None, options: ExplainOptions | None = None
) -> Cohort:
    """Read the fitted trials of a save folder as the network sees them.

    ``norm`` names a published norm in place of that of the controls. Without a folder, or with fewer controls than a
    norm needs, it is the published norm by speed. Of ``options``, body model and rate of poses without joints are used.

    Raises:
        GaitError: the norm cannot be read, or the folder has no fitted trial.
    """
    return read_cohorts([trained], folder, norm, options)[0]


def read_cohorts(
    networks: Sequence[TrainedNetwork],
    folder: Path | None,
    norm: str | None = None,
    options: ExplainOptions | None = None,
) -> list[Cohort]:
    """Read the fitted trials of a save folder once; return the cohort as each network sees it, as ``read_cohort``."""
    persons: list[list[CohortPerson]] = [[] for _ in networks]
    problems: list[list[str]] = [[] for _ in networks]
    for subject in find_subject_folders(folder) if folder is not None else ():
        recorded = _RecordedWalks(subject, options)
        for network, own, lines in zip(networks, persons, problems, strict=True):
            known = sum(bool(person.errors_deg) for person in own)
            try:
                own.append(_read_person(network, recorded, errors=known < ERRORS_OF))
            except GaitError as error:
                lines.append(str(error))
    title = f"controls in {folder.name}" if folder is not None else ""
    return [
        cohort_of(network, own, title, norm, lines)
        for network, own, lines in zip(networks, persons, problems, strict=True)
    ]


def cohort_of(
    trained: TrainedNetwork,
    persons: Sequence[CohortPerson],
    title: str,
    norm: str | None = None,
    problems: Sequence[str] = (),
) -> Cohort:
    """Return the cohort of persons that are read; arguments as in ``read_cohort``."""
    cohort = Cohort(trained, tuple(persons), title, None, tuple(problems))
    if norm is not None:
        return replace(cohort, published=read_angle_norm(norm))
    if len({curves.person for curves in _curves(persons)}) < MIN_PERSONS:
        return replace(cohort, published=read_angle_norm(PUBLISHED_BY_SPEED))
    return cohort


class _RecordedWalks:
    """The trials in a subject's folder, of which each is read and analysed once for several networks."""

    def __init__(self, folder: Path, options: ExplainOptions | None):
        self.sick = folder.parent.name == SICK  # not of the folder that a link leads to
        self._folder, self._options = folder, options
        self._trials: dict[Hashable, Trial] = {}
        self._analyses: dict[Hashable, TrialAnalysis] = {}

    @cached_property
    def sequences(self) -> dict[Path, PoseSequence]:
        """The poses by folder of the trial, or of the segment of a split trial."""
        folders = [each for trial in find_trial_folders(self._folder) for each in find_pose_folders(trial)]
        read = read_poses if self._options is None else self._options.read_poses
        return {folder: read(folder) for folder in folders}

    def trial(self, trained: TrainedNetwork, folder: Path) -> Trial:
        """Return a trial at the network's frame rate."""
        key = folder, trained.rate_hz, trained.input.name, trained.windows, trained.window_length, trained.keep_standing
        if key not in self._trials:
            self._trials[key] = prepare_trial(folder, self.sequences[folder], trained)
        return self._trials[key]

    def analysis(self, folder: Path, trial: Trial, *, errors: bool) -> TrialAnalysis:
        """Return the analysis of a trial."""
        if (folder, errors) not in self._analyses:
            self._analyses[folder, errors] = analyse_trial(
                self.sequences[folder], subject=trial.subject_id, trial=trial.trial_name, with_errors=errors
            )
        return self._analyses[folder, errors]


def _read_person(trained: TrainedNetwork, recorded: _RecordedWalks, *, errors: bool) -> CohortPerson:
    walks: list[MeasuredWalk] = []
    for folder, sequence in recorded.sequences.items():
        trial = recorded.trial(trained, folder)
        with_errors = errors and not recorded.sick and not walks
        analysis = recorded.analysis(folder, trial, errors=with_errors)
        walks.append(with_input(trained, trial, sequence, analysis, own_input=not recorded.sick))
    return cohort_person(trained, walks, sick=recorded.sick)


def cohort_person(trained: TrainedNetwork, walks: Sequence[MeasuredWalk], *, sick: bool) -> CohortPerson:
    """Return what is kept of a person's walks."""
    logits, kept, speeds, motions = [], [], [], []
    for walk in walks:
        windows = trained.windows_of(walk.trial)
        logits.append(window_logits(trained.network, windows, _BATCH_SIZE).double())
        if not sick and np.isfinite(walk.dimensionless_speed):
            kept.append(phase_windows(trained, windows))
            speeds += [walk.dimensionless_speed] * len(kept[-1])
            motions.append(read_trial_motion(trained, walk.trial, walk.dimensionless_speed))
    known = [walk.dimensionless_speed for walk in walks if np.isfinite(walk.dimensionless_speed)]
    return CohortPerson(
        walks[0].trial.subject_id,
        sick,
        float(np.mean(known)) if known else math.nan,
        float(torch.cat(logits).mean()),
        () if sick else curves_by_pace(walks[0].trial.subject_id, [walk.analysis for walk in walks]),
        torch.cat([torch.empty(0, trained.window_length, 22, 3), *kept]),
        np.array(speeds),
        {} if walks[0].analysis.angle_errors is None else _errors_of_both_sides(walks[0].mean_errors()),
        tuple(motion for motion in motions if motion is not None),
    )


def median_logit(trained: TrainedNetwork, controls: Sequence[CohortPerson]) -> float:
    """Return the median logit of controls, if possible of those whom the network has not seen; NaN without one.

    A network separates the controls it was trained on far better than others. The training records the median of
    controls held out for its threshold; else it is that of the controls not in training, if there are at least
    ``MIN_CONTROLS``, and of all otherwise.
    """
    if trained.checkpoint is not None and trained.checkpoint.control_logit is not None:
        return trained.checkpoint.control_logit
    known = [person for person in controls if np.isfinite(person.logit)]
    unseen = [person for person in known if person.subject not in trained.training_subjects]
    chosen = unseen if len(unseen) >= MIN_CONTROLS else known
    return float(np.median([person.logit for person in chosen])) if chosen else math.nan


def save_folder_of(trial: Path) -> Path | None:
    """Return the save folder in which a trial lies with its label, ``<folder>/<label>/<subject>/<trial>``, or None."""
    path = trial.resolve()
    for parent in path.parents[1:4]:
        if parent.name in (HEALTHY, SICK) and (parent.parent / HEALTHY).is_dir():
            return parent.parent
    return None


def phase_windows(trained: TrainedNetwork, windows: WindowDataset) -> Tensor:
    """Return the windows of one trial that are kept as replacements, all at the same phase, (n, L, 22, 3)."""
    return windows.batch(phase_indices(trained, windows, WINDOWS_PER_TRIAL))


def phase_indices(trained: TrainedNetwork, windows: WindowDataset, limit: int | None = None) -> Tensor:
    """Return the indices of windows of one trial that begin with a left contact, or mirrored with a right one.

    Windows of ``frames`` that begin with a right contact are not mirrored, so they are omitted. Of more than ``limit``,
    so many are chosen evenly.
    """
    chosen = torch.arange(len(windows))
    if trained.windows != CYCLES:
        contacts = torch.as_tensor(nearest_frames(windows.trials[0].events.initial_contacts["left"]))
        chosen = chosen[torch.isin(windows.first_frame, contacts)]
    if limit is not None and len(chosen) > limit:
        chosen = chosen[torch.linspace(0, len(chosen) - 1, limit).round().long()]
    return chosen


def logit_by_speed(persons: Sequence[CohortPerson], *, resamples: int = 200, seed: int = 0) -> LogitBySpeed | None:
    """Return the logits of persons by speed; None of fewer than ``MIN_PERSONS`` persons of known speed.

    The curve is an isotonic regression, falling or rising, whichever fits better: a network that goes by speed need not
    do so in proportion. What speed and label explain is that of persons left out: a curve follows the logits of the few
    persons to whom it is fitted.
    """
    known = [one for one in persons if np.isfinite([one.dimensionless_speed, one.logit]).all()]
    known.sort(key=lambda one: one.dimensionless_speed)
    speeds, logits = (np.array([getattr(one, name) for one in known]) for name in ("dimensionless_speed", "logit"))
    if len(known) < MIN_PERSONS or not speeds.std() or not logits.std():
        return None
    fits = [scipy.optimize.isotonic_regression(logits, increasing=increasing).x for increasing in (False, True)]
    rising = bool(((logits - fits[1]) ** 2).sum() < ((logits - fits[0]) ** 2).sum())
    sick = np.array([one.sick for one in known])
    left_out, by_label = np.empty(len(known)), np.empty(len(known))
    for k in range(len(known)):
        others = np.arange(len(known)) != k
        own = scipy.optimize.isotonic_regression(logits[others], increasing=rising).x
        left_out[k] = np.interp(speeds[k], speeds[others], own)
        alike = others & (sick == sick[k])
        by_label[k] = logits[alike if alike.any() else others].mean()
    explained = [1 - float(((logits - found) ** 2).mean() / logits.var()) for found in (left_out, by_label)]
    random = np.random.default_rng(seed)
    resampled = []
    for _ in range(resamples):
        drawn = np.sort(random.integers(len(known), size=len(known)))
        own = scipy.optimize.isotonic_regression(logits[drawn], increasing=rising).x
        first = np.unique(speeds[drawn], return_index=True)[1]
        resampled.append(np.interp(speeds, speeds[drawn][first], own[first]))
    return LogitBySpeed(
        speeds=speeds,
        logits=fits[rising],
        resampled=np.array(resampled),
        variance_explained=explained[0],
        variance_explained_by_label=explained[1],
        residual_sd=float((logits - left_out).std()),
    )


def _errors_of_both_sides(errors: Mapping[tuple[str, str], Vector]) -> dict[str, Vector]:
    names = dict.fromkeys(name for name, _ in errors)
    return {name: _root_mean_square([error for key, error in errors.items() if key[0] == name]) for name in names}


def _mean_errors(persons: Sequence[Mapping[str, Vector]]) -> dict[str, Vector]:
    names = dict.fromkeys(name for person in persons for name in person)
    return {name: _root_mean_square([person[name] for person in persons if name in person]) for name in names}


def _root_mean_square(curves: Sequence[Vector]) -> Vector:
    return np.sqrt(np.nan_to_num(finite_mean(np.square(curves))))


def _curves(persons: Sequence[CohortPerson]) -> list[ControlCurves]:
    return [curves for person in persons for curves in person.curves]
