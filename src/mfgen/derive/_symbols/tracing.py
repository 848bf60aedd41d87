"""The formula of a function that is written in JAX: its program, run on SymPy symbols.

`jax.make_jaxpr` gives the primitive operations of any `L(t, x, v)`, also of one that a user wrote;
each operation has a rule on arrays of expressions (`mfgen.derive._symbols.rules`). Jitted calls,
functions with custom derivatives and both sides of a choice are opened. What has no rule - a
network, an eigenvalue, a call of foreign code - gives an undefined function of the same arguments
and a sentence that says why. The program is traced in double precision, so that 0.7 is 7/10.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np
import sympy as sp

from mfgen.derive._symbols.deadline import within
from mfgen.derive._symbols.moves import OpaqueError, kind
from mfgen.derive._symbols.number import numbers
from mfgen.derive._symbols.rules import apply, as_number, choice
from mfgen.math._primitive import OPENED
from mfgen.math._program import body, interpret

_SECONDS = 4.0
_ENTRIES = 1000  # of one array of the program
_OPERATIONS = 150  # of one formula that is still shown

_PARTS = 2000  # of the expressions of one array

# Whose program is that of the call itself: a `reduce` has a program too, for two entries.
_CALLS = OPENED | {"custom_jvp_call", "custom_vjp_call_jaxpr", "composite"}

Symbols = sp.Symbol | Sequence[sp.Symbol]


class _TooLongError(Exception):
    """A formula that nobody would read."""


class Formula(NamedTuple):
    """The formula of a function.

    Attributes:
        value: an object array of SymPy expressions in the shape of the function's output.
        note: why it is an undefined function; `None` if it is known.
    """

    value: np.ndarray
    note: str | None = None

    @property
    def scalar(self) -> Any:
        """The expression of a function with one number as output."""
        return self.value[()]


def formula(name: str, function: Callable, *arguments: Symbols, size: int = 0) -> Formula:
    """The formula of a function.

    Arguments:
        name: of the undefined function in place of one that has no formula.
        function: of JAX arrays, for instance `lagrangian` or `dynamics.free`.
        arguments: a symbol for a scalar argument, a sequence of symbols for a vector.
        size: how long the output of an undefined function is; 0 for a scalar.

    Returns:
        The formula; never raises for what the function does inside.
    """
    reason = "it is too long to be written out"
    try:
        found = within(_SECONDS, lambda: _interpreted(function, arguments, size))
    except _TooLongError:
        found = None
    except Exception as error:  # the function is the user's: anything may go wrong in it
        found = None
        reason = str(error) if isinstance(error, OpaqueError) else f"`{type(error).__name__}` in it"
        reason = f"no formula is known for {reason}"
    if found is not None:
        return Formula(found)
    flat = [s for a in arguments for s in ([a] if isinstance(a, sp.Symbol) else a)]
    return Formula(_undefined(name, flat, size), f"{name} is shown as a name: {reason}.")


def _undefined(name: str, arguments: Sequence[sp.Symbol], size: int) -> np.ndarray:
    if not size:
        return _array(sp.Function(name, real=True)(*arguments), ())
    functions = [sp.Function(f"{name}_{i + 1}", real=True)(*arguments) for i in range(size)]
    return _array(functions, (size,))


def _interpreted(function: Callable, arguments: Sequence[Symbols], size: int) -> np.ndarray:
    with jax.enable_x64(True):
        shapes = [() if isinstance(a, sp.Symbol) else (len(a),) for a in arguments]
        avals = [jax.ShapeDtypeStruct(shape, jnp.float64) for shape in shapes]
        # A new function each time: the cache of traces mixes up single and double precision.
        closed = jax.make_jaxpr(lambda *values: function(*values))(*avals)
        values = [_array(a, s) for a, s in zip(arguments, shapes, strict=True)]
        outputs = _run(closed, values)
    if len(outputs) != 1:
        raise OpaqueError(f"a function with {len(outputs)} outputs")
    (output,) = outputs
    if output.size != max(size, 1) or bool(output.ndim) != bool(size):
        raise OpaqueError(f"an output of shape {output.shape}")
    if kind(closed.jaxpr.outvars[0]) == "truth":
        output = np.vectorize(as_number, otypes=[object])(output)
    if sum(entry.count_ops() for entry in output.reshape(-1)) > _OPERATIONS * output.size:
        raise _TooLongError
    return output


def _run(closed: jex.ClosedJaxpr, values: Sequence[np.ndarray]) -> list[np.ndarray]:
    for constant in closed.consts:
        _check_size(np.size(constant))
    constants = [numbers(constant) for constant in closed.consts]
    outputs = interpret(closed.jaxpr, constants, values, _checked_step)
    return [_symbolic(output) for output in outputs]


def _checked_step(equation: jex.JaxprEqn, values: list[Any]) -> list[np.ndarray]:
    for output in equation.outvars:
        _check_size(int(np.prod(output.aval.shape)))  # pyright: ignore[reportAttributeAccessIssue]
    outputs = _step(equation, [_symbolic(value) for value in values])
    # Sums of sums: the second layer of a network ends here, before its products are expanded.
    if sum(len(entry.args) for output in outputs for entry in output.reshape(-1)) > _PARTS:
        raise _TooLongError
    return outputs


def _symbolic(value: Any) -> np.ndarray:
    """An array of expressions as it is, a literal number of the program as one."""
    return value if np.asarray(value).dtype.hasobject else numbers(value)


def _step(equation: jex.JaxprEqn, values: list[np.ndarray]) -> list[np.ndarray]:
    name = equation.primitive.name
    inner = body(equation)
    if inner is not None and name in _CALLS:
        return _run(inner, values[len(values) - len(inner.jaxpr.invars) :])
    if name == "cond":
        which, *given = values
        branches = [_run(branch, given) for branch in equation.params["branches"]]
        return [
            choice(which[()], [branch[index] for branch in branches], kind(output))
            for index, output in enumerate(equation.outvars)
        ]
    return apply(equation, values)


def _check_size(size: int) -> None:
    if size > _ENTRIES:
        raise OpaqueError(f"an array of {size} numbers")


def _array(entries: Any, shape: tuple[int, ...]) -> np.ndarray:
    made = np.empty(shape, dtype=object)
    made[...] = np.array(entries, dtype=object).reshape(shape) if shape else entries
    return made
