"""A small score-based game with an exact solution, shared by tests of models and trainers."""

import jax
import jax.numpy as jnp
import pytest

from mfgen.densities import GaussianMixture
from mfgen.dynamics import VP
from mfgen.models import Potential, score_potential
from mfgen.zoo import score_based

COVARIANCES = jnp.array([[[0.3, 0.1], [0.1, 0.2]], [[0.2, 0.0], [0.0, 0.4]]])
TARGET = GaussianMixture(jnp.array([0.3, 0.7]), jnp.array([[1.0, 0.5], [-0.5, -1.0]]), COVARIANCES)


@pytest.fixture(scope="session")
def target():
    return TARGET


@pytest.fixture(scope="session")
def game():
    return score_based(VP(), TARGET)


@pytest.fixture(scope="session")
def exact(game):
    """The exact value function U(t, x) = -log eta(S - t, x)."""
    noising = game.dynamics.noising

    def value(t, x):
        s = noising.horizon - t
        return -TARGET.noised(noising.signal(s), noising.noise(s)).log_density(x)

    return Potential(value)


@pytest.fixture(scope="session")
def network(game):
    return score_potential(game, width=16, depth=2, key=jax.random.key(1))


@pytest.fixture(scope="session")
def data():
    return TARGET.sample(512, key=jax.random.key(2))
