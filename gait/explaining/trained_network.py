"""A trained network with all that an explanation needs of it, from a checkpoint or from published weights."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from gait.errors import GaitError
from gait.explaining.methods import methods_of
from gait.learning.checkpoint import Checkpoint, load_network
from gait.learning.transformer import GaitTransformer

USUAL_RATE_HZ = 100.0
"""Of bare weights, which do not say it; what training takes too."""


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network, ready to be asked."""

    file: Path
    sha256: str  # of the file
    network: nn.Module  # in evaluation mode
    window_length: int  # frames
    rate_hz: float  # of the recordings that it takes
    mean_window: Tensor | None  # (L, 22, 3) of its training set, common frame; None of bare weights
    checkpoint: Checkpoint | None  # None of bare weights

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods that explain it, the default one first."""
        return methods_of(self.network, with_baseline=self.mean_window is not None)

    @property
    def title(self) -> str:
        """Its kind in a reader's words."""
        return "transformer" if isinstance(self.network, GaitTransformer) else "MLP"


def open_network(
    file: Path,
    *,
    window_length: int | None = None,
    rate_hz: float | None = None,
    pose_heads: int | None = None,
    classifier_heads: int | None = None,
) -> TrainedNetwork:
    """Read a network.

    Args:
        file: a checkpoint of this suite, or weights under the published names.
        window_length: frames; needed for bare weights of a transformer, else checked if given.
        rate_hz: of bare weights, ``USUAL_RATE_HZ`` if None; else checked if given.
        pose_heads: of bare weights of a transformer.
        classifier_heads: likewise.

    Raises:
        GaitError: it cannot be read, is damaged, no known network, or not what was said of it.
    """
    file = Path(file)
    network, checkpoint = load_network(
        file, pose_heads=pose_heads, classifier_heads=classifier_heads, window_length=window_length
    )
    with file.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    if checkpoint is not None:
        if rate_hz not in (None, checkpoint.frame_rate_hz):
            raise GaitError(
                f"{file}: a network for recordings at {checkpoint.frame_rate_hz:g} Hz, not at {rate_hz:g}; leave "
                "--frame_rate out."
            )
        length, mean_window = checkpoint.window_length, checkpoint.mean_window
        return TrainedNetwork(file, sha256, network, length, checkpoint.frame_rate_hz, mean_window, checkpoint)
    if window_length is None:
        raise GaitError(
            f"{file}: bare weights do not say how many frames a window has; give --interval_size as in their training."
        )
    return TrainedNetwork(file, sha256, network, window_length, rate_hz or USUAL_RATE_HZ, None, None)
