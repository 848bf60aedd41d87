"""The potential of OT-Flow in plain torch, with its gradient and the trace of its Hessian.

With s = (x, t),

    Phi(s) = w . N(s) + s'(A'A)s / 2 + b . s + c,            A of shape [min(10, d + 1), d + 1]
    u_0 = sigma(K_0 s + b_0),    u_i = u_{i-1} + h sigma(K_i u_{i-1} + b_i),    N = u_last
    h = 1 / (depth - 1),         sigma(z) = |z| + log(1 + exp(-2|z|)),    sigma' = tanh

Let z_i be the derivative of Phi in u_{i-1}, w that in the last u, and J_i the derivative of u_i in
x. One walk down gives the gradient, one walk up the trace, a layer at a time:

    z_i = z_{i+1} + h K_i'(tanh . z_{i+1}),      grad Phi = K_0'(tanh . z_1) + A'A s + b
    trace += h tanh' . z_{i+1} . (K_i J_{i-1})^2,      J_i = J_{i-1} + h tanh . (K_i J_{i-1})

`published` orders the work as the code of the authors does: samples come last, a walk evaluates the
layers anew, and every walk ends with the last layer. `lean` keeps what it has evaluated, and leaves
out what is not used. Both take the whole batch at once.

References: D. Onken, S. Wu Fung, X. Li, L. Ruthotto, OT-Flow (2021), arXiv 2006.00104.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

Arrays = dict[str, np.ndarray]
Weights = Mapping[str, Tensor]
Derivatives = Callable[[Weights, Tensor], tuple[Tensor, Tensor]]


def ot_flow_weights(dim: int, width: int = 32, depth: int = 2, seed: int = 0) -> Arrays:
    """Weights at the start: A, w, b, c, and K0, b0, ... of the layers, `[out, in]`."""
    random = np.random.default_rng(seed)
    rank = min(10, dim + 1)
    weights = {
        "A": random.uniform(-1, 1, (rank, dim + 1)) * math.sqrt(6 / (rank + dim + 1)),
        "w": np.ones(width),
        "b": np.zeros(dim + 1),
        "c": np.zeros(()),
    }
    for i in range(depth):
        fan = width if i else dim + 1
        weights[f"K{i}"] = random.uniform(-1, 1, (width, fan)) / math.sqrt(fan)
        weights[f"b{i}"] = random.uniform(-1, 1, width) / math.sqrt(fan)
    return {name: array.astype(np.float32) for name, array in weights.items()}


def sigma(z: Tensor) -> Tensor:
    size = z.abs()
    return size + torch.log(1 + torch.exp(-2 * size))


def depth_of(weights: Weights) -> int:
    return sum(name.startswith("K") for name in weights)


def layer(weights: Weights, i: int, u: Tensor) -> Tensor:
    return torch.nn.functional.linear(u, weights[f"K{i}"], weights[f"b{i}"])


def potential(weights: Weights, s: Tensor) -> Tensor:
    """Phi at `[n, dim + 1]`; the loss needs only its derivatives."""
    depth = depth_of(weights)
    u = sigma(layer(weights, 0, s))
    for i in range(1, depth):
        u = u + sigma(layer(weights, i, u)) / (depth - 1)
    quadratic = 0.5 * (s @ weights["A"].T).square().sum(1)
    return u @ weights["w"] + quadratic + s @ weights["b"] + weights["c"]


def published(weights: Weights, s: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient of Phi in (x, t), `[n, dim + 1]`, and the trace of its Hessian in x, `[n]`."""
    depth, dim = depth_of(weights), s.shape[1] - 1
    h = 1 / max(1, depth - 1)
    A, K = weights["A"], weights["K0"]
    opening, square = layer(weights, 0, s), A.T @ A
    u = [sigma(opening)]
    for i in range(1, depth):
        u.append(u[-1] + h * sigma(layer(weights, i, u[-1])))
    z = {depth: weights["w"][:, None].expand(-1, len(s))}
    for i in range(depth - 1, 0, -1):
        slope = layer(weights, i, u[i - 1]).tanh().T
        z[i] = z[i + 1] + h * weights[f"K{i}"].T @ (slope * z[i + 1])
    gradient = K.T @ (opening.tanh().T * z[1]) + square @ s.T + weights["b"][:, None]
    return gradient.T, _published_trace(weights, u, z, opening, h) + square.diagonal()[:dim].sum()


def _published_trace(
    weights: Weights, u: list[Tensor], z: dict[int, Tensor], opening: Tensor, h: float
) -> Tensor:
    """The trace of the network, over arrays `[width, dim, n]`."""
    K = weights["K0"][:, :-1, None]
    trace = _bent(opening.T, z[1], K)
    J = K * opening.T.tanh()[:, None]
    for i in range(1, len(u)):
        KJ = (weights[f"K{i}"] @ J.flatten(1)).reshape(J.shape)
        entering = layer(weights, i, u[i - 1]).T
        trace = trace + h * _bent(entering, z[i + 1], KJ)
        J = J + h * entering.tanh()[:, None] * KJ
    return trace


def _bent(entering: Tensor, z: Tensor, KJ: Tensor) -> Tensor:
    return (((1 - entering.tanh().square()) * z)[:, None] * KJ.square()).sum((0, 1))


def lean(weights: Weights, s: Tensor) -> tuple[Tensor, Tensor]:
    """The same, with nothing evaluated twice."""
    depth, dim = depth_of(weights), s.shape[1] - 1
    h = 1 / max(1, depth - 1)
    slopes = _slopes(weights, s, h)
    down = [weights["w"].expand_as(slopes[0])]
    for i in range(depth - 1, 0, -1):
        down.insert(0, down[0] + h * (slopes[i] * down[0]) @ weights[f"K{i}"])
    A, K = weights["A"], weights["K0"]
    gradient = (slopes[0] * down[0]) @ K + s @ (A.T @ A) + weights["b"]
    trace = A[:, :dim].square().sum()
    trace = trace + ((1 - slopes[0].square()) * down[0]) @ K[:, :dim].square().sum(1)
    J = slopes[0][:, None] * K[:, :dim].T
    for i in range(1, depth):
        KJ = J @ weights[f"K{i}"].T
        bent = (1 - slopes[i].square()) * down[i]
        trace = trace + h * (bent * KJ.square().sum(1)).sum(1)
        if i < depth - 1:
            J = J + h * slopes[i][:, None] * KJ
    return gradient, trace


def _slopes(weights: Weights, s: Tensor, h: float) -> list[Tensor]:
    """sigma' of every layer."""
    opening, slopes = layer(weights, 0, s), []
    u = sigma(opening)
    for i in range(1, depth_of(weights)):
        slopes.append(opening.tanh())
        if i > 1:
            u = u + h * sigma(opening)
        opening = layer(weights, i, u)
    return [*slopes, opening.tanh()]
