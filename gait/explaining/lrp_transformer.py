"""Layer-wise relevance propagation through the transformer, as input times a gradient with rules of its own.

* AttnLRP, Achtibat et al. 2024, ICML, "AttnLRP: Attention-Aware Layer-Wise Relevance Propagation for Transformers":
  LayerNorm's deviation counts as a constant, and so does an activation's output over its input; softmax is taken to
  first order; and a product of two things that both depend on the input gives each of them half, here at query times
  key and at attention times value (their section 3.3).
* CP-LRP, Ali et al. 2022, ICML, "XAI for Transformers: Better Explanations through Conservative Propagation": the
  attention counts as a constant, so that everything goes through the values, and nothing is lost but to biases, CLS
  and positions.

The rules change the backward pass alone; the logit is the network's own. As in the network itself, only what the CLS
tokens look at is computed.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from gait.learning.transformer import GaitTransformer, TokenEncoder

Rule = Literal["attnlrp", "cp"]
RULES: tuple[Rule, ...] = ("attnlrp", "cp")


def lrp_transformer(network: GaitTransformer, windows: Tensor, rule: Rule = "attnlrp") -> tuple[Tensor, Tensor]:
    """Relevance (N, L, J, 3) of windows (N, L, J, 3) for the logits, and the logits (N,)."""
    inputs = windows.detach().requires_grad_()
    with torch.enable_grad():
        logits = logit_with_rules(network, inputs, rule)
        (gradient,) = torch.autograd.grad(logits.sum(), inputs)
    return windows * gradient, logits.detach()


def logit_with_rules(network: GaitTransformer, windows: Tensor, rule: Rule) -> Tensor:
    """(N,) the network's logits of windows (N, L, J, 3); times them, their gradients are relevance.

    The gradient of a bias, a CLS token or a position, times it, is the relevance that it takes.
    """
    N, L, J, _ = windows.shape
    joints = torch.arange(J, device=windows.device) + 1
    frames = torch.arange(L, device=windows.device) + 1
    vectors = _level(network.feature_extractor, windows.flatten(0, 1), joints, rule).unflatten(0, (N, L))
    vectors = _level(network.feature_merger, vectors, frames, rule)
    first, _, last = network.classifier.downs
    # ReLU's output over its input is its own gradient.
    return last(functional.relu(first(vectors))).squeeze(-1)


def _level(level: TokenEncoder, rows: Tensor, positions: Tensor, rule: Rule) -> Tensor:
    """(R, d) the CLS token's output for rows (R, n, token size), as ``TokenEncoder.forward`` has it."""
    layer, folded = level.transformer_encoder.layers[0], level.folded()
    normed = _norm(level.tokens(rows, positions), layer.norm1)
    scores = normed @ folded.query.t()  # (R, 1 + n, heads)
    if rule == "attnlrp":
        scores = _Shared.apply(scores)
    attention = scores.softmax(dim=1).transpose(1, 2)
    if rule == "cp":
        attention = attention.detach()
    mean = attention @ normed  # (R, heads, d)
    if rule == "attnlrp":
        mean = _Shared.apply(mean)
    attended = mean.flatten(1) @ folded.value.transpose(1, 2).flatten(0, 1) + folded.value_bias.sum(0)
    cls = level.first_embedding() + attended + layer.self_attn.out_proj.bias
    hidden = functional.linear(_norm(cls, layer.norm2), layer.linear1.weight, layer.linear1.bias)
    return cls + functional.linear(_Gelu.apply(hidden), layer.linear2.weight, layer.linear2.bias)


def _norm(values: Tensor, norm: torch.nn.LayerNorm) -> Tensor:
    """LayerNorm whose deviation is a constant."""
    centred = values - values.mean(-1, keepdim=True)
    inverse = (centred.detach().square().mean(-1, keepdim=True) + norm.eps).rsqrt()
    return centred * inverse * norm.weight + norm.bias


class _Shared(torch.autograd.Function):
    """The product of two factors that depend on the input: each gets half of what the product has."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient / 2


class _Gelu(torch.autograd.Function):
    """GELU, x Φ(x), of which Φ(x), the normal distribution's share below x, counts as a constant."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        share = (values * math.sqrt(0.5)).erf_().add_(1).mul_(0.5)
        ctx.save_for_backward(share)
        return values * share

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (share,) = ctx.saved_tensors
        return gradient * share
