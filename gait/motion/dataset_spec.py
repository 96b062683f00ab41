"""Which poses a computation reads: said in a few words, so that other processes can read the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from gait.errors import GaitError
from gait.motion.dataset import GaitDataset, read_gaits


@dataclass(frozen=True)
class DatasetSpec:
    """A folder of fitted gaits, and how they are read."""

    base_folder: Path
    rate_hz: float  # that all gaits are brought to
    shortest: int  # frames, at that rate; shorter gaits are left out
    body_file: Path | None = None  # of poses that come without joints
    pose_rate_hz: float | None = None  # of the same

    def absolute(self) -> DatasetSpec:
        """The same with absolute paths."""
        file = self.body_file
        return replace(self, base_folder=self.base_folder.resolve(), body_file=None if file is None else file.resolve())

    def gaits(self) -> GaitDataset:
        """Read all gaits.

        Raises:
            GaitError: there is none that can be used.
        """
        body = None
        if self.body_file is not None:
            from gait.body.model_file import load_body

            body = load_body(self.body_file)
        found = read_gaits(self.base_folder, self.rate_hz, body=body, pose_rate_hz=self.pose_rate_hz)
        long = tuple(gait for gait in found.gaits if len(gait.joints_m) >= self.shortest)
        problems = tuple(
            f"{gait.name}: {len(gait.joints_m)} frames at {self.rate_hz:g} Hz are shorter than a window of "
            f"{self.shortest}; left out."
            for gait in found.gaits
            if len(gait.joints_m) < self.shortest
        )
        if not long:
            raise GaitError(
                f"{self.base_folder}: every recording is shorter than a window of {self.shortest} frames at "
                f"{self.rate_hz:g} Hz; use a smaller --interval_size."
            )
        return GaitDataset(long, found.problems + problems)

    def same_gaits(self, sha256: str) -> GaitDataset:
        """The gaits of which ``sha256_of`` said so; kept, so that a process reads them once.

        Raises:
            GaitError: there are others now, or here.
        """
        return _same_gaits(self, sha256)


def sha256_of(gaits: GaitDataset) -> str:
    """Of names, labels, rate and joints of all gaits: equal if and only if a training sees the same."""
    digest = hashlib.sha256()
    for gait in gaits.gaits:
        digest.update(repr((gait.name, gait.sick, gait.rate_hz, gait.joints_m.shape)).encode())
        digest.update(gait.joints_m.tobytes())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def _same_gaits(source: DatasetSpec, sha256: str) -> GaitDataset:
    found = source.gaits()
    if sha256_of(found) != sha256:
        raise GaitError(
            f"{source.base_folder}: the poses in it have changed since the command was given, or are others on this "
            "computer; give the command again."
        )
    return found
