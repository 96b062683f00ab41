"""A synthetic trial and an untrained network in a folder, for benchmarks of what shows them."""

from __future__ import annotations

from pathlib import Path

import torch

from gait.body.model_file import load_body
from gait.body.skeleton import BODY_JOINTS, NUM_BODY_JOINTS
from gait.learning.checkpoint import Checkpoint, save_checkpoint
from gait.learning.networks.mlp import MLPArchitecture
from gait.learning.networks.transformer import TransformerArchitecture
from gait.motion.inputs.published import NORMALIZATION
from gait.motion.pose_npz import write_npz
from gait.synthetic.subject import make_subject
from gait.synthetic.trial import make_trial

_WINDOW = 64  # frames, of the network


ARCHITECTURES = {
    "mlp": MLPArchitecture("sequential_mlp", _WINDOW, (16, 16), (16,)),
    "transformer": TransformerArchitecture(),
}


def write_untrained_trial(folder: Path, model: Path, seconds: float, kind: str = "mlp") -> tuple[Path, Path]:
    """Write a trial of a patient and the checkpoint of an untrained network; return folder and file."""
    body = load_body(model)
    trial = folder / "sick" / "P01" / "walk1"
    trial.mkdir(parents=True)
    write_npz(trial, make_trial(body, make_subject(body, 1), seconds=seconds).ground_truth)
    torch.manual_seed(0)
    architecture = ARCHITECTURES[kind]
    network = folder / f"{kind}.ckpt"
    save_checkpoint(
        network,
        Checkpoint(
            architecture=architecture,
            weights=architecture.build().state_dict(),
            window_length=_WINDOW,
            frame_rate_hz=100.0,
            normalisation=NORMALIZATION,
            joints=tuple(joint.name for joint in BODY_JOINTS),
            mean_window=torch.zeros(_WINDOW, NUM_BODY_JOINTS, 3),
        ),
    )
    return trial, network
