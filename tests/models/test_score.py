"""Score models: preconditioning, the wired-in reference, conversions between forms."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from mfgen.costs import Kinetic
from mfgen.densities import Gaussian
from mfgen.dynamics import VE, VP, Integrator, SubVP
from mfgen.functionals import Zero
from mfgen.games import MFG
from mfgen.models import _base, score_field, score_potential
from mfgen.models._mlp import MLP, InnerProduct, LevelFeatures, SpaceFeatures
from mfgen.models._precondition import precondition
from mfgen.zoo import score_based

NOISINGS = {"vp": VP(), "ve": VE(), "subvp": SubVP()}
POINT = jnp.array([0.7, -1.2])


@pytest.fixture(params=NOISINGS)
def any_game(request, target):
    return score_based(NOISINGS[request.param], target)


def test_potential_is_the_reference_at_the_noisy_end(any_game, key):
    model = score_potential(any_game, width=16, depth=2, key=key)
    value = model(0.0, POINT)
    assert jnp.allclose(value, -any_game.initial.log_density(POINT), rtol=1e-4, atol=1e-4)


def test_correction_is_free_away_from_the_noisy_end(any_game, key):
    one = score_potential(any_game, width=16, depth=2, key=key)
    two = score_potential(any_game, width=16, depth=2, key=jax.random.key(5))
    t = any_game.dynamics.horizon
    assert jnp.abs(one(t, POINT) - two(t, POINT)) > 1e-2


def test_points_and_levels_are_normalised(any_game, target, key):
    scaling = precondition(any_game)
    noising = any_game.dynamics.noising
    x = target.sample(4000, key=key)
    for ratio, level in ((noising.ratio(noising.start), -1.0), (1.0, None), (5.0, None)):
        s = noising.time(ratio)
        y = noising.signal(s) * x + noising.noise(s) * jax.random.normal(key, x.shape)
        z = jax.vmap(lambda y, s=s: scaling.point(s, y))(y)
        assert jnp.abs(jnp.mean(jnp.square(z)) - 1) < 0.1
        assert jnp.all(jnp.abs(jnp.mean(z, axis=0)) < 0.1)
        if level is not None:
            assert jnp.allclose(scaling.level(s), level, atol=1e-3)
    assert jnp.allclose(scaling.level(noising.horizon), 1.0, atol=1e-3)


def test_an_untrained_field_at_large_noise_is_the_gaussian_score(target, key):
    # The correction of the field is damped by c / kappa: at kappa = 1000 it is 1e-3 of the rest.
    game = score_based(VE(0.03, 1000.0), target)
    model = score_field(game, width=16, depth=2, key=key)
    x = 1000 * POINT
    gaussian = jax.grad(game.initial.log_density)(x)
    assert jnp.allclose(_base.score(model, 0.0, x), gaussian, rtol=5e-3)


def test_score_control_and_flow_follow_from_the_costate(game, exact):
    t, noising = 0.4, game.dynamics.noising
    s = noising.horizon - t
    p, g, rate = exact.costate(t, POINT), noising.diffusion(s), noising.rate(s)
    assert jnp.allclose(_base.score(exact, t, POINT), -p)
    assert jnp.allclose(exact.control(game, t, POINT), -g * p, rtol=1e-5)
    drift = -rate * POINT - g**2 * p
    assert jnp.allclose(_base.velocity(game, exact, t, POINT), drift, rtol=1e-5)
    # Y. Song et al. (2021): dx/ds = r x - g^2/2 score in noising time, run backwards.
    flow = -(rate * POINT + 0.5 * g**2 * p)
    assert jnp.allclose(_base.probability_flow(game, exact, t, POINT), flow, rtol=1e-5)


def test_potential_and_vector_field_agree(game, exact):
    field = _base.VectorField(exact.costate)
    for convert in (_base.velocity, _base.probability_flow):
        assert jnp.allclose(convert(game, exact, 0.4, POINT), convert(game, field, 0.4, POINT))


def test_gradients_reach_every_layer_but_not_the_frequencies(game, key):
    model = score_potential(game, width=16, depth=2, key=key)
    gradient = jax.grad(lambda trunk: jnp.sum(trunk(POINT, jnp.asarray(0.3)) ** 2), allow_int=True)(
        model.trunk
    )
    assert jnp.all(gradient.space.frequencies == 0)
    assert all(jnp.any(layer.weight != 0) for layer in gradient.layers)


def test_trunk_shapes(key):
    trunk = MLP(3, 5, width=8, depth=2, frequencies=4, key=key)
    assert trunk(jnp.ones(3), jnp.asarray(0.0)).shape == (5,)
    assert SpaceFeatures(3, 0, 1.0, key=key)(jnp.ones(3)).shape == (3,)
    assert LevelFeatures(2)(jnp.asarray(1.0)).shape == (5,)


@pytest.mark.parametrize("reach", [3.0, 2.0])
def test_inner_product_is_its_formula(reach, key):
    trunk = MLP(2, 3, width=8, depth=1, key=key)
    inside = POINT / jnp.sqrt(1 + POINT @ POINT / (2 * reach**2))
    vector = trunk(inside, jnp.asarray(0.2))
    expected = inside @ vector[:2] / jnp.sqrt(2.0) + vector[2]
    assert jnp.allclose(InnerProduct(trunk, reach)(POINT, jnp.asarray(0.2)), expected[None])


def test_the_reach_of_a_potential_is_that_of_its_inner_product(any_game, key):
    model = score_potential(any_game, inner=True, reach=2.0, width=8, depth=1, key=key)
    assert isinstance(model.trunk, InnerProduct)
    assert model.trunk.reach == 2.0
    with pytest.raises(ValueError, match="reach > 0"):
        score_potential(any_game, inner=True, reach=0.0, width=8, depth=1, key=key)


def test_an_inner_product_does_not_outgrow_the_gaussian_it_corrects(any_game, key):
    """With weights that are large in any direction: U rises as |x|^2 / 2 does, far outside."""
    model = score_potential(any_game, inner=True, width=8, depth=1, key=key)
    large = jax.tree.map(lambda leaf: 10 * leaf, model.trunk)
    model = eqx.tree_at(lambda model: model.trunk, model, large)
    directions = jax.random.normal(key, (20, 2))
    end = any_game.dynamics.horizon
    near, far = (jax.vmap(lambda x, r=r: model(end, r * x) / r**2)(directions) for r in (1e4, 1e5))
    assert jnp.all(far > 0)
    assert jnp.allclose(near, far, rtol=0.05)


def test_inner_potential_keeps_the_reference(any_game, key):
    model = score_potential(any_game, inner=True, width=8, depth=1, key=key)
    value = -any_game.initial.log_density(POINT)
    assert jnp.allclose(model(0.0, POINT), value, rtol=1e-4, atol=1e-4)


def test_a_game_that_is_not_score_based_is_refused(key):
    game = MFG(Integrator(), Kinetic(1.0), Zero(), initial=Gaussian(jnp.zeros(2), jnp.eye(2)))
    with pytest.raises(TypeError, match="build it with `score_based`"):
        score_potential(game, key=key)
