"""Where weights start: as published, then so that what a network sees of a walk is not lost in constants.

In the published transformer all but a five-hundredth of what a window becomes is the same for every window: the CLS
tokens and the positions, which no walk changes. Dropout, which sets a tenth of all numbers to zero, makes noise of
those constants, many times what walks differ by, and a training has to get rid of it before it learns anything of a
walk. So the constants are taken out once, where they arise, and the levels are brought to one scale, over some training
windows: as by the data-dependent starts of Krähenbühl et al. 2016 (ICLR) and Salimans & Kingma 2016 (NeurIPS). CLS
tokens, biases and the scales of layers are moved; the function that weights mean, and their names, stay the published
ones.

In the perceptrons, what windows differ by gets smaller with each of a dozen layers, until biases are all that is left;
there each layer is brought to one scale, and its constant is taken out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from gait.learning.feed_forward import feed_forward
from gait.learning.transformer import GaitTransformer, TokenEncoder
from gait.motion.windows import WindowDataset

WINDOWS = 256
"""Training windows that are looked at."""

_JOINT_GAIN = 20.0
"""On the embedding of coordinates, which stand beside positions of size 0.7: where a joint is counts for more than
which one it is."""

_FRAME_SPREAD = 3.0
"""Standard deviation of the numbers that a frame is embedded to, which stand beside positions likewise."""

_SCORE_SPREAD = 1.0
"""Standard deviation of the scores of a window's frames: the CLS token attends to some more than to others."""

_CLS_SHARE = 0.03
"""What is left of the CLS token with its position. Only its direction counts for attention, as it is normalised."""


def settle(network: nn.Module, windows: WindowDataset, seed: int) -> None:
    """Take out of a network's first weights what no window changes.

    Args:
        network: with its first weights, on the CPU; changed in place.
        windows: of the training persons.
        seed: of the windows that are looked at.
    """
    some = torch.randperm(len(windows), generator=torch.Generator().manual_seed(seed))[:WINDOWS].sort().values
    joints = windows.batch(some)
    was_training = network.training
    network.eval()
    with torch.no_grad():
        if isinstance(network, GaitTransformer):
            _settle_transformer(network, joints)
        else:
            _settle_layers(network, joints)
    network.train(was_training)


def _settle_transformer(network: GaitTransformer, joints: Tensor) -> None:
    extractor, merger = network.feature_extractor, network.feature_merger
    joint_positions, frame_positions = 1 + torch.arange(joints.shape[2]), 1 + torch.arange(joints.shape[1])
    extractor.input_embedding.weight *= _JOINT_GAIN
    frames = _settled(extractor, joints.flatten(0, 1), joint_positions)
    embedding = merger.input_embedding
    embedding.weight *= _FRAME_SPREAD / _spread(linear(frames, embedding.weight))
    embedding.bias.zero_()
    in_windows = frames.unflatten(0, joints.shape[:2])
    _spread_scores(merger, in_windows, frame_positions)
    _settled(merger, in_windows, frame_positions)


def _settle_layers(network: nn.Module, joints: Tensor) -> None:
    """Bring what each linear layer gives for the joints to a mean of 0 and a spread of 1, one after another."""

    def settle_layer(layer: nn.Module, _: object, values: Tensor) -> Tensor:
        assert isinstance(layer, nn.Linear)
        rows = values.flatten(0, -2)
        mean, spread = rows.mean(0), _spread(rows)
        layer.weight /= spread
        layer.bias.copy_((layer.bias - mean) / spread)
        return (values - mean) / spread

    hooks = [one.register_forward_hook(settle_layer) for one in network.modules() if isinstance(one, nn.Linear)]
    try:
        network(joints)
    finally:
        for hook in hooks:
            hook.remove()


def _settled(level: TokenEncoder, rows: Tensor, positions: Tensor) -> Tensor:
    """The outputs (R, d) of a level for rows, whose constants are taken out; what attention gives has a spread of 1."""
    layer = level.transformer_encoder.layers[0]
    attention, first, second = layer.self_attn, layer.linear1, layer.linear2
    position = level.positional_encoder.pe[0]
    level.classification_token[0] = _CLS_SHARE * level.first_embedding() - position
    _centre_values(level, rows, positions)
    attention.out_proj.bias.zero_()
    attended, _ = level.attended(rows, positions)
    spread = _spread(attended)
    attention.out_proj.weight /= spread
    attended = (attended - attended.mean(0)) / spread
    attention.out_proj.bias -= level.first_embedding()[0]
    fed = feed_forward(layer.norm2(attended), first.weight, first.bias, second.weight, second.bias)
    mean = fed.mean(0)
    second.bias -= mean
    return attended + fed - mean


def _centre_values(level: TokenEncoder, rows: Tensor, positions: Tensor) -> None:
    """Let what each head takes from the tokens have a mean of 0, by the bias of its values.

    So dropping a token costs what it says of this row, not what all rows have in common; a bias after attention would
    have to be met by all tokens together.
    """
    attention = level.transformer_encoder.layers[0].self_attn
    weight, bias = attention.out_proj.weight.clone(), attention.out_proj.bias.clone()
    attention.out_proj.weight.copy_(torch.eye(len(weight)))
    attention.out_proj.bias.zero_()
    heads, _ = level.attended(rows, positions)
    attention.in_proj_bias[-len(weight) :] -= heads.mean(0)
    attention.out_proj.weight.copy_(weight)
    attention.out_proj.bias.copy_(bias)


def _spread_scores(level: TokenEncoder, rows: Tensor, positions: Tensor) -> None:
    """Bring the scores of a row's tokens to ``_SCORE_SPREAD``, by queries and keys alike."""
    layer = level.transformer_encoder.layers[0]
    scores = layer.norm1(level.tokens(rows, positions)) @ level.folded().query.t()  # (R, 1 + n, heads)
    both = 2 * layer.self_attn.embed_dim
    layer.self_attn.in_proj_weight[:both] *= (_SCORE_SPREAD / scores.std(1).mean()).sqrt()


def _spread(vectors: Tensor) -> Tensor:
    """Standard deviation of vectors (R, d) over the rows, root mean square over their numbers; 1 if there is none."""
    spread = vectors.std(0, correction=0).square().mean().sqrt()
    return torch.where(spread > 1e-6, spread, 1.0)
