"""Integrated gradients (Sundararajan et al. 2017, ICML): the mean gradient along the straight path from a baseline.

The mean is an integral over the path, which Gauss and Legendre's nodes approximate: with n of them exactly where the
gradient is a polynomial of degree 2n - 1. Of a network whose only kinks are those of the ReLU at its end, 4 nodes can
do more than 100 do otherwise: what lies before the ReLU is smooth along the path, and where on it the ReLU's units are
active is computed separately (product integration: Davis & Rabinowitz 1984, Methods of Numerical Integration).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from gait.arrays import Vector
from gait.explaining.method import Explanation, Method
from gait.learning.parallel_rows import vector_product_gradient

STEPS = 32
"""Number of nodes for a network with kinks everywhere, such as a perceptron."""
NODES = (4, 12, 24, 48)
"""Numbers of nodes for a network with ``window_vectors``; more are taken for the windows that need them."""
TOLERANCE = 0.01
"""Windows need more nodes as long as their values miss the difference of the logits by more than this fraction of it,
or of 1 if it is smaller; or extrapolation from the nodes to the ends of the path by this fraction of the change."""
_WINDOWS_PER_PASS = 64  # at all nodes; their activations for the backward pass then take about 100 MB
_CELLS = 128  # of the path, in each of which a unit becomes active or not at most once


def integrated_gradients(network: nn.Module, windows: Tensor, baseline: Tensor | None, rule: str | None) -> Explanation:
    """Return the difference from the baseline times the mean gradient along the straight path from it.

    The values of a window sum to its logit minus that of the baseline.
    """
    assert baseline is not None
    if not hasattr(network, "window_vectors"):
        with torch.inference_mode():
            logits = network(windows)
        return _with_steps(network, windows, baseline), logits, {"steps": STEPS}
    values, logits = _with_smooth_vectors(network, windows, baseline)
    return values, logits, {"tolerance": TOLERANCE}


def _with_steps(network: nn.Module, windows: Tensor, baseline: Tensor) -> Tensor:
    """Return the values (N, L, J, 3) of any network, by ``STEPS`` nodes."""
    nodes, weights = _gauss_legendre(STEPS)
    difference, total = windows - baseline, torch.zeros_like(windows)
    nodes_per_pass = max(1, _WINDOWS_PER_PASS // len(windows))
    for first in range(0, STEPS, nodes_per_pass):
        part = slice(first, first + nodes_per_pass)
        points = _points(baseline, difference, nodes[part])
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(network(points.flatten(0, 1)).sum(), points)
        total += torch.tensordot(torch.from_numpy(weights[part]).to(gradient), gradient, 1)
    return total * difference


def _with_smooth_vectors(network: Any, windows: Tensor, baseline: Tensor) -> tuple[Tensor, Tensor]:
    """Return the values (N, L, J, 3) and logits (N,) of a network whose ``window_vectors`` are smooth."""
    with torch.inference_mode():
        starts = baseline[None] if baseline.ndim == 3 else baseline
        vectors = network.window_vectors(torch.cat([starts, windows]))
        start = vectors[: len(starts)].expand(len(windows), -1)
        ends = torch.stack([start, vectors[len(starts) :]])  # (2, N, d)
        first_logits, logits = network.classifier(ends)
    values = torch.empty_like(windows)
    left = torch.arange(len(windows))
    for number, count in enumerate(NODES):
        is_last, missed = number == len(NODES) - 1, list[Tensor]()
        for part in left.split(max(1, _WINDOWS_PER_PASS // count)):
            own = baseline if baseline.ndim == 3 else baseline[part]
            found, is_smooth = _product_integral(network, own, windows[part], ends[:, part], count, always=is_last)
            difference = logits[part] - first_logits[part]
            gap = (found.sum((1, 2, 3)) - difference).abs()
            suffices = is_smooth & (gap <= TOLERANCE * difference.abs().clamp_min(1)) | is_last
            values[part[suffices]] = found[suffices]
            missed.append(part[~suffices])
        left = torch.cat(missed)
        if not len(left):
            break
    return values, logits


def _product_integral(
    network: Any, baseline: Tensor, windows: Tensor, ends: Tensor, count: int, *, always: bool
) -> tuple[Tensor, Tensor]:
    """Return the values (N, L, J, 3) by ``count`` nodes, and for which windows the nodes represent the path (N,).

    Where they do for few windows, the values are 0, unless they are needed ``always``.

    With the units h = A v + b of the classifier's first layer, the logit is c · max(h, 0), and its gradient
    Σ c 1[h > 0] A ∂v/∂x, of which ∂v/∂x is smooth. Between the nodes α_i, ∂v/∂x is interpolated by Lagrange's
    polynomials l_i(α), so the integral is Σ_i u_i ∂v/∂x(α_i) with u_i = ∫ l_i(α) c 1[h(α) > 0] A dα: one backward pass
    per node, as for one without kinks. h is interpolated from the nodes and from ``ends`` (2, N, d), v at both ends.
    """
    nodes, _ = _gauss_legendre(count)
    first, _, last = network.classifier.downs
    difference = windows - baseline
    points = _points(baseline, difference, nodes)
    with torch.enable_grad():
        vectors = network.window_vectors(points.flatten(0, 1)).unflatten(0, points.shape[:2])  # (n, N, d)
    with torch.no_grad():
        factors = last.weight[0].double()
        at_nodes, at_ends = (linear(v.double(), first.weight.double(), first.bias.double()) for v in (vectors, ends))
        extrapolated = torch.tensordot(_lagrange(tuple(nodes), (0.0, 1.0)), at_nodes, 1)
        missed = ((extrapolated - at_ends).abs() @ factors.abs()).sum(0)
        is_smooth = missed <= TOLERANCE * ((at_ends[1] - at_ends[0]).abs() @ factors.abs())
        if not always and 2 * int(is_smooth.sum()) < len(windows):
            return torch.zeros_like(windows), torch.zeros_like(is_smooth)
        edges = np.linspace(0, 1, _CELLS + 1)
        all_nodes = (0.0, *nodes, 1.0)
        units = torch.cat([at_ends[:1], at_nodes, at_ends[1:]])
        low, high = torch.tensordot(_lagrange(all_nodes, tuple(edges)), units, 1).unfold(0, 2, 1).unbind(-1)
        crossing = torch.maximum(low, high) / (high - low).abs().clamp_min(1e-300)
        active = torch.where((low > 0) == (high > 0), (low > 0).double(), crossing)  # (cells, N, units) of each cell
        polynomials = _lagrange(tuple(nodes), tuple(0.5 * (edges[1:] + edges[:-1]))) / _CELLS  # (cells, n)
        cotangents = torch.tensordot(polynomials.t(), active, 1) * factors @ first.weight.double()
    (gradient,) = vector_product_gradient(vectors, [points], cotangents.to(vectors))
    assert gradient is not None
    return gradient.sum(0) * difference, is_smooth


def _points(baseline: Tensor, difference: Tensor, nodes: Vector) -> Tensor:
    """Return the points (n, N, L, J, 3) of the path at nodes (n,), for which a gradient is wanted."""
    fraction = torch.from_numpy(nodes).to(difference)[:, None, None, None, None]
    return (baseline + fraction * difference).requires_grad_()


@cache
def _gauss_legendre(count: int) -> tuple[Vector, Vector]:
    """Return nodes and weights (n,) on the interval from 0 to 1."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return (nodes + 1) / 2, weights / 2


@cache
def _lagrange(nodes: tuple[float, ...], at: tuple[float, ...]) -> Tensor:
    """Return Lagrange's polynomials of nodes (n,) at points (m,), as (m, n)."""
    x, points = np.array(nodes), np.array(at)
    polynomials = [
        np.prod([(points - other) / (node - other) for other in np.delete(x, k)], axis=0) for k, node in enumerate(x)
    ]
    return torch.from_numpy(np.stack(polynomials, axis=1))


METHOD = Method(
    name="integrated_gradients",
    title="Integrated gradients",
    description="integrates the gradient of the logit along a straight path from the mean training window",
    explain=integrated_gradients,
    needs_baseline=True,
    stride=8,
    order=0,
)
