"""Is the terminal condition U(T, x) = dM/drho(x) defined for the data given?

For KL(rho || pi) it is log rho - log pi + 1: it needs a density pi, positive wherever rho can be,
and a density rho(T). A discrepancy of kernels, or a transport cost, needs samples only: what a
functional needs of a law is seen by giving it samples. A law on a set of lower dimension has no
density. Such sets are found in samples by

    the rank of the covariance          linear subspaces
    r2 / r1, the ratio of the distances to the two nearest neighbours, whose logarithm has mean
    1 / (dimension)                     curved sets

the second next to that of as many standard normal samples, since it is biased in high dimension.

References: E. Facco et al., "Estimating the intrinsic dimension of datasets by a minimal
neighborhood information" (2017), Scientific Reports 7; on the repair: Z. Chen et al., "Combining
Wasserstein-1 and Wasserstein-2 proximals" (2024), arXiv 2407.11901.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import KDTree

from mfgen._types import Key
from mfgen.densities._base import (
    AbstractDensity,
    AbstractEvaluable,
    densities,
    with_densities,
)
from mfgen.densities._empirical import Empirical
from mfgen.densities._energy import Unnormalised
from mfgen.densities._gaussian import Gaussian
from mfgen.derive._probe import doubled, normal_like
from mfgen.derive._verdict import Item, reason, verdict
from mfgen.functionals._functional import AbstractFunctional
from mfgen.games._game import MFG

TERMINAL = "dM/drho is defined at T"
_REFERENCE = "arXiv 2407.11901"
_POINTS = 1000
_FEW = 200  # points of a target at which a variation is tried
_SHARE = 0.7  # of the dimension that normal samples show
_FLAT = 1e-10  # of the largest variance
_REPAIR = (
    "noise the target, `target.noised(1.0, h)`, or replace the divergence by its Lipschitz "
    "regularisation (W1), which is finite on any support"
)


class Support(NamedTuple):
    """The dimension of the set samples lie on.

    Attributes:
        dim: of the space.
        rank: of the covariance.
        estimate, expected: dimension by nearest neighbours, of the samples and of normal ones.
    """

    dim: int
    rank: int
    estimate: float
    expected: float

    @property
    def is_thin(self) -> bool:
        return self.rank < self.dim or bool(self.estimate < _SHARE * self.expected)

    def __str__(self) -> str:
        if self.rank < self.dim:
            return f"a subspace of dimension {self.rank} in {self.dim}"
        return (
            f"a set of dimension {self.estimate:.2g} by nearest neighbours, where normal samples "
            f"in {self.dim} dimensions show {self.expected:.2g}"
        )


def support(density: AbstractDensity, key: Key) -> Support:
    """The dimension of the set a density's samples lie on."""
    if isinstance(density, AbstractEvaluable):
        points = np.asarray(density.sample(_POINTS, key=key), float)
    else:  # the data themselves: drawn with replacement they would repeat
        points = np.asarray(density.particles()[0], float)
        points = points[np.random.default_rng(0).permutation(len(points))[: 2 * _POINTS]]
    points = np.unique(points, axis=0)
    covariance = (
        np.atleast_2d(np.cov(points.T)) if len(points) > 1 else np.zeros((density.dim,) * 2)
    )
    variances = np.linalg.eigvalsh(covariance)
    rank = int(np.sum(variances > _FLAT * max(variances.max(), 1e-300)))
    rank = min(rank, max(len(points) - 1, 0))
    if rank < density.dim:
        return Support(density.dim, rank, float(rank), float(density.dim))
    normal = np.random.default_rng(1).normal(size=points.shape)
    return Support(density.dim, rank, _neighbours(points), _neighbours(normal))


def terminal(game: MFG, rho: AbstractDensity | None, key: Key) -> Item:
    """Whether the terminal cost has a first variation for the target and the population given."""
    functional, target_key, rho_key = doubled(game.terminal), *jax.random.split(key)
    every = densities(functional)
    # A target known by its energy has no samples; where the population is will do for it.
    targets = [target for target in every if not isinstance(target, Unnormalised)]
    dim = rho.dim if rho is not None else every[0].dim if every else 2
    law = Gaussian(jnp.zeros(dim, float)) if rho is None else normal_like(doubled(rho))
    points = [jnp.asarray(part.sample(200, key=target_key), float) for part in (law, *targets)]
    there = jnp.concatenate(points)
    thinned = with_densities(functional, _few)
    smooth = lambda law: law if isinstance(law, AbstractEvaluable) else normal_like(law)
    try:
        values = np.asarray(eqx.filter_jit(jax.vmap(lambda x: thinned.variation(law, x)))(there))
    except Exception as error:
        for target in targets:
            if not isinstance(target, AbstractEvaluable) and _works(
                with_densities(functional, smooth), law, there[0]
            ):
                return _without_density(target, target_key)
        said = reason(error)
        return verdict(TERMINAL, None, f"it could not be computed: {said}", _REFERENCE)
    undefined = ~np.isfinite(values)
    if undefined.any():
        why = ": the target is zero there" if every else ""
        evidence = (
            f"it is {values[undefined][0]} at {undefined.sum()} of {len(values)} points that the "
            f"population can reach{why}"
        )
        return verdict(TERMINAL, False, evidence, _REFERENCE, _REPAIR)
    takes_log = not _works(thinned, Empirical(there), there[0])
    if rho is not None and takes_log and game.dynamics.deterministic:
        found = support(rho, rho_key)
        if found.is_thin:
            evidence = f"the first density lies on {found}: without noise rho(T) has no logarithm"
            repair = "start from noised data, `rho.noised(1.0, h)`, or let sigma be positive"
            return verdict(TERMINAL, False, evidence, _REFERENCE, repair)
    if targets and not _works(with_densities(functional, _sampled), law, there[0]):
        for target in targets:
            found = support(target, target_key)
            if found.is_thin:
                said = f"it is finite at {len(values)} points, but the target lies close to {found}"
                return verdict(TERMINAL, None, said, _REFERENCE)
    evidence = f"it lies in [{values.min():.4g}, {values.max():.4g}] at {len(values)} points"
    return verdict(TERMINAL, True, evidence, _REFERENCE)


def _without_density(target: AbstractDensity, key: Key) -> Item:
    found = support(target, key)
    where = f"; its {len(target.particles()[0])} points lie on {found}" if found.is_thin else ""
    evidence = (
        f"the target `{type(target).__name__}` has no log-density, and the first variation takes "
        f"its logarithm: U(T) is undefined{where}"
    )
    return verdict(TERMINAL, False, evidence, _REFERENCE, _REPAIR)


def _works(functional: AbstractFunctional, law: AbstractDensity, x: jax.Array) -> bool:
    """Whether the variation can be had of these laws, without computing it."""
    try:
        jax.eval_shape(lambda x: functional.variation(law, x), x)
    except Exception:
        return False
    return True


def _few(target: AbstractDensity) -> AbstractDensity:
    """At most some hundred of its points, if it is known by points."""
    if isinstance(target, AbstractEvaluable) or len(target.particles()[0]) <= _FEW:
        return target
    return _sampled(target)


def _sampled(target: AbstractDensity) -> AbstractDensity:
    if isinstance(target, Unnormalised):
        return target
    return Empirical(target.sample(_FEW, key=jax.random.key(0)))


def _neighbours(points: np.ndarray) -> float:
    distances, _ = KDTree(points).query(points, k=3)
    ratios = distances[:, 2] / np.maximum(distances[:, 1], 1e-300)
    # The largest ratios are left out: they come from single points far away.
    kept = np.sort(np.log(ratios))[: max(2, int(0.9 * len(ratios)))]
    share = len(kept) / len(ratios)
    # Maximum likelihood for an exponential law that was cut off at the largest kept value.
    return len(kept) / (kept.sum() + kept[-1] * len(kept) * (1 - share) / share)
