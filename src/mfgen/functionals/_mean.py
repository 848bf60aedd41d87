"""Costs that see the population by its mean m = E X alone, with which games stay linear-quadratic.

    MeanAttraction   F = (w/2) E |X - m|^2,    dF/drho(x) = (w/2) |x - m|^2
    MeanTarget       F = (w/2) |m - a|^2,      dF/drho(x) = w (m - a).x

The first keeps particles together and does not care where; the second moves their centre and does
not care how wide they are. The first variation of the first holds no term from the change of m,
since E (X - m) = 0. As functions of rho the second is convex, the first concave for w > 0 (a
variance is): with it a stationary point need not be the only one.

Reference: M. Huang, P. Caines, R. Malhamé, "Large-population cost-coupled LQG problems", IEEE
Trans. Autom. Control 52 (2007); A. Bensoussan, J. Frehse, P. Yam, "Mean field games and mean field
type control theory" (2013), chapter 6.
"""

import jax.numpy as jnp

from mfgen._types import Scalar, State
from mfgen.functionals._functional import (
    AbstractFunctional,
    Number,
    Population,
    given,
    no_circles,
)
from mfgen.math import _entry
from mfgen.math._space import AbstractDomain

_ON_CIRCLES = (
    "points of a circle have no mean; attract them by `Pairwise(lambda z: -jnp.cos(z[0]))`, or to "
    "a place by `Linear(lambda x: -jnp.cos(x[0] - place))`"
)


class MeanAttraction(AbstractFunctional):
    """F = (weight / 2) E |X - m|^2: half the variance of the population, m = E X.

    Arguments:
        weight: w, positive for attraction to the mean, negative for repulsion; cost per squared
            distance.
    """

    weight: Number = 1.0

    def on(self, domain: AbstractDomain) -> AbstractFunctional:
        no_circles("MeanAttraction", domain, _ON_CIRCLES)
        return self

    def value(self, rho: Population) -> Scalar:
        _, covariance = given("MeanAttraction", rho).moments()
        return 0.5 * self.weight * jnp.trace(covariance)

    def variation(self, rho: Population, x: State) -> Scalar:
        mean, _ = given("MeanAttraction", rho).moments()
        return 0.5 * self.weight * jnp.sum(jnp.square(x - mean))


class MeanTarget(AbstractFunctional):
    """F = (weight / 2) |m - target|^2: the centre of the population ought to be at a place.

    Arguments:
        target: the place a, shape `[dim]`.
        weight: w, cost per squared distance.
    """

    target: State
    weight: Number = 1.0

    def on(self, domain: AbstractDomain) -> AbstractFunctional:
        no_circles("MeanTarget", domain, _ON_CIRCLES)
        return self

    def value(self, rho: Population) -> Scalar:
        return 0.5 * self.weight * jnp.sum(jnp.square(self._away(rho)))

    def variation(self, rho: Population, x: State) -> Scalar:
        return self.weight * jnp.vdot(self._away(rho), x)

    def _away(self, rho: Population) -> State:
        mean, _ = given("MeanTarget", rho).moments()
        return mean - _entry.point("MeanTarget", self.target, mean.size)
