"""Integrators of ordinary differential equations y' = f(tau, y) from 0 to span.

`RungeKutta4` takes a fixed number of equal steps of the classical method, of order 4, as one scan
whose reverse pass recomputes each step, so its memory does not grow with the network. `Adaptive`
controls the local error of an embedded pair. It never shrinks a step below 1e-5 of the span, where
float32 could no longer tell two times apart; instead of an underflow there is a limit of steps,
and the place reached is always returned.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from mfgen import _check
from mfgen._types import Scalar, Time
from mfgen.math._count import count, plain

Value = PyTree[Float[Array, "..."]]
Slope = Callable[[Time, Value], Value]
positive_count = count


# Nodes and weights of the stages.
_RULE = ((0.0, 1 / 6), (0.5, 1 / 3), (0.5, 1 / 3), (1.0, 1 / 6))


class Reached(NamedTuple):
    """The end of an integration.

    Attributes:
        value: y there.
        tau: the last tau, `span` if the integration was completed.
    """

    value: Value
    tau: Scalar


class AbstractStep(eqx.Module):
    """A method that takes particles from one node of their path to the next.

    Attributes:
        random: whether it follows paths with noise; those that do take paths without it as well.
    """

    random: ClassVar[bool] = False

    def __check_init__(self):
        _check.declared(self)

    @abstractmethod
    def advance(
        self, slope: Slope, value: Value, t: Scalar, after: Scalar, noise: tuple[Value, Value]
    ) -> Value:
        """y at `after` from `value` at t, with the noise by sigma at t and by that at `after`."""

    def count(self, nodes: int | None) -> int:
        """The number of steps where so many nodes are asked for."""
        return vars(self)["steps"]


class AbstractIntegrator(AbstractStep):
    """A method for y' = slope(tau, y).

    To add one, give `__call__`. It must report the tau it reached instead of raising.

    Attributes:
        adapts: whether steps depend on what is integrated.
    """

    adapts: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, slope: Slope, value: Value, span: Scalar) -> Reached:
        """Integrates from tau = 0 to tau = span > 0."""

    def advice(self) -> str:
        """Advice for paths that did not arrive; empty if all do."""
        return ""


class RungeKutta4(AbstractIntegrator):
    """The classical Runge-Kutta method: order 4, four evaluations in each of `steps` equal steps.

    Arguments:
        steps: the number of steps.
        recompute: whether the reverse pass computes each step again instead of keeping it.
        unroll: whether the four stages are laid out rather than looped over: `slope` is compiled
            four times, and a training step takes a fifth to a third less.
    """

    steps: int = eqx.field(static=True, default=40, converter=plain)
    recompute: bool = eqx.field(static=True, default=True)
    unroll: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        count("RungeKutta4", "steps", self.steps)

    def __call__(self, slope: Slope, value: Value, span: Scalar) -> Reached:
        def advance(y: Value, index: Array) -> tuple[Value, None]:
            # Times by counting, not by summing: the last one is `span` to the last bit.
            step = span * ((index + 1) / self.steps) - span * (index / self.steps)

            def stage(carry: tuple[Value, Value], rule: Any) -> tuple[tuple[Value, Value], None]:
                node, weight = rule
                last, total = carry
                tau = span * ((index + node) / self.steps)
                new = slope(tau, along(y, node * step, last))
                return (new, along(total, weight, new)), None

            if not self.unroll:
                still = jax.tree.map(jnp.zeros_like, y)
                (_, mean), _ = jax.lax.scan(stage, (still, still), jnp.asarray(_RULE))
                return along(y, step, mean), None
            new = slope(span * (index / self.steps), y)
            mean = jax.tree.map(lambda part: (_RULE[0][1] * part).astype(part.dtype), new)
            for node, weight in _RULE[1:]:
                rule = jnp.asarray([node, weight])
                (new, mean), _ = stage((new, mean), rule)
            return along(y, step, mean), None

        once = jax.checkpoint(advance) if self.recompute else advance
        value, _ = jax.lax.scan(once, value, jnp.arange(self.steps))
        return Reached(value, span)

    def advance(
        self, slope: Slope, value: Value, t: Scalar, after: Scalar, noise: tuple[Value, Value]
    ) -> Value:
        once = RungeKutta4(1, recompute=False, unroll=self.unroll)
        return once(lambda tau, y: slope(t + tau, y), value, after - t).value


class Adaptive(AbstractIntegrator):
    """An embedded Runge-Kutta pair with a control of its local error, which starts by itself.

    Arguments:
        tolerance: accepted error of a step, relative and absolute, in scaled coordinates.
        solver: the pair, `diffrax.Tsit5()` or another explicit solver with an error estimate.
        max_steps: the limit of steps, rejected ones counted.
        adjoint: how it is differentiated, such as `diffrax.RecursiveCheckpointAdjoint()` (the
            steps themselves, in reverse), `diffrax.DirectAdjoint()` (any derivative, slow) or
            `diffrax.ForwardMode()`.
    """

    adapts: ClassVar[bool] = True
    tolerance: float = eqx.field(static=True, default=1e-5)
    solver: diffrax.AbstractAdaptiveSolver = diffrax.Tsit5()
    max_steps: int = eqx.field(static=True, default=4096, converter=plain)
    adjoint: diffrax.AbstractAdjoint = diffrax.RecursiveCheckpointAdjoint()

    def __check_init__(self):
        count("Adaptive", "max_steps", self.max_steps)
        _check.numbers(self, "tolerance")
        if not 0 < self.tolerance < 1:
            raise ValueError(
                f"`Adaptive` got tolerance = {self.tolerance}, expected a number between 0 and 1: "
                "pass tolerance=1e-5."
            )

    def advice(self) -> str:
        return (
            f"a path may have hit the limit max_steps = {self.max_steps} of `Adaptive` before its "
            "end: raise it or the tolerance, or use `RungeKutta4`"
        )

    def __call__(self, slope: Slope, value: Value, span: Scalar) -> Reached:
        control = diffrax.PIDController(
            rtol=self.tolerance,
            atol=self.tolerance,
            dtmin=1e-5 * span,
            force_dtmin=True,
        )
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda tau, y, args: slope(tau, y)),
            self.solver,
            t0=jnp.zeros_like(span),
            t1=span,
            dt0=None,
            y0=value,
            stepsize_controller=control,
            max_steps=self.max_steps,
            adjoint=self.adjoint,
            throw=False,
        )
        assert solution.ts is not None
        return Reached(jax.tree.map(lambda leaf: leaf[-1], solution.ys), solution.ts[-1])

    def advance(
        self, slope: Slope, value: Value, t: Scalar, after: Scalar, noise: tuple[Value, Value]
    ) -> Value:
        return self(lambda tau, y: slope(t + tau, y), value, after - t).value

    def count(self, nodes: int | None) -> int:
        return nodes or 16


def along(y: Value, step: Scalar | float, slope: Value) -> Value:
    """y + step slope."""
    return jax.tree.map(lambda a, b: (a + step * b).astype(a.dtype), y, slope)
