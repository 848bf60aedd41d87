"""Trained critics come close to the divergence from below, and to its first variation."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Empirical, Gaussian, cell_masses, nodal
from mfgen.functionals import Alpha, LipschitzDivergence, Wasserstein1
from mfgen.math import Lattice
from mfgen.models import lipschitz_critic
from mfgen.trainers import GradientPenalty, fit_critic

SHIFT = 0.8


def normal():
    return Gaussian(jnp.zeros(1), 1.0)


def moved():
    return Gaussian(jnp.array([SHIFT]), 1.0)


def critic(dim=1, lipschitz=1.0):
    return lipschitz_critic(dim, lipschitz=lipschitz, width=16, depth=2, key=jax.random.key(0))


@pytest.mark.parametrize("slope", [0.5, 1.0])
def test_kl_of_gaussians(slope, key):
    """L m - L^2 / 2 where the bound holds the critic back, m^2 / 2 where it does not."""
    exact = SHIFT**2 / 2 if slope > SHIFT else slope * SHIFT - slope**2 / 2
    dual = LipschitzDivergence(critic(lipschitz=slope), normal())
    fit = fit_critic(dual, moved(), steps=200, key=key, learning_rate=1e-2)
    # Quadrature of a function with kinks is not exact.
    assert fit.values.max() < 1.002 * exact
    assert fit.dual.value(moved()) > 0.99 * exact
    best = min(slope, SHIFT)
    slopes = jax.vmap(jax.grad(fit.dual.critic))(jnp.linspace(-0.5, 1.3, 19)[:, None])
    np.testing.assert_allclose(jnp.mean(slopes), best, rtol=0.05)


def test_half_of_chi_squared_of_gaussians(key):
    """Both on the cells of one lattice: between the nodes of two rules a critic finds room."""
    lattice = Lattice((-5.0, 5.0), 100)
    rho, pi = (
        nodal(lattice, jnp.asarray(cell_masses(lattice, Gaussian(jnp.array([m]), 1.0))[0]))
        for m in (0.5, 0.0)
    )
    exact = (np.exp(0.5**2) - 1) / 2
    dual = LipschitzDivergence(critic(lipschitz=3.0), pi, Alpha(2.0))
    fit = fit_critic(dual, rho, steps=200, key=key, learning_rate=1e-2)
    assert 0.97 * exact < fit.dual.value(rho) < 1.001 * exact


def test_the_way_between_translated_gaussians_is_the_distance(key):
    """W1 = |m|, and the bound is attained where particles are."""
    shift = jnp.array([1.0, 2.0])
    rho, pi = Gaussian(shift, 1.0), Gaussian(jnp.zeros(2), 1.0)
    fit = fit_critic(Wasserstein1(critic(2), pi), rho, steps=200, key=key, learning_rate=1e-2)
    exact = np.sqrt(5)
    assert fit.values.max() < 1.002 * exact
    assert fit.dual.value(rho) > 0.99 * exact
    slopes = jax.vmap(jax.grad(fit.dual.critic))(rho.sample(500, key=key))
    lengths = jnp.linalg.norm(slopes, axis=1)
    assert lengths.max() <= 1 + 1e-5
    assert jnp.mean(lengths) > 0.97
    np.testing.assert_allclose(jnp.mean(slopes, axis=0), shift / exact, atol=0.05)


def test_samples_that_do_not_meet_have_a_finite_divergence(key):
    """KL is infinite there; a critic of slope L gives at most L W1."""
    rho = Empirical(jnp.linspace(5.0, 6.0, 50)[:, None])
    pi = Empirical(jnp.linspace(0.0, 1.0, 50)[:, None])
    dual = LipschitzDivergence(critic(), pi)
    fit = fit_critic(dual, rho, steps=200, key=key, learning_rate=1e-2, batch_size=64)
    assert 4.5 < fit.dual.value(rho) < 5.0


def test_a_penalty_bounds_the_slope_of_any_network(key):
    """Softly: the slope ends a little above one, where without it the critic runs away."""
    free = eqx.nn.MLP(1, "scalar", 16, 1, jax.nn.softplus, key=key)
    dual = Wasserstein1(free, normal())
    bound = GradientPenalty(weight=10.0, points=64)
    fit = fit_critic(dual, moved(), steps=300, key=key, learning_rate=1e-2, penalty=bound)
    slopes = jax.vmap(jax.grad(fit.dual.critic))(jnp.linspace(0.0, SHIFT, 9)[:, None])
    np.testing.assert_allclose(slopes, 1, atol=0.1)
    runaway = fit_critic(dual, moved(), steps=300, key=key, learning_rate=1e-2)
    assert runaway.values[-1] > 2 * SHIFT


def test_a_fit_goes_on_where_it_stopped(key):
    dual, both = Wasserstein1(critic(), normal()), {"learning_rate": 1e-2, "key": key}
    whole = fit_critic(dual, moved(), steps=20, **both)
    first = fit_critic(dual, moved(), steps=10, **both)
    second = fit_critic(first.dual, moved(), steps=10, state=first.state, **both)
    np.testing.assert_allclose(second.values, whole.values[10:], rtol=1e-4, atol=1e-5)


def test_settings_and_values_that_are_not_finite_are_refused(key):
    dual = Wasserstein1(critic(), normal())
    with pytest.raises(ValueError, match="`fit_critic` got steps = 0"):
        fit_critic(dual, moved(), steps=0, key=key)
    with pytest.raises(ValueError, match="`fit_critic` got batch_size = 0"):
        fit_critic(dual, moved(), steps=1, batch_size=0, key=key)
    broken = Wasserstein1(lambda x: jnp.log(x[0]), normal())
    with pytest.raises(FloatingPointError, match="not finite at step 0"):
        fit_critic(broken, moved(), steps=1, key=key)
