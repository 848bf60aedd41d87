"""The potential of a path minimises its action; neither its negative nor any other does."""

import jax
import jax.numpy as jnp
import pytest
from tests.losses.prescribed import HORIZON, draw, flow, moving, slopes

from mfgen.costs import Anisotropic, Kinetic, NoCost, Power, Relativistic, WithPotential
from mfgen.losses import (
    AbstractCoupling,
    ActionMatching,
    FlowMatching,
    OptimalTransport,
    Trigonometric,
)
from mfgen.models import ControlField, Potential

LINE = (lambda s: 1 - s, lambda s: s)
ARC = (lambda s: jnp.cos(0.5 * jnp.pi * s), lambda s: jnp.sin(0.5 * jnp.pi * s))
METRIC = jnp.array([2.0, 0.5])


def quadratic(factor, path=LINE):
    """U with grad U = -factor b: b is linear in x, so U is a quadratic form."""

    def value(t, x):
        b = moving(t, *path)
        return -jnp.sum(factor * (b.drift * x + 0.5 * b.rate * jnp.square(x - b.centre)))

    return value


def bumps(t, x):
    """Potentials that are added: three of them, none a function of time alone."""
    return jnp.stack([x[0], t * x[1] ** 2, jnp.sin(x[0] + 2 * x[1])])


def tilted(value):
    return lambda theta: Potential(lambda t, x: value(t, x) + theta @ bumps(t, x))


CASES = {
    "kinetic": (Kinetic(), ActionMatching(), quadratic(1.0)),
    "heavy": (Kinetic(3.0), ActionMatching(), quadratic(3.0)),
    "paired": (Kinetic(3.0), ActionMatching(paired=True), quadratic(3.0)),
    "arcs": (Kinetic(), ActionMatching(interpolant=Trigonometric()), quadratic(1.0, ARC)),
    "metric": (
        Anisotropic(lambda x: jnp.diag(METRIC)),
        ActionMatching(paired=True),
        quadratic(METRIC),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_potential_of_the_path_is_stationary(name, key):
    lagrangian, objective, value = CASES[name]
    found = slopes(objective, flow(lagrangian), tilted(value), 3, key)
    assert jnp.all(jnp.abs(found.mean) < 4 * found.error)
    assert jnp.all(found.curvature > 0)


@pytest.mark.parametrize("name", ["kinetic", "paired", "metric"])
def test_its_negative_is_not(name, key):
    """At -U the velocity is the opposite one, as if one sign of the action were wrong."""
    lagrangian, objective, value = CASES[name]
    found = slopes(objective, flow(lagrangian), tilted(lambda t, x: -value(t, x)), 3, key)
    assert jnp.max(jnp.abs(found.mean) / found.error) > 20


class Shifted(AbstractCoupling):
    """Every point travels by the same vector: u is constant, whatever the cost of speed."""

    def __call__(self, data, goal, *, key):
        return data + MOVE[None]


MOVE = jnp.array([1.0, -2.0])
COSTS = {
    "kinetic": Kinetic(0.7),
    "power": Power(3.0),
    "relativistic": Relativistic(2.0),
    "metric": Anisotropic(lambda x: jnp.diag(METRIC)),
    "place": WithPotential(Power(1.5), lambda t, x: t + jnp.sin(x[0])),
}


@pytest.mark.parametrize("name", COSTS)
def test_least_action_is_minus_the_cost_of_the_path(name, key):
    """A(U) = -int E L(t, x, u) dt at U = p.x with p = -dL/dv(u), and more at any other p."""
    lagrangian, batch = COSTS[name], draw(key, 64)
    game, speed = flow(lagrangian), MOVE / HORIZON
    slope = -jax.grad(lambda v: lagrangian(0.0, jnp.zeros(2), v))(speed)

    @jax.jit
    def action(slope, objective):
        return objective(game, Potential(lambda t, x: slope @ x), batch, key=key)

    for objective in (ActionMatching(Shifted()), ActionMatching(Shifted(), paired=True)):
        least = action(slope, objective)
        for other in (-slope, 1.1 * slope, slope + jnp.array([0.0, 0.1])):
            assert action(other, objective) > least
        if name != "place":
            assert jnp.allclose(least, -HORIZON * lagrangian(0.0, batch[0], speed), rtol=1e-4)


def test_both_forms_mean_the_same(key):
    """E[U(T, z) - U(0, x)] - int dt U is int x'.grad U in the mean, and varies more."""
    model = Potential(lambda t, x: jnp.sin(x[0] + t) * x[1] + t**2 * jnp.cos(x[1]))
    game = flow(Power(3.0))

    @jax.jit
    def values(key):
        data_key, key = jax.random.split(key)
        batch = draw(data_key)
        forms = (ActionMatching(), ActionMatching(paired=True))
        return jnp.stack([form(game, model, batch, key=key) for form in forms])

    found = jax.lax.map(values, jax.random.split(key, 400))
    difference = found[:, 0] - found[:, 1]
    assert jnp.abs(jnp.mean(difference)) < 4 * jnp.std(difference) / 20
    assert jnp.std(found[:, 1]) < jnp.std(found[:, 0])


def test_a_function_of_time_alone_changes_nothing(key):
    game, batch = flow(), draw(key)
    value = quadratic(1.0)
    shifted = Potential(lambda t, x: value(t, x) + 3.0 * t)
    evaluate = lambda model: ActionMatching()(game, model, batch, key=key)
    assert jnp.allclose(evaluate(Potential(value)), evaluate(shifted), atol=1e-4)


def test_the_kinetic_gap_is_flow_matching(key):
    """A = T (k / 2) ( E|b - u|^2 - E|u|^2 ) with u the velocities of the same pairs."""
    game, batch = flow(Kinetic(3.0)), draw(key)
    model = Potential(lambda t, x: jnp.sin(x[0] + t) * x[1])
    still = Potential(lambda t, x: 0.0 * t * x[0])
    matching = FlowMatching(OptimalTransport())
    gain = matching(game, model, batch, key=key) - matching(game, still, batch, key=key)
    action = ActionMatching(OptimalTransport(), paired=True)(game, model, batch, key=key)
    assert jnp.allclose(action, HORIZON * 1.5 * gain, rtol=1e-4)
    assert action.dtype == jnp.float32


def test_misuse_is_refused_with_the_reason(key):
    batch, model = draw(key), Potential(quadratic(1.0))
    with pytest.raises(TypeError, match=r"use `ot_flow_potential\(game, key=key\)`, or `FlowM"):
        ActionMatching()(flow(), ControlField(lambda t, x: x), batch, key=key)
    with pytest.raises(TypeError, match="expected a flow from data to a reference"):
        ActionMatching()(flow(data_at="end"), model, batch, key=key)
    with pytest.raises(ValueError, match="has no optimal control"):
        ActionMatching()(flow(NoCost()), model, batch, key=key)
