"""A trained network with what explanations need, from a checkpoint or a state dict without metadata."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from gait.body.skeleton import BODY_JOINTS, Joint
from gait.errors import GaitError
from gait.explaining.methods import supported_methods
from gait.files.fingerprint import file_sha256
from gait.learning.checkpoint import Checkpoint, read_network
from gait.learning.networks import find_network
from gait.motion.dataset import Trial
from gait.motion.inputs import INPUTS, PUBLISHED
from gait.motion.window_input import InputReference, WindowInput
from gait.motion.window_placement import FRAMES, window_duration
from gait.motion.windows import WindowDataset
from gait.text import join_names

DEFAULT_RATE_HZ = 100.0
"""Frame rate assumed for a state dict without metadata; the default of training."""


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A trained network, its input format and its source."""

    network: nn.Module  # in evaluation mode
    window_length: int  # frames
    rate_hz: float = DEFAULT_RATE_HZ  # frame rate of its input
    mean_window: Tensor | None = None  # (L, 22, 3) of its training set, as it sees it; None without metadata
    checkpoint: Checkpoint | None = None  # None without metadata
    file: Path = Path()
    sha256: str = ""  # of the file

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the supported explanation methods, the default one first."""
        return supported_methods(self.network, with_baseline=self.mean_window is not None)

    @property
    def title(self) -> str:
        """Display name of the type of network, within a sentence."""
        return find_network(self.network).title

    @property
    def label(self) -> str:
        """Display name with the end of the file's path."""
        return f"{self.title} network ({'/'.join(self.file.resolve().parts[-2:])})"

    @property
    def left_out_joints(self) -> tuple[Joint, ...]:
        """The joints that are 0 in every window of this network; none if the file does not record them."""
        if self.checkpoint is None:
            return ()
        return tuple(BODY_JOINTS[self.checkpoint.joints.index(name)] for name in self.checkpoint.left_out_joints)

    def windows_of(self, trial: Trial) -> WindowDataset:
        """Return all windows of a trial, as this network needs them."""
        return WindowDataset(
            [trial],
            self.window_length,
            left_out=self.left_out_joints,
            input=self.input.name,
            windows=self.windows,
            reference=self.reference,
        )

    @property
    def input(self) -> WindowInput:
        """What it sees of a window; the published input if the file does not record it."""
        return INPUTS[self.checkpoint.input if self.checkpoint else PUBLISHED]

    @property
    def windows(self) -> str:
        """Where its windows begin, one of ``PLACEMENTS``."""
        return self.checkpoint.windows if self.checkpoint else FRAMES

    @property
    def reference(self) -> InputReference:
        """What its windows are relative to."""
        return self.checkpoint.reference if self.checkpoint else InputReference()

    @property
    def window_text(self) -> str:
        """What its windows are, in one line."""
        if self.windows == FRAMES:
            return f"windows of {self.window_length} frames at {self.rate_hz:g} Hz ({self.window_duration})"
        return f"windows of {self.window_duration}, {self.input.name}"

    @property
    def window_duration(self) -> str:
        """The length of its windows with its unit, within a sentence."""
        return window_duration(self.window_length, self.rate_hz, self.windows)

    @property
    def keep_standing(self) -> bool:
        """True if it was trained with --keep_standing; files of earlier versions count as trained on walking."""
        return bool(self.checkpoint and self.checkpoint.arguments.get("keep_standing"))

    @property
    def training_subjects(self) -> frozenset[str]:
        """Subjects of the training set, such as "sick/P02"; empty if the file does not record them."""
        return frozenset(map(str, self.checkpoint.fold.get("training", ()))) if self.checkpoint else frozenset()


def load_network(
    file: Path,
    *,
    window_length: int | None = None,
    rate_hz: float | None = None,
    pose_heads: int | None = None,
    classifier_heads: int | None = None,
) -> TrainedNetwork:
    """Read a trained network: a checkpoint, or a state dict with the original implementation's parameter names.

    A state dict needs the window length, in frames, and the attention heads of a transformer's two encoders; its frame
    rate is ``DEFAULT_RATE_HZ`` if None. Length and rate are checked against a checkpoint if given.

    Raises:
        GaitError: the file cannot be read, is damaged, holds no known network, or contradicts an argument.
    """
    file = Path(file)
    if file.is_dir():
        inside = sorted(
            path.relative_to(file).as_posix() for path in (*file.glob("*.ckpt"), *file.glob("fold*/*.ckpt"))
        )
        instead = f"name one of its checkpoints: {join_names(inside)}" if inside else "name a checkpoint (.ckpt)"
        raise GaitError(f"{file}: is a folder; {instead}.")
    network, checkpoint = read_network(
        file, pose_heads=pose_heads, classifier_heads=classifier_heads, window_length=window_length
    )
    network.requires_grad_(False)  # explanations are of the input, and gradients of the weights cost as much again
    sha256 = file_sha256(file) or ""
    if checkpoint is not None:
        if rate_hz not in (None, checkpoint.frame_rate_hz):
            own = checkpoint.frame_rate_hz
            raise GaitError(f"{file}: needs trials at {own:g} Hz, not at {rate_hz:g}; omit --frame_rate.")
        length, rate_hz = checkpoint.window_length, checkpoint.frame_rate_hz
        return TrainedNetwork(network, length, rate_hz, checkpoint.mean_window, checkpoint, file, sha256)
    if window_length is None:
        raise GaitError(f"{file}: has no metadata and so no window length; give --interval_size as in training.")
    return TrainedNetwork(network, window_length, rate_hz or DEFAULT_RATE_HZ, file=file, sha256=sha256)
