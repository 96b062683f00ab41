"""Which poses a computation reads: said in a few words, so that other processes can read the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from gait.errors import GaitError
from gait.motion.gait_set import GaitSet, read_gaits


@dataclass(frozen=True)
class GaitSource:
    """A folder of fitted gaits, and how they are read."""

    base_folder: Path
    rate_hz: float  # that all gaits are brought to
    shortest: int  # frames, at that rate; shorter gaits are left out
    body_file: Path | None = None  # of poses that come without joints
    pose_rate_hz: float | None = None  # of the same

    def absolute(self) -> GaitSource:
        """The same with absolute paths."""
        file = self.body_file
        return replace(self, base_folder=self.base_folder.resolve(), body_file=None if file is None else file.resolve())

    def gaits(self) -> GaitSet:
        """All gaits, read once a process.

        Raises:
            GaitError: there is none that can be used.
        """
        return _read(self)


@lru_cache(maxsize=1)
def _read(source: GaitSource) -> GaitSet:
    body = None
    if source.body_file is not None:
        from gait.body.model_file import load_body

        body = load_body(source.body_file)
    found = read_gaits(source.base_folder, source.rate_hz, body=body, pose_rate_hz=source.pose_rate_hz)
    long, problems = [], list(found.problems)
    for gait in found.gaits:
        if len(gait.joints_m) >= source.shortest:
            long.append(gait)
        else:
            problems.append(
                f"{gait.name}: {len(gait.joints_m)} frames at {source.rate_hz:g} Hz are shorter than a window of "
                f"{source.shortest}; left out."
            )
    if not long:
        raise GaitError(
            f"{source.base_folder}: every recording is shorter than a window of {source.shortest} frames at "
            f"{source.rate_hz:g} Hz; use a smaller --interval_size."
        )
    return GaitSet(tuple(long), tuple(problems))


def sha256_of(gaits: GaitSet) -> str:
    """Of names, labels, rate and joints of all gaits: equal if and only if a training sees the same."""
    digest = hashlib.sha256()
    for gait in gaits.gaits:
        digest.update(repr((gait.name, gait.sick, gait.rate_hz, gait.joints_m.shape)).encode())
        digest.update(gait.joints_m.tobytes())
    return digest.hexdigest()
