"""Games with exact solutions: the score-based game of a mixture, and a translation."""

import equinox as eqx
import jax.numpy as jnp
import pytest

from mfgen.costs import Kinetic
from mfgen.densities import Gaussian, GaussianMixture
from mfgen.dynamics import Integrator
from mfgen.functionals import Linear
from mfgen.games import MFG
from mfgen.models import Potential
from mfgen.zoo import score_based

COVARIANCES = [[[0.3, 0.1], [0.1, 0.2]], [[0.2, 0.0], [0.0, 0.4]]]
PUSH = [1.5, -0.5]


@pytest.fixture
def mixture():
    """Builds the target, in the precision of the test."""
    return lambda: GaussianMixture([0.3, 0.7], [[1.0, 0.5], [-0.5, -1.0]], COVARIANCES)


@pytest.fixture
def solved():
    """Builds the game of a noising and a target, starting from the exact law, and its solution."""

    def build(noising, target):
        def law(s):
            return target.noised(noising.signal(s), noising.noise(s))

        game = score_based(noising, target)
        game = eqx.tree_at(lambda game: game.initial, game, law(noising.horizon))
        value = lambda t, x: -law(noising.horizon - t).log_density(x)
        return game, Potential(value), law(noising.start)

    return build


@pytest.fixture
def translation():
    """Builds the game with solution U = q.x - (T - t) |q|^2 / 2, whose control is -q."""

    def build(sigma, horizon=2.0):
        q = jnp.array(PUSH)
        game = MFG(
            Integrator(sigma=sigma, horizon=horizon),
            Kinetic(),
            Linear(lambda x: q @ x),
            initial=Gaussian([0.5, 1.0], [0.3, 0.8]),
        )
        return game, Potential(lambda t, x: q @ x - (horizon - t) * 0.5 * (q @ q)), q

    return build
