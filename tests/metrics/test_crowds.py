"""Residuals in a sampled crowd: the noise of the crowd is told as an error, and counts for nothing.

M = (w/2) |E x|^2 has dM/drho = w x.E x: in a crowd of n particles its slope is off by w n^{-1/2}.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mfgen.costs import Kinetic
from mfgen.densities import Empirical, Gaussian
from mfgen.dynamics import Integrator
from mfgen.functionals import AbstractFunctional, Linear, Zero
from mfgen.games import MFG
from mfgen.metrics import certify
from mfgen.metrics._check_table import Check
from mfgen.metrics._crowds import BLOCKS, crowds, mean_square, of_sample
from mfgen.metrics._estimate import Estimate
from mfgen.metrics._exploitability import exploitability
from mfgen.models import Potential
from mfgen.simulate import solution

WEIGHT, PULL = 50.0, 0.5
LAW = Gaussian(jnp.array([0.0]), 1.0)


class Middle(AbstractFunctional):
    """(w/2) |E x|^2, and a parabola that keeps particles together."""

    def variation(self, rho, x):
        points, weights = rho.particles()
        return 0.5 * PULL * x @ x + WEIGHT * x @ (weights @ points)


def still(t, x):
    """U of a crowd whose mean stays at zero: v = -PULL x / (1 + PULL (1 - t))."""
    slope = PULL / (1 + PULL * (1 - t))
    return 0.5 * slope * x @ x + 0.5 * 0.25 * jnp.log(1 + PULL * (1 - t))


GAME = MFG(Integrator(sigma=0.5), Kinetic(), Middle(), initial=LAW)


def test_only_costs_that_ask_for_particles_have_the_noise_of_a_sample():
    cloud = Empirical(LAW.sample(1000, key=jax.random.key(0)))
    assert of_sample(Middle(), cloud)
    assert not of_sample(Linear(lambda x: x @ x), cloud)
    assert not of_sample(Middle(), LAW)
    assert not of_sample(Zero(), cloud)
    parts = crowds(Middle(), cloud)
    sizes = {len(part.particles()[0]) for part in parts}
    assert len(parts) == BLOCKS
    assert sizes == {1000 // BLOCKS}


def test_products_of_crowds_have_no_bias_and_know_their_error():
    """Residuals of noise alone: zero on average, an error that is no less than the deviation.

    The jackknife counts the noise of a product as if both factors were more than noise.
    """
    share = jnp.ones(1)

    def one(key):
        noise = 3.0 * jax.random.normal(key, (BLOCKS, 1, 1))
        x = jnp.linspace(-1, 1, 64)
        found = mean_square(share, noise * x[None, None])
        return found.value, found.standard_error

    values, errors = jax.vmap(one)(jax.random.split(jax.random.key(1), 2000))
    assert abs(values.mean()) < 4 * values.std() / np.sqrt(2000)
    assert 1 < float(jnp.sqrt(jnp.mean(errors**2)) / values.std()) < 1.8
    assert float(jnp.mean(values > 2 * errors)) < 0.01
    assert mean_square(share, jnp.full((1, 1, 8), 2.0)).value == 4.0


def test_an_exact_value_passes_in_a_crowd_of_few():
    """The same U in crowds of 1024: its end and its gain are zero within their errors."""
    found, failed = [], 0
    for seed in range(8):
        candidate = solution(GAME, Potential(still), key=jax.random.key(seed), particles=1024)
        certificate = certify(candidate, times=2, points=64, steps=4)
        end = certificate.checks["terminal, up to a constant"]
        gain, _ = exploitability(candidate, times=2, points=56, steps=4, key=jax.random.key(seed))
        failed += "terminal, up to a constant" in certificate.failures
        found.append((float(end.estimate.standard_error), *map(float, gain)))
    errors, gains, spreads = np.array(found).T
    # One crowd alone is off by w / sqrt(1024) = 1.6 times |x|.
    assert errors.mean() > 0.5
    assert failed <= 1
    assert abs(gains.mean()) < 3 * np.sqrt(np.mean(spreads**2) / len(gains))
    assert gains.min() < 0


def test_a_wrong_value_is_seen_in_many_particles():
    wrong = Potential(lambda t, x: still(t, x) + 2.0 * jnp.sin(2.0 * x[0]) * t)
    candidate = solution(GAME, wrong, key=jax.random.key(0), particles=65536)
    certificate = certify(candidate, times=2, points=512, steps=4)
    assert "terminal, up to a constant" in certificate.failures


def test_what_drowns_in_its_error_decides_nothing():
    certificate = certify(
        solution(GAME, Potential(still), key=jax.random.key(3), particles=1024),
        times=2,
        points=64,
        steps=4,
    )
    sure = Check(Estimate(0.0, 0.0), "cost", Estimate(0.0, 0.004))
    vague = Check(Estimate(0.0, 0.0), "cost", Estimate(0.0, 0.4))
    held = eqx.tree_at(lambda c: c.checks, certificate, dict.fromkeys(certificate.checks, sure))
    assert held.holds
    blurred = eqx.tree_at(
        lambda c: c.checks["terminal, up to a constant"],
        held,
        vague,
        is_leaf=lambda leaf: isinstance(leaf, Check),
    )
    assert not blurred.holds
    assert "± 80 % only" in blurred.verdict
    assert "particles=n" in blurred.verdict
