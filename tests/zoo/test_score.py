"""The score-based game: its exact solution, and the gain of the regulariser in small."""

import jax
import jax.numpy as jnp
import pytest

from mfgen.densities import Empirical, GaussianMixture
from mfgen.derive import fokker_planck, hjb, terminal
from mfgen.dynamics import VE, VP, SubVP
from mfgen.losses import HJB, DenoisingScoreMatching
from mfgen.models import Potential, score_potential
from mfgen.zoo import Recipe, score_based, train

NOISINGS = {"vp": VP(), "ve": VE(), "subvp": SubVP()}


def target():
    means = jnp.array([[1.0, 0.5], [-0.5, -1.0]])
    return GaussianMixture(jnp.array([0.3, 0.7]), means, jnp.array([0.3, 0.2]))


@pytest.mark.parametrize("name", NOISINGS)
def test_exact_solution_solves_all_three_equations(name, x64):
    noising, law = NOISINGS[name], target()
    game = score_based(noising, law)

    def density(t):
        s = noising.horizon - t
        return law.noised(noising.signal(s), noising.noise(s))

    value = Potential(lambda t, x: -density(t).log_density(x))
    x = jnp.array([0.4, -0.3])
    for t in (0.1, 0.5, 0.9):
        t = jnp.asarray(t * game.dynamics.horizon)
        scale = jnp.square(game.dynamics.diffusion(t))
        assert jnp.abs(hjb(game, value, None, t, x)) < 1e-10 * scale
        assert jnp.abs(fokker_planck(game, value, density, t, x)) < 1e-10 * scale
    assert jnp.abs(terminal(game, value, None, x)) < 1e-10


@pytest.mark.parametrize("name", NOISINGS)
def test_initial_density_has_the_moments_of_the_noised_data(name):
    noising, law = NOISINGS[name], target()
    game = score_based(noising, law)
    s = noising.horizon
    mean, covariance = law.noised(noising.signal(s), noising.noise(s)).moments()
    assert jnp.allclose(game.initial.moments()[0], mean, atol=1e-5)
    trace = jnp.trace(game.initial.moments()[1])
    assert jnp.allclose(trace, jnp.trace(covariance), rtol=1e-5)


def test_data_alone_make_a_game(key):
    points = target().sample(64, key=key)
    game = score_based(VP(), Empirical(points))
    mean = game.dynamics.noising.signal(1.0) * jnp.mean(points, axis=0)
    assert jnp.allclose(game.initial.moments()[0], mean, atol=1e-5)


def test_a_recipe_trains_with_its_settings_and_overrides(key):
    data = target().sample(256, key=key)
    game = score_based(VE(), Empirical(data))
    model = score_potential(game, width=8, depth=1, key=key)
    recipe = Recipe(game, model, DenoisingScoreMatching(), batch_size=16)
    _, history = train(recipe, data, steps=4, key=key, every=2)
    assert [record.step for record in history.records] == [2, 4]
    with pytest.raises(ValueError, match="batch_size"):
        train(recipe, data, steps=4, key=key, batch_size=0)


@pytest.mark.slow
def test_the_regulariser_makes_the_potential_a_log_density(key):
    law = target()
    data = law.sample(5000, key=key)
    game = score_based(VE(), law)
    fresh = law.sample(1000, key=jax.random.key(1))
    exact = jax.vmap(law.log_density)(fresh)
    errors = {}
    for name, objective in {
        "plain": 1.0 * DenoisingScoreMatching(),
        "hjb": DenoisingScoreMatching() + 0.3 * HJB(),
    }.items():
        model = score_potential(game, width=32, depth=2, key=key)
        trained, _ = train(Recipe(game, model, objective), data, steps=600, key=key)
        value = jax.vmap(lambda x, m=trained: -m(game.dynamics.horizon, x))(fresh)
        errors[name] = float(jnp.mean(jnp.abs(value - exact)))
    # The plain potential is off by several nats, the regularised one by a tenth of one.
    assert errors["hjb"] < 0.1 * errors["plain"]
