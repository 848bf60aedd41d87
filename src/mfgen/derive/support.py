"""Is the terminal condition U(T, x) = dM/drho(x) defined for the data given?

For KL(rho || pi) it is log rho - log pi + 1: it needs a density pi, positive wherever rho can be,
and a density rho(T). A law on a set of lower dimension has none. Such sets are found in samples by

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
from mfgen.density.base import AbstractDensity, AbstractEvaluable
from mfgen.density.empirical import Empirical
from mfgen.density.energy import Unnormalised
from mfgen.density.gaussian import Gaussian
from mfgen.derive.verdict import Item, answer
from mfgen.problem.functional import AbstractFunctional
from mfgen.problem.game import MFG

TERMINAL = "dM/drho is defined at T"
_REFERENCE = "arXiv 2407.11901"
_POINTS = 1000
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
    functional, target_key, rho_key = game.terminal, *jax.random.split(key)
    targets = [part for part in _densities(functional) if isinstance(part, AbstractDensity)]
    for target in targets:
        if not isinstance(target, AbstractEvaluable):
            found = support(target, target_key)
            where = (
                f"; its {len(target.particles()[0])} points lie on {found}" if found.is_thin else ""
            )
            evidence = (
                f"the target `{type(target).__name__}` has no log-density, and the first variation "
                f"takes its logarithm: U(T) is undefined{where}"
            )
            return answer(TERMINAL, False, evidence, _REFERENCE, _REPAIR)
    # A target known by its energy has no samples; where the population is will do for it.
    targets = [target for target in targets if not isinstance(target, Unnormalised)]
    dim = rho.dim if rho is not None else targets[0].dim if targets else 2
    law = Gaussian(jnp.zeros(dim)) if rho is None else _normal(rho)
    points = [jnp.asarray(part.sample(200, key=target_key), float) for part in (law, *targets)]
    try:
        there = jnp.concatenate(points)
        values = np.asarray(eqx.filter_jit(jax.vmap(lambda x: functional.variation(law, x)))(there))
    except Exception as error:
        words = " ".join(str(error).split())[:300]
        return answer(TERMINAL, None, f"it could not be computed: {words}", _REFERENCE)
    undefined = ~np.isfinite(values)
    if undefined.any():
        evidence = (
            f"it is {values[undefined][0]} at {undefined.sum()} of {len(values)} points that the "
            "population can reach: the target is zero there"
        )
        return answer(TERMINAL, False, evidence, _REFERENCE, _REPAIR)
    takes_log = _takes_log_density(functional, there)
    if rho is not None and takes_log and game.dynamics.deterministic:
        found = support(rho, rho_key)
        if found.is_thin:
            evidence = f"the first density lies on {found}: without noise rho(T) has no logarithm"
            repair = "start from noised data, `rho.noised(1.0, h)`, or let sigma be positive"
            return answer(TERMINAL, False, evidence, _REFERENCE, repair)
    for target in targets:
        found = support(target, target_key)
        if found.is_thin:
            evidence = f"it is finite at {len(values)} points, but the target lies close to {found}"
            return answer(TERMINAL, None, evidence, _REFERENCE)
    evidence = f"it lies in [{values.min():.4g}, {values.max():.4g}] at {len(values)} points"
    return answer(TERMINAL, True, evidence, _REFERENCE)


def _takes_log_density(functional: AbstractFunctional, points: jax.Array) -> bool:
    """Whether the variation needs the population's logarithm: samples alone do not do."""
    try:
        functional.variation(Empirical(points), points[0])
    except TypeError:
        return True
    return False


def _densities(functional: AbstractFunctional) -> list:
    return jax.tree.leaves(functional, is_leaf=lambda part: isinstance(part, AbstractDensity))


def _normal(rho: AbstractDensity) -> Gaussian:
    mean, covariance = rho.moments()
    ridge = 1e-6 * (jnp.trace(covariance) / rho.dim + 1e-6)
    return Gaussian(mean, covariance + ridge * jnp.eye(rho.dim))


def _neighbours(points: np.ndarray) -> float:
    distances, _ = KDTree(points).query(points, k=3)
    ratios = distances[:, 2] / np.maximum(distances[:, 1], 1e-300)
    # The largest ratios are left out: they come from single points far away.
    kept = np.sort(np.log(ratios))[: max(2, int(0.9 * len(ratios)))]
    share = len(kept) / len(ratios)
    # Maximum likelihood for an exponential law that was cut off at the largest kept value.
    return len(kept) / (kept.sum() + kept[-1] * len(kept) * (1 - share) / share)
