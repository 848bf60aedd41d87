"""The Cole-Hopf mixture: exact noised density, exact HJB equation, trained by likelihood."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from mfgen.derive import hjb
from mfgen.losses import MaximumLikelihood
from mfgen.models import kernel_potential
from mfgen.trainers import fit


@pytest.fixture(params=[True, False], ids=["full", "diagonal"])
def kernel(request, game, target, key):
    data = target.sample(200, key=key)
    model = kernel_potential(game, data, components=3, full=request.param, key=key)
    shears = None if model.shears is None else 0.1 * jax.random.normal(key, model.shears.shape)
    return eqx.tree_at(lambda m: m.shears, model, shears, is_leaf=lambda leaf: leaf is None)


def test_value_is_the_noised_mixture(kernel, game):
    noising = game.dynamics.noising
    x = jnp.array([0.3, -0.4])
    for t in (0.1, 0.7, 0.98):
        s = noising.horizon - t
        noised = kernel.mixture().noised(noising.signal(s), noising.noise(s))
        assert jnp.allclose(kernel(t, x), -noised.log_density(x), rtol=1e-4, atol=1e-4)


def test_hjb_holds_for_any_parameters(kernel, game, x64):
    kernel = jax.tree.map(lambda leaf: leaf.astype(float) if eqx.is_array(leaf) else leaf, kernel)
    for t in (0.1, 0.5, 0.9):
        residual = hjb(game, kernel, None, jnp.asarray(t), jnp.array([0.3, -0.4]))
        assert jnp.abs(residual) < 1e-8


def test_likelihood_training_finds_the_target(game, target, key):
    data = target.sample(2000, key=key)
    model = kernel_potential(game, data, components=4, key=key)
    model, _ = fit(game, model, MaximumLikelihood(), data, steps=400, learning_rate=3e-2, key=key)
    fresh = target.sample(4000, key=jax.random.key(8))
    gap = jax.vmap(target.log_density)(fresh) - jax.vmap(model.mixture().log_density)(fresh)
    # 23 parameters on 2000 samples cost about 23 / (2 x 2000) = .006 nats; twice that and noise.
    assert jnp.mean(gap) < 0.012 + 4 * jnp.std(gap) / jnp.sqrt(gap.size)


def test_likelihood_of_a_network_is_refused(game, network, data, key):
    with pytest.raises(TypeError, match="train others by score matching"):
        MaximumLikelihood()(game, network, data, key=key)


@pytest.mark.parametrize("components", [0, 513])
def test_number_of_components_is_checked(game, data, key, components):
    with pytest.raises(ValueError, match="pass fewer components"):
        kernel_potential(game, data, components=components, key=key)
