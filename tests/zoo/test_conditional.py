"""Conditional flows: for each label, the flow of the points with the label held fixed.

The second method is always a game without labels, with the label written into the model.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfgen as mg
from mfgen.derive import hjb
from mfgen.games import OfPoints, WithLabels, with_labels
from mfgen.games._labels import at_label
from mfgen.losses import JacobianPenalty, Paths
from mfgen.models import ControlField, Potential
from mfgen.simulate import ExactDivergence, Hutchinson, inverse_error
from mfgen.simulate._divergence import moving_directions
from mfgen.zoo import _flows, train

KEY = jax.random.key(0)
POINTS = jax.random.normal(jax.random.key(1), (40, 2)) * jnp.array([[0.4, 1.2]])
CLASSES = jnp.arange(40) % 3
DATA = mg.densities.LabelledPoints(POINTS, mg.densities.one_hot(CLASSES, 3))
BUILD = {
    "cnf": lambda data: _flows.cnf(data, key=KEY, width=8),
    "ot-flow": lambda data: _flows.ot_flow(data, key=KEY, width=8),
    "rnode": lambda data: _flows.rnode(data, key=KEY, width=8),
    "anisotropic-flow": lambda data: _flows.anisotropic_flow(data, key=KEY, width=8),
    "obstacle-flow": lambda data: _flows.obstacle_flow(data, key=KEY, width=0.8),
}
FEW = ("cnf", "ot-flow", "anisotropic-flow")  # one of each way to a divergence
LABEL = mg.densities.one_hot(1, 3)


class Pair(NamedTuple):
    """A conditional flow, and the same at one label as a flow without labels."""

    game: mg.MFG
    model: Any
    plain: mg.MFG
    bound: Any


def pair(name):
    """The joint game and the game of the points, in the precision of the caller."""
    recipe = BUILD[name](DATA)
    plain = BUILD[name](mg.Empirical(POINTS)).game
    game, model, plain = jax.tree.map(
        lambda leaf: leaf.astype(float) if eqx.is_inexact_array(leaf) else leaf,
        (recipe.game, recipe.model, plain),
    )
    joint = lambda x: jnp.concatenate([x, LABEL.astype(x.dtype)])
    if isinstance(model, mg.models.AbstractPotential):
        bound = Potential(lambda t, x: model(t, joint(x)))
    else:
        bound = ControlField(lambda t, x: model.function(t, joint(x)))
    return Pair(game, model, plain, bound)


@pytest.mark.parametrize("name", FEW)
def test_the_likelihood_is_that_of_the_flow_with_the_label_bound(name, x64):
    game, model, plain, bound = pair(name)
    x = POINTS[:6].astype(float)
    joint = mg.log_prob(game, model, mg.densities.labelled(x, LABEL))
    np.testing.assert_allclose(joint, mg.log_prob(plain, bound, x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", BUILD)
def test_the_divergence_is_the_trace_over_the_points(name, x64):
    game, model = pair(name)[:2]
    z, t = jnp.array([0.3, -0.8, 0.0, 1.0, 0.0]), jnp.asarray(0.4)
    method = ExactDivergence()
    slope = method(game, model, t, z, moving_directions(game, method, z, key=None))
    jacobian = jax.jacfwd(lambda z: mg.velocity(game, model, t, z))(z)
    assert slope.velocity.shape == (5,)
    assert jnp.all(slope.velocity[2:] == 0)
    assert jnp.max(jnp.abs(jacobian[:2, 2:])) > 1e-4  # the label has an influence
    np.testing.assert_allclose(slope.divergence[0], jnp.trace(jacobian), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(slope.divergence[0], jnp.trace(jacobian[:2, :2]), rtol=1e-9)


def test_probes_do_not_go_along_labels(x64):
    """z.(Db z) of a probe contains no derivative by the label: signs give exactly four values."""
    game, model = pair("cnf")[:2]
    z, t, method = jnp.array([0.3, -0.8, 0.0, 1.0, 0.0]), jnp.asarray(0.4), Hutchinson(16)
    directions = moving_directions(game, method, z, key=KEY)
    slope = method(game, model, t, z, directions)
    inner = jax.jacfwd(lambda z: mg.velocity(game, model, t, z))(z)[:2, :2]
    signs = directions[:, :2]
    assert jnp.all(directions[:, 2:] == 0)
    np.testing.assert_allclose(slope.divergence, jnp.sum(signs * (signs @ inner.T), axis=1))


@pytest.mark.parametrize("name", ["ot-flow", "anisotropic-flow", "obstacle-flow"])
def test_the_residual_of_the_hjb_equation_has_no_term_along_the_label(name, x64):
    """-dt U + H(t, x, dU/dx) at the bound label; for OT-Flow also -dt U + |dU/dx|^2 / 2 by hand."""
    game, model, plain, bound = pair(name)
    x, t = jnp.array([0.3, -0.8]), jnp.asarray(0.4)
    z = jnp.concatenate([x, LABEL])
    residual = hjb(game, model, None, t, z)
    time, slope = jax.grad(model, argnums=(0, 1))(t, z)
    assert jnp.linalg.norm(slope[2:]) > 1e-3
    np.testing.assert_allclose(residual, hjb(plain, bound, None, t, x), rtol=1e-10)
    if name == "ot-flow":
        np.testing.assert_allclose(residual, -time + 0.5 * slope[:2] @ slope[:2], rtol=1e-10)


def test_a_jacobian_penalty_by_probes_is_that_of_the_points(x64):
    game, model, plain, bound = pair("rnode")
    x = POINTS[:3].astype(float)
    term = JacobianPenalty(Paths(divergence=Hutchinson(400)))
    exact = JacobianPenalty()(plain, bound, x, key=KEY)
    found = term(game, model, mg.densities.labelled(x, LABEL), key=KEY)
    np.testing.assert_allclose(found, exact, rtol=0.1)


def test_the_density_given_each_label_sums_to_one_on_a_line(x64):
    data = mg.densities.LabelledPoints(POINTS[:, :1], mg.densities.one_hot(CLASSES, 3))
    recipe = _flows.ot_flow(data, key=jax.random.key(3), width=8)
    axis = jnp.linspace(-12, 12, 1201)
    totals = []
    for label in range(3):
        rows = mg.densities.labelled(axis[:, None], mg.densities.one_hot(label, 3))
        density = jnp.exp(mg.log_prob(recipe.game, recipe.model, rows, chunk=1201))
        totals.append(float(jnp.sum(density) * (axis[1] - axis[0])))
    np.testing.assert_allclose(totals, 1, atol=1e-4)


def test_labels_do_not_move():
    recipe = BUILD["cnf"](DATA)
    samples = np.asarray(mg.sample(recipe.game, recipe.model, 64, key=KEY))
    assert np.array_equal(np.sort(samples[:, 2:], axis=1), np.tile([0.0, 0.0, 1.0], (64, 1)))
    assert len(np.unique(samples[:, 2:], axis=0)) == 3
    assert jnp.max(inverse_error(recipe.game, recipe.model, DATA.rows)) < 1e-3


@pytest.mark.parametrize(
    "sampler", [mg.simulate.EulerMaruyama(steps=8), mg.simulate.StochasticHeun(steps=8)]
)
def test_noise_moves_points_and_leaves_labels_alone(sampler):
    dynamics, lagrangian = WithLabels(mg.Integrator(0.5), 2, 3), OfPoints(mg.Kinetic(), 3)
    game = mg.MFG(dynamics, lagrangian, mg.Linear(lambda z: z @ z), initial=DATA)
    still = mg.models.Potential(lambda t, z: jnp.sum(z) * 0)
    start, count = DATA.rows, 4000
    moved = np.asarray(mg.sample(game, still, count, key=KEY, method=sampler))
    assert set(map(tuple, moved[:, 2:].tolist())) == set(map(tuple, start[:, 2:].tolist()))
    added = np.cov(moved[:, :2].T) - np.cov(np.asarray(start)[:, :2].T, bias=True)
    np.testing.assert_allclose(added, 0.25 * np.eye(2), atol=0.1)
    assert float(mg.hjb(game, still, None, 0.3, start[0])) == 0.0


def test_what_has_no_labels_is_refused():
    recipe = BUILD["cnf"](DATA)
    plain = BUILD["cnf"](mg.Empirical(POINTS))
    with pytest.raises(TypeError, match=r"points have no labels.*LabelledPoints"):
        mg.sample_given(plain.game, plain.model, LABEL, 3, key=KEY)
    with pytest.raises(ValueError, match=r"label of shape \(2,\), expected \(3,\)"):
        at_label(recipe.game, jnp.zeros(2))
    with pytest.raises(ValueError, match=r"NaN or infinite"):
        at_label(recipe.game, jnp.array([1.0, jnp.nan, 0.0]))
    with pytest.raises(ValueError, match=r"`log_prob` got points of shape \(40, 2\), .*5"):
        mg.log_prob(recipe.game, recipe.model, POINTS)
    with pytest.raises(ValueError, match=r"`WithLabels` got labels = 0"):
        WithLabels(mg.Integrator(), 2, 0)
    with pytest.raises(ValueError, match=r"`OfPoints` got labels = 0"):
        OfPoints(mg.Kinetic(), 0)
    with pytest.raises(TypeError, match=r"`with_labels` got the terminal cost `Zero`"):
        with_labels(
            mg.MFG(
                mg.Integrator(), mg.Kinetic(), mg.functionals.Zero(), initial=DATA, data_at="start"
            )
        )
    bare = eqx.tree_at(lambda g: g.terminal, recipe.game, mg.KL(mg.Gaussian(jnp.zeros(5))))
    with pytest.raises(TypeError, match=r"game with labels whose reference is `Gaussian`"):
        mg.sample(bare, recipe.model, 3, key=KEY)


@pytest.fixture(scope="module")
def two_classes():
    """Classes N(-2, 0.3^2) and N(1, 0.8^2) in the plane, one in four of the first."""
    labels = jnp.minimum(jnp.arange(800) % 4, 1)
    mean, width = jnp.array([-2.0, 1.0])[labels], jnp.array([0.3, 0.8])[labels]
    points = mean[:, None] + width[:, None] * jax.random.normal(jax.random.key(2), (800, 2))
    return mg.densities.LabelledPoints(points, mg.densities.one_hot(labels, 2)), labels


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ot_flow", "ot_flow_matching"])
def test_training_finds_the_law_of_each_label(name, two_classes):
    """Means and deviations of samples given the label, and Bayes' rule on new points."""
    data, _ = two_classes
    recipe = getattr(_flows, name)(data, key=KEY, width=32)
    steps = 150 if name == "ot_flow" else 1500
    model, _ = train(recipe, data.rows, steps=steps, key=KEY)
    for label, (mean, width) in enumerate([(-2.0, 0.3), (1.0, 0.8)]):
        samples = mg.sample_given(recipe.game, model, mg.densities.one_hot(label, 2), 1000, key=KEY)
        assert samples.shape == (1000, 2)
        np.testing.assert_allclose(jnp.mean(samples, axis=0), mean, atol=0.15)
        np.testing.assert_allclose(jnp.std(samples, axis=0), width, atol=0.15)
    # Near (-1.3, -1.3) both classes have a part; far from it one alone.
    points = jnp.array([[-2.0, -2.0], [1.0, 1.0], [-1.0, -0.5]])
    prior = jnp.log(jnp.array([0.25, 0.75]))
    joint = [
        mg.log_prob(
            recipe.game, model, mg.densities.labelled(points, mg.densities.one_hot(label, 2))
        )
        + prior[label]
        for label in range(2)
    ]
    probable = jax.nn.softmax(jnp.stack(joint, axis=1), axis=1)
    assert jnp.array_equal(jnp.argmax(probable, axis=1), jnp.array([0, 1, 1]))
