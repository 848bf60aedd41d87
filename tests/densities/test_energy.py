"""Targets known by their energy: a cost up to a constant, no samples, no infinite energies."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Gaussian, Unnormalised, double_well
from mfgen.densities._base import score
from mfgen.densities._energy import check_energy
from mfgen.functionals import KL

SCALE = 0.7
# V = |x|^2 / (2 s^2) in three dimensions: log Z = 3/2 log(2 pi s^2).
LOG_NORMALISER = 1.5 * math.log(2 * math.pi * SCALE**2)
X = jnp.array([0.3, -1.0, 2.0])


def bowl(x):
    return 0.5 * x @ x / SCALE**2


def test_log_density_is_minus_the_energy():
    law = Unnormalised(bowl, 3)
    assert law.log_density(X) == -bowl(X)
    np.testing.assert_allclose(score(law)(X), -X / SCALE**2, rtol=1e-5)


def test_with_its_normaliser_it_is_the_density():
    normal = Gaussian(jnp.zeros(3), SCALE**2)
    law = Unnormalised(bowl, 3, LOG_NORMALISER)
    assert law.log_density(X) == pytest.approx(float(normal.log_density(X)), rel=1e-5)


@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_the_divergence_is_known_up_to_log_z(weight):
    """And the first variation too, so that the costate is the same; at the target M = -log Z."""
    population, normal = Gaussian(X, 0.5), Gaussian(jnp.zeros(3), SCALE**2)
    free, whole = weight * KL(Unnormalised(bowl, 3)), weight * KL(normal)
    constant = weight * LOG_NORMALISER
    assert whole.value(population) - free.value(population) == pytest.approx(constant, rel=1e-4)
    assert free.value(normal) == pytest.approx(-constant, rel=1e-4)
    difference = whole.variation(population, X) - free.variation(population, X)
    assert difference == pytest.approx(constant, rel=1e-4)
    slopes = [jax.grad(cost.variation, 1)(population, X) for cost in (free, whole)]
    np.testing.assert_allclose(*slopes, rtol=1e-5)


def test_it_passes_through_compiled_functions():
    law = double_well()
    energy = Unnormalised(law.energy, 2)
    value = eqx.filter_jit(lambda law, x: law.log_density(x))(energy, X[:2])
    assert value == pytest.approx(float(law.log_density(X[:2])) + law.log_normaliser, rel=1e-5)


@pytest.mark.parametrize("method", ["sample", "moments", "particles"])
def test_it_has_no_samples(method, key):
    law = Unnormalised(bowl, 3)
    arguments = {"sample": lambda: law.sample(5, key=key)}
    with pytest.raises(TypeError, match=rf"`Unnormalised.{method}` was called.*without samples"):
        arguments.get(method, getattr(law, method))()


def test_bad_energies_are_refused():
    with pytest.raises(ValueError, match="expected at least 1"):
        Unnormalised(bowl, 0)
    with pytest.raises(ValueError, match=r"values of shape \(2,\).*sum over coordinates"):
        Unnormalised(lambda x: x**2, 2)


def test_check_energy_passes_finite_ones(key):
    check_energy("f", bowl, np.asarray(jax.random.normal(key, (1000, 3))))


@pytest.mark.parametrize(
    ("energy", "words"),
    [
        (lambda x: jnp.where(x[0] > 1.5, jnp.inf, 0.0), "an energy that is inf"),
        (lambda x: jnp.sqrt(1.5 - x[0]), "an energy that is nan"),
        (lambda x: jnp.sqrt(jnp.abs(x[0] - 2.0)), "an energy with a gradient that is not finite"),
    ],
)
def test_check_energy_names_the_point(energy, words):
    points = jnp.array([[1.0, 0.0], [2.0, -1.0], [0.0, 3.0]])
    with pytest.raises(ValueError, match=rf"`f` got {words} at the point \[ ?2. -1.\].*1 of 3"):
        check_energy("f", energy, points)


def test_check_energy_asks_for_points():
    with pytest.raises(ValueError, match=r"points of shape \(3,\), expected \[n, dim\]"):
        check_energy("f", bowl, X)
