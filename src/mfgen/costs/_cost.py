"""The Lagrangians of the literature, with their argmax in closed form.

| class | L(t, x, v) | H(t, x, p) for a = 0, g = 1 | model |
|---|---|---|---|
| `NoCost` | 0 | infinite unless p = 0 | plain continuous normalizing flow |
| `Kinetic(k)` | k abs(v)^2 / 2 | abs(p)^2 / (2 k) | OT-Flow, W_2 proximal |
| `Power(r)` | abs(v)^r / r | abs(p)^r' / r', 1/r + 1/r' = 1 | W_r proximal |
| `Relativistic(c)` | c^2 - c sqrt(c^2 - abs(v)^2) | c sqrt(c^2 + abs(p)^2) - c^2 | bounded speed |
| `Anisotropic(A)` | v.A(x) v / 2 | p.A(x)^-1 p / 2 | Riemannian |
| `WithPotential(L, V)` | L + V(t, x) | H - V(t, x) | obstacles, generalised bridge |
| `ScoreLagrangian` | abs(v)^2 / 2 - div f | abs(p)^2 / 2 + div f | score-based models |

In this table q = -p, so the optimal control is v* = argmax at q = -p.

References: B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534 (the table); D. Onken et al.,
"OT-Flow" (2021), arXiv 2006.00104; J. Bertrand, M. Puel, "The optimal mass transport problem for
relativistic costs" (2013).
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from mfgen import _check
from mfgen._types import Control, Scalar, State, Time
from mfgen.costs._lagrangian import AbstractLagrangian
from mfgen.dynamics._dynamics import plain, positive
from mfgen.dynamics._noising import TimeReversal

Number = float | int | Float[Array, ""]


class NoCost(AbstractLagrangian):
    """L = 0: the control is free, as in a normalizing flow trained by likelihood alone.

    Such a game can be declared and trained, but it has no Hamiltonian: any control is optimal
    where grad U = 0, none anywhere else.
    """

    def __call__(self, t: Time, x: State, v: Control) -> Scalar:
        return jnp.zeros((), v.dtype)

    def argmax(self, t: Time, x: State, q: Control) -> Control:
        """Refuses: the supremum of q.v is infinite unless q = 0.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "`NoCost` (L = 0) has no optimal control: H(t, x, p) is infinite unless p = 0, so the "
            "game is ill posed; add a cost of speed such as `Kinetic(0.1)`."
        )


class Kinetic(AbstractLagrangian):
    """L = (weight / 2) |v|^2, with H = |p|^2 / (2 weight) and v* = -p / weight.

    Reference: D. Onken et al. (2021), arXiv 2006.00104.

    Arguments:
        weight: the factor k > 0, cost per squared speed and unit of time.

    Example:

        MFG(Integrator(), Kinetic(0.5), KL(target))
    """

    weight: Number = 1.0

    def __check_init__(self):
        _check_positive("Kinetic", "weight", self.weight)

    def __call__(self, t: Time, x: State, v: Control) -> Scalar:
        return 0.5 * self.weight * jnp.vdot(v, v)

    def argmax(self, t: Time, x: State, q: Control) -> Control:
        return q / self.weight

    def mobility(self, t: Time) -> Scalar:
        return 1 / jnp.asarray(self.weight)


class Power(AbstractLagrangian):
    """L = |v|^r / r with r > 1: the W_r proximal, H = |p|^r' / r' with 1/r + 1/r' = 1.

    Not twice differentiable at v = 0 unless r = 2: there second derivatives of L (r < 2) or of H
    (r > 2) are infinite, and zero is returned in their place.

    Arguments:
        exponent: r > 1.
    """

    exponent: float = eqx.field(static=True, converter=plain)

    def __check_init__(self):
        _check.a_number("Power", "exponent", self.exponent, "pass one number above 1")
        if not self.exponent > 1:
            raise ValueError(
                f"`Power` got exponent = {self.exponent}, expected a number above 1: at 1 and "
                "below the Hamiltonian is infinite, use exponent=1.1, or `Relativistic`."
            )

    def __call__(self, t: Time, x: State, v: Control) -> Scalar:
        return _power(jnp.vdot(v, v), 0.5 * self.exponent) / self.exponent

    def argmax(self, t: Time, x: State, q: Control) -> Control:
        conjugate = self.exponent / (self.exponent - 1)
        return _power(jnp.vdot(q, q), 0.5 * conjugate - 1) * q


class Relativistic(AbstractLagrangian):
    """L = c^2 - c sqrt(c^2 - |v|^2): speed stays below c, and H = c sqrt(c^2 + |p|^2) - c^2.

    For slow particles L is |v|^2 / 2. At the speed c it is c^2 with an infinite slope, above it is
    infinite and given as nan, at which a training stops: the control of a potential stays below c
    by itself, that of a control field need not.

    Arguments:
        speed: the limit c > 0, in units of x per unit of time.
    """

    speed: Number = 1.0

    def __check_init__(self):
        _check_positive("Relativistic", "speed", self.speed)

    def __call__(self, t: Time, x: State, v: Control) -> Scalar:
        square = jnp.vdot(v, v)
        # The difference of two square roots written without cancellation at small speeds.
        return square / (1 + jnp.sqrt(1 - square / jnp.square(self.speed)))

    def advice(self) -> str:
        return (
            f"the cost is infinite above the speed c = {self.speed} of `Relativistic`: take a "
            "potential, `ot_flow_potential(game, key=key)`, whose control stays below it, or raise "
            "the speed"
        )

    def argmax(self, t: Time, x: State, q: Control) -> Control:
        # Rounding must not bring the speed to c itself, where L has no derivative.
        below = self.speed * (1 - 4 * jnp.finfo(q.dtype).eps)
        return below * q / jnp.sqrt(jnp.square(self.speed) + jnp.vdot(q, q))


class Anisotropic(AbstractLagrangian):
    """L = v.A(x) v / 2 with a metric A(x): H = p.A(x)^-1 p / 2, v* = -A(x)^-1 p.

    Arguments:
        metric: takes x of shape `[dim]`, returns a symmetric positive definite matrix
            `[control, control]`.
    """

    metric: Callable[[State], Float[Array, "control control"]]

    def __check_init__(self):
        takes = "a point x that returns a matrix, such as lambda x: jnp.eye(2)"
        _check.a_function("Anisotropic", "metric", self.metric, takes)

    def __call__(self, t: Time, x: State, v: Control) -> Scalar:
        return 0.5 * jnp.vdot(v, self.metric(x) @ v)

    def argmax(self, t: Time, x: State, q: Control) -> Control:
        """A(x)^-1 q.

        Raises:
            RuntimeError: if A(x) is not positive definite.
        """
        metric = self.metric(x)
        v = jax.scipy.linalg.solve(metric, q, assume_a="pos")
        # The Cholesky factor of any other matrix holds nan.
        given = jnp.all(jnp.isfinite(metric)) & jnp.all(jnp.isfinite(q))
        return eqx.error_if(v, given & ~jnp.all(jnp.isfinite(v)), _INDEFINITE)


class WithPotential(AbstractLagrangian):
    """L(t, x, v) + V(t, x): a place costs V per unit of time; H becomes H - V.

    With V = -div f it makes a score-based game of any drift f.

    Reference: G.-H. Liu et al., "Generalized Schrödinger bridge matching" (2024), arXiv 2310.02233.

    Arguments:
        lagrangian: the cost of speed.
        potential: V, takes t and x of shape `[dim]`, returns a scalar.
    """

    lagrangian: AbstractLagrangian
    potential: Callable[[Time, State], Scalar]

    def __check_init__(self):
        fix = "pass WithPotential(Kinetic(), lambda t, x: 0.5 * x @ x)"
        _check.of_kind("WithPotential", "lagrangian", self.lagrangian, AbstractLagrangian, fix)
        takes = "t and x, such as lambda t, x: 0.5 * x @ x"
        _check.a_function("WithPotential", "potential", self.potential, takes)

    def __call__(self, t: Time, x: State, v: Control) -> Scalar:
        return self.lagrangian(t, x, v) + self.potential(t, x)

    def argmax(self, t: Time, x: State, q: Control) -> Control:
        return self.lagrangian.argmax(t, x, q)

    def mobility(self, t: Time) -> Scalar | None:
        return self.lagrangian.mobility(t)

    def advice(self) -> str:
        return self.lagrangian.advice()


class ScoreLagrangian(AbstractLagrangian):
    """L = |v|^2 / 2 - div f, with f the free drift of a reversed noising process.

    For a noising of rate r(s), f(t, x) = -r(s) x and -div f = r(s) dim. With it U = -log eta solves
    the HJB equation exactly (Hopf-Cole).

    Reference: B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534, section 4.2.

    Arguments:
        dynamics: the game's dynamics.
    """

    dynamics: TimeReversal

    def __check_init__(self):
        fix = "pass TimeReversal(VP()), or declare the game by `score_based(VP(), target)`"
        _check.of_kind("ScoreLagrangian", "dynamics", self.dynamics, TimeReversal, fix)

    def __call__(self, t: Time, x: State, v: Control) -> Scalar:
        divergence = self.dynamics.noising.divergence(self.dynamics.noising_time(t), x)
        return 0.5 * jnp.vdot(v, v) + divergence

    def argmax(self, t: Time, x: State, q: Control) -> Control:
        return q

    def mobility(self, t: Time) -> Scalar:
        return jnp.ones(())


_INDEFINITE = (
    "`Anisotropic` got a metric A(x) that is not positive definite: return a symmetric matrix with "
    "positive eigenvalues, such as B @ B.T + 0.1 * jnp.eye(len(B))."
)


def _power(square: Scalar, exponent: float) -> Scalar:
    """square^exponent, with derivative zero at zero unless the exponent is 1."""
    if exponent == 1.0:
        return square
    some = square > 0
    return jnp.where(some, jnp.where(some, square, 1) ** exponent, 0 if exponent else 1)


def _check_positive(owner: str, name: str, value: Number) -> None:
    _check.a_number(owner, name, value)
    if not isinstance(value, Tracer):
        positive(owner, name, plain(value))
