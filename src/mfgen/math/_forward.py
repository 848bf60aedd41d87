"""Forward Laplacian: value, time derivative, gradient and Laplacian of a function in one pass.

The function is traced to its primitive operations and a second-order series (see `series`) passes
through each of them, so that the Laplacian is summed on the way and no Hessian is ever formed.
Jitted and rematerialised calls are opened; a function with a custom forward rule keeps its rule;
one with a custom reverse rule is opened, since forward mode cannot use it. Loops, branches and
every operation without a rule of its own pass by nested forward mode, so any function that can be
differentiated twice in forward mode is covered.

Reference: R. Li et al., A computational framework for neural network-based variational Monte Carlo
with Forward Laplacian (2023), arXiv 2307.08214.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.extend.core as jex
import jax.numpy as jnp
from jax import lax

from mfgen.math import _primitive
from mfgen.math._program import body, interpret, operation
from mfgen.math._series import Series, bilinear, elementwise, general, linear


def propagate(f: Callable, series: Sequence[Series], weight: Any = None) -> Series:
    """Passes series through a function and returns the series of its output.

    Arguments:
        f: (arrays) -> array.
        series: one per argument of f.
        weight: a number times the sum of second derivatives, or a symmetric matrix D, `[K, K]`, for
            sum_kl D_kl y_kl; None for one.

    Returns:
        the series of f, with None for every part that vanishes identically.
    """
    # A new function each time: the cache of traces mixes up single and double precision.
    closed = jax.make_jaxpr(lambda *values: f(*values))(*(y.value for y in series))
    (output,) = _evaluate(closed, series, weight)
    return output._replace(value=jnp.asarray(output.value))


def _evaluate(closed: jex.ClosedJaxpr, series: Sequence[Series], weight: Any) -> list[Series]:
    lifted = lambda values: [y if isinstance(y, Series) else Series(y) for y in values]
    apply = lambda equation, values: _apply(equation, lifted(values), weight)
    return lifted(interpret(closed.jaxpr, closed.consts, series, apply))


def _apply(equation: jex.JaxprEqn, series: list[Series], weight: Any) -> list[Series]:
    """Passes series through one operation, by the rule that fits what varies in it."""
    name, f = equation.primitive.name, operation(equation)
    moving = tuple(not y.constant for y in series)
    if not any(moving) or not any(map(_is_inexact, equation.outvars)):
        return [Series(value) for value in f(*(y.value for y in series))]
    if name == "dot_general":
        return _contract(equation, series, weight)
    inner = body(equation)
    if inner is not None and name in _primitive.OPENED and not _is_pointwise(equation):
        return _evaluate(inner, series, weight)
    return _rule(equation, moving)(f, series, weight)


def _rule(equation: jex.JaxprEqn, moving: tuple[bool, ...]) -> Callable:
    name = equation.primitive.name
    if name in _primitive.LINEAR or (name in _primitive.LINEAR_IN_EACH and sum(moving) == 1):
        return linear
    if any(jnp.issubdtype(_aval(atom).dtype, jnp.complexfloating) for atom in equation.invars):
        return general
    if name in _primitive.STEPWISE:
        return lambda f, series, _: [Series(value) for value in f(*(y.value for y in series))]
    if name in _primitive.PIECEWISE_LINEAR or (
        name in _primitive.LINEAR_IN_FIRST and not any(moving[1:])
    ):
        return linear
    if name == "mul":
        return bilinear
    return elementwise if name in _primitive.ELEMENTWISE or _is_pointwise(equation) else general


def _aval(atom: Any) -> Any:
    return atom.aval


def _is_inexact(atom: Any) -> bool:
    return jnp.issubdtype(atom.aval.dtype, jnp.inexact)


def _is_pointwise(equation: jex.JaxprEqn) -> bool:
    """Whether a call computes each entry of its output from the same entry of its operands.

    Such a call is one scalar function, whatever it consists of, and keeps its custom rule.
    """
    name, inner, outputs = equation.primitive.name, body(equation), equation.outvars
    if name not in _primitive.GROUP and name != "custom_jvp_call":
        return False
    if inner is None or len(outputs) != 1:
        return False
    shape = _aval(outputs[0]).shape
    fits = lambda atom: isinstance(atom, jex.Literal) or atom.aval.shape == shape

    def allowed(line):
        if not all(map(fits, line.outvars)):
            return False
        if line.primitive.name == "broadcast_in_dim":
            return isinstance(line.invars[0], jex.Literal)
        known = line.primitive.name in _primitive.POINTWISE or _is_pointwise(line)
        return known and all(map(fits, line.invars))

    return all(map(fits, equation.invars)) and all(map(allowed, inner.jaxpr.eqns))


def _contract(equation: jex.JaxprEqn, series: list[Series], weight: Any) -> list[Series]:
    """Passes series through `dot_general`, with the operand that varies on the left.

    So the directions, mapped over the leading axis, stay in front and one matrix product serves all
    of them without a transposition.
    """
    parameters = dict(equation.params)
    (left, right), (left_batch, right_batch) = parameters.pop("dimension_numbers")
    a, b = series

    def dot(a, b):
        return lax.dot_general(a, b, ((left, right), (left_batch, right_batch)), **parameters)

    def exchanged(b):
        product = lax.dot_general(
            b, a.value, ((right, left), (right_batch, left_batch)), **parameters
        )
        batch, free = len(left_batch), b.ndim - len(right)
        order = (*range(batch), *range(free, product.ndim), *range(batch, free))
        return lax.transpose(product, order)

    def paired(a, b):
        """Sum over the leading axis of the products: one more contracted axis."""
        shifted = lambda axes: tuple(axis + 1 for axis in axes)
        contracted = (*shifted(left), 0), (*shifted(right), 0)
        batch = shifted(left_batch), shifted(right_batch)
        return lax.dot_general(a, b, (contracted, batch), **parameters)

    if b.constant:
        return _stacked(lambda a: dot(a, b.value), a)
    if a.constant:
        return _stacked(exchanged, b)
    return bilinear(lambda *values: [dot(*values)], series, weight, paired)


def _stacked(f: Callable, y: Series) -> list[Series]:
    """Passes a series through a linear map by two calls: value with single derivatives, and space.

    Fewer and larger matrix products are faster than one for each part.
    """
    parts = {name: part for name, part in y._asdict().items() if part is not None}
    space = parts.pop("space", None)
    rows = jax.vmap(f)(jnp.stack(list(parts.values())))
    single = {name: rows[i] for i, name in enumerate(parts)}
    return [Series(**single, space=None if space is None else jax.vmap(f)(space))]
