"""Every Lagrangian and its Hamiltonian are convex duals, and the optimal control is their link."""

import functools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jaxtyping import Array
from tests.tables import DIM, LAGRANGIANS

from mfgen.costs import AbstractLagrangian
from mfgen.derive import drift, hamiltonian, optimal_control
from mfgen.functionals import Zero
from mfgen.games import MFG

COUNT = 4
vectors = arrays(np.float64, (COUNT, DIM), elements=st.floats(-3, 3, width=32))
times = arrays(np.float64, (COUNT,), elements=st.floats(0, 0.875, width=32))
every_member = pytest.mark.parametrize("member", LAGRANGIANS)

pytestmark = pytest.mark.usefixtures("x64")


class Facts(NamedTuple):
    """All that the laws compare, computed once for a batch of points (t, x, p, other p, v)."""

    hamiltonian: Array
    table: Array
    middle: Array
    chord: Array
    velocity: Array
    slope: Array
    control: Array
    computed: Array
    young: Array


@functools.cache
def game(member: str) -> MFG:
    row = LAGRANGIANS[member]
    return MFG(row.dynamics(), row.build(), Zero())


@functools.cache
def facts_of(member: str):
    def facts(t, x, p, other, v):
        mfg = game(member)
        lagrangian, gain = mfg.lagrangian, mfg.dynamics.gain(t)
        value = functools.partial(hamiltonian, mfg, t, x)
        v = v * jnp.minimum(1, 0.99 * LAGRANGIANS[member].speed / (1e-9 + jnp.linalg.norm(v)))
        steered = mfg.dynamics.free(t, x) + gain * v
        return Facts(
            hamiltonian=value(p),
            table=LAGRANGIANS[member].hamiltonian(t, x, p),
            middle=value(0.5 * (p + other)),
            chord=0.5 * (value(p) + value(other)),
            velocity=drift(mfg, t, x, p),
            slope=jax.grad(value)(p),
            control=optimal_control(mfg, t, x, p),
            computed=AbstractLagrangian.argmax(lagrangian, t, x, -gain * p),
            young=value(p) + lagrangian(t, x, v) + p @ steered,
        )

    return eqx.filter_jit(jax.vmap(facts))


def draw(member, *points) -> Facts:
    return facts_of(member)(*(jnp.asarray(point) for point in points))


@every_member
@given(times, vectors, vectors, vectors, vectors)
def test_fenchel_young(member, t, x, p, other, v):
    """H(p) + L(v) + p.(a + g v) >= 0 for every v; equality is the definition of H at v*."""
    facts = draw(member, t, x, p, other, v)
    assert jnp.all(facts.young >= -1e-9 * (1 + jnp.abs(facts.hamiltonian)))


@every_member
@given(times, vectors, vectors, vectors, vectors)
def test_hamiltonian_is_that_of_the_table(member, t, x, p, other, v):
    facts = draw(member, t, x, p, other, v)
    assert jnp.allclose(facts.hamiltonian, facts.table, rtol=1e-10, atol=1e-10)


@every_member
@given(times, vectors, vectors, vectors, vectors)
def test_velocity_is_minus_the_slope_of_the_hamiltonian(member, t, x, p, other, v):
    facts = draw(member, t, x, p, other, v)
    assert jnp.allclose(facts.velocity, -facts.slope, rtol=1e-9, atol=1e-9)


@every_member
@given(times, vectors, vectors, vectors, vectors)
def test_hamiltonian_is_convex_in_p(member, t, x, p, other, v):
    facts = draw(member, t, x, p, other, v)
    assert jnp.all(facts.middle <= facts.chord + 1e-9 * (1 + jnp.abs(facts.chord)))


@every_member
@given(times, vectors, vectors, vectors, vectors)
def test_closed_form_is_the_computed_maximiser(member, t, x, p, other, v):
    facts = draw(member, t, x, p, other, v)
    assert jnp.allclose(facts.control, facts.computed, rtol=1e-8, atol=1e-8)


@every_member
def test_derivatives_of_the_computed_maximiser(member):
    """Its first two derivatives by the implicit function theorem are those of the closed form."""
    lagrangian = game(member).lagrangian
    t, x, q = jnp.asarray(0.4), jnp.array([0.3, -1.0, 0.8]), jnp.array([0.7, 0.5, -1.2])

    def derivatives(argmax):
        total = lambda x, q: jnp.sum(jnp.sin(argmax(t, x, q)))
        return jax.jvp(jax.grad(total, (0, 1)), (x, q), (0.5 * q, x))

    computed = functools.partial(AbstractLagrangian.argmax, lagrangian)
    pairs = eqx.filter_jit(lambda: (derivatives(lagrangian.argmax), derivatives(computed)))()
    for closed, implicit in zip(*map(jax.tree.leaves, pairs), strict=True):
        assert jnp.allclose(closed, implicit, rtol=1e-7, atol=1e-8)
