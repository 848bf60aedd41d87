"""What networks correct: the reference as given, exact where the correction is zero."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfgen as mg
from mfgen.derive import hjb

GAME = mg.score_based(mg.VP(beta_max=9.1), mg.densities.mixture20(dim=3))
DATA = mg.densities.mixture20(dim=3).sample(400, key=jax.random.key(1))
TIMES = jnp.asarray([0.1, 0.5, 0.9])


def kernel(*, full: bool):
    made = mg.models.kernel_potential(GAME, DATA, components=4, full=full, key=jax.random.key(0))
    shears = None
    if full:
        shears = 0.3 * jax.random.normal(jax.random.key(5), (4, 3, 3))
    return eqx.tree_at(
        lambda m: (m.log_scales, m.logits, m.shears),
        made,
        (made.log_scales + 0.2 * DATA[:4], DATA[:4, 0], shears),
        is_leaf=lambda leaf: leaf is None,
    )


@eqx.filter_jit
def evaluated(potential):
    """Values `[times]` and costates `[times, dim]` at a point of the data."""
    at = lambda t: (potential(t, DATA[3]), potential.costate(t, DATA[3]))
    return jax.vmap(at)(TIMES)


@eqx.filter_jit
def costates(model):
    return jax.vmap(lambda t: model.costate(t, DATA[3]))(TIMES)


@pytest.mark.parametrize("full", [True, False])
def test_principal_axes_are_another_form_of_the_same_mixture(full):
    made = kernel(full=full)
    for one, other in zip(evaluated(made.untrained()), evaluated(made), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)


def test_a_network_begins_as_its_reference():
    made = kernel(full=True)
    potential = mg.models.score_potential(GAME, key=jax.random.key(2), reference=made, width=8)
    field = mg.models.score_field(GAME, key=jax.random.key(2), reference=made, width=8)
    values, expected = evaluated(made)
    found = evaluated(potential)
    np.testing.assert_allclose(found[0], values, rtol=2e-5)
    for gradient in (found[1], costates(field)):
        np.testing.assert_allclose(gradient, expected, rtol=2e-4, atol=2e-5)


def test_the_reference_alone_solves_the_equation():
    potential = mg.models.score_potential(GAME, key=jax.random.key(2), reference=kernel(full=True))
    plain = mg.models.score_potential(GAME, key=jax.random.key(2))
    measure = eqx.filter_jit(lambda m: hjb(GAME, m, None, TIMES[1], DATA[3]))
    residual = [abs(measure(m)) for m in (potential, plain)]
    assert residual[0] < 1e-3 < residual[1]


def test_a_kernel_estimate_is_a_reference_as_well():
    made = mg.models.kernel_estimate(GAME, DATA)
    potential = mg.models.score_potential(GAME, key=jax.random.key(2), reference=made, width=8)
    np.testing.assert_allclose(evaluated(potential)[0], evaluated(made)[0], rtol=2e-5)


@pytest.mark.parametrize("make", [mg.models.score_potential, mg.models.score_field])
def test_the_reference_is_not_trained(make):
    model = make(GAME, key=jax.random.key(2), reference=kernel(full=False), width=8)
    loss = lambda m: mg.losses.DenoisingScoreMatching()(GAME, m, DATA[:32], key=jax.random.key(4))
    gradient = eqx.filter_jit(eqx.filter_grad(loss))(model)
    assert all(not jnp.any(leaf) for leaf in jax.tree.leaves(gradient.reference))
    assert any(jnp.any(leaf) for leaf in jax.tree.leaves(gradient.trunk))
