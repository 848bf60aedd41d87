"""The scheme of Jordan, Kinderlehrer and Otto on the line: gradient flows step by step.

    rho_(k+1) = argmin over rho of  F(rho) + W2^2(rho, rho_k) / (2 h)

With laws by their quantile functions (`mfgen.densities._line`) it is a minimisation over the edges
of n cells of equal mass, convex for every F that is convex along transports, and W2 is exact:
nothing is blurred. Each step is solved by Newton's method, with steps cut back until the edges
increase and the sum decreases. So F decreases from step to step, by W2^2 / (2 h) at least. As h ->
0 the steps follow the gradient flow, d rho/dt = div(rho grad dF/drho), with an error of order h.

A step h with F = lambda KL is the game with L = |v|^2 / (2 h), M = F and T = 1.

Reference: R. Jordan, D. Kinderlehrer, F. Otto, "The variational formulation of the Fokker-Planck
equation" (1998).
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mfgen._types import Scalar
from mfgen.densities._line import Edges, LineLaw, squared_distance
from mfgen.dynamics._dynamics import positive
from mfgen.functionals._functional import AbstractFunctional
from mfgen.math._count import count

_ITERATIONS, _HALVINGS, _ROUNDING = 60, 30, 1e-15


class JKO(NamedTuple):
    """The laws of a gradient flow, step by step.

    Attributes:
        edges: of the cells of all laws, the first included, `[steps + 1, n + 1]`.
        energies: F of all laws, `[steps + 1]`.
        distances: W2 from law to law, `[steps]`.
        converged: of each step, whether Newton's method reached its tolerance, `[steps]`.
    """

    edges: Float[Array, "laws edges"]
    energies: Float[Array, "laws"]
    distances: Float[Array, "steps"]
    converged: Bool[Array, "steps"]

    def law(self, index: int) -> LineLaw:
        """The law after so many steps; -1 for the last."""
        return LineLaw(self.edges[index])


def jko(
    functional: AbstractFunctional,
    start: LineLaw,
    *,
    step: float,
    steps: int,
    tolerance: float = 1e-10,
) -> JKO:
    """Minimising movements of a functional, from a law on the line.

    Arguments:
        functional: F, such as `KL(target)`, `PorousMedium(2.0)`, `MMD(data)` or a sum of them.
        start: the first law, `line_law(quantile, cells)`.
        step: h, in units of the flow's time.
        steps: the number of steps.
        tolerance: of the decrease that Newton's method still promises, relative to F and the
            distance that is paid.

    Raises:
        ValueError: for settings out of range.
        FloatingPointError: if F is not finite at the first law.

    Computed in double precision, whatever precision the caller works in.
    """
    positive("jko", "step", step)
    positive("jko", "tolerance", tolerance)
    count("jko", "steps", steps)
    wanted = start.edges.dtype
    with jax.enable_x64(True):
        edges = jnp.asarray(start.edges, jnp.float64)
        first = functional.value(LineLaw(edges))
        if not bool(jnp.isfinite(first)):
            raise FloatingPointError(
                f"`jko` got a first law at which `{type(functional).__name__}` is {float(first)}, "
                "expected a finite value: let the law lie where the target has mass."
            )
        found = _steps(functional, edges, jnp.asarray(step, edges.dtype), steps, tolerance)
    energies = jnp.concatenate([first[None], found.energies])
    whole = jnp.concatenate([edges[None], found.edges])
    return JKO(
        whole.astype(wanted),
        energies.astype(wanted),
        found.distances.astype(wanted),
        found.converged,
    )


@eqx.filter_jit
def _steps(
    functional: AbstractFunctional, edges: Edges, step: Scalar, steps: int, tolerance: float
) -> JKO:
    def one(edges: Edges, _):
        new, converged = _minimised(functional, edges, step, tolerance)
        distance = jnp.sqrt(squared_distance(edges, new))
        return new, (new, functional.value(LineLaw(new)), distance, converged)

    return JKO(*jax.lax.scan(one, edges, None, length=steps)[1])


def _minimised(
    functional: AbstractFunctional, old: Edges, step: Scalar, tolerance: float
) -> tuple[Edges, Bool[Array, ""]]:
    """The next edges by Newton's method with backtracking."""

    def parts(edges: Edges) -> tuple[Scalar, Scalar]:
        return functional.value(LineLaw(edges)), squared_distance(old, edges) / (2 * step)

    def cost(edges: Edges) -> Scalar:
        increasing, paid = jnp.all(jnp.diff(edges) > 0), sum(parts(edges))
        return jnp.where(increasing & jnp.isfinite(paid), paid, jnp.inf)

    smooth = lambda edges: sum(parts(edges))
    size = lambda edges: sum(map(jnp.abs, parts(edges)))

    def newton(state):
        edges, _, count, _ = state
        slope, curvature = jax.grad(smooth)(edges), jax.hessian(smooth)(edges)
        # Where F bends the wrong way the distance alone leads.
        safe = jax.hessian(lambda q: squared_distance(old, q))(edges) / (2 * step)
        move = -jnp.linalg.solve(curvature, slope)
        downhill = slope @ move < 0
        move = jnp.where(downhill, move, -jnp.linalg.solve(safe, slope))
        here, promised = cost(edges), -slope @ move

        def too_far(state):
            part, halvings = state
            return (cost(edges + part * move) > here - 1e-4 * part * promised) & (
                halvings < _HALVINGS
            )

        part, halvings = jax.lax.while_loop(
            too_far, lambda state: (0.5 * state[0], state[1] + 1), (jnp.ones(()), 0)
        )
        stuck = halvings >= _HALVINGS
        enough = promised <= tolerance * size(edges) + _ROUNDING
        return jnp.where(stuck, edges, edges + part * move), promised, count + 1, stuck | enough

    going = lambda state: ~state[3] & (state[2] < _ITERATIONS)
    first = old, jnp.asarray(jnp.inf, old.dtype), 0, jnp.asarray(False)
    edges, left, _, _ = jax.lax.while_loop(going, newton, first)
    # No part of a step lowers the sum any more where rounding is all that is left, or where a step
    # leads nowhere: what is still promised tells.
    return edges, left <= tolerance * (1 + size(edges))
