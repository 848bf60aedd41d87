"""The neural solver against exact solutions and against the grid, in single precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.costs import Kinetic
from mfgen.densities import Gaussian
from mfgen.dynamics import Integrator
from mfgen.functionals import Linear, Pairwise, Prescribed
from mfgen.games import MFG
from mfgen.oracles import linear_quadratic
from mfgen.simulate._particle_path import ParticlePath
from mfgen.solvers import Grid, Neural
from mfgen.solvers._base import Solution, Status

SMALL = Neural(width=32, steps=1000, particles=512, stages=32)


def value_error(found: Solution, exact: Solution, t: float) -> float:
    """Relative L2 error of U over the exact density."""
    points = exact.density(t).sample(1000, key=jax.random.key(7))
    u = jax.vmap(lambda x: found.value(t, x))(points)
    true = jax.vmap(lambda x: exact.value(t, x))(points)
    return float(jnp.sqrt(jnp.mean((u - true) ** 2) / jnp.mean(true**2)))


@pytest.mark.parametrize("dim", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_linear_quadratic_control(key, dim):
    exact = linear_quadratic(dim).solution
    found = SMALL.solve(exact.game, key=key)
    assert found.result.status is not Status.DIVERGED, found.result.message
    for t in (0.0, 0.7):
        assert value_error(found, exact, t) < 0.02
    mean, covariance = found.density(1.5).moments()
    true_mean, true_covariance = exact.density(1.5).moments()
    deviation = np.sqrt(np.diag(np.asarray(true_covariance)))
    assert (np.abs(np.asarray(mean - true_mean)) < 5 * deviation / np.sqrt(512)).all()
    ratio = np.diag(np.asarray(covariance)) / deviation**2
    assert (np.abs(ratio - 1) < 5 * np.sqrt(2 / 512) + 0.03).all()


@pytest.mark.slow
def test_an_interaction_against_the_grid(key):
    """Particles that repel each other at a distance: two methods, one value and one density."""
    game = MFG(
        Integrator(sigma=0.4),
        Kinetic(),
        Linear(lambda x: 0.5 * x @ x),
        interaction=Pairwise(lambda z: jnp.exp(-0.5 * z @ z / 0.25)),
        initial=Gaussian(jnp.full(1, 0.3), 0.3),
    )
    grid = Grid((-4.0, 4.0), 120, steps=40).solve(game)
    found = SMALL.solve(game, key=key)
    assert value_error(found, grid, 0.0) < 0.02
    spread = [float(one.density(1.0).moments()[1][0, 0]) for one in (found, grid)]
    assert abs(spread[0] / spread[1] - 1) < 5 * np.sqrt(2 / 512)


def test_particles_between_their_stages(key):
    """A Wiener process with a drift, from N(0, .5^2): at half a stage, t = 1/8, N(t, .25 + t)."""
    start_key, noise_key = jax.random.split(key)
    n, stages = 20_000, 4
    start = 0.5 * jax.random.normal(start_key, (1, n, 1))
    steps = 0.25 + 0.5 * jax.random.normal(noise_key, (stages, n, 1))
    points = jnp.concatenate([start, start + jnp.cumsum(steps, axis=0)])
    times = jnp.linspace(0.0, 1.0, stages + 1)
    path = ParticlePath(1.0, times, points, jnp.full((stages, 1), 0.25))
    for t in (0.0, 0.125, 0.55, 1.0):
        mean, covariance = path(t).moments()
        assert abs(float(mean[0]) - t) < 4 * np.sqrt((0.25 + t) / n)
        assert abs(float(covariance[0, 0]) / (0.25 + t) - 1) < 4 * np.sqrt(2 / n)
    for t in (-1.0, 2.0):
        with pytest.raises(ValueError, match="expected one from 0 to 1"):
            path(t)


def test_doors(key):
    alone = MFG(Integrator(), Kinetic(), Linear(jnp.sum), initial=Gaussian(jnp.zeros(1), 1.0))
    with pytest.raises(ValueError, match="key"):
        SMALL.solve(alone)
    ended = Prescribed(Gaussian(jnp.zeros(1), 1.0))
    bridge = MFG(Integrator(sigma=0.5), Kinetic(), ended, initial=alone.initial)
    with pytest.raises(TypeError, match="Grid"):
        SMALL.solve(bridge, key=key)
