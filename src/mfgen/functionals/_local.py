"""Functionals that are local: whose first variation at x sees the density at x alone.

    dF/drho(rho)(x) = f(x, log rho(x))

Entropies, divergences of densities, powers, linear costs and their sums are; interactions and
distances are not. What a functional asks of the population tells: at x, a local one is content with
a law that knows nothing but its log-density at that very point.

Reference: F. Otto, "The geometry of dissipative evolution equations: the porous medium equation"
(2001), on gradient flows of such energies.
"""

from typing import NoReturn

import jax

from mfgen._types import Batch, Key, Scalar, State
from mfgen.densities._base import AbstractEvaluable, Weights
from mfgen.functionals._functional import AbstractFunctional


class LocalLaw(AbstractEvaluable):
    """A law whose log-density is known at one place, and nothing else of it.

    Arguments:
        place: x, `[dim]`.
        logarithm: log rho(x).
    """

    place: State
    logarithm: Scalar

    @property
    def dim(self) -> int:
        return self.place.size

    def log_density(self, x: State) -> Scalar:
        # The same array, not an equal one: a gradient in x would be of a neighbouring place.
        return self.logarithm if x is self.place else _elsewhere()

    def sample(self, n: int, *, key: Key) -> Batch:
        return _elsewhere()

    def particles(self) -> tuple[Batch, Weights]:
        return _elsewhere()


class _ElsewhereError(TypeError):
    """Something is asked of a law that it tells at one place only."""


def _elsewhere() -> NoReturn:
    raise _ElsewhereError


def local_variation(functional: AbstractFunctional, x: State, logarithm: Scalar) -> Scalar:
    """dF/drho at x, of a population with the given log-density there.

    Arguments:
        functional: F.
        x: the place, `[dim]`.
        logarithm: log rho(x).

    Raises:
        TypeError: if F asks more of the population: it is not local.
    """
    try:
        return functional.variation(LocalLaw(x, logarithm), x)
    except _ElsewhereError:
        raise TypeError(
            f"`local_variation` got `{type(functional).__name__}`, whose first variation at a "
            "point depends on the population elsewhere, expected a local functional: pass "
            "`Entropy()`, `PorousMedium()`, `KL(target)`, `Linear(f)` or sums of such."
        ) from None


def local_curvature(
    functional: AbstractFunctional, x: State, logarithm: Scalar
) -> tuple[Scalar, Scalar]:
    """dF/drho at x, and its derivative by log rho(x), which convexity makes positive or zero."""

    def along(logarithm: Scalar) -> Scalar:
        return local_variation(functional, x, logarithm)

    return jax.value_and_grad(along)(logarithm)
