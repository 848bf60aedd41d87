"""The game is checked at the door."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from mfgen.costs import Kinetic, Power
from mfgen.densities import Gaussian
from mfgen.derive import optimal_control
from mfgen.dynamics import VE, VP, AbstractDynamics, Integrator, SubVP
from mfgen.functionals import KL, Zero
from mfgen.games import MFG


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


class Shaped(AbstractDynamics):
    """Dynamics whose functions return arrays of given shapes."""

    sigma: tuple[int, ...] = eqx.field(static=True, default=())
    g: tuple[int, ...] = eqx.field(static=True, default=())
    a: tuple[int, ...] | None = eqx.field(static=True, default=None)
    horizon: float = 1.0
    deterministic: bool = False

    def free(self, t, x):
        return x if self.a is None else jnp.ones(self.a)

    def gain(self, t):
        return jnp.ones(self.g)

    def diffusion(self, t):
        return jnp.ones(self.sigma)


class Turning(AbstractDynamics):
    """dX = A X dt + v dt in two dimensions."""

    horizon: float = 1.0
    deterministic: bool = True

    def free(self, t, x):
        return jnp.asarray([[0.0, 1.0], [-1.0, 0.0]]) @ x

    def gain(self, t):
        return jnp.asarray(1.0)

    def diffusion(self, t):
        return jnp.asarray(0.0)


PLANE = Gaussian(jnp.zeros(2))


@pytest.mark.parametrize(
    ("dynamics", "dim", "message"),
    [
        (Shaped(sigma=(2,)), 2, r"diffusion\(t\) has the shape \[2\], .*\[2, noise\].*diag"),
        (Shaped(sigma=(3, 2)), 2, r"diffusion\(t\) has the shape \[3, 2\], .* matrix \[2, noise\]"),
        (Shaped(sigma=(1,)), None, r"diffusion\(t\) has the shape \[1\], expected a scalar"),
        (Shaped(g=(2,)), 2, r"gain\(t\) has the shape \[2\], .* matrix \[2, control\].*jnp.diag"),
        (Shaped(g=(3, 2)), 2, r"gain\(t\) has the shape \[3, 2\], .* matrix \[2, control\]"),
        (Shaped(g=(2, 2, 1)), None, r"gain\(t\) has the shape \[2, 2, 1\]"),
        (Shaped(a=(2, 1)), 2, r"free\(t, x\) has the shape \[2, 1\], expected \[2\]"),
        (Shaped(horizon=-1.0), 2, "`Shaped` got horizon = -1.0"),
        (Turning(), 4, r"`Turning` whose free\(t, x\) does not take .* of shape \[4\]"),
    ],
)
def test_dynamics_have_the_shapes_that_methods_rely_on(dynamics, dim, message, unchecked):
    initial = None if dim is None else Gaussian(jnp.zeros(dim))
    with pytest.raises(ValueError, match=message):
        MFG(dynamics, Kinetic(), Zero(), initial=initial)


def test_a_gain_may_be_a_matrix():
    game = MFG(Shaped(g=(2, 1)), Kinetic(), Zero(), initial=PLANE)
    control = optimal_control(game, 0.0, jnp.zeros(2), jnp.asarray([1.0, 2.0]))
    assert jnp.allclose(control, -3.0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Integrator(sigma=jnp.ones(2)), r"`Integrator` got sigma of shape \[2\], .*noise"),
        (lambda: Integrator(sigma=[0.1, 0.2]), r"`Integrator` got sigma of shape \[2\]"),
        (lambda: Integrator(sigma=np.ones((2, 2, 2))), r"sigma of shape \[2, 2, 2\]"),
        (lambda: Integrator(sigma="large"), "`Integrator` got sigma of type `str`"),
        (lambda: Integrator(horizon=jnp.ones(2)), r"`Integrator` got horizon of shape \[2\]"),
        (lambda: VP(beta_max=jnp.ones(2)), r"`VP` got beta_max of shape \[2\]"),
        (lambda: VE(largest_ratio=np.ones(3)), r"`VE` got largest_ratio of shape \[3\]"),
        (lambda: SubVP(smallest_ratio=np.ones(2)), r"`SubVP` got smallest_ratio of shape \[2\]"),
        (lambda: Kinetic(jnp.ones(2)), r"`Kinetic` got weight of shape \[2\]"),
        (lambda: Power(jnp.ones(2)), r"`Power` got exponent of shape \[2\]"),
        (
            lambda: MFG(Integrator(), Kinetic(), Zero(), discount=jnp.ones(2)),
            r"`MFG` got discount of shape \[2\]",
        ),
    ],
)
def test_what_is_no_number_is_refused(build, message, unchecked):
    with pytest.raises(ValueError, match=message):
        build()


def test_numbers_may_come_in_arrays_without_axes(unchecked):
    """They are part of what is compiled, where an array cannot be compared."""
    game = MFG(
        Integrator(sigma=jnp.asarray(0.5), horizon=np.float32(2.0)),
        Power(jnp.asarray(2.0)),
        Zero(),
        discount=np.asarray(0.25),
    )
    plain = MFG(Integrator(sigma=0.5, horizon=2.0), Power(2.0), Zero(), discount=0.25)
    assert jax.tree.structure(game) == jax.tree.structure(plain)
    assert hash(VP(beta_max=jnp.asarray(6.0))) == hash(VP(beta_max=6.0))
