"""Costs of populations on circles by the chords: each circle is laid out in the plane.

    F_embedded(rho) = F(phi # rho),     dF_embedded/drho(x) = dF/drho(phi # rho)(phi(x)),

phi(x) = (r cos(x / r), r sin(x / r)) on a circle of radius r, the identity on other axes. phi is
one to one, so that a divergence of the images is one of the laws: zero for equal laws alone.
"""

import equinox as eqx
import jax

from mfgen._types import Batch, Key, Scalar, State
from mfgen.densities._base import AbstractDensity, Weights
from mfgen.functionals._functional import AbstractFunctional, Population, given
from mfgen.math._space import AbstractDomain


class _Image(AbstractDensity):
    """phi # rho."""

    law: AbstractDensity
    domain: AbstractDomain

    @property
    def dim(self) -> int:
        return self.law.dim + sum(self.domain.periodic)

    def sample(self, n: int, *, key: Key) -> Batch:
        return jax.vmap(self.domain.embed)(self.law.sample(n, key=key))

    def particles(self) -> tuple[Batch, Weights]:
        points, weights = self.law.particles()
        return jax.vmap(self.domain.embed)(points), weights


class Embedded(AbstractFunctional):
    """F(phi # rho), with first variation dF/drho at phi(x).

    Arguments:
        functional: F, with its target on the domain.
        domain: the domain.
    """

    functional: AbstractFunctional
    domain: AbstractDomain

    @property
    def goal(self) -> AbstractDensity | None:
        return self.functional.goal

    def on(self, domain: AbstractDomain) -> AbstractFunctional:
        return self

    def value(self, rho: Population) -> Scalar:
        return self._in_the_plane().value(self._image(rho))

    def variation(self, rho: Population, x: State) -> Scalar:
        return self._in_the_plane().variation(self._image(rho), self.domain.embed(x))

    def _image(self, rho: Population) -> AbstractDensity:
        return _Image(given(type(self.functional).__name__, rho), self.domain)

    def _in_the_plane(self) -> AbstractFunctional:
        """F with the image of its target."""
        image = _Image(given(type(self.functional).__name__, self.goal), self.domain)
        return eqx.tree_at(lambda cost: cost.target, self.functional, image)
