"""Potentials that follow each other in time: values, derivatives, and flows across the jumps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.costs import Kinetic
from mfgen.densities import Gaussian
from mfgen.math import jet
from mfgen.models import ot_flow_potential, velocity
from mfgen.models._blocks import blocks
from mfgen.simulate import RungeKutta4
from mfgen.zoo import flow_game

GAME = flow_game(Gaussian(jnp.zeros(2), jnp.ones(2)), Kinetic())
PARTS = [ot_flow_potential(GAME, width=8, key=jax.random.key(seed)) for seed in range(3)]
X = jnp.array([0.3, -1.1])


def test_each_time_belongs_to_its_block():
    made = blocks(PARTS, 0.5)
    assert made.count == 3
    for t, index, part in ((0.0, 0, 0.0), (0.2, 0, 0.4), (0.8, 1, 0.6), (1.5, 2, 1.0)):
        np.testing.assert_allclose(made(t, X), PARTS[index](part, X), rtol=1e-5)
        np.testing.assert_allclose(
            made.costate(t, X), PARTS[index].costate(jnp.asarray(part), X), rtol=1e-5
        )
    between = 0.5 * (PARTS[0](1.0, X) + PARTS[1](0.0, X))
    np.testing.assert_allclose(made(0.5, X), between, rtol=1e-5)


def test_the_jet_is_that_of_the_function():
    made = blocks(PARTS, 0.5)
    found, wanted = made.jet(0.7, X), jet(lambda t, x: made(t, x))(jnp.asarray(0.7), X)
    for name in ("value", "time", "gradient", "laplacian"):
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), rtol=2e-4)


def test_fixed_steps_cross_the_jumps_to_second_order():
    """Against each block followed by itself; halving the step divides the error by about four."""
    made = blocks([jax.tree.map(lambda leaf: 3 * leaf, part) for part in PARTS], 0.5)
    along = lambda t, x: velocity(GAME, made, jnp.asarray(t, x.dtype), x)
    exact = X
    for index in range(3):
        part = made.block(index)
        slope = lambda s, x, part=part: -0.5 * part.costate(jnp.asarray(s, x.dtype), x)
        exact = RungeKutta4(60)(slope, exact, jnp.ones(())).value
    errors = []
    for steps in (12, 24):
        end = RungeKutta4(steps)(along, X, jnp.asarray(1.5)).value
        errors.append(float(jnp.linalg.norm(end - exact)))
    assert errors[1] < errors[0] / 3
    assert errors[0] < 0.02 * float(jnp.linalg.norm(exact - X))


def test_blocks_are_alike():
    other = ot_flow_potential(GAME, width=9, key=jax.random.key(0))
    with pytest.raises(ValueError, match="`blocks` got 2 potentials"):
        blocks([PARTS[0], other], 0.5)
    with pytest.raises(ValueError, match="`blocks` got 0 potentials"):
        blocks([], 0.5)
