"""A value function that was right up to a function of time, with that function added.

Costs see U through its gradient alone, so that a potential trained by its game's cost is free up to
c(t), which moves no particle. With m(t) the mean over rho(t) of the HJB residual of U, r the
discount, and e the mean of U(T) - dM/drho,

    -c' + r c + m = 0,    c(T) = -e,    c(t) = -e^{-r (T - t)} e - int_t^T e^{-r (s - t)} m(s) ds,

makes both means zero for U + c: what is left over is an error of the gradient. Between its nodes m
is a straight line, and the integral is then in closed form.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen._types import Control, Costate, Scalar, State, Time
from mfgen.games._game import MFG
from mfgen.math._autodiff import Jet
from mfgen.models._base import AbstractPotential

_SMALL = 0.01  # r times a span below which its exponentials cancel


class Tied(AbstractPotential):
    """The value function U + c(t).

    Arguments:
        potential: U.
        times: nodes t_0 < ... < t_K, `[K + 1]`.
        residuals: m at each, `[K + 1]`.
        mismatch: e.
        discount: r.
    """

    potential: AbstractPotential
    times: Float[Array, "nodes"]
    residuals: Float[Array, "nodes"]
    levels: Float[Array, "nodes"]
    discount: float = eqx.field(static=True)

    def __init__(
        self,
        potential: AbstractPotential,
        times: Float[Array, "nodes"],
        residuals: Float[Array, "nodes"],
        mismatch: Scalar,
        discount: float,
    ):
        self.potential, self.discount = potential, discount
        self.times, self.residuals = times, residuals
        end = -jnp.asarray(mismatch, residuals.dtype)

        def back(after: Scalar, row: tuple[Scalar, Scalar, Scalar]) -> tuple[Scalar, Scalar]:
            first, last, span = row
            before = _earlier(after, first, last, span, discount)
            return before, before

        rows = residuals[:-1], residuals[1:], jnp.diff(times)
        levels = jax.lax.scan(back, end, rows, reverse=True)[1]
        self.levels = jnp.append(levels, end)

    def shift(self, t: Time) -> Scalar:
        """c(t)."""
        t = jnp.asarray(t, self.times.dtype)
        k = jnp.clip(jnp.searchsorted(self.times, t, side="right"), 1, len(self.times) - 1)
        left, step = self.times[k] - t, self.times[k] - self.times[k - 1]
        end = self.residuals[k]
        here = end + (self.residuals[k - 1] - end) * left / step
        return _earlier(self.levels[k], here, end, left, self.discount)

    def __call__(self, t: Time, x: State) -> Scalar:
        return self.potential(t, x) + self.shift(t).astype(x.dtype)

    def costate(self, t: Time, x: State) -> Costate:
        return self.potential.costate(t, x)

    def control(self, game: MFG, t: Time, x: State) -> Control:
        return self.potential.control(game, t, x)

    def inside(self, x: State) -> State:
        return self.potential.inside(x)

    def jet(self, t: Time, x: State, fixed: int = 0) -> Jet:
        found, c = self.potential.jet(t, x, fixed), self.shift(t)
        rate = self.discount * c + jnp.interp(t, self.times, self.residuals)
        value, time = found.value + c, found.time + rate
        return found._replace(value=value.astype(x.dtype), time=time.astype(x.dtype))


def _earlier(after: Scalar, first: Scalar, last: Scalar, span: Scalar, discount: float) -> Scalar:
    """c a span earlier, m going from `first` to `last` on it."""
    if discount == 0:
        return after - 0.5 * span * (first + last)
    z = discount * span
    gone = -jnp.expm1(-z)
    safe = jnp.where(z < _SMALL, 1.0, z)
    # int_0^1 e^{-z u} (1, u) du
    one = jnp.where(z < _SMALL, 1 - z / 2 + z**2 / 6 - z**3 / 24 + z**4 / 120, gone / safe)
    two = (gone / safe - (1 - gone)) / safe
    two = jnp.where(z < _SMALL, 1 / 2 - z / 3 + z**2 / 8 - z**3 / 30 + z**4 / 144, two)
    return (1 - gone) * after - span * (one * first + two * (last - first))
