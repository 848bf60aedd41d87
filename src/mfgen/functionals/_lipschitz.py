"""Divergences in dual form, with a critic of bounded slope: for targets known by samples only.

    D(rho || pi) = sup over g with Lip(g) <= L of  E_rho g - inf_nu { nu + E_pi f*(g - nu) }

    KL, f* = e^s - 1:    sup_g  E_rho g - log E_pi e^g             (Donsker and Varadhan)
    f*(s) = s:           sup_g  E_rho g - E_pi g  =  L W1(rho, pi) (Kantorovich and Rubinstein)

Without the bound on the slope the first is D_f(rho || pi) itself, infinite if rho has mass where pi
has none. With it, D is finite for laws that do not even meet, for it is the best mixture of both:

    D(rho || pi) = inf over eta of  L W1(rho, eta) + D_f(eta || pi)  <=  min(D_f, L W1)

The optimal g is the first variation, dD/drho = g up to a constant, by the envelope theorem; and a
Wasserstein gradient flow of D has the velocity -grad g, never faster than L. A functional here
holds a critic: its value is a lower bound of D, whatever the critic (if its slope obeys the bound),
and its variation is the critic, which `fit_critic` trains (`mfgen.trainers._adversarial`).

With n points of pi the value with a critic trained on them is too large, as that of any supremum.
Where f* is infinite above some slope, as for alpha-divergences of order below one, g must be
bounded above on pi: take an order of at least one for a critic that is not.

References: J. Birrell, P. Dupuis, M. A. Katsoulakis, Y. Pantazis, L. Rey-Bellet, "(f, Gamma)-
divergences" (2022), arXiv 2011.05953; H. Gu, P. Birmpa, Y. Pantazis, L. Rey-Bellet, M. A.
Katsoulakis, "Lipschitz-regularized gradient flows" (2022), arXiv 2210.17230.
"""

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax
from jaxtyping import Array, Float

from mfgen._types import Scalar, State
from mfgen.densities._base import AbstractDensity
from mfgen.functionals._functional import AbstractFunctional, Population, given, no_circles
from mfgen.functionals._generator import AbstractGenerator, Alpha
from mfgen.math._space import AbstractDomain


class AbstractDual(AbstractFunctional):
    """A functional by the value of its dual at a critic g: linear in rho, with variation g.

    To add one, give the fields and `expected(values, weights)`, what is subtracted from E_rho g.
    """

    critic: eqx.AbstractVar[Callable[[State], Scalar]]
    target: eqx.AbstractVar[AbstractDensity]

    @abstractmethod
    def expected(self, values: Float[Array, "n"], weights: Float[Array, "n"]) -> Scalar:
        """The expectation under the target that is subtracted, by values of g at its particles."""

    def on(self, domain: AbstractDomain) -> AbstractFunctional:
        why = "a critic of points is no function on a circle; take `SinkhornDivergence` or `MMD`"
        no_circles(type(self).__name__, domain, why)
        return self

    def value(self, rho: Population) -> Scalar:
        here, share = given(type(self).__name__, rho).particles()
        there, weights = self.target.particles()
        over = jax.vmap(self.critic)
        return share @ over(here) - self.expected(over(there), weights)

    def variation(self, rho: Population, x: State) -> Scalar:
        return self.critic(x)


class LipschitzDivergence(AbstractDual):
    """F = E_rho g - inf_nu { nu + E_pi f*(g - nu) }, with first variation g.

    Arguments:
        critic: g, whose slope is bounded by L, such as `lipschitz_critic(dim, lipschitz=L)`.
        target: pi, which need only have particles: `Empirical(data)` will do.
        generator: f; `Alpha(1.0)` for KL.
    """

    critic: Callable[[State], Scalar]
    target: AbstractDensity
    generator: AbstractGenerator = Alpha(1.0)

    def expected(self, values: Float[Array, "n"], weights: Float[Array, "n"]) -> Scalar:
        return self.generator.cumulant(values, weights)


class Wasserstein1(AbstractDual):
    """F = E_rho g - E_pi g, with first variation g: L W1(rho, pi) at the best g of slope L.

    Arguments:
        critic: g, whose slope is bounded by L, such as `lipschitz_critic(dim, lipschitz=L)`.
        target: pi, which need only have particles: `Empirical(data)` will do.
    """

    critic: Callable[[State], Scalar]
    target: AbstractDensity

    def expected(self, values: Float[Array, "n"], weights: Float[Array, "n"]) -> Scalar:
        return weights @ values


def duals(cost: AbstractFunctional) -> list[AbstractDual]:
    """The duals that a functional holds, in the order of its leaves."""
    is_dual = lambda part: isinstance(part, AbstractDual)
    return [part for part in jax.tree.leaves(cost, is_leaf=is_dual) if is_dual(part)]
