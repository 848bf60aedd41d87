"""The game is checked at the door."""

import jax.numpy as jnp
import jaxtyping
import pytest

from mfgen.density.gaussian import Gaussian
from mfgen.problem.cost import Kinetic
from mfgen.problem.dynamics import Integrator
from mfgen.problem.functional import KL, Zero
from mfgen.problem.game import MFG


@pytest.fixture
def unchecked():
    """As users run it: without the type checks of the tests, which would speak first."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize(
    ("parts", "fix"),
    [
        ({"dynamics": 1.0}, "dynamics of type `float`.*use `Integrator"),
        ({"lagrangian": lambda t, x, v: v @ v}, "lagrangian of type `function`.*`Kinetic"),
        ({"terminal": lambda x: x @ x}, "terminal .*wrap a function f.x. as `Linear"),
        ({"interaction": Gaussian(jnp.zeros(2))}, "interaction .*`KL.target.`"),
        ({"initial": jnp.zeros((5, 2))}, "initial .*wrap data as `Empirical"),
    ],
)
def test_parts_of_the_wrong_kind_are_refused(parts, fix, unchecked):
    given = {"dynamics": Integrator(), "lagrangian": Kinetic(), "terminal": Zero(), **parts}
    with pytest.raises(TypeError, match=fix):
        MFG(**given)


def test_a_game_needs_neither_interaction_nor_initial_density():
    game = MFG(Integrator(), Kinetic(), KL(Gaussian(jnp.zeros(2))))
    assert game.initial is None
    assert game.interaction.variation(None, jnp.zeros(2)) == 0
