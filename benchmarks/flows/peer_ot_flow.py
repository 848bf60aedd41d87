"""OT-Flow in plain torch: its objective, a training step, a training run on 8 Gaussians.

A flow dx/dt = -grad Phi carries data to N(0, I) from t = 0 to 1, with the potential Phi of
`peer_potential`. Steps of Runge and Kutta carry

    dx = -grad_x Phi,   dl = -tr Hess_x Phi,   dcost = |grad_x Phi|^2 / 2,
    dhjb = |dPhi/dt - |grad_x Phi|^2 / 2|

and the loss is alpha_1 E C + E cost + alpha_3 E hjb, with the negative log-likelihood
C = |x(1)|^2 / 2 - l + d log(2 pi) / 2. Weights travel as numpy arrays by name, in their precision.

References: D. Onken, S. Wu Fung, X. Li, L. Ruthotto, OT-Flow (2021), arXiv 2006.00104. Weights at
the start and the schedule are what its authors take for 8 Gaussians by default.
"""

import math
import time
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.flows.peer_potential import Arrays, Derivatives, Weights, ot_flow_weights, published
from benchmarks.harness.timing import Steps

STEPS, ALPHAS = 8, (100.0, 5.0)
ITERATIONS, BATCH, RATE, HALVED_EVERY, DRAWN_EVERY = 1000, 2048, 0.1, 100, 25
FRESH = 10_000


def parameters(arrays: Arrays) -> dict[str, Tensor]:
    """Copies that gradients can be taken in."""
    return {name: torch.tensor(array, requires_grad=True) for name, array in arrays.items()}


def arrays(weights: Weights) -> Arrays:
    return {name: weight.detach().numpy().copy() for name, weight in weights.items()}


def with_gradients(loss: Tensor, weights: Weights) -> tuple[Tensor, Arrays]:
    """The loss, and its gradient in every weight (zero where it does not depend on one)."""
    found = torch.autograd.grad(loss, list(weights.values()), materialize_grads=True)
    return loss.detach(), arrays(dict(zip(weights, found, strict=True)))


def eight_gaussians(count: int, random: torch.Generator) -> Tensor:
    """Points `[count, 2]` of the mixture of radius 4 / 1.414 and deviation .5 / 1.414."""
    angle = torch.randint(0, 8, (count,), generator=random) * (math.pi / 4)
    centre = 4 * torch.stack([angle.cos(), angle.sin()], 1)
    return (centre + 0.5 * torch.randn(count, 2, generator=random)) / 1.414


def surprise(points: Tensor) -> float:
    """The mean of -log of the exact density at points of `eight_gaussians`."""
    angle = torch.arange(8, dtype=torch.float64) * (math.pi / 4)
    centres, deviation = 4 / 1.414 * torch.stack([angle.cos(), angle.sin()], 1), 0.5 / 1.414
    square = (points.double()[:, None] - centres).square().sum(2) / deviation**2
    normal = math.log(8 * 2 * math.pi * deviation**2)
    return (normal - torch.logsumexp(-0.5 * square, 1)).mean().item()


def integrate(weights: Weights, batch: Tensor, steps: int, derive: Derivatives) -> Tensor:
    """(x, l, cost, hjb) at time 1, `[n, dim + 3]`."""
    n, dim = batch.shape

    def speed(t: float, state: Tensor) -> Tensor:
        s = torch.cat([state[:, :dim], batch.new_full((n, 1), t)], 1)
        gradient, trace = derive(weights, s)
        cost = 0.5 * gradient[:, :dim].square().sum(1)
        hjb = (gradient[:, dim] - cost).abs()
        return torch.cat([-gradient[:, :dim], torch.stack([-trace, cost, hjb], 1)], 1)

    state, dt = torch.cat([batch, batch.new_zeros(n, 3)], 1), 1 / steps
    for i in range(steps):
        t = i * dt
        first = speed(t, state)
        second = speed(t + dt / 2, state + dt / 2 * first)
        third = speed(t + dt / 2, state + dt / 2 * second)
        fourth = speed(t + dt, state + dt * third)
        state = state + dt / 6 * (first + 2 * second + 2 * third + fourth)
    return state


def parts(
    weights: Weights, batch: Tensor, steps: int, derive: Derivatives = published
) -> tuple[Tensor, Tensor, Tensor]:
    """The means of C, cost and hjb."""
    end, dim = integrate(weights, batch, steps, derive), batch.shape[1]
    likelihood = 0.5 * end[:, :dim].square().sum(1) - end[:, dim] + dim / 2 * math.log(2 * math.pi)
    return likelihood.mean(), end[:, -2].mean(), end[:, -1].mean()


def objective(
    weights: Weights,
    batch: Tensor,
    steps: int = STEPS,
    alphas: tuple[float, float] = ALPHAS,
    derive: Derivatives = published,
) -> Tensor:
    likelihood, cost, hjb = parts(weights, batch, steps, derive)
    return alphas[0] * likelihood + cost + alphas[1] * hjb


def ot_flow_loss(
    weights: Arrays,
    batch: np.ndarray,
    steps: int = STEPS,
    alphas: tuple[float, float] = ALPHAS,
    derive: Derivatives = published,
) -> tuple[Tensor, Arrays]:
    """The loss and its gradient in the weights."""
    held = parameters(weights)
    return with_gradients(objective(held, torch.tensor(batch), steps, alphas, derive), held)


def ot_flow_steps(
    dim: int, width: int, batch: int, depth: int = 2, derive: Derivatives = published
) -> Steps:
    """Training steps on one batch: 8 Gaussians in the plane, N(0, I) elsewhere."""
    weights = parameters(ot_flow_weights(dim, width, depth))
    random = torch.Generator().manual_seed(0)
    plane = dim == 2
    x = eight_gaussians(batch, random) if plane else torch.randn(batch, dim, generator=random)
    optimiser = torch.optim.Adam(weights.values(), lr=RATE)

    def steps(count: int) -> None:
        for _ in range(count):
            step(weights, optimiser, x, derive)

    return steps


def step(
    weights: Weights, optimiser: torch.optim.Optimizer, batch: Tensor, derive: Derivatives
) -> None:
    optimiser.zero_grad()
    objective(weights, batch, derive=derive).backward()
    optimiser.step()


class Record(NamedTuple):
    """The best weights so far: processor seconds of steps, and of validation, and their marks.

    `truth` is what the exact density has for a negative log-likelihood on the same points: the
    excess over it is free of most of the chance in the points.
    """

    iteration: int
    training: float
    validation: float
    likelihood: float
    cost: float
    hjb: float
    truth: float

    @property
    def excess(self) -> float:
        return self.likelihood - self.truth


def train_ot_flow(
    iterations: int = ITERATIONS,
    batch: int = BATCH,
    seed: int = 0,
    record_every: int = 25,
    derive: Derivatives = published,
) -> tuple[list[Record], Arrays]:
    """A run on 8 Gaussians, with records by fresh points, and the weights best in validation.

    The rate is halved every 100 iterations, a batch is drawn every 25 and kept in between, and
    every iteration is validated, as the authors do. What records take is in neither of the times.
    """
    random = torch.Generator().manual_seed(seed)
    x, held_out, fresh = (eight_gaussians(n, random) for n in (batch, batch, FRESH))
    truth = surprise(fresh)
    weights = parameters(ot_flow_weights(2, seed=seed))
    optimiser = torch.optim.Adam(weights.values(), lr=RATE)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, HALVED_EVERY, 0.5)
    best, least, training, validation, records = arrays(weights), math.inf, 0.0, 0.0, []
    for i in range(1, iterations + 1):
        begun = time.process_time()
        if i > 1 and i % DRAWN_EVERY == 1:
            x = eight_gaussians(batch, random)
        step(weights, optimiser, x, derive)
        schedule.step()
        stepped = time.process_time()
        with torch.no_grad():
            loss = objective(weights, held_out, derive=derive).item()
        if loss < least:
            best, least = arrays(weights), loss
        training += stepped - begun
        validation += time.process_time() - stepped
        if i % record_every == 0 or i == iterations:
            records.append(Record(i, training, validation, *marks(best, fresh), truth))
    return records, best


def marks(weights: Arrays, points: Tensor) -> tuple[float, float, float]:
    """Negative log-likelihood, cost of transport and residual, in means over points."""
    held = {name: torch.tensor(array) for name, array in weights.items()}
    likelihood, cost, hjb = parts(held, points, STEPS)
    return likelihood.item(), cost.item(), hjb.item()


def reached(records: list[Record], excess: float) -> Record | None:
    """The first record whose likelihood falls short of the exact one by so little."""
    return next((record for record in records if record.excess <= excess), None)
