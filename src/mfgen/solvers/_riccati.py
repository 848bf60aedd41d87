"""Linear-quadratic games, solved by ordinary differential equations in any dimension.

With H = x.xx.x/2 + p.px.x + p.pp.p/2 + x.hx + p.hp + h0 (see `mfgen.solvers._quadratic`; px = -A,
pp = B R^-1 B^T, xx = -Q) and dI/drho(x) = x.Q_I.x/2 + x.(K m + k) + f0, the value function is
U = x.P.x/2 + s.x + c. Put into -dt U + H(t, x, grad U) - tr(S Hess U)/2 = dI/drho, power by
power of x:

    P' = r P + xx + px^T P + P px + P pp P - Q_I,               P(T) = hessian of dM/drho
    s' = r s + hx + P hp + (px^T + P pp) s - (K m + k)
    c' = r c + h0 + hp.s + s.pp.s/2 - tr(S P)/2 - f0,               S = sigma sigma^T

The population plays v*, so that its mean and covariance follow

    m' = -(px m + pp (P m + s) + hp),      C' = F C + C F^T + S,   F = -(px + pp P).

s runs backwards, m forwards, and each needs the other. Along the mean the costate is
p = P m + s = Y m + y, with

    Y' = r Y + xx + px^T Y + Y px + Y pp Y - (Q_I + K),
    y' = r y + hx + Y hp + (px^T + Y pp) y - k,

which run backwards by themselves (Y is not symmetric unless K is); r is the game's discount. With Y
and y the mean runs forward, and s = (Y - P) m + y: the fixed point of s and m in one sweep, not by
iteration.

All are integrated by Runge-Kutta of fourth order, and cubic pieces join the steps. The error is
estimated from half as many steps, and the answer is put into the equations of the declared game
(`mfgen.solvers._riccati_residual`), of which nothing but rounding may be left.

References:
    B. D. O. Anderson, J. B. Moore, "Optimal control: linear quadratic methods" (1990).
    A. Bensoussan, J. Frehse, P. Yam, "Mean field games and mean field type control theory" (2013),
    chapter 6 (the decoupling of the mean).
"""

import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from mfgen import _check
from mfgen._types import Key, Scalar, State, Time
from mfgen.densities._base import AbstractDensity, Matrix
from mfgen.densities._cholesky import CholeskyGaussian
from mfgen.densities._gaussian import Gaussian
from mfgen.derive._residual import diffusivity
from mfgen.games._game import MFG
from mfgen.math._count import count
from mfgen.math._hermite import Hermite
from mfgen.models._base import AbstractPotential
from mfgen.simulate._ends import initial_density
from mfgen.solvers import _quadratic, _riccati_sweep
from mfgen.solvers._base import AbstractSolver, Result, Solution, Status
from mfgen.solvers._quadratic import Slope
from mfgen.solvers._riccati_residual import Residual, residual
from mfgen.solvers._riccati_sweep import Forces, Forth, Moved

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
        _check.numbers(self, "tolerance")
        if count("Riccati", "steps", self.steps) % 2:
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
        initial = initial_density("Riccati", game)
        _quadratic.check(game, initial.dim)
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


def _solved(
    game: MFG, mean: State, covariance: Matrix, steps: int
) -> tuple[QuadraticPotential, GaussianPath, Scalar]:
    """Value, density, and the relative error from half as many steps."""
    start = Forth(mean.astype(float), covariance.astype(float))
    horizon = jnp.asarray(game.dynamics.horizon, start.mean.dtype)
    forces, end = _coefficients(game, mean.shape[0], steps)
    coarser = jax.tree.map(lambda part: part[::2], forces)
    swept = [_riccati_sweep.swept(part, end, start, horizon) for part in (forces, coarser)]
    own, last = _first_variations(game, swept)
    (fine, slopes), (coarse, _) = (
        _riccati_sweep.joined(*parts, horizon)
        for parts in zip((forces, coarser), swept, own, last, strict=True)
    )
    error = _riccati_sweep.error(fine, coarse)
    path = lambda y, slope: Hermite(y, slope, game.dynamics.horizon)
    paths = [path(*pair) for pair in zip(fine, slopes, strict=True)]
    return QuadraticPotential(*paths[:3]), GaussianPath(*paths[3:]), error


@eqx.filter_jit
def _coefficients(game: MFG, dim: int, steps: int) -> tuple[Forces, Slope]:
    """Those of the equations at every half step, and of the terminal cost."""
    times = jnp.linspace(0.0, game.dynamics.horizon, 2 * steps + 1)
    interaction, end = (_quadratic.slope(f, dim) for f in (game.interaction, game.terminal))
    discount = jnp.asarray(game.discount, times.dtype)
    forces = lambda t: Forces(
        _quadratic.energy(game, t, dim), interaction, diffusivity(game, t), discount
    )
    return jax.vmap(forces)(times), end


@eqx.filter_jit
def _first_variations(game: MFG, swept: list[Moved]):
    """dI/drho at the origin at every half step, and dM/drho there, of each sweep."""

    def own(law: Forth) -> Scalar:
        origin = jnp.zeros_like(law.mean)
        return game.interaction.variation(CholeskyGaussian(*law), origin)

    def last(law: Forth) -> Scalar:
        return game.terminal.variation(CholeskyGaussian(*law), jnp.zeros_like(law.mean))

    laws = [_interleaved(moved.forth, moved.forth_between) for moved in swept]
    counts = np.cumsum([len(law.mean) for law in laws])[:-1]
    every = jax.tree.map(lambda *parts: jnp.concatenate(parts), *laws)
    ends = jax.tree.map(lambda *parts: jnp.stack([part[-1] for part in parts]), *laws)
    return jnp.split(jax.vmap(own)(every), counts), list(jax.vmap(last)(ends))


def _interleaved(nodes: Forth, halves: Forth) -> Forth:
    def both(at: Array, between: Array) -> Array:
        made = jnp.zeros((len(at) + len(between), *at.shape[1:]), at.dtype)
        return made.at[::2].set(at).at[1::2].set(between)

    return jax.tree.map(both, nodes, halves)
