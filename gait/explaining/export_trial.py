"""Export of the attributions of one trial as ``explanation.npz``, and as tables by frame, gait cycle and axis.

With several methods each has its own folder; the segments of a split trial have their own folders, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait.body.pose_sequence import PoseSequence
from gait.errors import GaitError
from gait.explaining.attribution import TrialAttribution
from gait.explaining.attribution_files import (
    SavedAttribution,
    write_axes,
    write_cycles,
    write_explanation,
    write_frames,
)
from gait.explaining.explain_trial import explain_trial
from gait.explaining.options import ExplainOptions
from gait.explaining.prepare_trial import prepare_trial
from gait.explaining.trained_network import TrainedNetwork
from gait.files.package_versions import package_versions
from gait.kinematics.gait_cycle import average_gait_cycles
from gait.motion.pose_files import find_pose_folders
from gait.motion.trial_paths import parse_trial_id


@dataclass(frozen=True, eq=False)
class SegmentExport:
    """The attributions of a trial, or of a segment of a split trial, that were written."""

    trial_id: str  # "sick/P02/walk1"
    sequence: PoseSequence
    joints_m: NDArray[np.float32]  # (T, 22, 3) at the network's frame rate
    attributions: Mapping[Path, TrialAttribution]  # by the folder of their files, one per method
    folder: Path
    pose_folder: Path  # of the poses


@dataclass(frozen=True, eq=False)
class TrialExport:
    """Files written for a trial."""

    network: TrainedNetwork
    segments: tuple[SegmentExport, ...]  # at least one
    problems: tuple[str, ...]  # one message per segment or method that failed

    @property
    def notes(self) -> tuple[str, ...]:
        """A warning if the network was trained on this subject; its prediction is not valid evidence then."""
        return tuple(
            f"{subject}: {self.network.label} was trained on this subject, so its prediction is not valid evidence; "
            "use the network of the fold that excludes it."
            for subject in self.network.training_subjects
            if self.segments[0].trial_id.startswith(f"{subject}/")
        )


def export_trial(
    network: TrainedNetwork,
    folder: Path,
    output: Path,
    options: ExplainOptions,
    arguments: Mapping[str, Any] | None = None,
) -> TrialExport:
    """Explain the trial of a folder, or of a file in it, and write its attributions, with the arguments of the command.

    Raises:
        GaitError: the trial cannot be read, all its segments are shorter than a window, no method can explain the
            network, or a file cannot be written.
    """
    folder, output = Path(folder), Path(output)
    if not folder.exists():
        raise GaitError(f"{folder}: no such folder; name that of a fitted trial, <healthy|sick>/<subject>/<trial>.")
    if folder.is_file():
        folder = folder.parent
    folders = find_pose_folders(folder) or (folder,)
    segments: list[SegmentExport] = []
    problems: list[str] = []
    for segment in folders:
        target = output if len(folders) == 1 else output / segment.name
        try:
            segments.append(_export_segment(network, segment, target, options, arguments or {}, problems))
        except GaitError as error:
            problems.append(str(error))
    if not segments:
        raise GaitError(problems[0])
    return TrialExport(network, tuple(segments), tuple(problems))


def _export_segment(
    network: TrainedNetwork,
    folder: Path,
    output: Path,
    options: ExplainOptions,
    arguments: Mapping[str, Any],
    problems: list[str],
) -> SegmentExport:
    sequence = options.read_poses(folder)
    trial = prepare_trial(folder, sequence, network, keep_standing=options.keep_standing)
    trial_id, versions = parse_trial_id(folder), package_versions("torch", "numpy")
    attributions: dict[Path, TrialAttribution] = {}
    failed: list[str] = []
    for one in options.each_method(network):
        try:
            found = explain_trial(network, trial, one.method, rule=one.rule, stride=one.stride)
        except GaitError as error:
            failed.append(str(error))
            continue
        target = output / found.method if options.all_methods else output
        attributions[target] = found
        write_explanation(
            target, SavedAttribution(trial_id, found, network.file.name, network.sha256, arguments, versions)
        )
        write_frames(target, found)
        write_axes(target, found)
        write_cycles(target, found, average_gait_cycles(*found.cycle_inputs(trial.joints_m)))
    if not attributions:
        raise GaitError(failed[0])
    problems += failed
    return SegmentExport(trial_id, sequence, trial.joints_m, attributions, output, folder)
