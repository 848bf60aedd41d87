"""Everything the factories make is pickled and copied, and is then the same to the compiler."""

import copy
import pickle

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests import tables

import mfgen as mg

KEY = jax.random.key(0)
POINTS = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
SMALL = {"key": KEY, "width": 4, "depth": 1}


def bowl(x):
    return 0.5 * x @ x


def score_game():
    return mg.score_based(mg.VP(), mg.Empirical(POINTS))


def flow():
    law = mg.Gaussian(jnp.zeros(2), 1.0)
    return mg.MFG(mg.Integrator(), mg.Kinetic(), mg.KL(law), initial=law)


def quadratic():
    law = mg.Gaussian(jnp.zeros(1), 1.0)
    return mg.MFG(mg.Integrator(sigma=0.5), mg.Kinetic(), mg.Linear(bowl), initial=law)


MADE = {
    "score_potential": lambda: mg.models.score_potential(score_game(), inner=True, **SMALL),
    "score_field": lambda: mg.models.score_field(score_game(), activation=jnp.tanh, **SMALL),
    "control_field": lambda: mg.models.control_field(flow(), activation=jax.nn.softplus, **SMALL),
    "ot_flow_potential": lambda: mg.models.ot_flow_potential(flow(), key=KEY),
    "lipschitz_critic": lambda: mg.models.lipschitz_critic(2, activation=jax.nn.softplus, **SMALL),
    "kernel_potential": lambda: mg.models.kernel_potential(
        score_game(), POINTS, components=3, key=KEY
    ),
    "kernel_estimate": lambda: mg.models.kernel_estimate(score_game(), POINTS),
    "proximal_kernel": lambda: mg.models.proximal_kernel(score_game(), POINTS),
    "games": lambda: (
        score_game(),
        flow(),
        mg.zoo.gradient_flow_game(mg.functionals.Entropy(), initial=mg.densities.moons()),
    ),
    "densities": lambda: (
        mg.densities.checkerboard(),
        mg.densities.pinwheel(),
        mg.densities.rings(),
        mg.densities.many_wells(2),
    ),
    "objective": lambda: (
        mg.losses.DenoisingScoreMatching() + 0.3 * mg.losses.HJB() + mg.losses.FlowMatching()
    ),
    "samplers": lambda: (
        mg.simulate.ProbabilityFlow(mg.simulate.Adaptive()),
        mg.simulate.StochasticHeun(4),
        mg.simulate.OneShot(),
    ),
    "riccati": lambda: mg.solve(quadratic(), mg.solvers.Riccati()),
    "grid": lambda: mg.solve(quadratic(), mg.Grid((-4.0, 4.0), points=16, steps=6)),
    "hopf_cole": lambda: mg.solve(
        quadratic(), mg.solvers.HopfCole((-4.0, 4.0), points=40, steps=6)
    ),
}
ROWS = {
    **{name: row.build for name, row in tables.LAGRANGIANS.items()},
    **tables.DYNAMICS,
    **tables.CONSTRAINTS,
}


@pytest.mark.parametrize("name", [*MADE, *ROWS])
def test_a_pickle_and_a_copy_are_the_same(name):
    made = (MADE | ROWS)[name]()
    arrays, static = eqx.partition(made, eqx.is_array)
    for again in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
        found, kept = eqx.partition(again, eqx.is_array)
        assert jax.tree.structure(arrays) == jax.tree.structure(found)
        assert jax.tree.structure(static) == jax.tree.structure(kept)
        for one, other in zip(jax.tree.leaves(arrays), jax.tree.leaves(found), strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_copied_model_gives_the_same_values_by_the_same_program():
    model = mg.models.score_potential(score_game(), **SMALL)
    traced = []

    @eqx.filter_jit
    def value(model):
        traced.append(model)
        return model(0.3, jnp.ones(2))

    assert value(model) == value(pickle.loads(pickle.dumps(model))) == value(copy.deepcopy(model))
    assert len(traced) == 1


def test_a_function_that_no_module_holds_is_refused_by_pickle():
    model = mg.models.score_potential(score_game(), activation=lambda x: jnp.sin(x), **SMALL)
    with pytest.raises(AttributeError, match="lambda"):
        pickle.dumps(model)
