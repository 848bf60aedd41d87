import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Empirical, Gaussian, GaussianMixture
from mfgen.dynamics import VE, VP, SubVP
from mfgen.models import Potential, VectorField
from mfgen.simulate import (
    Adaptive,
    ExactDivergence,
    FlowLikelihood,
    Hutchinson,
    OneShot,
    RungeKutta4,
    estimate_log_prob,
    log_prob,
)

NOISINGS = [VP(), VE(), SubVP()]
IDS = ["VP", "VE", "SubVP"]


@pytest.fixture
def points(mixture):
    """Points where the density of the mixture is not small."""
    return lambda n: mixture().sample(n, key=jax.random.key(3))


def exactly(law, x):
    return np.asarray(jax.jit(jax.vmap(law.log_density))(x))


@pytest.mark.parametrize("noising", NOISINGS, ids=IDS)
def test_flow_density_is_the_exact_one(noising, solved, mixture, points):
    game, model, last = solved(noising, mixture())
    x = points(200)
    np.testing.assert_allclose(log_prob(game, model, x), exactly(last, x), atol=1e-3)


def test_flow_density_converges_with_order_four(solved, mixture, points, x64):
    game, model, last = solved(VP(), mixture())
    x, errors = points(64), []
    for steps in (24, 48, 96):
        values = log_prob(game, model, x, method=FlowLikelihood(RungeKutta4(steps)))
        errors.append(np.sqrt(np.mean((values - exactly(last, x)) ** 2)))
    np.testing.assert_allclose(np.log2(np.divide(errors[:-1], errors[1:])), 4.0, atol=0.3)


def test_potential_and_its_gradient_have_one_density(solved, mixture, points):
    game, model, _ = solved(VP(), mixture())
    field = VectorField(lambda t, x: jax.grad(model, argnums=1)(t, x))
    x = points(20)
    np.testing.assert_allclose(log_prob(game, model, x), log_prob(game, field, x), atol=1e-4)


@pytest.mark.parametrize("noising", NOISINGS, ids=IDS)
def test_adaptive_flows_end_at_a_fine_tolerance(noising, solved, mixture, points):
    game, model, last = solved(noising, mixture())
    x = points(50)
    values = log_prob(game, model, x, method=FlowLikelihood(Adaptive(1e-6)))
    assert values.dtype == jnp.float32
    np.testing.assert_allclose(values, exactly(last, x), atol=1e-3)


def test_one_shot_is_the_potential(solved, mixture, points):
    game, model, last = solved(SubVP(), mixture())
    x = points(50)
    values = log_prob(game, model, x, method=OneShot())
    np.testing.assert_allclose(values, exactly(last, x), rtol=1e-5, atol=1e-5)


def test_density_is_that_of_the_noised_data(solved):
    # With a large last noise the data's own density is another one.
    target = Gaussian([0.5], 0.2)
    game, model, _ = solved(VE(smallest_ratio=0.6), target)
    values = log_prob(game, model, jnp.array([[0.1]]))
    expected = -0.5 * 0.4**2 / 0.56 - 0.5 * np.log(2 * np.pi * 0.56)
    np.testing.assert_allclose(values, [expected], atol=1e-4)


def test_random_probes_are_unbiased_and_know_their_error(solved, points):
    target = GaussianMixture([0.5, 0.5], [[1.0, 0.5, 0.0], [-1.0, 0.0, 0.3]], [0.3, 0.2])
    game, model, last = solved(VP(), target)
    x = jnp.tile(jnp.array([[0.4, 0.2, -0.3]]), (64, 1))
    method = FlowLikelihood(RungeKutta4(24), Hutchinson(32))
    result = estimate_log_prob(game, model, x, key=jax.random.key(7), method=method)
    error = np.asarray(result.value) - exactly(last, x)
    scatter = error.std(ddof=1)
    assert scatter > 1e-3
    assert abs(error.mean()) < 4 * scatter / np.sqrt(64) + 1e-4
    # The stated error is the scatter of the values, known to 1 / sqrt(2 (64 - 1)) of itself.
    np.testing.assert_allclose(np.mean(result.standard_error), scatter, rtol=4 / np.sqrt(2 * 63))


def test_random_probes_are_exact_in_one_dimension(solved):
    game, model, last = solved(VP(), GaussianMixture([0.4, 0.6], [[-1.0], [1.0]], [0.1, 0.3]))
    x = jnp.linspace(-1.5, 1.5, 7)[:, None]
    method = FlowLikelihood(RungeKutta4(32), Hutchinson(1))
    result = estimate_log_prob(game, model, x, key=jax.random.key(0), method=method)
    np.testing.assert_allclose(result.value, exactly(last, x), atol=1e-3)
    assert np.all(np.isnan(result.standard_error))
    exact = estimate_log_prob(game, model, x)
    np.testing.assert_array_equal(exact.standard_error, 0.0)


def test_gradient_in_the_point_is_the_score(solved, mixture, points):
    game, model, last = solved(VP(), mixture())
    x, method = points(8), FlowLikelihood(RungeKutta4(24))
    total = lambda x: jnp.sum(log_prob(game, model, x, method=method))
    expected = jax.vmap(jax.grad(last.log_density))(x)
    np.testing.assert_allclose(jax.grad(total)(x), expected, atol=5e-3)


@pytest.mark.slow
def test_gradient_passes_through_adaptive_steps(solved):
    game, model, last = solved(VP(), Gaussian([0.5], 0.2))
    method = FlowLikelihood(Adaptive(1e-5))
    total = lambda x: jnp.sum(log_prob(game, model, x, method=method))
    x = jnp.array([[0.1], [0.7]])
    expected = jax.vmap(jax.grad(last.log_density))(x)
    np.testing.assert_allclose(jax.grad(total)(x), expected, atol=5e-3)


def test_gradient_in_the_parameters_is_exact(solved, points, x64):
    x, noising = points(8).astype(float), VP()

    def law(centre, s):
        mixture = GaussianMixture([0.3, 0.7], [[1.0, 0.5], [-0.5, -1.0]], [0.3, 0.2])
        mixture = eqx.tree_at(
            lambda mixture: mixture.means, mixture, mixture.means + centre[None, :]
        )
        return mixture.noised(noising.signal(s), noising.noise(s))

    def by_flow(centre):
        game, _, _ = solved(noising, Gaussian([0.0, 0.0]))
        game = eqx.tree_at(lambda game: game.initial, game, law(centre, noising.horizon))
        model = Potential(lambda t, x: -law(centre, noising.horizon - t).log_density(x))
        return jnp.mean(log_prob(game, model, x, method=FlowLikelihood(RungeKutta4(48))))

    exact = lambda centre: jnp.mean(jax.vmap(law(centre, noising.start).log_density)(x))
    centre = jnp.array([0.1, -0.2])
    np.testing.assert_allclose(jax.grad(by_flow)(centre), jax.grad(exact)(centre), rtol=1e-4)


def test_deterministic_games_have_a_density_too(translation):
    game, model, q = translation(0.0)
    x = jnp.array([[0.0, 0.0], [1.0, -1.0]])
    expected = exactly(game.initial, x + 2.0 * q[None, :])
    np.testing.assert_allclose(log_prob(game, model, x), expected, rtol=1e-5)


def test_values_do_not_depend_on_the_chunk(solved, mixture, points):
    game, model, _ = solved(VP(), mixture())
    x, method = points(5), FlowLikelihood(RungeKutta4(4), Hutchinson(2))
    values = [
        log_prob(game, model, x, key=jax.random.key(0), method=method, chunk=chunk)
        for chunk in (2, 8)
    ]
    np.testing.assert_allclose(*values, rtol=1e-5)


def test_a_second_call_does_not_trace_again(translation):
    game, _, q = translation(0.0)
    traces = []

    def costate(t, x):
        traces.append(t)
        return q

    model = VectorField(costate)
    log_prob(game, model, jnp.zeros((3, 2)))
    first = len(traces)
    assert first > 0
    log_prob(game, model, jnp.ones((3, 2)))
    assert len(traces) == first


def test_bad_points_are_refused(solved, mixture):
    game, model, _ = solved(VP(), mixture())
    for bad in (jnp.zeros(2), jnp.zeros((3, 4)), jnp.zeros((0, 2))):
        with pytest.raises(ValueError, match=r"`log_prob` got points of shape .*\[n, 2\]"):
            log_prob(game, model, bad)
    with pytest.raises(ValueError, match=r"`log_prob` got 1 of 3 points with nan.*drop row 1"):
        log_prob(game, model, jnp.zeros((3, 2)).at[1, 0].set(jnp.nan))
    with pytest.raises(ValueError, match=r"`Hutchinson` got key = None"):
        log_prob(game, model, jnp.zeros((1, 2)), method=FlowLikelihood(divergence=Hutchinson()))


def test_methods_refuse_what_they_cannot_do(solved, translation, mixture):
    game, model, _ = solved(VP(), mixture())
    x, field = jnp.zeros((1, 2)), VectorField(lambda t, x: x)
    with pytest.raises(TypeError, match=r"`OneShot` got a model `VectorField`.*`FlowLikelihood`"):
        log_prob(game, field, x, method=OneShot())
    other, potential, _ = translation(0.4)
    with pytest.raises(TypeError, match=r"`OneShot` got a game"):
        log_prob(other, potential, x, method=OneShot())
    with pytest.raises(TypeError, match=r"`ProbabilityFlow` got a game"):
        log_prob(other, potential, x)
    unknown = eqx.tree_at(lambda game: game.initial, game, Empirical(jnp.zeros((2, 2))))
    with pytest.raises(TypeError, match=r"`FlowLikelihood` got a game whose reference is"):
        log_prob(unknown, model, x)


def test_a_step_limit_is_an_error_that_says_how_far(translation):
    game, model, _ = translation(0.0)
    method = FlowLikelihood(Adaptive(1e-6, max_steps=2), ExactDivergence())
    with pytest.raises(RuntimeError, match=r"`log_prob` stopped at game time 1\.\d+ on the way"):
        log_prob(game, model, jnp.zeros((2, 2)), method=method)


def test_methods_by_name(solved, mixture, points):
    game, model, _ = solved(VP(), mixture())
    x = points(8)
    assert jnp.array_equal(
        log_prob(game, model, x, method="one_shot"), log_prob(game, model, x, method=OneShot())
    )
    assert jnp.array_equal(log_prob(game, model, x, method="flow"), log_prob(game, model, x))
    with pytest.raises(ValueError, match=r'pass method="one_shot"'):
        log_prob(game, model, x, method="oneshot")
