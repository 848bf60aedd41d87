"""FFJORD in plain torch and torchdiffeq: its loss, its field, a training step.

A flow dx/dt = f(t, x) carries data to N(0, I) at time T, and log N(x(T)) - l is maximised, where
dl/dt = -div f. Layers of f are (W x + b) sigmoid(g t + a) + v t, of width 64-64-64 with tanh
between them; T, kept by its root, is trained as well. The divergence is taken by one backward pass
for each coordinate, the equation solved by dopri5 to 1e-5 and differentiated by the adjoint one:
all as its authors do in the plane, in today's torchdiffeq. Weights travel as numpy arrays by name.

References: W. Grathwohl, R. Chen, J. Bettencourt, I. Sutskever, D. Duvenaud, FFJORD (2019),
arXiv 1810.01367.
"""

import itertools
import math

import numpy as np
import torch
from torch import Tensor
from torchdiffeq import odeint_adjoint

from benchmarks.flows.peer_ot_flow import arrays, eight_gaussians, parameters, with_gradients
from benchmarks.flows.peer_potential import Arrays, Weights
from benchmarks.harness.timing import Steps

SIZES, END, TOLERANCE = (2, 64, 64, 64, 2), 0.5, 1e-5
RATE, DECAY = 1e-3, 1e-5


def ffjord_weights(seed: int = 0) -> Arrays:
    """Weights at the start: W, b, gate g and a, shift v of each layer, and the root of T."""
    random = np.random.default_rng(seed)
    weights = {"root": np.asarray(math.sqrt(END))}
    for i, (fan, out) in enumerate(itertools.pairwise(SIZES)):
        weights[f"W{i}"] = random.uniform(-1, 1, (out, fan)) / math.sqrt(fan)
        weights[f"b{i}"] = random.uniform(-1, 1, out) / math.sqrt(fan)
        for name in "gav":
            weights[f"{name}{i}"] = random.uniform(-1, 1, out)
    return {name: array.astype(np.float32) for name, array in weights.items()}


class Dynamics:
    """The speed of (x, l), which counts how often it is asked for."""

    def __init__(self, weights: Weights):
        self.weights, self.evaluations = weights, 0

    def __call__(self, t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        self.evaluations += 1
        with torch.enable_grad():
            x = state[0].requires_grad_()
            f = velocity(self.weights, t, x)
            return f, -divergence(f, x)[:, None]


def velocity(weights: Weights, t: Tensor, x: Tensor) -> Tensor:
    for i in range(len(SIZES) - 1):
        W, b, g, a, v = (weights[f"{name}{i}"] for name in "Wbgav")
        x = (x @ W.T + b) * torch.sigmoid(g * t + a) + v * t
        x = x.tanh() if i < len(SIZES) - 2 else x
    return x


def divergence(f: Tensor, x: Tensor) -> Tensor:
    total = torch.zeros_like(x[:, 0])
    for i in range(x.shape[1]):
        (row,) = torch.autograd.grad(f[:, i].sum(), x, create_graph=True)
        total = total + row[:, i]
    return total


def ffjord_field(weights: Arrays, t: float, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """f and its divergence at points `[n, 2]`."""
    dynamics, x = Dynamics(parameters(weights)), torch.tensor(x)
    f, speed = dynamics(x.new_tensor(t), (x, x[:, :1]))
    return f.detach().numpy(), -speed[:, 0].detach().numpy()


def likelihood(dynamics: Dynamics, x: Tensor, tolerance: float) -> Tensor:
    """The mean negative log-likelihood; gradients come from the adjoint equation."""
    weights = dynamics.weights
    end = weights["root"].square()
    z, l = odeint_adjoint(
        dynamics,
        (x, torch.zeros_like(x[:, :1])),
        torch.stack([torch.zeros_like(end), end]),
        rtol=tolerance,
        atol=tolerance,
        method="dopri5",
        adjoint_params=tuple(weight for name, weight in weights.items() if name != "root"),
    )
    normal = -0.5 * z[-1].square().sum(1) - math.log(2 * math.pi)
    return -(normal - l[-1, :, 0]).mean()


def ffjord_loss(
    weights: Arrays, batch: np.ndarray, tolerance: float = TOLERANCE
) -> tuple[Tensor, Arrays, tuple[int, int]]:
    """The loss, its gradient in the weights, and evaluations of f forward and backward."""
    dynamics = Dynamics(parameters(weights))
    loss = likelihood(dynamics, torch.tensor(batch), tolerance)
    forward = dynamics.evaluations
    loss, gradient = with_gradients(loss, dynamics.weights)
    return loss, gradient, (forward, dynamics.evaluations - forward)


def ffjord_steps(weights: dict[str, Tensor], batch: int, rate: float = RATE) -> Steps:
    """Training steps, which move the weights; with rate 0 every step costs what the first does."""
    dynamics, random = Dynamics(weights), torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(weights.values(), lr=rate, weight_decay=DECAY)

    def steps(count: int) -> None:
        for _ in range(count):
            x = eight_gaussians(batch, random)
            optimiser.zero_grad()
            likelihood(dynamics, x, TOLERANCE).backward()
            optimiser.step()

    return steps


def ffjord_trained(count: int, batch: int, seed: int = 0) -> Arrays:
    """Weights after so many training steps, by when the solver takes more evaluations."""
    weights = parameters(ffjord_weights(seed))
    ffjord_steps(weights, batch)(count)
    return arrays(weights)
