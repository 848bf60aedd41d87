"""Cubic pieces reproduce cubics; the Runge-Kutta method has order four, with coefficients too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.math._hermite import Hermite, middle, runge_kutta

pytestmark = pytest.mark.usefixtures("x64")


def test_a_cubic_is_reproduced_with_its_derivative():
    y = lambda t: jnp.stack([1 + 2 * t - 3 * t**2 + 0.7 * t**3, t**3])
    times = jnp.linspace(0.0, 2.0, 4)
    values, slopes = jax.vmap(y)(times), jax.vmap(jax.jacfwd(y))(times)
    path = Hermite(values, slopes, 2.0)
    for t in (0.0, 0.3, 4 / 3, 1.9, 2.0):
        assert jnp.allclose(path(t), y(t), atol=1e-13)
        assert jnp.allclose(jax.jacfwd(path)(t), jax.jacfwd(y)(t), atol=1e-12)
    halves = middle(values, slopes, 2.0)
    assert jnp.allclose(halves, jax.vmap(y)(jnp.array([1.0, 3.0, 5.0]) / 3), atol=1e-13)


def test_no_value_before_the_first_node_or_after_the_last():
    path = Hermite(jnp.ones(5), jnp.zeros(5), 2.0)
    for t in (-1.0, 4.0):
        with pytest.raises(ValueError, match="expected one from 0 to 2"):
            path(t)
        with pytest.raises(ValueError, match="expected one from 0 to 2"):
            jax.grad(path)(t)
        assert np.isnan(jax.jit(jax.value_and_grad(lambda t: path(t)))(t)).all()


@pytest.mark.parametrize("span", [1.5, -1.5])
def test_the_order_is_four(span):
    """y' = cos(t) y from t = 0: y = exp(sin t), forwards and backwards."""

    def error(steps):
        rates = np.cos(np.linspace(0, span, 2 * steps + 1))
        nodes, halves = jnp.asarray(rates[::2]), jnp.asarray(rates[1::2])
        found = runge_kutta(lambda rate, y: rate * y, jnp.asarray(1.0), nodes, halves, span)
        assert found.shape == (steps + 1,)
        return abs(float(found[-1]) - np.exp(np.sin(span)))

    assert 12 < error(10) / error(20) < 22
