"""Flow and critic in turn: against the exact best answer where both are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.density.empirical import Empirical
from mfgen.density.gaussian import Gaussian
from mfgen.models.base import Potential
from mfgen.models.critic import lipschitz_critic
from mfgen.models.potential import ot_flow_potential
from mfgen.problem.cost import Kinetic
from mfgen.problem.dynamics import Integrator
from mfgen.problem.functional import Linear
from mfgen.problem.game import MFG
from mfgen.problem.lipschitz import LipschitzDivergence, Wasserstein1
from mfgen.simulate.sampler import sample
from mfgen.train.duel import fit_duel
from mfgen.train.failure import NonFiniteError
from mfgen.train.flow import PathCost, TransportCost
from mfgen.train.objective import AbstractObjective
from mfgen.train.paths import Paths
from mfgen.train.shorthands import PathCostate
from mfgen.zoo.proximal import ProximalGame, w1w2_flow

KEY = jax.random.key(0)
SLOPE = jnp.array([0.6, -0.8])
START = Gaussian(jnp.zeros(2), jnp.ones(2))
FRESH = Paths(starts="initial")


def test_a_linear_end_has_the_exact_costate_and_cost():
    """M = E s.x: the value is s.x - (T - t) |s|^2 / 2, all move by -s, and M = -|s|^2."""
    with jax.enable_x64(True):
        game = MFG(Integrator(), Kinetic(), Linear(lambda x: SLOPE @ x), initial=START)
        exact = Potential(lambda t, x: SLOPE @ x - 0.5 * (1 - t))
        points = START.sample(64, key=KEY).astype(float)
        along = Paths()
        assert PathCostate(along)(game, exact, points, key=KEY) < 1e-20
        found = PathCost(along)(game, exact, points, key=KEY)
        np.testing.assert_allclose(found, jnp.mean(points @ SLOPE) - 1, rtol=1e-6)
        # Half the slope is |s / 2|^2 off, and moves half as far.
        half = Potential(lambda t, x: 0.5 * SLOPE @ x)
        np.testing.assert_allclose(PathCostate(along)(game, half, points, key=KEY), 0.25, rtol=1e-6)


def test_the_gradient_of_the_mismatch_leaves_paths_alone():
    game = MFG(Integrator(), Kinetic(), Linear(lambda x: x @ x), initial=START)
    points = START.sample(16, key=KEY)

    def mismatch(scale):
        model = Potential(lambda t, x: scale * x @ x)
        return PathCostate(Paths())(game, model, points, key=KEY)

    # x(T) = e^(-2 scale) x: at scale 1 the mismatch is zero whatever the ends, and so its slope.
    assert mismatch(1.0) < 1e-9
    ends = jnp.exp(-2 * 0.5) * points  # grad U - grad M = -2 (1 - scale) x(T), by hand
    slope = jax.grad(mismatch)(0.5)
    np.testing.assert_allclose(slope, -8 * 0.5 * jnp.mean(jnp.sum(ends**2, 1)), rtol=1e-2)


@pytest.fixture(scope="module")
def translated():
    """Data that are N((1, 0), I / 4), a little less than N(0, I) moved."""
    data = Gaussian(jnp.array([1.0, 0.0]), jnp.full(2, 0.25)).sample(2000, key=KEY)
    return data, *w1w2_flow(
        data,
        key=KEY,
        steps=300,
        every=100,
        weight=20.0,
        width=16,
        critic={"width": 16, "depth": 2},
        batch_size=128,
    )


@pytest.mark.slow
def test_a_flow_reaches_its_data(translated):
    data, game, duel = translated
    end = Empirical(jnp.asarray(data))
    assert duel.divergences[-1] < 0.02
    drawn = sample(game, duel.model, 2000, key=KEY)
    # Moments of 2000 points, and a divergence of weight 20 that is not the only cost.
    np.testing.assert_allclose(jnp.mean(drawn, 0), end.moments()[0], atol=0.15)
    np.testing.assert_allclose(jnp.std(drawn, 0), 0.5, atol=0.15)


@pytest.mark.slow
def test_the_critic_keeps_its_bound(translated):
    _, _, duel = translated
    points = 3 * jax.random.normal(KEY, (200, 2))
    slopes = jnp.linalg.norm(jax.vmap(jax.grad(duel.dual.critic))(points), axis=1)
    assert jnp.max(slopes) < 1 + 1e-5


@pytest.mark.slow
def test_records_are_kept_and_told(translated):
    _, _, duel = translated
    assert list(duel.steps) == [100, 200, 300]
    assert set(duel.terms) == {"PathCost", "TransportCost", "PathHJB", "PathCostate"}
    assert all(np.isfinite(values).all() for values in duel.terms.values())


def test_a_break_down_names_its_term():
    """A critic without a bound whose divergence overflows at once."""
    steep = lambda x: 1e38 * x @ x
    dual = LipschitzDivergence(steep, Empirical(START.sample(32, key=KEY)))
    game_of = ProximalGame(2)
    model = Potential(jax.tree_util.Partial(lambda scale, t, x: scale * x @ x, jnp.asarray(0.1)))
    with pytest.raises(NonFiniteError, match="bound the slope of the critic"):
        fit_duel(
            game_of, dual, model, PathCost(FRESH) + TransportCost(FRESH), steps=4, key=KEY,
            batch_size=32, every=2,
        )  # fmt: skip


def test_settings_are_checked():
    dual = Wasserstein1(lambda x: x[0], Empirical(START.sample(32, key=KEY)))
    with pytest.raises(ValueError, match="`fit_duel` got critic_steps"):
        fit_duel(
            ProximalGame(2), dual, Potential(lambda t, x: x[0]), PathCost(), steps=1, key=KEY,
            critic_steps=0,
        )  # fmt: skip


def test_a_second_training_is_not_compiled_again():
    """Other data of the same size, another key: a study of many seeds compiles once."""
    traced = []

    class Traced(AbstractObjective):
        def __call__(self, game, model, batch, *, key):
            traced.append(key)
            return jnp.sum(jnp.square(model.costate(0.5, batch[0])))

    def once(seed):
        points = Empirical(jax.random.normal(jax.random.key(seed), (64, 2)))
        critic = lipschitz_critic(2, width=8, depth=1, key=jax.random.key(seed))
        game_of, dual = ProximalGame(2), LipschitzDivergence(critic, points)
        model = ot_flow_potential(game_of(dual), width=8, key=jax.random.key(seed))
        settings = {"steps": 2, "batch_size": 16, "critic_steps": 1}
        fit_duel(game_of, dual, model, Traced(), key=jax.random.key(seed), **settings)

    once(0)
    count = len(traced)
    once(1)
    assert len(traced) == count > 0
