"""Training steps of score models: mfgen's loop, and the same denoising step in plain torch.

A step draws a batch, noises it to levels stratified in log kappa, evaluates the preconditioned
network (3 x 128, 16 Fourier features of the point, 8 harmonics of the level), takes the gradient
of the objective, moves by Adam and updates the running average of the parameters. mfgen's loop is
what `mfgen.fit` runs between two records, its tests for numbers that are not finite included.

In torch the objective is E |sigma s(y) + eps|^2 under variance-exploding noising. Its network
starts as a copy of mfgen's, and before anything is timed scores and losses of the two are compared
on the same noised points.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch

import mfgen as mg
from benchmarks.harness.timing import Steps
from mfgen.losses._noised import noised
from mfgen.trainers import Gradient, Problem
from mfgen.trainers._run import Carry, advance

RATE, AVERAGE = 1e-3, 0.999
TOLERANCE = 1e-4


def eight_gaussians() -> jax.Array:
    """10,000 samples of 8 Gaussians, scaled to unit variance."""
    data = mg.densities.eight_gaussians().sample(10_000, key=jax.random.key(0))
    return data / jnp.std(data)


def matching(*, batch: int) -> dict[str, Steps]:
    """Denoising score matching by mfgen and by torch, after they are found to agree."""
    data = eight_gaussians()
    game = mg.score_based(mg.dynamics.VE(), mg.Empirical(data))
    model = mg.models.score_field(game, key=jax.random.key(1))
    objective = mg.losses.DenoisingScoreMatching()
    check_agreement(game, model, objective, data[:batch])
    return {
        "mfgen": loop(game, model, objective, data, batch=batch),
        "torch": torch_loop(model, data, batch=batch),
    }


def regularisation(noising: mg.dynamics.AbstractNoising, *, batch: int) -> dict[str, Steps]:
    """The same potential trained without and with the Hamilton-Jacobi-Bellman regulariser."""
    data = eight_gaussians()
    game = mg.score_based(noising, mg.Empirical(data))
    model = mg.models.score_potential(game, key=jax.random.key(1))
    denoising = mg.losses.DenoisingScoreMatching()
    regularised = denoising + 0.3 * mg.losses.HJB(points=64)
    return {
        "without": loop(game, model, denoising, data, batch=batch),
        "with": loop(game, model, regularised, data, batch=batch),
    }


def loop(game, model, objective, data, *, batch: int) -> Steps:
    """mfgen's compiled training loop.

    Arguments:
        game, model, objective, data: as for `mfgen.fit`.
        batch: samples in a step.
    """
    key = jax.random.key(2)
    trainer = Gradient(
        model, objective, optimiser=optax.adam(RATE), batch_size=batch, average=AVERAGE
    )
    problem = Problem(game, data)
    trainer = trainer.prepared(problem, 1, key=key)
    carry = Carry(trainer.init(problem, key=key), jnp.asarray(0, jnp.int32))

    def steps(count: int) -> None:
        nonlocal carry
        due = int(carry.step) + count
        carry, _, finite = jax.block_until_ready(
            advance(trainer, problem, carry, key, jnp.asarray(count))
        )
        # The loop stops by itself where a number is not finite, which would look fast.
        if int(carry.step) != due or not all(map(bool, finite.values())):
            raise FloatingPointError(f"training stopped at step {int(carry.step)}")

    steps(0)

    return steps


class TorchField(torch.nn.Module):
    """The network of `mfgen.models._score.ScoreField` under VE noising, with the same weights.

    Arguments:
        field: the model to copy.
    """

    def __init__(self, field: mg.models.ScoreField):
        super().__init__()
        scaling, trunk = field.precondition, field.trunk
        noising = scaling.noising
        self.low, self.high = math.log(noising.smallest_ratio), math.log(noising.largest_ratio)
        self.spread = scaling.spread
        self.register_buffer("mean", torch.tensor(scaling.mean))
        self.register_buffer("frequencies", _tensor(trunk.space.frequencies.T))
        self.register_buffer("harmonics", 0.5 * math.pi * torch.arange(1, trunk.level.count + 1))
        layers: list[torch.nn.Module] = []
        for layer in trunk.layers:
            linear = torch.nn.Linear(layer.in_features, layer.out_features)
            with torch.no_grad():
                linear.weight.copy_(_tensor(layer.weight))
                linear.bias.copy_(_tensor(layer.bias))
            layers += [linear, torch.nn.SiLU()]
        self.net = torch.nn.Sequential(*layers[:-1])

    def forward(self, y: torch.Tensor, log_ratio: torch.Tensor) -> torch.Tensor:
        """The score at points `[n, dim]` and logarithms of noise ratios `[n, 1]`."""
        ratio = log_ratio.exp()
        width = (self.spread**2 + ratio.square()).sqrt()
        z = (y - self.mean) / width
        level = (2 * log_ratio - self.low - self.high) / (self.high - self.low)
        angles, turns = z @ self.frequencies, level * self.harmonics
        features = [z, angles.cos(), angles.sin(), level, turns.cos(), turns.sin()]
        return (self.spread / ratio * self.net(torch.cat(features, 1)) - z) / width


def torch_loop(model: mg.models.ScoreField, samples: jax.Array, *, batch: int) -> Steps:
    """The denoising step in torch.

    Arguments:
        model: the model whose network and noise levels are copied.
        samples: the data, shape `[n, dim]`.
        batch: samples in a step.
    """
    field, data = TorchField(model), _tensor(samples)
    optimiser = torch.optim.Adam(field.parameters(), lr=RATE)
    parameters = list(field.parameters())
    average = [parameter.detach().clone() for parameter in parameters]
    strata = torch.arange(batch)[:, None]

    def steps(count: int) -> None:
        for _ in range(count):
            x = data[torch.randint(0, len(data), (batch,))]
            fraction = (strata + torch.rand(batch, 1)) / batch
            log_ratio = field.low + fraction * (field.high - field.low)
            eps = torch.randn_like(x)
            loss = torch_loss(field, x, log_ratio, eps)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            with torch.no_grad():
                torch._foreach_lerp_(average, parameters, 1 - AVERAGE)

    return steps


def torch_loss(field: TorchField, x, log_ratio, eps) -> torch.Tensor:
    """E |sigma s(x + sigma eps) + eps|^2."""
    noise = log_ratio.exp()
    return (noise * field(x + noise * eps, log_ratio) + eps).square().sum(1).mean()


def check_agreement(game, model: mg.models.ScoreField, objective, batch: jax.Array) -> None:
    """Compares scores and losses of mfgen and torch at the same noised points.

    Raises:
        AssertionError: if they differ by more than the tolerance.
    """
    noising, key = game.dynamics.noising, jax.random.key(3)
    points = noised(noising, objective.law, batch, key=key)
    field, log_ratio = TorchField(model), _tensor(jnp.log(noising.ratio(points.s)))[:, None]
    with torch.no_grad():
        score = field(_tensor(points.y), log_ratio).numpy()
        loss = torch_loss(field, _tensor(batch), log_ratio, _tensor(points.eps)).item()
    expected = np.asarray(jax.vmap(model.score)(points.s, points.y))
    margin = TOLERANCE * np.abs(expected).max()
    np.testing.assert_allclose(score, expected, rtol=0, atol=margin)
    np.testing.assert_allclose(loss, objective(game, model, batch, key=key), rtol=TOLERANCE)


def _tensor(array) -> torch.Tensor:
    return torch.tensor(np.asarray(array))
