"""Where the transformer's weights start: as published, then so that what it sees of a walk is not lost in constants.

As published, all but a five-hundredth of what a window becomes is the same for every window: the CLS tokens and the
positions, which no walk changes. Some thousand steps are then spent on getting rid of it. So the constants are taken
out once, over some training windows, as by the data-dependent starts of Krähenbühl et al. 2016 (ICLR) and Salimans &
Kingma 2016 (NeurIPS): biases alone are moved, and the scale of two embeddings. The function that weights mean, and
their names, stay the published ones.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, linear

from gait.learning.transformer import GaitTransformer, TokenEncoder
from gait.motion.windows import Windows

WINDOWS = 256
"""Training windows that are looked at."""

_JOINT_GAIN = 3.0
"""On the embedding of coordinates, which stand beside positions of size 0.7: a joint moves by about 0.1."""


def settle(network: nn.Module, windows: Windows, seed: int) -> None:
    """Take out of a transformer's first weights what no window changes; other networks stay as they are.

    Args:
        network: with its first weights, on the CPU; changed in place.
        windows: of the training persons.
        seed: of the windows that are looked at.
    """
    if not isinstance(network, GaitTransformer):
        return
    some = torch.randperm(len(windows), generator=torch.Generator().manual_seed(seed))[:WINDOWS].sort().values
    joints = windows.batch(some)
    extractor, merger = network.feature_extractor, network.feature_merger
    was_training = network.training
    network.eval()
    with torch.no_grad():
        extractor.input_embedding.weight *= _JOINT_GAIN
        frames = _centred(extractor, joints.flatten(0, 1), 1 + torch.arange(joints.shape[2]))
        embedding = merger.input_embedding
        embedding.weight /= linear(frames, embedding.weight).std(0).mean().clamp_min(1e-6)
        embedding.bias.zero_()
        _centred(merger, frames.unflatten(0, joints.shape[:2]), 1 + torch.arange(joints.shape[1]))
    network.train(was_training)


def _centred(level: TokenEncoder, rows: Tensor, positions: Tensor) -> Tensor:
    """The outputs (R, d) of a level for rows, whose mean is taken out after attention and after the feed-forward."""
    layer = level.transformer_encoder.layers[0]
    after_attention = level.first_embedding() + level.attended(rows, positions)[0]
    layer.self_attn.out_proj.bias -= after_attention.mean(0)
    after_attention = after_attention - after_attention.mean(0)
    fed = linear(
        gelu(linear(layer.norm2(after_attention), layer.linear1.weight, layer.linear1.bias)),
        layer.linear2.weight,
        layer.linear2.bias,
    )
    layer.linear2.bias -= fed.mean(0)
    return after_attention + fed - fed.mean(0)
