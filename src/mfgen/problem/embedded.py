"""Costs of populations on circles by the chords: each circle is laid out in the plane.

    F_embedded(rho) = F(phi # rho),     dF_embedded/drho(x) = dF/drho(phi # rho)(phi(x)),

phi(x) = (r cos(x / r), r sin(x / r)) on a circle of radius r, the identity on other axes. phi is
one to one, so that a divergence of the images is one of the laws: zero for equal laws alone.
"""

import equinox as eqx
import jax

from mfgen._types import Batch, Key, Scalar, State
from mfgen.density.base import AbstractDensity, Matrix, Weights, weighted_moments
from mfgen.math.space import AbstractDomain
from mfgen.problem.functional import AbstractFunctional, Population, given


class _Image(AbstractDensity):
    """phi # rho."""

    law: AbstractDensity
    domain: AbstractDomain

    @property
    def dim(self) -> int:
        return self.law.dim + sum(self.domain.periodic)

    def sample(self, n: int, *, key: Key) -> Batch:
        return jax.vmap(self.domain.embed)(self.law.sample(n, key=key))

    def moments(self) -> tuple[State, Matrix]:
        return weighted_moments(*self.particles())

    def particles(self) -> tuple[Batch, Weights]:
        points, weights = self.law.particles()
        return jax.vmap(self.domain.embed)(points), weights


class Embedded(AbstractFunctional):
    """F(phi # rho), with first variation dF/drho at phi(x).

    Arguments:
        functional: F, with a target in the embedding space.
        target: the law on the domain that it compares the population with.
        domain: the domain.
    """

    functional: AbstractFunctional
    target: AbstractDensity
    domain: AbstractDomain

    @property
    def goal(self) -> AbstractDensity:
        return self.target

    def on(self, domain: AbstractDomain) -> AbstractFunctional:
        return self

    def value(self, rho: Population) -> Scalar:
        law = given(type(self.functional).__name__, rho)
        return self.functional.value(_Image(law, self.domain))

    def variation(self, rho: Population, x: State) -> Scalar:
        law = given(type(self.functional).__name__, rho)
        return self.functional.variation(_Image(law, self.domain), self.domain.embed(x))


def embedded(functional: AbstractFunctional, domain: AbstractDomain) -> Embedded:
    """A functional with a `target` on the domain, by the chords of its circles."""
    target = functional.goal
    assert target is not None
    image = eqx.tree_at(lambda cost: cost.target, functional, _Image(target, domain))
    return Embedded(image, target, domain)
