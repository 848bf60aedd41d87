"""Objectives along the paths of flows against the exact solution of a flow with a KL end cost.

Games: from N(2, .5^2) to N(0, 1), L = (k / 2)|v|^2, M = KL: everything is known (MATH, oracle 5).
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfgen as mg
from mfgen.losses import (
    JacobianPenalty,
    PathHJB,
    PathLikelihood,
    Paths,
    PathTerminal,
    ReverseKL,
    TransportCost,
)
from mfgen.oracles import _named as oracles
from mfgen.simulate import Adaptive, Hutchinson, RungeKutta4, inverse_error
from mfgen.zoo import flow_game

FINE = Paths(RungeKutta4(40, unroll=True))
PROBED = Paths(RungeKutta4(40, unroll=True), Hutchinson(4))
ADAPTIVE = Paths(Adaptive(1e-7))


@pytest.fixture(scope="module")
def case():
    """The exact solution as a flow from its data, and points of them."""
    with jax.enable_x64(True):
        solution = oracles.build("oracle-terminal-divergence", 2).solution
        game = dataclasses.replace(solution.game, data_at="start")
        data = game.initial.sample(500, key=jax.random.key(0))
        yield game, mg.models.Potential(lambda t, x: solution.value(t, x)), data, solution


def control_of(model, game):
    return mg.models.ControlField(lambda t, x: model.control(game, t, x))


@pytest.mark.parametrize("paths", [FINE, PROBED, ADAPTIVE], ids=["jet", "probes", "adaptive"])
def test_likelihood_is_that_of_the_exact_density(case, paths):
    game, model, data, solution = case
    end = solution.density(1.0)
    moved = end.moments()
    start = game.initial.moments()
    # The exact map is affine: its log-determinant is that of the deviations.
    log_det = 0.5 * (jnp.linalg.slogdet(moved[1])[1] - jnp.linalg.slogdet(start[1])[1])
    scale = jnp.linalg.cholesky(moved[1]) @ jnp.linalg.inv(jnp.linalg.cholesky(start[1]))
    there = jax.vmap(lambda x: scale @ (x - start[0]) + moved[0])(data)
    exact = -jnp.mean(jax.vmap(game.terminal.goal.log_density)(there)) - log_det
    for one in (model, control_of(model, game)):
        found = PathLikelihood(paths)(game, one, data, key=jax.random.key(1))
        np.testing.assert_allclose(found, exact, rtol=1e-6)


def test_all_terms_of_the_exact_solution(case):
    game, model, data, _ = case
    costs = TransportCost(FINE)(game, model, data, key=jax.random.key(1))
    speed = jax.vmap(lambda x: mg.velocity(game, model, 0.0, x))(data)
    # Optimal particles keep their velocity.
    paid = jnp.mean(jax.vmap(lambda x, v: game.lagrangian(0.0, x, v))(data, speed))
    np.testing.assert_allclose(costs, paid, rtol=1e-8)
    for term in (PathHJB(paths=FINE), PathTerminal(paths=FINE)):
        assert term(game, model, data, key=jax.random.key(1)) < 1e-7
    flipped = mg.models.Potential(lambda t, x: -model(t, x))
    assert PathHJB(paths=FINE)(game, flipped, data, key=jax.random.key(1)) > 0.05
    assert PathTerminal(paths=FINE)(game, flipped, data, key=jax.random.key(1)) > 0.05


@pytest.mark.parametrize("dim", [3, 6])
def test_few_and_many_directions_give_the_divergence(dim, x64):
    slope = 0.3 * jax.random.normal(jax.random.key(0), (dim, dim))
    game = flow_game(mg.Gaussian(jnp.zeros(dim), jnp.ones(dim)), mg.costs.NoCost())
    data = game.initial.sample(4, key=jax.random.key(1))
    field = mg.models.ControlField(lambda t, x: slope @ x)
    # A linear flow: x(1) = exp(A) x(0), log |det| = tr A.
    there = data @ jax.scipy.linalg.expm(slope).T
    exact = -jnp.mean(jax.vmap(game.terminal.goal.log_density)(there)) - jnp.trace(slope)
    found = PathLikelihood(FINE)(game, field, data, key=jax.random.key(2))
    np.testing.assert_allclose(found, exact, rtol=1e-6)


def test_reverse_kl_is_the_divergence_that_is_left(case):
    game, model, _, solution = case
    exact = game.terminal.value(solution.density(1.0))
    forward = dataclasses.replace(game, data_at="end")
    batch = jnp.zeros((4000, game.initial.dim))
    found = ReverseKL(Paths(RungeKutta4(20), starts="initial"))(
        forward, model, batch, key=jax.random.key(2)
    )
    assert abs(float(found - exact)) < 0.05 * game.initial.dim**0.5 * max(1, float(exact))


def test_a_tempered_goal_is_between_the_initial_density_and_pi(case, x64):
    """Of a flow that rests, KL(rho_0 || rho_0^(1 - beta) pi^beta) is beta KL(rho_0 || pi)."""
    game, _, points, _ = case
    rest, key = mg.models.Potential(lambda t, x: 0.0 * x[0]), jax.random.key(0)
    value = lambda term: dataclasses.replace(term, paths=Paths())(game, rest, points, key=key)
    whole = value(ReverseKL())
    for part, beta in ((0.0, 0.05), (0.5, 0.05**0.5), (1.0, 1.0)):
        tempered = ReverseKL(tempering=1.0).during(jnp.asarray(part))
        np.testing.assert_allclose(value(tempered), beta * whole, rtol=1e-5)
    untempered = ReverseKL(tempering=0.0).during(jnp.asarray(0.0))
    np.testing.assert_allclose(value(untempered), whole, rtol=1e-6)
    with pytest.raises(ValueError, match="`ReverseKL` got tempering"):
        ReverseKL(tempering=2.0)


def test_the_jacobian_of_the_exact_flow(case):
    game, model, data, _ = case
    key = jax.random.key(1)
    exact = JacobianPenalty(FINE)(game, model, data, key=key)
    field = control_of(model, game)
    some = JacobianPenalty(FINE)(game, field, data, key=key)
    np.testing.assert_allclose(exact, some, rtol=1e-10)
    times = jnp.linspace(0, 1, 401)
    x = data[0]
    # The gradient of an affine velocity is the same at all places.
    square = jax.vmap(
        lambda t: jnp.sum(jnp.square(jax.jacfwd(lambda x: mg.velocity(game, model, t, x))(x)))
    )(times)
    np.testing.assert_allclose(exact, jnp.trapezoid(square, times), rtol=1e-3)
    rough = JacobianPenalty(PROBED)(game, model, data, key=key)
    np.testing.assert_allclose(rough, exact, rtol=0.1)


def test_terms_in_one_pass_are_the_terms_alone(case):
    game, model, data, _ = case
    parts = [PathLikelihood(FINE), TransportCost(FINE), PathHJB(paths=FINE)]
    weights = [2.0, 1.0, 0.3]
    total = sum(
        (w * part for w, part in zip(weights[1:], parts[1:], strict=True)), weights[0] * parts[0]
    )
    key = jax.random.key(3)
    found = total.evaluate(game, model, data, key=key)
    alone = [w * part(game, model, data, key=key) for w, part in zip(weights, parts, strict=True)]
    np.testing.assert_allclose(jnp.stack(found.terms), jnp.stack(alone), atol=1e-10)
    np.testing.assert_allclose(found.total, sum(alone), rtol=1e-10)


def test_gradients_are_those_of_the_sum(case):
    game, _, data, _ = case
    model = mg.models.control_field(game, width=8, depth=1, key=jax.random.key(0))
    objective = PathLikelihood() + 0.5 * TransportCost() + 0.1 * JacobianPenalty()
    key = jax.random.key(3)
    few = data[:5]
    loss = lambda model: objective(game, model, few, key=key)
    gradient = eqx.filter_grad(loss)(model)
    direction = jax.tree.map(lambda p: jnp.ones_like(p), eqx.filter(model, eqx.is_inexact_array))
    step = 1e-5
    move = lambda h: eqx.apply_updates(model, jax.tree.map(lambda p: h * p, direction))
    difference = (loss(move(step)) - loss(move(-step))) / (2 * step)
    slope = sum(
        jnp.vdot(a, b) for a, b in zip(*map(jax.tree.leaves, (gradient, direction)), strict=True)
    )
    np.testing.assert_allclose(slope, difference, rtol=1e-5)


def test_samples_and_densities_of_a_flow_from_data(case):
    game, model, data, _ = case
    points = data[:50]
    exact = jax.vmap(game.initial.log_density)(points)
    # rho(T) is not the goal: a soft cost leaves a difference, which the model's density shows.
    found = mg.log_prob(game, model, points, method=mg.simulate.FlowLikelihood(RungeKutta4(40)))
    direct = -jax.vmap(lambda x: PathLikelihood(FINE)(game, model, x[None], key=jax.random.key(0)))(
        points
    )
    np.testing.assert_allclose(found, direct, rtol=1e-6)
    assert jnp.max(jnp.abs(found - exact)) > 1e-3
    assert jnp.max(inverse_error(game, model, points)) < 1e-8
    drawn = mg.sample(game, model, 20_000, key=jax.random.key(5))
    density = mg.log_prob(game, model, drawn[:2000])
    entropy = -jnp.mean(density)
    deviation = jnp.cov(drawn.T).reshape(game.initial.dim, -1)
    gaussian = 0.5 * jnp.linalg.slogdet(2 * jnp.pi * jnp.e * deviation)[1]
    error = jnp.std(density) / len(density) ** 0.5 + (2 / len(drawn)) ** 0.5
    assert abs(entropy - gaussian) < 4 * error


def test_what_has_no_meaning_is_refused(case):
    game, model, data, _ = case
    key = jax.random.key(0)
    late = dataclasses.replace(game, data_at="end")
    with pytest.raises(TypeError, match='data_at = "end", expected a normalizing flow'):
        PathLikelihood()(late, model, data, key=key)
    with pytest.raises(TypeError, match="`PathHJB` got a model `ControlField` without a value"):
        PathHJB()(game, control_of(model, game), data, key=key)
    noisy = mg.MFG(mg.Integrator(0.5), mg.Kinetic(), game.terminal, initial=game.initial)
    with pytest.raises(TypeError, match="`TransportCost` got dynamics with noise"):
        TransportCost()(noisy, model, data, key=key)
    with pytest.raises(TypeError, match="`StochasticHeun` for a normalizing flow"):
        mg.sample(game, model, 3, key=key, method=mg.simulate.StochasticHeun())
    free = dataclasses.replace(game, lagrangian=mg.costs.NoCost())
    with pytest.raises(ValueError, match=r"`NoCost` .* has no optimal control"):
        PathHJB()(free, model, data, key=key)
    with pytest.raises(ValueError, match="random paths are not run backward"):
        mg.MFG(
            mg.Integrator(0.5), mg.Kinetic(), game.terminal, initial=game.initial, data_at="start"
        )


def test_a_path_that_does_not_arrive_is_not_finite(case):
    game, model, data, _ = case
    hurried = Paths(Adaptive(1e-10, max_steps=2))
    assert not jnp.isfinite(PathLikelihood(hurried)(game, model, data[:4], key=jax.random.key(0)))
