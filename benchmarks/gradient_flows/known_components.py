"""What a model could know at best: a mixture fitted with the component of each sample given.

Each component has the predictive mean and covariance of a conjugate (normal, inverse Wishart) prior
of the right size, weights are smoothed counts. No model is told the components, so that what it
reaches is a mark for what the samples can tell, not a bound that holds in every draw.

Reference: A. Gelman et al., "Bayesian data analysis", 3rd edition (2013), section 3.6.
"""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from mfgen.densities import mixture20

_SHRINK, _VARIANCE, _PULL, _EXTRA = 4.0, 0.03, 0.02, 1.0  # of the prior, in units of the data
_LEFT = 0.03  # the noise that is left at the end of the game
_POINTS = 4000


def known_components(count: int, seed: int) -> float:
    """KL(truth || fit) of so many samples of `mixture20()`, each with its component, in nats."""
    weights, means, covariances = _truth()
    rng = np.random.default_rng((count, seed))
    own, train = _drawn(rng, weights, means, covariances, count)
    _, fresh = _drawn(rng, weights, means, covariances, _POINTS)
    fitted = [_component(train[own == k]) for k in range(len(weights))]
    counts = np.bincount(own, minlength=len(weights)) + _EXTRA
    model = [counts / counts.sum(), *map(np.stack, zip(*fitted, strict=True))]
    gap = _log_density(fresh, weights, means, covariances) - _log_density(fresh, *model)
    return float(gap.mean())


def _truth() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, means and covariances in units of the data, with the noise that is left."""
    law = mixture20()
    mean, covariance = law.moments()
    scale = jnp.sqrt(jnp.trace(covariance) / 2)
    noised = law.noised(1 / scale, _LEFT)
    matrices = jax.vmap(lambda covariance: covariance.matrix(2))(noised.covariances)
    weights = np.exp(np.asarray(law.log_weights, float))
    return weights / weights.sum(), np.asarray(noised.means - mean / scale), np.asarray(matrices)


def _drawn(rng, weights, means, covariances, count: int) -> tuple[np.ndarray, np.ndarray]:
    own = rng.choice(len(weights), count, p=weights)
    factors = np.linalg.cholesky(covariances)[own]
    return own, means[own] + np.einsum("nij,nj->ni", factors, rng.normal(size=(count, 2)))


def _component(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    count = len(points)
    if count == 0:
        return np.zeros(2), np.eye(2)
    mean, pull = points.mean(axis=0), _PULL + count
    scatter = (points - mean).T @ (points - mean) + _SHRINK * _VARIANCE * np.eye(2)
    scatter += _PULL * count / pull * np.outer(mean, mean)
    return count * mean / pull, scatter / (_SHRINK + count) * (1 + 1 / pull)


def _log_density(points, weights, means, covariances) -> np.ndarray:
    parts = zip(weights, means, covariances, strict=True)
    logs = [np.log(w) + multivariate_normal(m, c).logpdf(points) for w, m, c in parts]
    return logsumexp(logs, axis=0)
