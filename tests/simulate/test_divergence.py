import dataclasses
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.dynamics import VE, VP, SubVP
from mfgen.models import Potential, VectorField, velocity
from mfgen.models._base import probability_flow
from mfgen.simulate import ExactDivergence, Hutchinson, NoDivergence
from mfgen.simulate._divergence import flow_field

POINT = jnp.array([0.4, -0.9])


@eqx.filter_jit
def slope_of(divergence, game, model, t, x, directions):
    return divergence(game, model, t, x, directions)


@eqx.filter_jit
def trace_of(game, model, t, x):
    return jnp.trace(jax.jacfwd(lambda x: probability_flow(game, model, t, x))(x))


def gradient_of(model):
    return VectorField(lambda t, x: jax.grad(model, argnums=1)(t, x))


@pytest.mark.parametrize("noising", [VP(), VE(), SubVP()], ids=["VP", "VE", "SubVP"])
def test_laplacian_form_equals_the_trace_of_the_jacobian(noising, solved, mixture, x64):
    game, model, _ = solved(noising, mixture())
    t = jnp.asarray(0.8 * game.dynamics.horizon)
    exact, x = ExactDivergence(), POINT.astype(float)
    slope = slope_of(exact, game, model, t, x, exact.directions(x, key=None))
    np.testing.assert_allclose(slope.divergence, [trace_of(game, model, t, x)], rtol=1e-10)
    np.testing.assert_allclose(slope.velocity, probability_flow(game, model, t, x), rtol=1e-10)


def test_forward_mode_of_a_vector_field_equals_the_laplacian_form(solved, mixture, x64):
    game, model, _ = solved(VP(), mixture())
    t, exact, x = jnp.asarray(0.8), ExactDivergence(), POINT.astype(float)
    directions = exact.directions(x, key=None)
    ours, theirs = (
        slope_of(exact, game, each, t, x, directions) for each in (model, gradient_of(model))
    )
    np.testing.assert_allclose(ours.divergence, theirs.divergence, rtol=1e-10)
    np.testing.assert_allclose(ours.velocity, theirs.velocity, rtol=1e-10)


def test_estimates_average_to_the_divergence_over_all_signs(solved, mixture, x64):
    game, model, _ = solved(VP(), mixture())
    t, x = jnp.asarray(0.8), POINT.astype(float)
    signs = jnp.array(list(itertools.product([-1.0, 1.0], repeat=2)))
    slope = slope_of(Hutchinson(4), game, model, t, x, signs)
    expected = trace_of(game, model, t, x)
    assert np.std(slope.divergence) > 0.01 * abs(float(expected))
    np.testing.assert_allclose(np.mean(slope.divergence), expected, rtol=1e-10)


def test_probes_are_signs_of_the_key(key):
    drawn = Hutchinson(64).directions(jnp.zeros(3), key=key)
    assert drawn.shape == (64, 3)
    assert set(np.unique(drawn)) == {-1.0, 1.0}
    assert abs(float(jnp.mean(drawn))) < 4 / np.sqrt(drawn.size)


def test_divergence_in_many_dimensions_is_chunked(translation, x64):
    game = dataclasses.replace(translation(0.0)[0], initial=None)  # of any dimension
    matrix = jnp.asarray(np.random.default_rng(0).normal(size=(150, 150)))
    field = VectorField(lambda t, x: jnp.tanh(matrix @ x))
    exact, x = ExactDivergence(), jnp.linspace(-0.1, 0.1, 150)
    slope = slope_of(exact, game, field, jnp.asarray(0.5), x, exact.directions(x, key=None))
    # Kinetic cost: the velocity is -p, so its divergence is minus that of p.
    expected = -jnp.sum(jnp.diag(matrix) * (1 - jnp.tanh(matrix @ x) ** 2))
    np.testing.assert_allclose(slope.divergence, [expected], rtol=1e-10)


def test_deterministic_games_flow_with_their_velocity(translation):
    game, model, _ = translation(0.0)
    x = jnp.zeros(2)
    flow = flow_field(game, model)(jnp.asarray(0.5), x)
    np.testing.assert_array_equal(flow, velocity(game, model, jnp.asarray(0.5), x))
    slope = slope_of(NoDivergence(), game, model, jnp.asarray(0.5), x, jnp.zeros((0, 2)))
    assert slope.divergence.shape == (0,)


def test_flows_of_diffusions_without_a_known_score_are_refused(translation):
    game, model, _ = translation(0.4)
    with pytest.raises(TypeError, match=r"`ProbabilityFlow` got a game .*`EulerMaruyama`"):
        flow_field(game, model)


def test_a_key_is_asked_for():
    with pytest.raises(ValueError, match=r"`Hutchinson` got key = None.*`ExactDivergence`"):
        Hutchinson().directions(jnp.zeros(2), key=None)
    with pytest.raises(ValueError, match=r"`Hutchinson` got probes = 0"):
        Hutchinson(0)


def test_potentials_of_other_games_use_forward_mode(translation, x64):
    game, _, _ = translation(0.0)
    model = Potential(lambda t, x: jnp.sum(jnp.cosh(x)))
    exact, x = ExactDivergence(), POINT.astype(float)
    slope = slope_of(exact, game, model, jnp.asarray(0.5), x, exact.directions(x, key=None))
    np.testing.assert_allclose(slope.divergence, [-jnp.sum(jnp.cosh(x))], rtol=1e-10)
