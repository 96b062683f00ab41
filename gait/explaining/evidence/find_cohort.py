"""The cohort that a trial is compared with, found by ``--norms`` or beside the trial, and read once."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from pathlib import Path

from torch import nn

from gait.explaining.evidence.controls import Cohort, read_cohorts, save_folder_of
from gait.explaining.options import ExplainOptions
from gait.explaining.trained_network import TrainedNetwork
from gait.motion.pose_files import find_pose_folders
from gait.motion.subject_trials import find_subject_folders, find_trial_folders
from gait.motion.trial_paths import HEALTHY

KEPT = 2
"""Cohorts that stay in memory: files, pages and the window often compare a trial with the same one. Those of several
networks that are read together all stay."""

_cohorts: OrderedDict[Hashable, Cohort] = OrderedDict()


def find_cohort(network: TrainedNetwork, poses: Path, norms: str | None, options: ExplainOptions) -> Cohort:
    """Return the cohort that trials are compared with, as a network sees it; as in ``find_cohorts``."""
    return find_cohorts([network], poses, norms, options)[0]


def find_cohorts(
    networks: Sequence[TrainedNetwork], poses: Path, norms: str | None, options: ExplainOptions
) -> list[Cohort]:
    """Return the cohort that trials are compared with as each network sees it: ``--norms``, or the folder of the poses.

    ``poses`` is the folder of a trial, or a save folder itself. A cohort is read again if its files or the network are
    others than before; each of its files is read once for all networks.

    Raises:
        GaitError: the norm, or a fitted trial, cannot be read.
    """
    folder = poses if (poses / HEALTHY).is_dir() else save_folder_of(poses)
    if norms is not None and Path(norms).is_dir():
        folder, norms = Path(norms), None
    source = (folder, norms, options.body_file, options.pose_rate_hz, _state(folder))
    keys = [(_weights_hash(network.network), *source) for network in networks]
    missing = {key: network for key, network in zip(keys, networks, strict=True) if key not in _cohorts}
    read = read_cohorts(list(missing.values()), folder, norms, options) if missing else []
    _cohorts.update(zip(missing, read, strict=True))
    for key in keys:
        _cohorts.move_to_end(key)
    found = [_cohorts[key] for key in keys]
    while len(_cohorts) > max(KEPT, len(networks)):
        _cohorts.popitem(last=False)
    return found


def _weights_hash(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, values in network.state_dict().items():
        digest.update(name.encode())
        digest.update(values.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _state(folder: Path | None) -> tuple[tuple[str, int, int], ...]:
    """Return path, time of change and size of each pose file of a save folder."""
    if folder is None:
        return ()
    files = [
        file
        for subject in find_subject_folders(folder)
        for trial in find_trial_folders(subject)
        for segment in find_pose_folders(trial)
        for file in sorted(segment.iterdir())
    ]
    return tuple((str(file), (status := file.stat()).st_mtime_ns, status.st_size) for file in files)
