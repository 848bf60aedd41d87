"""Gaussian paths from data N(m, s^2) to the reference N(0, 1), whose velocity is known.

x_t = alpha x + beta z + gamma eps has the mean alpha m and the variance v = alpha^2 s^2 + beta^2 +
gamma^2 in each coordinate, and is moved by b(t, y) = alpha' m + v' / (2 v) (y - alpha m).
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from mfgen.costs import Kinetic
from mfgen.densities import Empirical, Gaussian
from mfgen.dynamics import Integrator
from mfgen.functionals import Prescribed
from mfgen.games import MFG
from mfgen.models import ControlField

MEAN, DEVIATION, HORIZON = jnp.array([1.0, -0.5]), jnp.array([0.5, 1.5]), 2.0


def flow(lagrangian=None, **changes):
    parts = {
        "dynamics": Integrator(horizon=HORIZON),
        "lagrangian": Kinetic() if lagrangian is None else lagrangian,
        "terminal": Prescribed(Gaussian(jnp.zeros(2))),
        "initial": Empirical(jnp.zeros((1, 2))),
        "data_at": "start",
    }
    return MFG(**(parts | changes))


def draw(key, n=256):
    return MEAN[None] + DEVIATION[None] * jax.random.normal(key, (n, 2))


class Moving(NamedTuple):
    """b = drift + rate (y - centre), coordinate by coordinate, at one time."""

    drift: jax.Array
    rate: jax.Array
    centre: jax.Array

    def __call__(self, y):
        return self.drift + self.rate * (y - self.centre)


def moving(t, alpha: Callable, beta: Callable, gamma: Callable = jnp.zeros_like) -> Moving:
    """The velocity of the path with these weights at time t."""
    mean = lambda t: alpha(t / HORIZON) * MEAN
    variance = lambda t: (
        (alpha(t / HORIZON) * DEVIATION) ** 2 + beta(t / HORIZON) ** 2 + gamma(t / HORIZON) ** 2
    )
    t = jnp.asarray(t)
    return Moving(jax.jacfwd(mean)(t), 0.5 * jax.jacfwd(variance)(t) / variance(t), mean(t))


def bumps(t, x):
    """Directions in which a velocity is tried: three of them, `[3, 2]`."""
    ones = jnp.ones_like(x)
    return jnp.stack([ones, x - MEAN, jnp.sin(2 * x) * jnp.cos(t)])


def tilted(field: Callable) -> Callable:
    """The control field(t, x) + sum_k theta_k bump_k, as a function of theta."""
    return lambda theta: ControlField(lambda t, x: field(t, x) + theta @ bumps(t, x))


class Slopes(NamedTuple):
    """Derivatives at theta = 0 on many batches: mean and standard error, and mean curvature."""

    mean: jax.Array
    error: jax.Array
    curvature: jax.Array


def slopes(objective, game, family: Callable, size: int, key, count: int = 200) -> Slopes:
    """How an objective changes at theta = 0 along a family of models theta -> model."""

    @eqx.filter_jit
    def all_of(keys):
        def one(key):
            data_key, key = jax.random.split(key)
            value = lambda theta: objective(game, family(theta), draw(data_key), key=key)
            zero = jnp.zeros(size)
            return jax.grad(value)(zero), jnp.diagonal(jax.hessian(value)(zero))

        return jax.lax.map(one, keys)

    slope, curvature = all_of(jax.random.split(key, count))
    error = jnp.std(slope, axis=0) / jnp.sqrt(count)
    return Slopes(jnp.mean(slope, axis=0), error, jnp.mean(curvature, axis=0))
