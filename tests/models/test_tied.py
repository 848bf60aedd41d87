"""A value tied in time: the function that is added solves its equation, whatever the discount."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.math import jet
from mfgen.models import Potential
from mfgen.models._tied import Tied

U = Potential(lambda t, x: jnp.sin(t) * x @ x)
TIMES = np.array([0.0, 0.3, 0.35, 1.2, 2.0])


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("discount", [0.0, 1e-3, 0.8, 30.0])
def test_the_mean_residual_vanishes(discount):
    """-c' + r c + m = 0 with m linear between its nodes, and c(T) = -e, by derivatives of c."""
    means = jnp.asarray([1.0, -0.5, 2.0, 0.3, 0.7])
    tied = Tied(U, jnp.asarray(TIMES), means, jnp.asarray(0.4), discount)
    assert float(tied.shift(2.0)) == pytest.approx(-0.4)
    times = jnp.asarray([0.0, 0.1, 0.32, 0.9, 1.99])
    shift = jax.jit(jax.vmap(jax.value_and_grad(tied.shift)))
    c, slopes = shift(times)
    rest = -slopes + discount * c + jnp.interp(times, jnp.asarray(TIMES), means)
    np.testing.assert_allclose(rest, 0.0, atol=1e-9)
    # c itself does not jump at a node.
    before, after = (shift(jnp.asarray(np.tile(TIMES[1:-1] + h, 2)[:5]))[0] for h in (-1e-9, 1e-9))
    np.testing.assert_allclose(before, after, atol=1e-6)


@pytest.mark.usefixtures("x64")
def test_a_tied_value_is_a_potential():
    tied = Tied(U, jnp.asarray(TIMES), jnp.ones(5), jnp.asarray(0.0), 0.5)
    x, t = jnp.asarray([0.3, -1.0]), jnp.asarray(0.7)
    np.testing.assert_allclose(tied.costate(t, x), U.costate(t, x))
    for mine, plain in zip(tied.jet(t, x), jet(tied)(t, x), strict=True):
        np.testing.assert_allclose(mine, plain, rtol=1e-9)
