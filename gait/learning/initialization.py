"""Data-dependent initialization of a network's weights (Krähenbühl et al. 2016, ICLR; Salimans & Kingma 2016, NeurIPS).

With the published initialization, all but 1/500 of the transformer's representation of a window is the same for every
window: it comes from the CLS tokens and the positional encoding. Dropout of a tenth of all values turns this constant
into noise much larger than the differences between windows, and training must remove the noise before it can learn
anything about gait. Therefore, over some training windows, the constant is subtracted once where it arises, and each
level is scaled to a common standard deviation. This changes the CLS tokens, biases and scales of layers. The network's
architecture and the names of the weights stay the published ones.

In the perceptrons, the differences between windows shrink with each of a dozen layers, until the output depends on the
biases only. There each layer's output is centred and scaled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from gait.learning.feed_forward import feed_forward
from gait.learning.transformer import GaitTransformer, TokenEncoder
from gait.motion.windows import WindowDataset

NUM_WINDOWS = 256
"""Number of training windows from which the statistics are computed."""

_EVERY = 16
"""One of so many frames gives the statistics of the joints' scores."""

_JOINT_GAIN = 20.0
"""Factor on the embedding of joint coordinates. It makes the coordinates of a joint count more than its identity, which
the positional encoding adds with a magnitude of 0.7."""

_FRAME_STD = 3.0
"""Standard deviation of the embedding of a frame, to which a positional encoding of the same magnitude is added."""

_SCORE_STD = 1.0
"""Standard deviation of the attention scores of a window's frames, so that the CLS token prefers some frames."""

_DEVIATION_STDS = {"joints": 0.5, "frames": 1.0}
"""The same as standard deviations of both embeddings, for windows that are deviations from the controls' mean. Layer
normalization keeps only the direction of a token: where the deviation outweighs what the positional encoding adds, a
slight deviation counts as much as a large one, joints and phases are hardly distinguished, and the network takes
harmless peculiarities for signs."""

_DEVIATION_SCORE_STDS = {"joints": 2.0, "frames": 1.5}
"""Standard deviations of the attention scores, for such windows. All joints share one map to values, so the network
knows them apart only where a head prefers some of them; from equal attention it takes long to learn to."""

_CLS_SCALE = 0.03
"""Factor on the CLS token including its positional encoding. Layer normalization keeps only its direction."""


def standardize_linear_layers(network: nn.Module, joints: Tensor, deviations: bool = False) -> None:
    """Give the output of each linear layer, one after another, mean 0 and standard deviation 1 over windows.

    The windows (N, L, J, 3) are of training subjects; the network is changed in place. ``deviations`` makes no
    difference here.
    """

    def standardize_output(layer: nn.Module, _: object, values: Tensor) -> Tensor:
        assert isinstance(layer, nn.Linear)
        rows = values.flatten(0, -2)
        mean, std = rows.mean(0), _std(rows)
        layer.weight /= std
        layer.bias.copy_((layer.bias - mean) / std)
        return (values - mean) / std

    linear_layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    hooks = [layer.register_forward_hook(standardize_output) for layer in linear_layers]
    try:
        network(joints)
    finally:
        for hook in hooks:
            hook.remove()


def initialize_from_data(
    network: nn.Module,
    windows: WindowDataset,
    seed: int,
    initialize: Callable[[Any, Tensor, bool], None] = standardize_linear_layers,
) -> None:
    """Remove, in place, the part of the network's representations that is the same for all windows.

    The network has random weights and is on the CPU; the windows are those of the training subjects, of which ``seed``
    selects some; ``initialize`` is that of ``Network``.
    """
    chosen = torch.randperm(len(windows), generator=torch.Generator().manual_seed(seed))[:NUM_WINDOWS].sort().values
    joints = windows.batch(chosen)
    was_training = network.training
    network.eval()
    with torch.no_grad():
        initialize(network, joints, windows.reference.mean_window is not None)
    network.train(was_training)


def initialize_transformer(network: GaitTransformer, joints: Tensor, deviations: bool = False) -> None:
    """Centre and scale both levels of a transformer, given windows (N, L, J, 3), in place.

    ``deviations``: the windows are deviations from the controls' mean, of any scale.
    """
    extractor, merger = network.feature_extractor, network.feature_merger
    joint_positions, frame_positions = 1 + torch.arange(joints.shape[2]), 1 + torch.arange(joints.shape[1])
    rows, weight = joints.flatten(0, 1), extractor.input_embedding.weight
    frame_std, score_std = _FRAME_STD, _SCORE_STD
    if deviations:
        weight *= _DEVIATION_STDS["joints"] / _std(linear(rows, weight).flatten(0, 1))
        _scale_scores(extractor, rows[::_EVERY], joint_positions, _DEVIATION_SCORE_STDS["joints"])
        frame_std, score_std = _DEVIATION_STDS["frames"], _DEVIATION_SCORE_STDS["frames"]
    else:
        weight *= _JOINT_GAIN
    frames = _initialize_level(extractor, rows, joint_positions)
    embedding = merger.input_embedding
    embedding.weight *= frame_std / _std(linear(frames, embedding.weight))
    embedding.bias.zero_()
    in_windows = frames.unflatten(0, joints.shape[:2])
    _scale_scores(merger, in_windows, frame_positions, score_std)
    _initialize_level(merger, in_windows, frame_positions)


def _initialize_level(level: TokenEncoder, rows: Tensor, positions: Tensor) -> Tensor:
    """Centre a level's outputs and scale its attention output to standard deviation 1; return its outputs (R, d)."""
    layer = level.transformer_encoder.layers[0]
    attention, first, second = layer.self_attn, layer.linear1, layer.linear2
    position = level.positional_encoder.pe[0]
    level.classification_token[0] = _CLS_SCALE * level.cls_embedding() - position
    _centre_values(level, rows, positions)
    attention.out_proj.bias.zero_()
    attended, _ = level.attend(rows, positions)
    std = _std(attended)
    attention.out_proj.weight /= std
    attended = (attended - attended.mean(0)) / std
    attention.out_proj.bias -= level.cls_embedding()[0]
    fed = feed_forward(layer.norm2(attended), first.weight, first.bias, second.weight, second.bias)
    mean = fed.mean(0)
    second.bias -= mean
    return attended + fed - mean


def _centre_values(level: TokenEncoder, rows: Tensor, positions: Tensor) -> None:
    """Give the attention output of each head mean 0 over the rows, through the bias of its values.

    Then dropping a token by dropout loses only information about this row, not a constant that all rows share.
    """
    attention = level.transformer_encoder.layers[0].self_attn
    weight, bias = attention.out_proj.weight.clone(), attention.out_proj.bias.clone()
    attention.out_proj.weight.copy_(torch.eye(len(weight)))
    attention.out_proj.bias.zero_()
    heads, _ = level.attend(rows, positions)
    attention.in_proj_bias[-len(weight) :] -= heads.mean(0)
    attention.out_proj.weight.copy_(weight)
    attention.out_proj.bias.copy_(bias)


def _scale_scores(level: TokenEncoder, rows: Tensor, positions: Tensor, std: float) -> None:
    """Scale queries and keys equally, so that the scores of a row's tokens have this standard deviation."""
    layer = level.transformer_encoder.layers[0]
    scores = layer.norm1(level.embed_tokens(rows, positions)) @ level.fuse_weights().query.t()  # (R, 1 + n, heads)
    both = 2 * layer.self_attn.embed_dim
    layer.self_attn.in_proj_weight[:both] *= (std / scores.std(1).mean()).sqrt()


def _std(vectors: Tensor) -> Tensor:
    """Return the standard deviation of vectors (R, d) over rows, as root mean square over columns; 1 if it is 0."""
    std = vectors.std(0, correction=0).square().mean().sqrt()
    return torch.where(std > 1e-6, std, 1.0)
