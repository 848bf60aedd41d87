"""What networks correct: the reference as given, exact where the correction is zero."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfgen as mg
from mfgen.derive.residual import hjb

GAME = mg.score_based(mg.VP(beta_max=9.1), mg.mixture20(dim=3))
DATA = mg.mixture20(dim=3).sample(400, key=jax.random.key(1))
TIMES = jnp.asarray([0.1, 0.5, 0.9])


def kernel(*, full: bool):
    made = mg.kernel_potential(GAME, DATA, components=4, full=full, key=jax.random.key(0))
    shears = None
    if full:
        shears = 0.3 * jax.random.normal(jax.random.key(5), (4, 3, 3))
    return eqx.tree_at(
        lambda m: (m.log_scales, m.logits, m.shears),
        made,
        (made.log_scales + 0.2 * DATA[:4], DATA[:4, 0], shears),
        is_leaf=lambda leaf: leaf is None,
    )


@pytest.mark.parametrize("full", [True, False])
def test_principal_axes_are_another_form_of_the_same_mixture(full):
    made = kernel(full=full)
    fast = made.untrained()
    for t in TIMES:
        np.testing.assert_allclose(fast(t, DATA[7]), made(t, DATA[7]), rtol=2e-5)
        np.testing.assert_allclose(
            fast.costate(t, DATA[7]), made.costate(t, DATA[7]), rtol=2e-4, atol=2e-5
        )


def test_a_network_begins_as_its_reference():
    made = kernel(full=True)
    potential = mg.score_potential(GAME, key=jax.random.key(2), reference=made, width=8)
    field = mg.score_field(GAME, key=jax.random.key(2), reference=made, width=8)
    for t in TIMES:
        np.testing.assert_allclose(potential(t, DATA[3]), made(t, DATA[3]), rtol=2e-5)
        expected = made.costate(t, DATA[3])
        np.testing.assert_allclose(field.costate(t, DATA[3]), expected, rtol=2e-4, atol=2e-5)


def test_the_reference_alone_solves_the_equation():
    potential = mg.score_potential(GAME, key=jax.random.key(2), reference=kernel(full=True))
    plain = mg.score_potential(GAME, key=jax.random.key(2))
    residual = [abs(hjb(GAME, m, None, TIMES[1], DATA[3])) for m in (potential, plain)]
    assert residual[0] < 1e-3 < residual[1]


def test_a_kernel_estimate_is_a_reference_as_well():
    made = mg.kernel_estimate(GAME, DATA)
    potential = mg.score_potential(GAME, key=jax.random.key(2), reference=made, width=8)
    np.testing.assert_allclose(potential(TIMES[1], DATA[3]), made(TIMES[1], DATA[3]), rtol=2e-5)


@pytest.mark.parametrize("make", [mg.score_potential, mg.score_field])
def test_the_reference_is_not_trained(make):
    model = make(GAME, key=jax.random.key(2), reference=kernel(full=False), width=8)
    gradient = eqx.filter_grad(
        lambda m: mg.DenoisingScoreMatching()(GAME, m, DATA, key=jax.random.key(4))
    )(model)
    assert all(not jnp.any(leaf) for leaf in jax.tree.leaves(gradient.reference))
    assert any(jnp.any(leaf) for leaf in jax.tree.leaves(gradient.trunk))
