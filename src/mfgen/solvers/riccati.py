"""Linear-quadratic games, solved by ordinary differential equations in any dimension.

With H = x.xx.x/2 + p.px.x + p.pp.p/2 + x.hx + p.hp + h0 (see `mfgen.solvers.quadratic`; px = -A,
pp = B R^-1 B^T, xx = -Q) and dI/drho(x) = x.Q_I.x/2 + x.(K m + k) + f0, the value function is
U = x.P.x/2 + s.x + c. Put into -dt U + H(t, x, grad U) - (sigma^2/2) lap U = dI/drho, power by
power of x:

    P' = r P + xx + px^T P + P px + P pp P - Q_I,               P(T) = hessian of dM/drho
    s' = r s + hx + P hp + (px^T + P pp) s - (K m + k)
    c' = r c + h0 + hp.s + s.pp.s/2 - (sigma^2/2) tr P - f0

The population plays v*, so that its mean and covariance follow

    m' = -(px m + pp (P m + s) + hp),      C' = F C + C F^T + sigma^2 I,   F = -(px + pp P).

s runs backwards, m forwards, and each needs the other. Along the mean the costate is
p = P m + s = Y m + y, with

    Y' = r Y + xx + px^T Y + Y px + Y pp Y - (Q_I + K),
    y' = r y + hx + Y hp + (px^T + Y pp) y - k,

which run backwards by themselves (Y is not symmetric unless K is); r is the game's discount. With Y
and y the mean runs forward, and s = (Y - P) m + y: the fixed point of s and m in one sweep, not by
iteration.

All are integrated by Runge-Kutta of fourth order, and cubic pieces join the steps. The error is
estimated from half as many steps, and the answer is put into the equations of the declared game
(`mfgen.solvers.riccati_residual`), of which nothing but rounding may be left.

References:
    B. D. O. Anderson, J. B. Moore, "Optimal control: linear quadratic methods" (1990).
    A. Bensoussan, J. Frehse, P. Yam, "Mean field games and mean field type control theory" (2013),
    chapter 6 (the decoupling of the mean).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from mfgen._types import Key, Scalar, State, Time
from mfgen.density.base import AbstractDensity, Matrix
from mfgen.density.cholesky import CholeskyGaussian
from mfgen.density.gaussian import Gaussian
from mfgen.derive.residual import diffusivity
from mfgen.math.hermite import Hermite, middle, runge_kutta
from mfgen.models.base import AbstractPotential
from mfgen.problem.game import MFG
from mfgen.solvers import quadratic
from mfgen.solvers.base import AbstractSolver, Result, Solution, Status
from mfgen.solvers.quadratic import Energy, Slope
from mfgen.solvers.riccati_residual import Residual, residual

# What cubic pieces may leave of an equation between the nodes, relative to its terms.
_BETWEEN = 1e-2


class QuadraticPotential(AbstractPotential):
    """U(t, x) = x.P(t).x / 2 + s(t).x + c(t).

    Attributes:
        hessian: P, a path of symmetric matrices `[dim, dim]`.
        slope: s, a path of vectors `[dim]`.
        constant: c, a path of scalars.
    """

    hessian: Callable[[Time], Matrix]
    slope: Callable[[Time], State]
    constant: Callable[[Time], Scalar]

    def __call__(self, t: Time, x: State) -> Scalar:
        return jnp.vdot(x, 0.5 * self.hessian(t) @ x + self.slope(t)) + self.constant(t)


class GaussianPath(eqx.Module):
    """t -> N(m(t), C(t)).

    Attributes:
        mean: m, a path of vectors `[dim]`.
        covariance: C, a path of positive definite matrices `[dim, dim]`.
    """

    mean: Callable[[Time], State]
    covariance: Callable[[Time], Matrix]

    def __call__(self, t: Time) -> CholeskyGaussian:
        return CholeskyGaussian(self.mean(t), self.covariance(t))


class Riccati(AbstractSolver):
    """Solves linear-quadratic games: the value is quadratic, the density normal.

    The coefficients are read off the declared game by automatic differentiation and may depend on
    time. The population may enter through its mean (`MeanAttraction`, `MeanTarget`).

    An initial density that is not normal is reduced to its mean and covariance, which the result
    says. The value function is exact all the same, and so are the first two moments of the density;
    its shape is not.

    Arguments:
        steps: Runge-Kutta steps from 0 to the horizon, an even number.
        tolerance: the largest error, relative to the size of each of P, s, c, m and C, at which the
            result counts as converged.

    Example:

        solution = Riccati().solve(game)
        solution.value(0.0, x), solution.density(1.0).moments()
    """

    steps: int = eqx.field(static=True, default=256)
    tolerance: float = eqx.field(static=True, default=1e-4)

    def __check_init__(self):
        if self.steps < 2 or self.steps % 2:
            raise ValueError(
                f"`Riccati` got steps = {self.steps}, expected an even number >= 2: half as many "
                "steps tell the error."
            )

    def solve(self, game: MFG, *, key: Key | None = None) -> Solution:
        """The solution.

        Raises:
            ValueError: a game that is not linear-quadratic, or that has no initial density; a
            discount for which the steps are too few.
        """
        initial = _initial(game)
        quadratic.check(game, initial.dim)
        self._check_steps(game)
        mean, covariance = initial.moments()
        value, density, error = _solved(game, mean, covariance, self.steps)
        error = float(error)
        left = residual(game, value, density)
        stats = {"steps": float(self.steps), "error": error, "residual": left.nodes}
        return Solution(game, value, density, self._result(error, left, initial), stats)

    def _check_steps(self, game: MFG) -> None:
        """Explicit steps are stable up to 2.7 / r, also those that tell the error."""
        least = game.discount * game.dynamics.horizon
        if self.steps < least:
            raise ValueError(
                f"`Riccati` got steps = {self.steps} for the discount {game.discount:g} over the "
                f"horizon {game.dynamics.horizon:g}, expected at least their product: take "
                f"{2 * math.ceil(least / 2)} steps or more."
            )

    def _result(self, error: float, left: Residual, initial: AbstractDensity) -> Result:
        reduced = ""
        if not isinstance(initial, Gaussian | CholeskyGaussian):
            reduced = (
                f" The initial `{type(initial).__name__}` is reduced to its mean and covariance: "
                "the value is exact, of the density the first two moments are."
            )
        rounding = float(jnp.finfo(jnp.zeros(()).dtype).eps) ** 0.5
        off = max(left.nodes / rounding, left.between / max(_BETWEEN, 100 * error))
        if error < float("inf") and not off <= 1:
            said = (
                f"Stalled: the answer leaves {max(left.nodes, left.between):.1e} of the terms of "
                f"the {left.equation}, expected rounding: the game is not linear-quadratic "
                "everywhere, or changes within a step; take more steps, or solve it by `Grid` or "
                "`Neural`."
            )
            return Result(Status.STALLED, said + reduced)
        if error <= self.tolerance:
            said = (
                f"Solved by {self.steps} Runge-Kutta steps, relative error about {error:.1e}; the "
                f"game's equations hold up to {left.nodes:.1e}."
            )
            return Result(Status.CONVERGED, said + reduced)
        if error < float("inf"):
            said = (
                f"Stalled: {self.steps} Runge-Kutta steps leave a relative error of about "
                f"{error:.1e}, expected at most {self.tolerance:.1e}: take more steps."
            )
            return Result(Status.STALLED, said + reduced)
        said = (
            "Diverged: the Riccati equation has no bounded solution up to the horizon, because the "
            "costs are not convex enough: raise the cost of control, or shorten the horizon."
        )
        return Result(Status.DIVERGED, said + reduced)


def _initial(game: MFG) -> AbstractDensity:
    if game.initial is None:
        raise ValueError(
            "`Riccati` got a game without initial density, expected one with a mean and a "
            "covariance: declare `MFG(..., initial=Gaussian(mean, covariance))`."
        )
    return game.initial


class _Back(NamedTuple):
    """What runs backwards: P, Y and y."""

    hessian: Matrix
    along: Matrix
    offset: State


class _Forth(NamedTuple):
    """What runs forwards: m and C."""

    mean: State
    covariance: Matrix


class _Forces(NamedTuple):
    """The coefficients at one time: Hamiltonian, interaction, sigma^2 / 2, discount."""

    energy: Energy
    slope: Slope
    diffusivity: Scalar
    discount: Scalar


@eqx.filter_jit
def _solved(
    game: MFG, mean: State, covariance: Matrix, steps: int
) -> tuple[QuadraticPotential, GaussianPath, Scalar]:
    dim, horizon = mean.shape[0], game.dynamics.horizon
    start = _Forth(mean.astype(float), covariance.astype(float))
    # At the nodes and half way between them.
    times = jnp.linspace(0.0, horizon, 2 * steps + 1)
    interaction = quadratic.slope(game.interaction, dim)
    discount = jnp.asarray(game.discount, times.dtype)
    forces = jax.vmap(
        lambda t: _Forces(
            quadratic.energy(game, t, dim), interaction, diffusivity(game, t), discount
        )
    )(times)
    fine = _swept(game, forces, start, horizon)
    coarse = _swept(game, jax.tree.map(lambda part: part[::2], forces), start, horizon)
    pairs = zip(jax.tree.leaves(fine), jax.tree.leaves(coarse), strict=True)
    errors = [jnp.max(jnp.abs(a[::2] - b)) / (jnp.max(jnp.abs(a)) + 1) for a, b in pairs]
    error = jnp.max(jnp.stack(errors)) / 15  # the order is four, and 2^4 - 1 = 15
    error = jnp.where(jnp.isfinite(error), error, jnp.inf)
    paths = jax.tree.map(lambda y, slope: Hermite(y, slope, horizon), *fine)
    return QuadraticPotential(*paths[:3]), GaussianPath(*paths[3:]), error


def _swept(game: MFG, forces: _Forces, start: _Forth, horizon: float):
    """P, s, c, m, C at the nodes, and their slopes there, from coefficients at every half step."""
    nodes = jax.tree.map(lambda part: part[::2], forces)
    halves = jax.tree.map(lambda part: part[1::2], forces)
    last = quadratic.slope(game.terminal, start.mean.shape[0])
    end = _Back(last.hessian, last.hessian + last.mean, last.constant)
    back = runge_kutta(_backward, end, _reversed(nodes), _reversed(halves), -horizon)
    back = _reversed(back)
    between = middle(back, jax.vmap(_backward)(nodes, back), horizon)
    forth = runge_kutta(_forward, start, (nodes, back), (halves, between), horizon)
    moving = jax.vmap(_forward)((nodes, back), forth)

    slopes = jax.vmap(_linear)(back, forth)
    change = jax.vmap(_linear_change)(nodes, back, forth, slopes)
    constants, speed = _constants(game, nodes, halves, (back, forth), (between, moving), horizon)
    values = (back.hessian, slopes, constants, *forth)
    return values, (jax.vmap(_backward)(nodes, back).hessian, change, speed, *moving)


def _backward(forces: _Forces, y: _Back) -> _Back:
    h, cost, r = forces.energy, forces.slope, forces.discount

    def riccati(p: Matrix, q: Matrix) -> Matrix:
        return r * p + h.xx + h.px.T @ p + p @ h.px + p @ h.pp @ p - q

    offset = h.x + y.along @ h.p + (h.px.T + y.along @ h.pp) @ y.offset - cost.constant
    offset = r * y.offset + offset
    along = riccati(y.along, cost.hessian + cost.mean)
    return _Back(riccati(y.hessian, cost.hessian), along, offset)


def _forward(given: tuple[_Forces, _Back], y: _Forth) -> _Forth:
    forces, back = given
    h = forces.energy
    costate = back.along @ y.mean + back.offset
    closed = -(h.px + h.pp @ back.hessian)
    spread = closed @ y.covariance
    noise = 2 * forces.diffusivity * jnp.eye(y.mean.shape[0])
    return _Forth(-(h.px @ y.mean + h.pp @ costate + h.p), spread + spread.T + noise)


def _linear(back: _Back, forth: _Forth) -> State:
    """s = (Y - P) m + y."""
    return (back.along - back.hessian) @ forth.mean + back.offset


def _linear_change(forces: _Forces, back: _Back, forth: _Forth, s: State) -> State:
    h, cost, p = forces.energy, forces.slope, back.hessian
    change = h.x + p @ h.p + (h.px.T + p @ h.pp) @ s - cost.mean @ forth.mean - cost.constant
    return forces.discount * s + change


def _constant_change(game: MFG, forces: _Forces, back: _Back, forth: _Forth) -> Scalar:
    """c' - r c."""
    h, s = forces.energy, _linear(back, forth)
    spread = forces.diffusivity * jnp.trace(back.hessian)
    own = game.interaction.variation(CholeskyGaussian(*forth), jnp.zeros_like(s))
    return h.constant + h.p @ s + 0.5 * s @ h.pp @ s - spread - own


def _constants(game, nodes, halves, there, between, horizon):
    """c at the nodes, by Simpson's rule for e^{-r t} (c' - r c) from the end, and its slopes."""
    (back, forth), (back_between, moving) = there, between
    change = lambda *given: jax.vmap(lambda *one: _constant_change(game, *one))(*given)
    at_nodes = change(nodes, back, forth)
    at_halves = change(halves, back_between, middle(forth, moving, horizon))
    step = horizon / at_halves.shape[0]
    half = jnp.exp(-0.5 * game.discount * jnp.asarray(step))
    parts = step / 6 * (at_nodes[:-1] + 4 * half * at_halves + half**2 * at_nodes[1:])
    law = CholeskyGaussian(forth.mean[-1], forth.covariance[-1])
    end = game.terminal.variation(law, jnp.zeros(law.dim))

    def back_to(later: Scalar, part: Scalar) -> tuple[Scalar, Scalar]:
        now = half**2 * later - part
        return now, now

    _, earlier = jax.lax.scan(back_to, end, parts, reverse=True)
    constants = jnp.concatenate([earlier, end[None]])
    return constants, at_nodes + game.discount * constants


def _reversed(tree):
    return jax.tree.map(lambda part: part[::-1], tree)
