"""The program JAX traces from a function: run line by line, one line as a function, a call's body.

Only the public interface `jax.extend.core` is used. An operation is run by wrapping it as a program
of one line, so that JAX itself binds nested calls and keeps custom differentiation rules.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax.extend.core as jex

Operation = Callable[..., list[Any]]


def operation(equation: jex.JaxprEqn) -> Operation:
    """One line of a program as a function of all its operands that returns a list.

    Arguments:
        equation: a line of a traced program.

    Returns:
        (operands) -> list of outputs. Literal operands are passed too, and ignored.
    """
    literal = [isinstance(atom, jex.Literal) for atom in equation.invars]
    # A fresh variable per operand: one array may stand in two places and vary in only one of them.
    operands = [
        atom if isinstance(atom, jex.Literal) else jex.Var(atom.aval) for atom in equation.invars
    ]
    outputs = [jex.Var(atom.aval) for atom in equation.outvars]
    line = equation.replace(invars=operands, outvars=outputs)
    free = [atom for atom in operands if isinstance(atom, jex.Var)]
    origin = jex.DebugInfo("operation", equation.primitive.name, None, None)
    program = jex.Jaxpr((), free, outputs, [line], line.effects, origin)
    run = jex.jaxpr_as_fun(jex.ClosedJaxpr(program, ()))
    return lambda *values: run(*(v for v, fixed in zip(values, literal, strict=True) if not fixed))


def interpret(
    program: jex.Jaxpr,
    constants: Sequence[Any],
    arguments: Sequence[Any],
    apply: Callable[[jex.JaxprEqn, list[Any]], Sequence[Any]],
) -> list[Any]:
    """The outputs of a program whose lines are run by `apply`.

    Arguments:
        program: its lines.
        constants, arguments: the values of its constants and inputs.
        apply: (line, operands) -> outputs; literal operands are their numbers.
    """
    known = dict(zip(program.constvars, constants, strict=True))
    known.update(zip(program.invars, arguments, strict=True))
    read = lambda atom: atom.val if isinstance(atom, jex.Literal) else known[atom]
    for line in program.eqns:
        known.update(zip(line.outvars, apply(line, list(map(read, line.invars))), strict=True))
    return list(map(read, program.outvars))


def body(equation: jex.JaxprEqn) -> jex.ClosedJaxpr | None:
    """The program inside a call, or None for an operation without one."""
    inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
    # Closed first: since JAX 0.11 every program holds its constants, and the two types are one.
    if isinstance(inner, jex.ClosedJaxpr):
        return inner
    return jex.ClosedJaxpr(inner, ()) if isinstance(inner, jex.Jaxpr) else None
