"""Layer-wise relevance propagation (LRP) through the transformer, as input times a gradient with modified rules.

* AttnLRP, Achtibat et al. 2024, ICML, "AttnLRP: Attention-Aware Layer-Wise Relevance Propagation for Transformers":
  LayerNorm's standard deviation and the ratio of an activation's output to its input are constants; softmax is
  linearized; and a product of two factors that depend on the input gives half of its relevance to each, here query
  times key and attention times value (their section 3.3).
* CP-LRP, Ali et al. 2022, ICML, "XAI for Transformers: Better Explanations through Conservative Propagation": the
  attention weights are constants, so that relevance passes through the values alone and is lost only to biases, CLS
  tokens and positional embeddings.

The rules change only the backward pass; the logits are those of the network. As in the network, only the attention of
the CLS tokens is computed.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from gait.learning.transformer import GaitTransformer, TokenEncoder

Rule = Literal["attnlrp", "cp"]


def lrp_transformer(network: GaitTransformer, windows: Tensor, rule: Rule = "attnlrp") -> tuple[Tensor, Tensor]:
    """Return the relevance (N, L, J, 3) of windows (N, L, J, 3) for the logits, and the logits (N,)."""
    inputs = windows.detach().requires_grad_()
    with torch.enable_grad():
        logits = lrp_logits(network, inputs, rule)
        (gradient,) = torch.autograd.grad(logits.sum(), inputs)
    return windows * gradient, logits.detach()


attnlrp = partial(lrp_transformer, rule="attnlrp")
cp_lrp = partial(lrp_transformer, rule="cp")


def lrp_logits(network: GaitTransformer, windows: Tensor, rule: Rule) -> Tensor:
    """Return the logits (N,) of windows (N, L, J, 3), with a gradient that times the windows is the relevance.

    The same holds for parameters: a bias, CLS token or positional embedding times its gradient is its relevance.
    """
    N, L, J, _ = windows.shape
    joints = torch.arange(J, device=windows.device) + 1
    frames = torch.arange(L, device=windows.device) + 1
    vectors = _encoder_level(network.feature_extractor, windows.flatten(0, 1), joints, rule).unflatten(0, (N, L))
    vectors = _encoder_level(network.feature_merger, vectors, frames, rule)
    first, _, last = network.classifier.downs
    # The ratio of ReLU's output to its input is its gradient, so it needs no rule.
    return last(functional.relu(first(vectors))).squeeze(-1)


def _encoder_level(level: TokenEncoder, rows: Tensor, positions: Tensor, rule: Rule) -> Tensor:
    """Return the output (R, d) of the CLS token for rows (R, n, token size), as in ``TokenEncoder.forward``."""
    layer, fused = level.transformer_encoder.layers[0], level.fuse_weights()
    normed = _norm(level.embed_tokens(rows, positions), layer.norm1)
    scores = normed @ fused.query.t()  # (R, 1 + n, heads)
    if rule == "attnlrp":
        scores = _UniformRuleProduct.apply(scores)
    attention = scores.softmax(dim=1).transpose(1, 2)
    if rule == "cp":
        attention = attention.detach()
    mean = attention @ normed  # (R, heads, d)
    if rule == "attnlrp":
        mean = _UniformRuleProduct.apply(mean)
    attended = mean.flatten(1) @ fused.value.transpose(1, 2).flatten(0, 1) + fused.value_bias.sum(0)
    cls = level.cls_embedding() + attended + layer.self_attn.out_proj.bias
    hidden = functional.linear(_norm(cls, layer.norm2), layer.linear1.weight, layer.linear1.bias)
    return cls + functional.linear(_IdentityRuleGelu.apply(hidden), layer.linear2.weight, layer.linear2.bias)


def _norm(values: Tensor, norm: torch.nn.LayerNorm) -> Tensor:
    """Apply LayerNorm with its standard deviation as a constant in the backward pass."""
    centred = values - values.mean(-1, keepdim=True)
    inverse = (centred.detach().square().mean(-1, keepdim=True) + norm.eps).rsqrt()
    return centred * inverse * norm.weight + norm.bias


class _UniformRuleProduct(torch.autograd.Function):
    """Identity whose gradient is halved: the uniform rule for a product of two factors that depend on the input."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient / 2


class _IdentityRuleGelu(torch.autograd.Function):
    """GELU, x Φ(x), with Φ(x), the cumulative distribution function of the normal distribution, as a constant."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        cdf = (values * math.sqrt(0.5)).erf_().add_(1).mul_(0.5)
        ctx.save_for_backward(cdf)
        return values * cdf

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (cdf,) = ctx.saved_tensors
        return gradient * cdf
