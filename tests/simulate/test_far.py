"""Likelihoods far from the data: a finite number, or a refusal that names the row; never nan."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfgen as mg
from mfgen.zoo import _flows

KEY = jax.random.key(0)
DATA = mg.Gaussian(jnp.zeros(2), jnp.ones(2))


@pytest.mark.parametrize("make", [_flows.ot_flow, _flows.cnf], ids=["potential", "control"])
def test_far_points_have_a_finite_density_or_are_refused_by_row(make):
    game, model = make(DATA, key=KEY, width=4)[:2]
    directions = jnp.array([[1.0, 0.0], [0.6, -0.8]])
    points = jnp.concatenate([50 * directions, 1e3 * directions, jnp.zeros((1, 2))])
    found = mg.log_prob(game, model, points)
    assert jnp.all(jnp.isfinite(found))
    # The farther, the less likely.
    assert jnp.all(found[2:4] < found[:2])
    assert jnp.all(found[:2] < found[4])
    with pytest.raises(
        mg.simulate.Unfinished, match=r"for 1 of 2 points, the first in row 1, .*far"
    ) as far:
        mg.log_prob(game, model, jnp.array([[0.0, 0.0], [1e25, 0.0]]))
    assert far.value.arrived.tolist() == [True, False]
    assert np.isfinite(far.value.values[0])
