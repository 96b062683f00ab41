"""Gaits, networks and explanations for the window."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gait.errors import GaitError
from gait.explaining.importance import GaitImportance
from gait.explaining.methods import METHODS, methods_of
from gait.explaining.recordings import explain_gait
from gait.learning.checkpoint import Checkpoint, load_network
from gait.learning.report.names import judge_name
from gait.learning.transformer import GaitTransformer
from gait.motion.gait_set import GaitRecording, RecordingSource
from gait.motion.pose_files import read_poses
from gait.motion.resampling import resampled
from gait.motion.windows import Windows
from gait.review.healthy_mean import healthy_mean
from gait.viewing.shown_gait import BodyFiles, ShownGait, read_shown_gait
from gait.viewing.workbench import ShownMethod, ShownNetwork

_RATE_HZ = 100.0  # of bare weights, which do not say theirs
_AT_A_TIME = 64  # windows


@dataclass(frozen=True, eq=False)
class _Opened:
    """What the window hands back to be explained."""

    module: nn.Module
    mean_window: Tensor | None  # (L, 22, 3) of the training set


@dataclass(frozen=True)
class FileWorkbench:
    """Opens files, as the window asks for them."""

    bodies: BodyFiles
    bare_window_frames: int = 128  # of weights without a checkpoint, whose network does not say it

    def gait(self, folder: Path) -> ShownGait:
        """A fitted gait."""
        return read_shown_gait(folder, self.bodies)

    def network(self, file: Path) -> ShownNetwork:
        """A trained network, of a checkpoint of this suite or of bare weights."""
        module, checkpoint = load_network(file)
        names = methods_of(module)
        kind = judge_name("transformer" if isinstance(module, GaitTransformer) else "mlp")
        length = checkpoint.window_length if checkpoint else getattr(module, "window_length", self.bare_window_frames)
        rate_hz = float(checkpoint.frame_rate_hz) if checkpoint else _RATE_HZ
        methods = tuple(ShownMethod(name, METHODS[name].title, METHODS[name].signed) for name in names)
        return ShownNetwork(
            file=file,
            title=f"{kind} ({'/'.join(file.resolve().parts[-2:])})",
            notes=(
                f"windows of {length} frames at {rate_hz:g} Hz ({length / rate_hz:.2f} s)",
                _trained_on(checkpoint),
            ),
            window_frames=length,
            rate_hz=rate_hz,
            methods=methods,
            handle=_Opened(module, checkpoint.mean_window if checkpoint else None),
        )

    def explained(self, network: ShownNetwork, gait: ShownGait, method: str) -> GaitImportance:
        """What was pivotal for the network, over the whole recording."""
        opened = _opened(network)
        recording = self._recording(gait.folder, gait.sequence.joints_m, gait.rate_hz, network)
        return explain_gait(opened.module, recording, network.window_frames, method, baseline=opened.mean_window)

    def probability(self, network: ShownNetwork, folder: Path) -> float:
        """Of sick, of the fitted gait in a folder: mean over all its windows."""
        sequence = read_poses(folder)
        windows = Windows(
            [self._recording(folder, sequence.joints_m, sequence.rate_hz, network)], network.window_frames
        )
        module = _opened(network).module
        with torch.inference_mode():
            said = [
                module(windows.batch(some)).reshape(-1).sigmoid()
                for some in torch.arange(len(windows)).split(_AT_A_TIME)
            ]
        return float(torch.cat(said).double().mean())

    def figure_line(self, network: ShownNetwork, method: str) -> str | None:
        """How faithful the method has proved to be."""
        return None

    def healthy_mean(self, folder: Path) -> ShownGait:
        """One stride of the mean healthy walker of a folder of fitted gaits."""
        return healthy_mean(folder, self.bodies)

    def _recording(self, folder: Path, joints_m: Any, rate_hz: float, network: ShownNetwork) -> GaitRecording:
        joints = resampled(joints_m, rate_hz, network.rate_hz)
        if len(joints) < network.window_frames:
            raise GaitError(
                f"{folder}: {len(joints_m)} frames at {rate_hz:g} Hz are shorter than this network's window, "
                f"{network.window_frames / network.rate_hz:.2f} s; open a longer walk, or a network of shorter windows."
            )
        source = RecordingSource(rate_hz, len(joints_m), float("nan"), (), float("nan"))
        return GaitRecording(folder.parent.name, folder.name, False, joints, network.rate_hz, source, folder)


def _opened(network: ShownNetwork) -> _Opened:
    assert isinstance(network.handle, _Opened)
    return network.handle


def _trained_on(checkpoint: Checkpoint | None) -> str:
    persons = checkpoint.fold.get("training") if checkpoint else None
    return f"trained on {len(persons)} persons" if persons else "the file does not say what it was trained on"
