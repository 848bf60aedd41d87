"""The gradient form of the Hamilton-Jacobi-Bellman equation is the gradient of its residual."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from mfgen.costs import Kinetic, WithPotential
from mfgen.densities import GaussianMixture
from mfgen.derive import hjb
from mfgen.derive._costate import hjb_gradient
from mfgen.dynamics import Integrator
from mfgen.functionals import Entropy, Linear, Zero
from mfgen.games import MFG


@pytest.mark.parametrize("sigma", [0.0, 0.7])
def test_gradient_form_is_the_gradient_of_the_residual(sigma, x64):
    """With a cost of the place and a density, off a solution: every term has its sign."""
    place = WithPotential(Kinetic(2.0), lambda t, x: t * jnp.cos(x[0]))
    game = MFG(Integrator(sigma=sigma), place, Zero(), interaction=0.3 * Entropy())
    law = GaussianMixture([0.4, 0.6], [[-1.0, 0.5], [1.0, -0.2]], [0.3, 0.5])
    path = lambda t: law.noised(1.0, t)
    u = lambda t, x: jnp.sin(x[0] * x[1] + t)
    t, x = jnp.asarray(0.3), jnp.array([0.2, -0.6])
    given = eqx.filter_jit(lambda x: hjb_gradient(game, jax.grad(u, 1), path, t, x))(x)
    expected = eqx.filter_jit(jax.grad(lambda x: hjb(game, u, path, t, x)))(x)
    assert jnp.allclose(given, expected, rtol=1e-10)


def test_an_interaction_needs_no_density_only_if_it_does_not_depend_on_it(x64):
    """As in the value form: `None` is passed on, not taken for no interaction."""
    u, x = lambda t, x: jnp.sin(x[0] * x[1] + t), jnp.array([0.2, -0.6])
    game = MFG(Integrator(), Kinetic(), Zero(), interaction=Linear(lambda x: x @ x))
    given = hjb_gradient(game, jax.grad(u, 1), None, 0.3, x)
    assert jnp.allclose(given, jax.grad(lambda x: hjb(game, u, None, 0.3, x))(x), rtol=1e-10)
    entropic = MFG(Integrator(), Kinetic(), Zero(), interaction=Entropy())
    with pytest.raises(TypeError, match="`Entropy` got no population"):
        hjb_gradient(entropic, jax.grad(u, 1), None, 0.3, x)
