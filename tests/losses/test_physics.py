"""Residual penalties: zero at the exact solution, unbiased under probes, refused where void."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from mfgen.dynamics import VE
from mfgen.losses import (
    HJB,
    Absolute,
    DenoisingScoreMatching,
    Exact,
    Huber,
    Hutchinson,
    Levels,
    LogUniform,
    NoisedData,
    RatioPower,
    ScoreHJB,
    SpreadData,
    Squared,
    UniformTime,
)
from mfgen.losses._collocation import subset_index
from mfgen.losses._penalty import squared_without_bias
from mfgen.models import Potential, VectorField, score_field
from mfgen.zoo import score_based

OBJECTIVES = {
    "exact": HJB(),
    "absolute": HJB(penalty=Absolute()),
    "huber": HJB(penalty=Huber(0.5)),
    "spread": HJB(collocation=SpreadData()),
    "hutchinson": HJB(laplacian=Hutchinson(2)),
    "score": ScoreHJB(points=16),
}


@eqx.filter_jit
def evaluate(objective, game, model, data, key):
    return objective(game, model, data, key=key)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_residual_vanishes_at_the_exact_solution(name, game, exact, data, key, x64):
    objective = OBJECTIVES[name]
    wrong = Potential(lambda t, x: exact(t, x) + 0.1 * jnp.sin(x[0]))
    batch = data[:64].astype(float)
    # A probe leaves the off-diagonal part of the Hessian in each estimate; its mean is zero.
    # The target's axes were found in float32, so the residual is about 1e-8 and not 1e-16.
    if name != "hutchinson":
        bound = 1e-6 if name == "absolute" else 1e-12
        assert evaluate(objective, game, exact, batch, key) < bound
    assert evaluate(objective, game, wrong, batch, key) > 1e-4


def test_time_gauge_is_seen_by_the_value_form_only(game, exact, data, key):
    shifted = Potential(lambda t, x: exact(t, x) + t)
    # Adding t to U changes dU/dt by one: the residual per unit of log kappa is 2 sigma^2 / g^2.
    points = NoisedData()(game, data[:64], None, key=key)
    value = evaluate(HJB(points=None), game, shifted, data[:64], key)
    assert jnp.allclose(value, jnp.mean(jnp.square(points.factor)), rtol=1e-3)
    assert evaluate(ScoreHJB(points=None), game, shifted, data[:64], key) < 1e-5


@pytest.mark.parametrize("name", ["exact", "absolute", "hutchinson", "score"])
def test_weighting_multiplies_the_penalty(name, game, network, data, key):
    """At a single level kappa = .5 the weight kappa^-2 is 4, whatever the power of the residual."""
    law = NoisedData(Levels((0.5,)))
    flat = eqx.tree_at(lambda o: o.at, OBJECTIVES[name], law)
    weighted = eqx.tree_at(lambda o: o.weighting, flat, RatioPower(-2.0))
    values = [evaluate(each, game, network, data[:32], key) for each in (flat, weighted)]
    assert jnp.allclose(values[1], 4 * values[0], rtol=1e-3)
    assert values[0] != 0


def test_factor_is_constant_under_the_log_clock(data, key):
    noising = VE(0.1, 10.0)
    points = NoisedData()(score_based(noising, _gaussian()), data[:8], None, key=key)
    assert jnp.allclose(points.factor, 1 / jnp.log(100.0), rtol=1e-4)


def test_hutchinson_is_unbiased_for_the_squared_residual(game, network, data):
    keys = jax.random.split(jax.random.key(5), 400)
    batch = data[:32]

    @eqx.filter_jit
    def both(network):
        noisy = HJB(laplacian=Hutchinson(2), points=None)
        exact = HJB(laplacian=Exact(), points=None)
        return jax.lax.map(
            lambda key: (
                noisy(game, network, batch, key=key),
                exact(game, network, batch, key=key),
            ),
            keys,
        )

    noisy, exact = both(network)
    difference = noisy - exact
    assert jnp.abs(jnp.mean(difference)) < 4 * jnp.std(difference) / jnp.sqrt(difference.size)


def test_pairs_estimate_the_square_of_the_mean():
    estimates = jnp.array([1.0, 3.0, -2.0])
    pairs = (1 * 3 + 1 * -2 + 3 * -2) / 3
    assert jnp.allclose(squared_without_bias(estimates), pairs)


def test_penalties_against_their_formulas():
    residual = jnp.array([-2.0, -0.25, 0.0, 1.0])
    assert jnp.allclose(Squared()(residual), jnp.array([4.0, 0.0625, 0.0, 1.0]))
    assert jnp.allclose(Absolute()(residual), jnp.array([2.0, 0.25, 0.0, 1.0]))
    assert jnp.allclose(Huber(0.5)(residual), jnp.array([0.875, 0.03125, 0.0, 0.375]))


def test_a_part_of_the_points_is_taken_from_those_of_score_matching(game, data, key):
    whole = NoisedData()(game, data[:64], None, key=key)
    part = NoisedData()(game, data[:64], 16, key=key)
    assert jnp.array_equal(part.x, whole.x[subset_index(64, 16, key=key)])


@pytest.mark.parametrize("law", [LogUniform(0.1, 0.5), Levels((0.1, 0.5))])
def test_collocation_follows_its_law(game, data, key, law):
    noising = game.dynamics.noising
    points = NoisedData(law)(game, data[:64], None, key=key)
    ratios = jax.vmap(noising.ratio)(noising.horizon - points.t)
    assert jnp.min(ratios) > 0.099
    assert jnp.max(ratios) < 0.501


def test_misuse_is_refused_with_the_reason(game, data, key):
    field = score_field(game, width=8, depth=1, key=key)
    with pytest.raises(TypeError, match="`ScoreHJB` for vector fields"):
        HJB()(game, field, data, key=key)
    with pytest.raises(ValueError, match="only products of independent estimates"):
        HJB(penalty=Absolute(), laplacian=Hutchinson(2))
    with pytest.raises(ValueError, match="at least 2"):
        Hutchinson(1)
    with pytest.raises(ValueError, match="pass points=64"):
        HJB(points=0)
    with pytest.raises(ValueError, match=r"pass delta=1\.0"):
        Huber(-1.0)
    assert ScoreHJB()(game, VectorField(lambda t, x: x), data[:8], key=key) > 0


def _gaussian():
    from mfgen.densities import Gaussian

    return Gaussian(jnp.zeros(2), jnp.eye(2))


ENDS = {
    "alone": HJB(),
    "spread": HJB(collocation=SpreadData()),
    "score": ScoreHJB(),
    "uniform": HJB(collocation=UniformTime()),
}


@pytest.mark.parametrize("points", [1, 4, 16, 64])
@pytest.mark.parametrize("name", [*ENDS, "shared pass"])
def test_a_part_of_the_batch_has_the_mean_of_the_whole(name, points, key):
    """The residual lives at the clean end of the noising: one sixth of the levels have it all."""
    noising = VE(0.05, 10.0)
    game, batch = score_based(noising, _gaussian()), jax.random.normal(key, (256, 2))
    last = noising.horizon - noising.time(jnp.asarray(0.12))

    def bump(t, x):
        return 40 * jnp.square(jnp.maximum(t - last, 0.0)) * (1 + jnp.sum(x**2) / 8)

    model = Potential(lambda t, x: 0.5 * x @ x / 100 + bump(t, x))
    matching = DenoisingScoreMatching()
    part = dataclasses.replace(ENDS.get(name, HJB()), points=points)

    @eqx.filter_jit
    def found(objective, keys):
        if name == "shared pass":
            both = matching + objective
            assert eqx.tree_equal(objective.bundle(), matching.bundle()) is True
            evaluate = lambda key: both.evaluate(game, model, batch, key=key).terms[1]
        else:
            evaluate = lambda key: objective(game, model, batch, key=key)
        return jax.lax.map(evaluate, keys)

    few = found(part, jax.random.split(jax.random.key(1), 16_384 // points))
    all_of_them = found(
        dataclasses.replace(part, points=None), jax.random.split(jax.random.key(2), 64)
    )
    means = [float(jnp.mean(values)) for values in (few, all_of_them)]
    error = sum(float(jnp.var(values)) / values.size for values in (few, all_of_them)) ** 0.5
    assert abs(means[0] - means[1]) < 3 * error
    assert error < 0.2 * means[1]
