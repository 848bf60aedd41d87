"""Potentials of reversed noising at other costs: the control of the score, whatever the Lagrangian.

v_0 = g grad log N(x; m, w^2), with m and w of the noised data; here pi = N(.5, .3^2) or the like.
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfgen as mg
from mfgen.losses import GameCost
from mfgen.models._conjugate import ConjugatePotential, conjugate_potential
from mfgen.models._precondition import scaling

KEY = jax.random.key(0)


class Quartic(mg.costs.AbstractLagrangian):
    def __call__(self, t, x, v):
        return 0.5 * v @ v + 0.25 * jnp.square(v @ v) + 3.0 * x @ x


class Cosh(mg.costs.AbstractLagrangian):
    scale: jax.Array

    def __call__(self, t, x, v):
        return jnp.square(self.scale) * jnp.sum(jnp.cosh(v / self.scale) - 1)


COSTS = {
    "quartic, where one is": Quartic(),
    "cosh": Cosh(jnp.asarray(9.0)),
    "kinetic": mg.Kinetic(7.0),
    "power": mg.costs.Power(3.0),
}


def plain(dim):
    return mg.score_based(mg.VP(), mg.Gaussian(jnp.full(dim, 0.5), 0.09))


def exact(game, t, x):
    """g grad log eta of the noised Gaussian."""
    noising = game.dynamics.noising
    s = noising.horizon - t
    variance = 0.09 * noising.signal(s) ** 2 + noising.noise(s) ** 2
    return -noising.diffusion(s) * (x - 0.5 * noising.signal(s)) / variance


@pytest.mark.parametrize("name", COSTS)
@pytest.mark.parametrize("dim", [1, 2])
def test_the_control_begins_as_that_of_the_score(name, dim, x64):
    score = plain(dim)
    game = dataclasses.replace(score, lagrangian=COSTS[name])
    model = conjugate_potential(scaling(score), game.lagrangian, key=KEY)
    for t in (0.0, 0.4, 0.9):
        for x in (jnp.full(dim, 1.7), jnp.linspace(-1.0, 0.2, dim)):
            found, wanted = model.control(game, t, x), exact(score, t, x)
            np.testing.assert_allclose(found, wanted, rtol=2e-3)


def test_where_that_of_the_score_will_do_there_is_none():
    score = plain(1)
    hill = mg.costs.WithPotential(score.lagrangian, lambda t, x: jnp.exp(-x @ x))
    bounded = mg.costs.Relativistic(2.0)
    for cost in (score.lagrangian, hill, bounded):
        assert conjugate_potential(scaling(score), cost, key=KEY) is None


def test_the_lagrangian_is_not_trained():
    score = plain(1)
    cost = Cosh(jnp.asarray(9.0))
    model = conjugate_potential(scaling(score), cost, key=KEY)
    slopes = eqx.filter_grad(lambda model: model(0.3, jnp.ones(1)))(model)
    assert slopes.lagrangian.scale == 0
    assert np.any(np.asarray(slopes.trunk.layers[-1].bias) != 0)


def test_the_plan_begins_where_particles_stay():
    """At the potential of the score they leave the scale of the data, and the cost is 100 times."""
    score = plain(1)
    game = dataclasses.replace(score, lagrangian=Quartic())
    way = mg.plan(game).way()
    assert way.name == "own cost, from the score"
    model = way.model(game, KEY)
    assert isinstance(model, ConjugatePotential)
    batch = jnp.zeros((256, 1))
    cost = lambda model: GameCost()(game, model, batch, key=KEY)
    from_score = mg.models.score_potential(score, key=KEY)
    assert 100 * cost(model) < cost(from_score)


@pytest.mark.slow
def test_a_trained_control_is_that_of_a_grid():
    """Two wells at a quartic cost; the grid has to be wide, as particles are let go far out."""
    wells = mg.GaussianMixture(jnp.array([0.3, 0.7]), jnp.array([[-1.5], [1.5]]), jnp.full(2, 0.2))
    score = mg.score_based(mg.VP(), wells)

    class Steep(mg.costs.AbstractLagrangian):
        def __call__(self, t, x, v):
            return score.lagrangian(t, x, v) + 0.25 * jnp.square(v @ v)

    game = dataclasses.replace(score, lagrangian=Steep())
    grid = mg.solve(game, mg.Grid((-40.0, 40.0), points=2000))
    run = mg.train(game, key=KEY, steps=400)
    times, x = jnp.array([0.0, 0.3, 0.7]), jnp.linspace(-3.0, 3.0, 61)[:, None]
    played = lambda of: jax.vmap(jax.vmap(of.control, (None, 0)), (0, None))(times, x)
    found, best = played(run.solution), played(grid)
    assert jnp.sqrt(jnp.mean((found - best) ** 2) / jnp.mean(best**2)) < 0.1
