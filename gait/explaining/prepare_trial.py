"""Preparation of a fitted trial as the input of a network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gait.body.pose_sequence import PoseSequence
from gait.errors import GaitError
from gait.explaining.trained_network import TrainedNetwork
from gait.kinematics.walking import find_activity
from gait.motion.dataset import AcquisitionInfo, Trial
from gait.motion.resampling import check_rate, resample, resample_nearest
from gait.motion.rotation_samples import read_rotations
from gait.motion.trial_paths import SICK, parse_subject_id, parse_trial_id
from gait.motion.window_placement import FRAMES, place_windows

_UNKNOWN = float("nan")


def prepare_trial(
    folder: Path, sequence: PoseSequence, network: TrainedNetwork, *, keep_standing: bool = False
) -> Trial:
    """Resample the joints of poses, and their status, to the network's rate; name and label are those of the folder.

    Standing, turning on the spot and sitting are found, so that they are neither judged nor explained, unless they are
    to be kept or the network was trained on them. A trial in a folder without a label counts as healthy. Explanations
    do not use the label, and files and messages name the trial by its folder.

    Raises:
        GaitError: the rate is out of range, or no walk in the trial is as long as a window.
    """
    joints_m, rate_hz, status = sequence.joints_m, sequence.rate_hz, sequence.joint_status
    check_rate(rate_hz, f"{folder}: its frame rate")
    joints = resample(joints_m, rate_hz, network.rate_hz)
    if status is not None:
        status = resample_nearest(status, rate_hz, network.rate_hz)
    if network.windows == FRAMES and len(joints) < network.window_length:
        raise GaitError(
            f"{folder}: {len(joints_m)} frames at {rate_hz:g} Hz are shorter than this network's window of "
            f"{network.window_length / network.rate_hz:.2f} s; use a longer trial, or a network with shorter windows."
        )
    subject_id = parse_subject_id(folder)
    label, _, subject = subject_id.rpartition("/")
    trial_name = parse_trial_id(folder).removeprefix(f"{subject_id}/")
    acquisition = AcquisitionInfo(rate_hz, len(joints_m), _UNKNOWN, (), _UNKNOWN)
    rotations = read_rotations(sequence, network.rate_hz) if network.input.needs_rotations else None
    trial = Trial(
        subject, trial_name, label == SICK, joints, network.rate_hz, acquisition, folder, status, rotations=rotations
    )
    if not (keep_standing or network.keep_standing):
        trial = replace(trial, activity=find_activity(joints, network.rate_hz))
    reason = network.input.reason_to_exclude(trial)
    if reason := reason or place_windows(trial, network.window_length, windows=network.windows).reason:
        raise GaitError(reason)
    return trial
