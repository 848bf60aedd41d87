"""Gaussian mixtures by expectation and maximisation (EM), their size chosen on held-out data.

EM raises the likelihood at every step but ends where it started from, and a component can shrink
onto a few points: a ridge added to the covariances bounds the second, several starts of which the
best is continued help against the first. The number of components grows until the held-out
likelihood has stopped to, and the ridge falls while that helps: clusters far apart are narrow
beside the deviation of all. scikit-learn does the steps, and is imported when a mixture is asked
for.

References: A. Dempster, N. Laird, D. Rubin, "Maximum likelihood from incomplete data via the EM
algorithm" (1977); G. McLachlan, D. Peel, "Finite mixture models" (2000).
"""

import warnings
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from mfgen.models._heldout import Points, Split

COUNTS = (1, 2, 3, 5, 8, 12, 20, 40, 80)
MANY = (150, 300)  # in the plane, where a density of any shape can be tiled with kernels

# Ridges in units of the data's variance. With many points covariances need none but for rounding.
RIDGES = (1e-2, 1e-3, 1e-1)
NO_RIDGE = (1e-6,)

# The smallest, above rounding, and what a smaller one must gain in nats.
_LEAST, _GAIN = 1e-12, 1e-3

_PATIENCE = 2  # larger mixtures that may be worse than the best before the search ends
_SEARCH_STEPS, _START_STEPS, _STEPS = 40, 30, 300
_STARTED = 5000  # points that starts are compared on


class MixtureShape(NamedTuple):
    """The shape of a mixture: its number of components, their covariances, and the ridge."""

    components: int
    covariance: Literal["full", "diag"]
    ridge: float


class Mixture(NamedTuple):
    """A fitted mixture.

    Attributes:
        weights, means: `[K]` and `[K, dim]`.
        factors: Cholesky factors of the covariances, `[K, dim, dim]`.
        converged: whether EM gained less than its tolerance in its last step.
    """

    weights: Float[np.ndarray, "K"]
    means: Float[np.ndarray, "K dim"]
    factors: Float[np.ndarray, "K dim dim"]
    converged: bool


def search(
    splits: list[Split], counts: tuple[int, ...], ridges: tuple[float, ...], seed: int
) -> MixtureShape:
    """The candidate of the largest held-out likelihood.

    Both kinds of covariances are tried with growing numbers of components and the first ridge, the
    other ridges with the numbers about the best of each kind. Of the best the ridge is lowered
    while that helps, and then the number grows anew.
    """
    scores: dict[MixtureShape, float] = {}

    def score(candidate: MixtureShape) -> float:
        if candidate not in scores:
            scores[candidate] = _held_out(candidate, splits, seed)
        return scores[candidate]

    for kind in ("full", "diag"):
        best = _grown([MixtureShape(count, kind, ridges[0]) for count in counts], score)
        place = counts.index(best.components)
        for ridge in ridges[1:]:
            for count in counts[max(place - 1, 0) : place + 2]:
                score(MixtureShape(count, kind, ridge))
    best, tried = max(scores, key=lambda candidate: scores[candidate]), min(ridges)
    while best.ridge <= tried:
        lower = best._replace(ridge=0.1 * best.ridge)
        while lower.ridge >= _LEAST and score(lower) > score(best) + _GAIN:
            best, lower = lower, lower._replace(ridge=0.1 * lower.ridge)
        if best.ridge >= tried:
            break
        tried = best.ridge
        again = _grown([best._replace(components=count) for count in counts], score)
        best = again if score(again) > score(best) - _GAIN else best
    return best


def fitted(points: Points, candidate: MixtureShape, starts: int, seed: int) -> Mixture:
    """The mixture fitted to points `[n, dim]`: the best of several starts, continued."""
    few = points[:_STARTED]
    models = [_em(few, candidate, seed + start, _START_STEPS) for start in range(starts)]
    best = max(models, key=lambda model: model.lower_bound_)
    best.set_params(warm_start=True, max_iter=_STEPS, tol=1e-4)
    _fit(best, points)
    factors = best.covariances_
    if candidate.covariance == "full":
        factors = np.linalg.cholesky(factors)
    else:
        factors = np.sqrt(factors)[:, :, None] * np.eye(points.shape[1])
    return Mixture(best.weights_, best.means_, factors, bool(best.converged_))


def _grown(candidates: list[MixtureShape], score: Any) -> MixtureShape:
    """The best of candidates of growing size, looked through until they get worse."""
    best, worse = candidates[0], 0
    for candidate in candidates:
        worse = 0 if score(candidate) >= score(best) else worse + 1
        best = candidate if worse == 0 else best
        if worse == _PATIENCE:
            break
    return best


def _held_out(candidate: MixtureShape, splits: list[Split], seed: int) -> float:
    models = [(_em(split.train, candidate, seed, _SEARCH_STEPS), split) for split in splits]
    values = [model.score_samples(split.held_out) for model, split in models]
    return float(np.concatenate(values).mean())


def _em(points: Points, candidate: MixtureShape, seed: int, steps: int) -> Any:
    from sklearn.mixture import GaussianMixture

    model = GaussianMixture(
        candidate.components,
        covariance_type=candidate.covariance,
        reg_covar=candidate.ridge,
        max_iter=steps,
        random_state=seed,
    )
    return _fit(model, points)


def _fit(model: Any, points: Points) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits  # scikit-learn's own dependency

    # The products are many and small: threads would wait for one another, tens of times as long.
    with threadpool_limits(1), warnings.catch_warnings():
        # A start is cut short on purpose, and repeated points make fewer clusters than asked for.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(points)
