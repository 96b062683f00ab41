"""Random attributions and small networks for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from gait.body.body import Body
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import BODY_JOINTS, NUM_BODY_JOINTS
from gait.explaining.attribution import TrialAttribution
from gait.explaining.trained_network import TrainedNetwork, load_network
from gait.learning.checkpoint import Checkpoint, save_checkpoint
from gait.learning.network import Architecture
from gait.learning.networks.mlp import MLPArchitecture
from gait.learning.networks.transformer import TransformerArchitecture
from gait.motion.inputs.published import NORMALIZATION
from gait.motion.pose_npz import write_npz
from gait.motion.read_dataset import read_dataset
from gait.motion.windows import fit_reference
from gait.synthetic import make_subject, make_trial

WINDOW = 32
SMALL_MLP = MLPArchitecture("sequential_mlp", WINDOW, (8, 6), (8,))
SMALL_TRANSFORMER = TransformerArchitecture(8, 8, 2, 2, 16)


def random_attribution(frames: int = 120, *, signed: bool = True, seed: int = 0, **changes: Any) -> TrialAttribution:
    """Return a trial's attribution with random values; ``changes`` replaces fields."""
    random = np.random.default_rng(seed)
    values = random.normal(0, 1e-3, (frames, NUM_BODY_JOINTS)).astype(np.float32)
    defaults: dict[str, Any] = {
        "values": values if signed else np.abs(values),
        "probability": random.uniform(0, 1, frames).astype(np.float32),
        "first_frames": np.arange(0, frames - WINDOW + 1, 4, dtype=np.int64),
        "window_probability": random.uniform(0, 1, len(range(0, frames - WINDOW + 1, 4))).astype(np.float32),
        "window_length": WINDOW,
        "rate_hz": 100.0,
        "signed": signed,
        "unattributed": 0.25 if signed else float("nan"),
        "method": "lrp" if signed else "attention",
        "settings": {"rule": "epsilon", "epsilon": 1e-6, "stride": 4} if signed else {"heads": "mean"},
    }
    return TrialAttribution(**(defaults | changes))


def write_network(path: Path, architecture: Architecture = SMALL_MLP, seed: int = 0, **changes: Any) -> Path:
    """Write a checkpoint with random weights and return its path; ``changes`` replaces fields."""
    torch.manual_seed(seed)
    joints = tuple(joint.name for joint in BODY_JOINTS)
    defaults: dict[str, Any] = {
        "architecture": architecture,
        "weights": architecture.build().state_dict(),
        "window_length": WINDOW,
        "frame_rate_hz": 100.0,
        "normalisation": NORMALIZATION,
        "joints": joints,
        "mean_window": torch.zeros(WINDOW, NUM_BODY_JOINTS, 3),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(path, Checkpoint(**(defaults | changes)))
    return path


def write_walk_and_network(
    root: Path, body: Body, window: int, *, mean: float = 0.0
) -> tuple[Path, PoseSequence, TrainedNetwork]:
    """Write a walk and an MLP of its rotations; return the walk's folder and poses, and the network.

    ``mean`` is each value of the network's mean window.
    """
    folder = root / "poses/healthy/P01/walk1"
    folder.mkdir(parents=True)
    truth = make_trial(body, make_subject(body, 3), seconds=3.5, seed=1).ground_truth
    write_npz(folder, truth)
    trials = read_dataset(root / "poses", input="rotations", windows="cycles").trials
    reference = fit_reference(trials, window, factor=5.0, input="rotations", windows="cycles")
    file = write_network(
        root / "net.ckpt", MLPArchitecture("sequential_mlp", window, (8, 6), (8,)), window_length=window,
        input="rotations", windows="cycles", reference=reference,
        mean_window=torch.full((window, NUM_BODY_JOINTS, 3), mean),
    )  # fmt: skip
    return folder, truth, load_network(file)
