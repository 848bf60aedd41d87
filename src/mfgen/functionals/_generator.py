"""Generators of f-divergences: a convex f with f(1) = 0, its slope and its convex conjugate.

    D_f(rho || pi) = E_pi f(rho / pi),      f*(s) = sup_{r > 0} { s r - f(r) }

f and f + c (r - 1) generate the same divergence, with conjugates f*(s) and f*(s - c) + c. Here the
constant is chosen by f'(1) = 0, so that (f*)'(0) = 1. The scale is f''(1) = 1 for all orders of

    Alpha(a):   f(r) = (r^a - a r + a - 1) / (a (a - 1)),    f'(r) = (r^(a-1) - 1) / (a - 1)
                f*(s) = ((1 + (a - 1) s)^(a / (a - 1)) - 1) / a

| a | f | D | f* |
|---|---|---|---|
| 2 | (r - 1)^2 / 2 | half of chi-squared | s + s^2 / 2 for s > -1, else -1/2 |
| 1 | r log r - r + 1 | KL(rho, pi) | e^s - 1 |
| 1/2 | 2 (sqrt r - 1)^2 | twice the squared Hellinger distance | s / (1 - s/2), s < 2 |
| 0 | -log r + r - 1 | KL(pi, rho) | -log(1 - s), s < 1 |
| -1 | (r - 1)^2 / (2 r) | half of Neyman's chi-squared | 1 - sqrt(1 - 2 s), s <= 1/2 |

Beyond the bounds f* is infinite. The squared Hellinger distance is int (sqrt rho - sqrt pi)^2.

References: N. Cressie, T. Read, "Multinomial goodness-of-fit tests" (1984); J. Birrell, P. Dupuis,
M. A. Katsoulakis, Y. Pantazis, L. Rey-Bellet, "(f, Gamma)-divergences" (2022), arXiv 2011.05953.
"""

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen._types import Scalar
from mfgen.math._legendre import maximiser

# The ratio that stands for zero where a function is not defined there.
_TINY = 1e-12
# Of the interval in which nu lies: down to rounding.
_HALVINGS = 50


class AbstractGenerator(eqx.Module):
    """A convex function f of a ratio r > 0 with f(1) = 0.

    To add one, give `__call__(ratio)` and `conjugate(slope)`.
    """

    @abstractmethod
    def __call__(self, ratio: Scalar) -> Scalar:
        """f(r)."""

    @abstractmethod
    def conjugate(self, slope: Scalar) -> Scalar:
        """f*(s) = sup_r { s r - f(r) }; infinite where the supremum is."""

    def slope(self, ratio: Scalar) -> Scalar:
        """f'(r), by automatic differentiation unless there is a closed form."""
        return jax.grad(self.__call__)(ratio)

    def cumulant(self, values: Float[Array, "n"], weights: Float[Array, "n"]) -> Scalar:
        """inf_nu { nu + E f*(g - nu) } for a g with the given values; log E e^g for KL.

        The best nu solves E (f*)'(g - nu) = 1 and lies between the least and the largest g; it is
        found by bisection. Derivatives of first order are exact: nu does not count in them.
        """
        fixed = jax.lax.stop_gradient(values)
        neutral = self.slope(jnp.ones((), fixed.dtype))

        def excess(nu):
            at, slopes = jax.vmap(jax.value_and_grad(self.conjugate))(fixed - nu)
            slopes = jnp.where(jnp.isfinite(at), slopes, jnp.inf)
            return jnp.sum(jnp.where(weights > 0, weights * slopes, 0.0)) > 1

        def halve(_, ends):
            low, high = ends
            middle = 0.5 * (low + high)
            above = excess(middle)
            return jnp.where(above, middle, low), jnp.where(above, high, middle)

        ends = jnp.min(fixed) - neutral, jnp.max(fixed) - neutral
        # The upper end is kept: there f* is finite.
        _, nu = jax.lax.fori_loop(0, _HALVINGS, halve, ends)
        at = jax.vmap(self.conjugate)(values - nu)
        return nu + jnp.sum(jnp.where(weights > 0, weights * at, 0.0))


class Alpha(AbstractGenerator):
    """f(r) = (r^a - a r + a - 1) / (a (a - 1)), with its limits at a = 0 and 1.

    Arguments:
        order: a, any number; 1 for KL(rho || pi), 0 for KL(pi || rho), 2 for half of chi-squared.
    """

    order: float = eqx.field(static=True, default=2.0)

    def __call__(self, ratio: Scalar) -> Scalar:
        a = self.order
        if a == 1:
            return jax.scipy.special.xlogy(ratio, ratio) - ratio + 1
        if a == 0:
            return -jnp.log(ratio) + ratio - 1
        return (ratio**a - a * ratio + a - 1) / (a * (a - 1))

    def slope(self, ratio: Scalar) -> Scalar:
        a = self.order
        return jnp.log(ratio) if a == 1 else (ratio ** (a - 1) - 1) / (a - 1)

    def cumulant(self, values: Float[Array, "n"], weights: Float[Array, "n"]) -> Scalar:
        if self.order == 1:
            return jax.scipy.special.logsumexp(values, b=weights)
        return AbstractGenerator.cumulant(self, values, weights)

    def conjugate(self, slope: Scalar) -> Scalar:
        a = self.order
        if a == 1:
            return jnp.expm1(slope)
        base = 1 + (a - 1) * slope
        if a > 1:  # below f'(0) the supremum is at r = 0; the power's slope is finite there
            inside = base > 0
            power = jnp.where(inside, base, 1.0) ** (a / (a - 1))
            return (jnp.where(inside, power, 0.0) - 1) / a
        # A supremum that is not attained is infinite, and so is its slope: no point of pi may be
        # there.
        inside = base > 0
        safe = jnp.where(inside, base, 1.0)
        value = -jnp.log(safe) if a == 0 else (safe ** (a / (a - 1)) - 1) / a
        return jnp.where(inside, value, jnp.inf)


class Generator(AbstractGenerator):
    """A generator given by its function; slope and conjugate are computed.

    Arguments:
        function: f, convex and differentiable on r > 0, takes and returns a scalar.
        closed: f*, where it is known; otherwise it is found by Newton's method
            (`mfgen.math._legendre.maximiser`), and infinite where no maximiser is.
    """

    function: Callable[[Scalar], Scalar]
    closed: Callable[[Scalar], Scalar] | None = None

    def __call__(self, ratio: Scalar) -> Scalar:
        return self.function(ratio)

    def conjugate(self, slope: Scalar) -> Scalar:
        if self.closed is not None:
            return self.closed(slope)
        slope = jnp.asarray(slope, float)

        def cost(shift):  # the maximiser starts at 0, here the ratio 1
            ratio = 1 + shift[0]
            inside = ratio > 0
            return jnp.where(inside, self.function(jnp.where(inside, ratio, 1.0)), jnp.inf)

        least = jnp.asarray(_TINY, slope.dtype)
        at_zero = slope <= self.slope(least)
        inner = jnp.where(at_zero, self.slope(jnp.ones_like(slope)), slope)
        shift, found = maximiser(cost, inner[None])
        value = inner * (1 + shift[0]) - self.function(1 + jnp.where(found, shift[0], 0.0))
        value = jnp.where(found, value, jnp.inf)
        return jnp.where(at_zero, slope * least - self.function(least), value)


def as_generator(f: AbstractGenerator | Callable[[Scalar], Scalar]) -> AbstractGenerator:
    """The generator, made of a function if it is none."""
    return f if isinstance(f, AbstractGenerator) else Generator(f)
