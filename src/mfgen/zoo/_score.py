"""Score-based generative models as a mean-field game.

    dX = [f(t, X) + sigma(t) v] dt + sigma(t) dW,   rho(0) = the noised data
    L  = |v|^2 / 2 - div f,    I = 0,    M(rho) = -E_rho[log pi]   (cross-entropy)

with f minus the noising drift. M is linear in rho, so the Hamilton-Jacobi-Bellman equation
decouples from the Fokker-Planck equation and is solved exactly by the Hopf-Cole transform

    U(t, x) = -log eta(S - t, x),      v* = sigma grad log eta,

eta(s, .) being the data pi noised up to time s. The first density of the game is the Gaussian with
the first two moments of the noised data at s = S; for a forward process that does not end at a
Gaussian it is the one that is given, or a kernel estimate from simulated paths. The game stops at
s = `start` of the noising; if the target can be noised exactly the terminal cost is that of
eta(start, .).

With labels, data (x, y), there is one such game for each label: eta(s, . | y) is the law of the
points with that label, noised, and U(t, x, y) = -log eta(S - t, x | y).

Reference: B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534, section 4.2.
"""

import jax
import jax.numpy as jnp

from mfgen import _check
from mfgen._types import Batch, Scalar, State, Time
from mfgen.costs._cost import ScoreLagrangian
from mfgen.densities._base import AbstractDensity, AbstractEvaluable, AbstractNoisable
from mfgen.densities._empirical import Empirical
from mfgen.densities._gaussian import Gaussian
from mfgen.densities._labels import Labelled, LabelledPoints
from mfgen.dynamics._noising import AbstractForward, AbstractNoising, TimeReversal
from mfgen.functionals._functional import CrossEntropy
from mfgen.games._game import MFG
from mfgen.games._labels import with_labels
from mfgen.models._precondition import moved

_PATHS = 2000  # whose ends make the estimate of the law at the noisy end


def score_based(
    noising: AbstractForward,
    target: AbstractDensity,
    *,
    reference: AbstractEvaluable | None = None,
) -> MFG:
    """The game whose solution is the score-based model of `target` under `noising`.

    Arguments:
        noising: `VP()`, `VE()`, `SubVP()`, `Noising(signal, noise)`, or a forward process such as
            `LinearNoising(A, G)` and `Diffusion(drift)`.
        target: the data, an `Empirical(points)`, `LabelledPoints(points, labels)`, or a density
            that is known exactly.
        reference: the law of the points at the noisy end, where samples begin, such as the
            stationary law of a `Diffusion`. If absent the Gaussian of the moments there, and for
            a `Diffusion` the kernel estimate from the ends of simulated paths.

    Returns:
        The game, with the reference at the noisy end as its initial density.

    Example:

        game = score_based(VP(), LabelledPoints(points, one_hot(classes, 10)))
        well = score_based(Diffusion(lambda s, y: y - y**3, horizon=4.0), Empirical(points))
    """
    _check.of_kind("score_based", "noising", noising, AbstractForward, "pass `VP()` or `VE()`")
    fix = "wrap data as `Empirical(points)`"
    _check.of_kind("score_based", "target", target, AbstractDensity, fix)
    if reference is not None:
        fix = "pass a density such as `Gaussian(mean, covariance)`"
        _check.of_kind("score_based", "reference", reference, AbstractEvaluable, fix)
    points = _points(target)
    labels = target.labels if isinstance(target, LabelledPoints | Labelled) else None
    end = _end(noising, points) if reference is None else reference
    if end.dim != points.dim:
        raise ValueError(
            f"`score_based` got a reference in {end.dim} dimensions for points in {points.dim}, "
            "expected as many: it is the law of points without labels."
        )
    dynamics = TimeReversal(noising)
    game = MFG(
        dynamics,
        ScoreLagrangian(dynamics),
        CrossEntropy(_at_start(noising, target)),
        initial=end if labels is None else Labelled(end, labels),
    )
    return with_labels(game)


def reference(noising: AbstractNoising, target: AbstractDensity) -> Gaussian:
    """N(alpha m, (alpha^2 c^2 + sigma^2) I) at the noisy end, m and c the moments of the target."""
    mean, covariance = target.moments()
    spread = jnp.trace(covariance) / target.dim
    signal, noise = noising.signal(noising.horizon), noising.noise(noising.horizon)
    variance = jnp.square(signal) * spread + jnp.square(noise)
    return Gaussian(signal * mean, variance * jnp.eye(target.dim))


def _points(target: AbstractDensity) -> AbstractDensity:
    """The law of the points, without their labels."""
    if isinstance(target, Labelled):
        return target.law
    if isinstance(target, LabelledPoints):
        return Empirical(target.rows[:, : target.dim - target.labels.shape[1]])
    return target


def _end(noising: AbstractForward, points: AbstractDensity) -> AbstractEvaluable:
    """The law of the noised points at the noisy end, or an estimate of it."""
    if isinstance(noising, AbstractNoising):
        return reference(noising, points)
    last = jnp.asarray(noising.horizon)
    if noising.closed:
        return _gaussian_end(noising, last, points)
    keys = jax.random.split(jax.random.key(0), 2)
    ends = moved(noising, last, points.sample(_PATHS, key=keys[0]), key=keys[1])
    if not bool(jnp.isfinite(ends).all()):
        raise ValueError(
            f"`score_based` got a `{type(noising).__name__}` whose simulated paths do not stay "
            "finite, expected one that carries the data to its horizon: take more `steps`, a "
            "shorter horizon, or a drift that points inward."
        )
    mean, covariance = Empirical(ends).moments()
    return _smoothed(ends, mean, jnp.sqrt(jnp.trace(covariance) / ends.shape[1]))


def _gaussian_end(noising: AbstractForward, s: Time, points: AbstractDensity) -> Gaussian:
    """The Gaussian of the moments of M x + R eps, by the derivatives of that map."""
    mean, covariance = points.moments()
    still = jnp.zeros_like(mean)
    at = lambda x, eps: noising.moved(s, x, eps)
    power, root = jax.jacfwd(at, argnums=(0, 1))(mean, still)
    return Gaussian(at(mean, still), power @ covariance @ power.T + root @ root.T)


def _smoothed(ends: Batch, mean: State, spread: Scalar) -> AbstractEvaluable:
    """A kernel estimate with the mean and the total variance of the points."""
    count, dim = ends.shape
    width = (4 / ((dim + 2) * count)) ** (1 / (dim + 4))
    centre = mean[None]
    shrunk = centre + jnp.sqrt(1 - width**2) * (ends - centre)
    return Empirical(shrunk).noised(1.0, width * spread)


def _at_start(noising: AbstractForward, target: AbstractDensity) -> AbstractDensity:
    if isinstance(target, Labelled):
        law = _at_start(noising, target.law)
        return Labelled(law, target.labels) if isinstance(law, AbstractEvaluable) else target
    if not isinstance(target, AbstractNoisable):
        return target
    if isinstance(noising, AbstractNoising):
        return target.noised(noising.signal(noising.start), noising.noise(noising.start))
    # So short a time after the data, the drift has not moved them yet.
    return target.noised(1.0, noising.noise(noising.start))
