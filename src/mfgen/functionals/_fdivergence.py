"""f-divergences from a target, in both directions.

    D_f(rho || pi) = E_pi f(rho / pi),      dD/drho(x) = f'(rho(x) / pi(x))

    ForwardKL         KL(pi || rho) = E_pi[log pi - log rho],      variation  -pi / rho
    ChiSquared        int (rho - pi)^2 / pi = E_rho[rho / pi] - 1, variation  2 rho / pi
    AlphaDivergence   E_pi[(rho / pi)^a - 1] / (a (a - 1)),        ((rho / pi)^(a-1) - 1) / (a - 1)
    FDivergence       any generator of `mfgen.functionals._generator`

`KL` (in `mfgen.functionals._functional`) is KL(rho || pi), with rho first: the reverse divergence,
which seeks modes. `ForwardKL` has the target first: it is what maximum likelihood minimises, and it
covers all of the target. The alpha-divergence joins them: a = 1 is KL, a = 0 is ForwardKL, a = 2
half of ChiSquared; D_a(rho || pi) = D_(1-a)(pi || rho).

Both densities must be evaluable. An integral is a sum over the particles of the law with the larger
power, where the integrand is small wherever there are no particles: those of rho if a >= 1/2, which
asks no samples of the target (`Unnormalised` will do, up to its constant), else those of pi.

All of them are convex along mixtures.

References: N. Cressie, T. Read, "Multinomial goodness-of-fit tests" (1984); S. Amari, "Information
geometry and its applications" (2016); for their gradient flows S. Chewi et al. (2020), arXiv
2006.02509 (chi-squared).
"""

from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from mfgen._types import Scalar, State
from mfgen.densities._base import AbstractDensity, AbstractEvaluable, expectation
from mfgen.functionals._functional import AbstractFunctional, Population, evaluable
from mfgen.functionals._generator import AbstractGenerator, Alpha, as_generator

_UNSEEN = 1e-5  # mass of the target where a population is zero, such as beyond a lattice


class FDivergence(AbstractFunctional):
    """F = E_pi f(rho / pi), with first variation f'(rho / pi).

    Arguments:
        generator: f, a convex function of the ratio with f(1) = 0, or an `AbstractGenerator`.
        target: pi, with a log-density.
        over: whose particles the value is summed over: those of the `"target"`, where f(rho / pi)
            is averaged, or of the `"population"`, where (pi / rho) f(rho / pi) is.
    """

    generator: AbstractGenerator = eqx.field(converter=as_generator)
    target: AbstractDensity
    over: Literal["target", "population"] = eqx.field(static=True, default="target")

    def __check_init__(self):
        if self.over not in ("target", "population"):
            raise ValueError(
                f'`FDivergence` got over = {self.over!r}, expected "target" or "population".'
            )

    def value(self, rho: Population) -> Scalar:
        laws = _laws("FDivergence", rho, self.target)
        f = self.generator
        if self.over == "target":
            return expectation(laws.target, lambda x: f(jnp.exp(laws.log_ratio(x))))
        per_head = lambda logarithm: jnp.exp(-logarithm) * f(jnp.exp(logarithm))
        return expectation(laws.population, lambda x: per_head(laws.log_ratio(x)))

    def variation(self, rho: Population, x: State) -> Scalar:
        laws = _laws("FDivergence", rho, self.target)
        return self.generator.slope(jnp.exp(laws.log_ratio(x)))


class ForwardKL(AbstractFunctional):
    """F = KL(pi || rho) = E_pi[log pi - log rho], with first variation -pi / rho.

    The inclusive divergence, that of maximum likelihood: it is large where the population misses
    a part of the target. Its variation is bounded above and unbounded below.

    Infinite where the target has mass and the population none. A population on a lattice has none
    beyond its box: up to 1e-5 of the target there is left out.

    Arguments:
        target: pi, with a log-density and particles.
    """

    target: AbstractDensity

    @property
    def generator(self) -> Alpha:
        """f of this divergence, up to a multiple of r - 1."""
        return Alpha(0.0)

    def value(self, rho: Population) -> Scalar:
        laws = _laws("ForwardKL", rho, self.target)
        points, weights = laws.target.particles()
        ratios = jax.vmap(laws.log_ratio)(points)
        void = jnp.isneginf(ratios)
        inside = -weights @ jnp.where(void, 0.0, ratios)
        return jnp.where(jnp.sum(jnp.where(void, weights, 0.0)) <= _UNSEEN, inside, jnp.inf)

    def variation(self, rho: Population, x: State) -> Scalar:
        return -jnp.exp(-_laws("ForwardKL", rho, self.target).log_ratio(x))


class ChiSquared(AbstractFunctional):
    """F = int (rho - pi)^2 / pi dx = E_rho[rho / pi] - 1, with first variation 2 rho / pi.

    Finite only where the target's tails are at least half as wide, in logarithm, as those of the
    population: of Gaussians, if the covariance of the population is below twice the target's.

    Arguments:
        target: pi, with a log-density.
    """

    target: AbstractDensity

    def value(self, rho: Population) -> Scalar:
        laws = _laws("ChiSquared", rho, self.target)
        return expectation(laws.population, lambda x: jnp.expm1(laws.log_ratio(x)))

    def variation(self, rho: Population, x: State) -> Scalar:
        return 2 * jnp.exp(_laws("ChiSquared", rho, self.target).log_ratio(x))


class AlphaDivergence(AbstractFunctional):
    """F = E_pi[(rho / pi)^a - 1] / (a (a - 1)), with its limits KL at a = 1 and ForwardKL at a = 0.

    Arguments:
        target: pi, with a log-density; for a < 1/2 with particles.
        order: a, any number.
    """

    target: AbstractDensity
    order: float = eqx.field(static=True, default=2.0)

    @property
    def generator(self) -> Alpha:
        """f of this divergence."""
        return Alpha(self.order)

    def value(self, rho: Population) -> Scalar:
        laws, a = _laws("AlphaDivergence", rho, self.target), self.order
        # D_a(rho || pi) is D_(1-a)(pi || rho): summed over the law with the larger power.
        if a >= 0.5:
            return expectation(laws.population, lambda x: _power(a - 1, laws.log_ratio(x))) / a
        return expectation(laws.target, lambda x: _power(-a, -laws.log_ratio(x))) / (1 - a)

    def variation(self, rho: Population, x: State) -> Scalar:
        log_ratio = _laws("AlphaDivergence", rho, self.target).log_ratio(x)
        return _power(self.order - 1, log_ratio)


class _Laws(NamedTuple):
    population: AbstractEvaluable
    target: AbstractEvaluable

    def log_ratio(self, x: State) -> Scalar:
        return self.population.log_density(x) - self.target.log_density(x)


def _laws(owner: str, rho: Population, target: AbstractDensity) -> _Laws:
    return _Laws(evaluable(owner, "population", rho), evaluable(owner, "target", target))


def _power(exponent: float, logarithm: Scalar) -> Scalar:
    """(r^c - 1) / c, and its limit log r at c = 0."""
    return logarithm if exponent == 0 else jnp.expm1(exponent * logarithm) / exponent
