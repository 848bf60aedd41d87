"""Differences of two value functions, of their gradients and of their controls, in the mean square.

    || f ||^2 = (1/T) int_0^T E_rho(t) |f|^2 dt

in time by a Gauss-Legendre rule, in space by samples, whose spread gives the standard error.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen._types import Batch, Key, Scalar, State
from mfgen.derive.hamiltonian import optimal_control
from mfgen.math.quadrature import Rule
from mfgen.metrics.estimate import Estimate, Profile, mean_estimate, mean_of_rows, root
from mfgen.metrics.strong import Places
from mfgen.problem.game import MFG
from mfgen.solvers.base import Solution

_CHUNK = 256


class Gap(NamedTuple):
    """The norm of a difference, the same at each time, and the norm of the reference."""

    overall: Estimate
    profile: Profile
    scale: float


class FieldGaps(NamedTuple):
    """Differences of the fields of two solutions.

    Attributes:
        value: of U_a - U_b - constant, relative to the spread of U_b.
        constant: the mean of U_a - U_b.
        gradient: of the costates.
        control: of the controls v*.
    """

    value: Gap
    constant: Estimate
    gradient: Gap
    control: Gap


class _Row(NamedTuple):
    # At one point.
    value: Scalar
    reference: Scalar
    gradient: Scalar
    gradient_size: Scalar
    control: Scalar
    control_size: Scalar


def field_gaps(a: Solution, b: Solution, rule: Rule, places: Places, *, key: Key) -> FieldGaps:
    """Differences at the nodes of a rule in time, and at the places drawn there.

    Arguments:
        a, b: the solutions; controls are those of the game of b.
        rule: nodes and weights in time.
        places: (t, key) -> points `[n, dim]`.
    """
    rows = []
    for t, time_key in zip(
        rule.nodes.tolist(), jax.random.split(key, len(rule.nodes)), strict=True
    ):
        x = places(t, time_key)
        rows.append(_rows(b.game, a.value, b.value, jnp.asarray(t, x.dtype), x))
    table = _Row(*(jnp.stack(column) for column in zip(*rows, strict=True)))
    share = jnp.asarray(rule.weights / rule.weights.sum(), table.value.dtype)
    constant, level = (mean_of_rows(share, values) for values in (table.value, table.reference))
    centred, around = table.value - constant.value, table.reference - level.value
    return FieldGaps(
        _gap(rule, share, jnp.square(centred), jnp.square(around)),
        constant,
        _gap(rule, share, table.gradient, table.gradient_size),
        _gap(rule, share, table.control, table.control_size),
    )


def _gap(rule: Rule, share: Array, squares: Float[Array, "m n"], sizes: Float[Array, "m n"]) -> Gap:
    overall = root(mean_of_rows(share, squares))
    roots = map(jnp.asarray, root(Estimate(*jax.vmap(mean_estimate)(squares))))
    profile = Profile(jnp.asarray(rule.nodes, squares.dtype), *roots)
    return Gap(overall, profile, float(jnp.sqrt(share @ jnp.mean(sizes, axis=1))))


@eqx.filter_jit
def _rows(game: MFG, u: Callable, reference: Callable, t: Scalar, x: Batch) -> _Row:
    def single(x: State) -> _Row:
        (value, p), (known, q) = (
            jax.value_and_grad(each, argnums=1)(t, x) for each in (u, reference)
        )
        v, w = optimal_control(game, t, x, p), optimal_control(game, t, x, q)
        square = lambda vector: jnp.vdot(vector, vector)
        return _Row(value - known, known, square(p - q), square(q), square(v - w), square(w))

    return jax.lax.map(single, x, batch_size=min(_CHUNK, x.shape[0]))
