"""Training steps of score models: mfgen's loop, and the same step in plain torch.

Both draw a batch, noise it to levels uniform in log kappa, evaluate the preconditioned network
(3 x 128, 16 Fourier features of the point, 8 harmonics of the level), take the gradient of
E |sigma s + eps|^2 and make an Adam step.
"""

import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import torch

import mfgen as mg
from mfgen.train.loop import Plan, _advance
from mfgen.train.state import TrainState

STEPS = 20


def loop(make, objective, *, batch: int):
    """A function that takes STEPS training steps of mfgen, compiled.

    Arguments:
        make: `score_potential` or `score_field`.
        objective: what is minimised.
        batch: samples in a step.
    """
    key = jax.random.key(0)
    data = mg.eight_gaussians().sample(10_000, key=key) / 2.0
    game = mg.score_based(mg.VE(), mg.Empirical(data))
    parameters, static = eqx.partition(make(game, key=key), eqx.is_inexact_array)
    optimiser = optax.adam(1e-3)
    plan = Plan(game, 1.0 * objective, static, optimiser, batch, 0.999)
    state = TrainState(
        parameters,
        parameters,
        parameters,
        jnp.asarray(jnp.inf),
        optimiser.init(parameters),
        jnp.asarray(0, jnp.int32),
    )
    count = jnp.asarray(STEPS)
    advance = eqx.filter_jit(_advance).lower(plan, state, data, key, count).compile()
    return lambda: jax.block_until_ready(advance(plan, state, data, key, count))


class TorchField(torch.nn.Module):
    """The score network of `mfgen.models.score.ScoreField`, in torch."""

    def __init__(self, dim: int, low: float, high: float):
        super().__init__()
        self.register_buffer("frequencies", torch.randn(dim, 16))
        sizes = (dim + 32 + 17, 128, 128, 128)
        layers: list[torch.nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            layers += [torch.nn.Linear(before, after), torch.nn.SiLU()]
        self.net = torch.nn.Sequential(*layers, torch.nn.Linear(128, dim))
        self.low, self.high = math.log(low), math.log(high)

    def forward(self, y: torch.Tensor, log_ratio: torch.Tensor) -> torch.Tensor:
        ratio = log_ratio.exp()
        width = (1 + ratio**2).sqrt()
        z = y / width
        level = (2 * log_ratio - self.low - self.high) / (self.high - self.low)
        angles = z @ self.frequencies
        turns = 0.5 * math.pi * level * torch.arange(1, 9)
        features = [z, angles.cos(), angles.sin(), level, turns.cos(), turns.sin()]
        return (self.net(torch.cat(features, 1)) / ratio - z) / width


def torch_loop(*, batch: int):
    """A function that takes STEPS steps of denoising score matching in torch."""
    torch.manual_seed(0)
    low, high = 0.03, 10.0
    data = torch.randn(10_000, 2)
    field = TorchField(2, low, high)
    optimiser = torch.optim.Adam(field.parameters(), lr=1e-3)
    average = [p.detach().clone() for p in field.parameters()]

    def steps() -> None:
        for _ in range(STEPS):
            x = data[torch.randint(0, len(data), (batch,))]
            fraction = (torch.arange(batch)[:, None] + torch.rand(batch, 1)) / batch
            log_ratio = math.log(low) + fraction * math.log(high / low)
            eps = torch.randn_like(x)
            noise = log_ratio.exp()
            loss = (noise * field(x + noise * eps, log_ratio) + eps).square().sum(1).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            with torch.no_grad():
                torch._foreach_lerp_(average, list(field.parameters()), 0.001)

    return steps
