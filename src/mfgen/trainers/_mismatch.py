"""The mismatch of samples of two laws: a divergence less its bias.

    D_n  ->  2 D_n - ( D_{n/2} + D'_{n/2} ) / 2

for n points of each law. Of an MMD, quadratic in rho - pi, that leaves the mean over all pairs of
different points; of other smooth divergences a bias of the order n^{-2}.
"""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp

from mfgen._types import Batch, Scalar
from mfgen.densities._base import AbstractDensity
from mfgen.densities._empirical import Empirical
from mfgen.functionals._functional import AbstractFunctional
from mfgen.functionals._lipschitz import duals
from mfgen.losses import _crowd
from mfgen.losses._payment import name_of


class Ended(NamedTuple):
    """The mismatch of particles at a prescribed end.

    Attributes:
        mismatch, error: the divergence, freed of the bias of a sample, and its standard error.
        tolerance: what it is to be below.
        weight: by which it counts at last.
        divergence: its name.
    """

    mismatch: float
    error: float
    tolerance: float
    weight: float
    divergence: str

    @property
    def reached(self) -> bool:
        """Whether the mismatch is below the tolerance."""
        return self.mismatch <= self.tolerance

    def __str__(self) -> str:
        said = "below" if self.reached else "not below"
        return (
            f"the end is missed by {self.mismatch:.3g} ± {self.error:.1g} ({self.divergence}), "
            f"{said} the tolerance {self.tolerance:.3g}, at weight {self.weight:.4g}"
        )


def aimed(divergence: AbstractFunctional, goal: AbstractDensity) -> AbstractFunctional:
    """The divergence to another target."""
    return eqx.tree_at(lambda part: part.goal, divergence, goal)


def unbiased(divergence: AbstractFunctional, x: Batch, y: Batch) -> Scalar:
    """The divergence of two samples of one size, less the bias of both."""
    value = lambda part: aimed(divergence, Empirical(y[part])).value(Empirical(x[part]))
    return _crowd.unbiased(value, len(x))


def check_sampled(divergence: AbstractFunctional, goal: AbstractDensity) -> None:
    """Refuses a divergence or an end that cannot be had of samples, before training."""
    name = name_of(divergence)
    if divergence.goal is None:
        raise ValueError(
            f"`Augmented` got the divergence `{name}`, which compares with no law, expected one "
            "that does: pass `SinkhornDivergence(samples)` or `MMD(samples, kernel)`."
        )
    if duals(divergence):
        raise TypeError(
            f"`Augmented` got the divergence `{name}`, whose critic would stay untrained, expected "
            "one without: pass `SinkhornDivergence(samples)` or `MMD(samples, kernel)`, or declare "
            "it as the terminal cost and train by `Alternating`."
        )
    points = Empirical(jnp.zeros((2, goal.dim)))
    if not _crowd.suits(aimed(divergence, points), _crowd.empirical, goal.dim, varied=False):
        raise TypeError(
            f"`Augmented` got the divergence `{name}`, which asks for densities, expected one of "
            "samples: pass `SinkhornDivergence(samples)` or `MMD(samples, kernel)`."
        )
