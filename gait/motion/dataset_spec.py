"""Specification of a dataset of poses, small enough to pass to other processes, which then read the same trials."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from gait.errors import GaitError
from gait.motion.dataset import GaitDataset, read_dataset


@dataclass(frozen=True)
class DatasetSpec:
    """A folder of fitted trials, and how to read it."""

    poses_folder: Path
    rate_hz: float  # to which all trials are resampled
    window_length: int  # frames at rate_hz; shorter trials are excluded
    body_file: Path | None = None  # for JSON and text poses, which have no joints
    pose_rate_hz: float | None = None  # of JSON and text poses

    def absolute(self) -> DatasetSpec:
        """Return the same specification with absolute paths."""
        body_file = None if self.body_file is None else self.body_file.resolve()
        return replace(self, poses_folder=self.poses_folder.resolve(), body_file=body_file)

    def load(self) -> GaitDataset:
        """Read all trials that have at least ``window_length`` frames.

        Raises:
            GaitError: there is none.
        """
        body = None
        if self.body_file is not None:
            from gait.body.model_file import load_body

            body = load_body(self.body_file)
        found = read_dataset(self.poses_folder, self.rate_hz, body=body, pose_rate_hz=self.pose_rate_hz)
        long_enough = tuple(trial for trial in found.trials if len(trial.joints_m) >= self.window_length)
        problems = tuple(
            f"{trial.trial_id}: {len(trial.joints_m)} frames at {self.rate_hz:g} Hz are shorter than a window of "
            f"{self.window_length}; excluded."
            for trial in found.trials
            if len(trial.joints_m) < self.window_length
        )
        if not long_enough:
            raise GaitError(
                f"{self.poses_folder}: every trial is shorter than a window of {self.window_length} frames at "
                f"{self.rate_hz:g} Hz; use a smaller --interval_size."
            )
        return GaitDataset(long_enough, found.problems + problems)

    def load_verified(self, sha256: str) -> GaitDataset:
        """Return the trials if their ``dataset_hash`` is ``sha256``; cached, so that a process reads them once.

        Raises:
            GaitError: the trials have changed, or differ on this computer.
        """
        return _load_verified(self, sha256)


def dataset_hash(dataset: GaitDataset) -> str:
    """Return the SHA-256 of names, labels, rate and joints of all trials: equal if and only if training input is."""
    digest = hashlib.sha256()
    for trial in dataset.trials:
        digest.update(repr((trial.trial_id, trial.sick, trial.rate_hz, trial.joints_m.shape)).encode())
        digest.update(trial.joints_m.tobytes())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def _load_verified(spec: DatasetSpec, sha256: str) -> GaitDataset:
    found = spec.load()
    if dataset_hash(found) != sha256:
        raise GaitError(
            f"{spec.poses_folder}: the poses in it have changed since the command was started, or differ on this "
            "computer; run the command again."
        )
    return found
