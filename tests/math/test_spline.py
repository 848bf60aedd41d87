"""Splines against functions with known derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.math._spline import spline

pytestmark = pytest.mark.usefixtures("x64")


def test_polynomials_of_its_degree_are_reproduced_with_derivatives():
    """Up to the walls, half a cell beyond the nodes."""
    t, x = np.linspace(0, 1, 9), np.linspace(-1, 2, 14)
    f = lambda t, x: (1 + t**3) * (x**5 - 2 * x**2 + 1)
    through = spline([t, x], f(t[:, None], x[None]))
    for place in ((0.0, -1.1), (0.37, 0.41), (1.0, 2.1)):
        np.testing.assert_allclose(through(*place), f(*place), atol=1e-10)
        second = jax.grad(jax.grad(through, 1), 1)(*place)
        np.testing.assert_allclose(
            second, (1 + place[0] ** 3) * (20 * place[1] ** 3 - 4), rtol=1e-8, atol=1e-8
        )


@pytest.mark.parametrize(("degree", "order"), [(3, 1.8), (5, 3.8)])
def test_second_derivatives_on_a_circle(degree, order):
    """Of order degree - 1, on a seam as anywhere else."""
    f = lambda x: np.exp(np.sin(2 * np.pi * x))
    exact = jax.grad(jax.grad(lambda x: jnp.exp(jnp.sin(2 * jnp.pi * x))))
    places = jnp.linspace(-0.2, 1.3, 57)
    errors = []
    for count in (24, 48):
        nodes = (np.arange(count) + 0.5) / count
        through = spline([nodes], f(nodes), degree=degree, lengths=(1.0,))
        found = jax.vmap(jax.grad(jax.grad(through)))(places)
        errors.append(float(jnp.abs(found - jax.vmap(exact)(places)).max()))
    assert np.log2(errors[0] / errors[1]) > order
