"""The potential of OT-Flow against its formula, its derivatives against automatic ones."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.nested import nested_jet

from mfgen.costs import Kinetic
from mfgen.densities import isotropic
from mfgen.dynamics import Integrator
from mfgen.functionals import Zero
from mfgen.games import MFG
from mfgen.math import _autodiff
from mfgen.models import ot_flow_potential

SHAPES = list(itertools.product([1, 2, 5], [1, 2, 3]))


def game_in(dim):
    return MFG(Integrator(), Kinetic(1.0), Zero(), initial=isotropic(jnp.zeros(dim), 1.0))


def potential_in(dim, depth, **options):
    """A potential of which no part is zero."""
    model = ot_flow_potential(
        game_in(dim), width=7, depth=depth, key=jax.random.key(dim), **options
    )
    leaves, tree = jax.tree.flatten(model)
    keys = jax.random.split(jax.random.key(3), len(leaves))
    return jax.tree.unflatten(
        tree,
        [
            leaf + 0.3 * jax.random.normal(key, leaf.shape, leaf.dtype)
            for leaf, key in zip(leaves, keys, strict=True)
        ],
    )


def points_in(dim):
    return jnp.array([0.0, 0.3, 1.7]), 1.5 * jax.random.normal(jax.random.key(1), (3, dim))


@pytest.mark.parametrize(("dim", "depth"), SHAPES)
def test_value_is_the_formula_of_the_paper(x64, dim, depth):
    model, (times, points) = potential_in(dim, depth), points_in(dim)
    values = jax.jit(jax.vmap(model))(times, points)
    parts = jax.tree.map(np.asarray, model)
    antiderivative = lambda z: np.logaddexp(z, -z)
    for value, s in zip(values, np.c_[points, times], strict=True):
        hidden = antiderivative(parts.lift @ s + parts.shifts[0])
        for layer, shift in zip(parts.layers, parts.shifts[1:], strict=True):
            hidden = hidden + antiderivative(layer @ hidden + shift) / (depth - 1)
        form = parts.factor.T @ parts.factor
        expected = parts.outlet @ hidden + 0.5 * s @ form @ s + parts.slope @ s + parts.constant
        np.testing.assert_allclose(value, expected, rtol=1e-13)


@pytest.mark.parametrize(("dim", "depth"), SHAPES)
def test_jet_is_that_of_nested_differentiation(x64, dim, depth):
    model, (times, points) = potential_in(dim, depth), points_in(dim)
    both = lambda t, x: (model.jet(t, x), nested_jet(model)(t, x), model.costate(t, x))
    closed, nested, costate = jax.jit(jax.vmap(both))(times, points)
    for part, got, expected in zip(closed._fields, closed, nested, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12, err_msg=part)
    np.testing.assert_allclose(costate, closed.gradient, rtol=1e-14)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_gradients_of_the_parameters_are_those_of_nested_differentiation(x64, depth):
    model, (times, points) = potential_in(2, depth), points_in(2)
    weights = jnp.array([0.7, -0.4, 1.3, 0.9])

    def total(model, operator):
        def one(t, x):
            value, time, gradient, lap = operator(model)(t, x)
            return weights @ jnp.stack([value, time, jnp.sum(gradient**3), lap])

        return jnp.sum(jax.vmap(one)(times, points))

    operators = (lambda model: model.jet, nested_jet, _autodiff.jet)
    closed, *others = jax.jit(
        lambda model: [jax.grad(total)(model, operator) for operator in operators]
    )(model)
    for other in others:
        for got, expected in zip(jax.tree.leaves(closed), jax.tree.leaves(other), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-11)


def test_curvature_is_kept_where_hidden_units_change_sign(x64):
    # At z = 0 the formula |z| + log(1 + e^(-2 |z|)) has a kink for automatic differentiation.
    model = potential_in(3, 1)
    model = eqx.tree_at(lambda model: model.shifts[0], model, jnp.zeros(7))
    expected = model.outlet @ jnp.sum(jnp.square(model.lift[:, :3]), axis=1)
    expected = expected + jnp.sum(jnp.square(model.factor[:, :3]))
    jets = (model.jet, _autodiff.jet(model), nested_jet(model))
    for got in jax.jit(lambda t, x: [jet(t, x).laplacian for jet in jets])(0.0, jnp.zeros(3)):
        np.testing.assert_allclose(got, expected, rtol=1e-13)


def test_single_precision_stays_single(x64):
    model = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), potential_in(2, 3))
    x = jnp.ones(2, jnp.float32)
    everything = lambda t: (*model.jet(t, x), model(t, x), model.costate(t, x))
    for t in (0.4, np.float64(0.4), jnp.array(0.4)):
        assert {part.dtype for part in jax.eval_shape(everything, t)} == {jnp.dtype("float32")}


def test_stays_finite_far_away():
    model = potential_in(2, 3)
    parts = eqx.filter_jit(model.jet)(0.5, jnp.array([3e4, -1e5]))
    assert all(jnp.all(jnp.isfinite(part)) for part in parts)


@pytest.mark.parametrize(("rank", "expected"), [(None, 3), (1, 1), (5, 5)])
def test_the_rank_of_the_quadratic_form(rank, expected, key):
    model = ot_flow_potential(game_in(2), rank=rank, key=key)
    assert model.factor.shape == (expected, 3)


@pytest.mark.parametrize("width", [32, 256])
def test_a_fresh_potential_hardly_moves_a_particle(width, key):
    model = ot_flow_potential(game_in(5), width=width, key=key)
    speed = jax.jit(jax.vmap(lambda x: jnp.linalg.norm(model.costate(0.5, x))))
    assert jnp.all(speed(jax.random.normal(key, (64, 5))) < 1)


def test_the_default_is_the_size_of_the_paper(key):
    model = ot_flow_potential(game_in(2), key=key)
    assert sum(leaf.size for leaf in jax.tree.leaves(model)) == 1229
    assert ot_flow_potential(game_in(30), key=key).factor.shape == (10, 31)


@pytest.mark.parametrize("size", [0, -1, True])
@pytest.mark.parametrize("name", ["width", "depth", "rank"])
def test_a_size_that_is_no_positive_integer_is_refused(name, size, key):
    message = f"`ot_flow_potential` got {name} = {size}, expected a positive integer: pass {name}"
    with pytest.raises(ValueError, match=message):
        ot_flow_potential(game_in(2), key=key, **{name: size})


def test_a_game_without_an_initial_density_is_refused(key):
    game = MFG(Integrator(), Kinetic(1.0), Zero())
    with pytest.raises(ValueError, match=r"declare `MFG\(\.\.\., initial=density\)`"):
        ot_flow_potential(game, key=key)
