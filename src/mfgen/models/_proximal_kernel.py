"""The Wasserstein-proximal kernel model: kernels near the data, with precisions learned locally.

The regularised Wasserstein proximal of a law pi moves mass by the kernel

    K(x | y) = pi(x) G_b(x - y) / (pi * G_b)(y),    G_b = N(0, b^2 I),

the law of a point of pi given its noised place y; it carries pi * G_b back to pi. For n samples it
has atoms with the weights r_i(y) of a softmax of -|x_i - y|^2 / 2 b^2, so that a score made of it
copies the data. Here the kernel at each sample is the Gaussian of the same two moments, widened:

    m_j = sum_i r_i(x_j) x_i,   C_j = sum_i r_i(x_j) (x_i - m_j)(x_i - m_j)^T + h^2 I,
    rho = (1/n) sum_j N(m_j, C_j).

For b -> 0 this is the kernel density estimate of bandwidth h, for b -> infinity one Gaussian. Both
are learned by the likelihood of held-out points. Noising keeps Gaussian mixtures, so the model
solves the Hamilton-Jacobi-Bellman equation exactly, and its precisions can be trained further.

References: B. J. Zhang et al., "Wasserstein proximal operators describe score-based generative
models and resolve memorization" (2024), arXiv 2402.06162; P. Vincent, Y. Bengio, "Manifold Parzen
windows" (2002) (local covariances).
"""

import warnings
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist
from scipy.special import logsumexp, softmax

from mfgen._types import Given, Key
from mfgen.dynamics._dynamics import positive
from mfgen.games._game import MFG
from mfgen.models import _heldout
from mfgen.models._heldout import Points, Split
from mfgen.models._kernel import KernelPotential

# In deviations of the coordinates: from finer than most structure to a good part of all data.
_REACHES = tuple(float(b) for b in np.geomspace(0.03, 1.0, 12))
_WIDTHS = tuple(float(h) for h in np.geomspace(0.01, 1.0, 20))
# Values beyond an end that are tried at once, how often, and what they must gain in nats.
_FURTHER, _BEYOND, _GAIN = 4, 12, 1e-3
_MOST = 5000  # samples: the work grows with their square
_JUDGED = 1000  # of them, in all folds


class _Local(NamedTuple):
    """Means `[n, dim]`, and axes `[n, dim, dim]` and variances `[n, dim]` of local covariances."""

    means: Points
    axes: Float[np.ndarray, "n dim dim"]
    variances: Float[np.ndarray, "n dim"]


def proximal_kernel(
    game: MFG,
    data: Given,
    *,
    reach: float | None = None,
    width: float | None = None,
    folds: int = 10,
    key: Key | None = None,
) -> KernelPotential:
    """The Wasserstein-proximal kernel model of the data: one Gaussian near each sample.

    Arguments:
        game: from `score_based`.
        data: samples `[n, dim]`, at most 5,000.
        reach: b, how far samples inform each other's kernels, in deviations of the coordinates;
            chosen on held-out points if absent.
        width: h, what is added to the local deviations, in the same units; likewise.
        folds: of the cross-validation.
        key: random key of the folds; always the same ones if absent.

    Returns:
        A mixture of n Gaussians with full covariances, in the order of the samples.

    Raises:
        ValueError: for data that do not fit the game, are too many, or do not vary in a
            coordinate; for bad folds, and for a reach or width that is not positive.
        TypeError: if the game is not score-based.

    Reference: B. J. Zhang et al. (2024), arXiv 2402.06162.
    """
    noising, points = _heldout.data_of("proximal_kernel", game, data, folds)
    if len(points) > _MOST:
        raise ValueError(
            f"`proximal_kernel` got {len(points)} samples, expected at most {_MOST}: pass fewer, "
            "or use `mixture_estimate`."
        )
    for name, value in (("reach", reach), ("width", width)):
        if value is not None:
            positive("proximal_kernel", name, value)
    mean, deviations = points.mean(axis=0), points.std(axis=0)
    standard = (points - mean) / deviations
    if reach is None or width is None:
        splits = _heldout.folds(standard, folds, _heldout.generator(key), judged=_JUDGED)
        reaches = _REACHES if reach is None else (reach,)
        widths = _WIDTHS if width is None else (width,)
        reach, width = _chosen(splits, reaches, widths)
    local = _local(standard, reach)
    spectrum = np.sqrt(local.variances + width**2)
    roots = deviations[None, :, None] * local.axes * spectrum[:, None, :]
    factors = np.linalg.cholesky(roots @ roots.transpose(0, 2, 1))
    return KernelPotential(
        noising,
        jnp.zeros(len(points)),
        jnp.asarray(mean + deviations * local.means, float),
        jnp.asarray(np.log(np.diagonal(factors, axis1=1, axis2=2)), float),
        jnp.asarray(np.tril(factors, -1), float),
    )


def _local(points: Points, reach: float) -> _Local:
    """The first two moments of the proximal kernel of the empirical law at each point."""
    weights = softmax(-0.5 * cdist(points, points, "sqeuclidean") / reach**2, axis=1)
    means = weights @ points
    products = (points[:, :, None] * points[:, None, :]).reshape(len(points), -1)
    seconds = (weights @ products).reshape(len(points), *points.shape[1:], -1)
    variances, axes = np.linalg.eigh(seconds - means[:, :, None] * means[:, None, :])
    return _Local(means, axes, np.maximum(variances, 0.0))


def _chosen(
    splits: list[Split], reaches: tuple[float, ...], widths: tuple[float, ...]
) -> tuple[float, float]:
    """The reach and the width of the largest held-out likelihood.

    Where it is at an end of the values to try, further ones are tried beyond it while that helps;
    for a reach both ends are estimates in their own right.
    """
    table = _scores(splits, reaches, widths)
    for _ in range(_BEYOND):
        row, column = map(int, np.unravel_index(np.argmax(table), table.shape))
        best, more, wider = table[row, column], _beyond(reaches, row), _beyond(widths, column)
        reaches, widths = (*reaches, *more), (*widths, *wider)
        if wider:
            there = np.full((len(table), len(wider)), -np.inf)
            there[row] = _scores(splits, (reaches[row],), wider)[0]
            table = np.concatenate([table, there], axis=1)
        if more:
            table = np.concatenate([table, _scores(splits, more, widths)])
        if not np.max(table) > best + _GAIN:
            return reaches[row], widths[column]
    row, column = map(int, np.unravel_index(np.argmax(table), table.shape))
    warnings.warn(
        f"`proximal_kernel` got the largest likelihood at the last values that it tried, reach = "
        f"{reaches[row]:.3g} and width = {widths[column]:.3g}: look for rows that nearly repeat, "
        "or pass them.",
        stacklevel=3,
    )
    return reaches[row], widths[column]


def _beyond(values: tuple[float, ...], index: int) -> tuple[float, ...]:
    """Further values beyond the end at which the best one is; none if it is at no end."""
    ordered = sorted(values)
    if len(values) == 1 or values[index] not in (ordered[0], ordered[-1]):
        return ()
    low = values[index] == ordered[0]
    end, ratio = (ordered[0], ordered[0] / ordered[1]) if low else (ordered[-1], 0.0)
    ratio = ratio or ordered[-1] / ordered[-2]
    return tuple(end * ratio**k for k in range(1, _FURTHER + 1))


def _scores(
    splits: list[Split], reaches: tuple[float, ...], widths: tuple[float, ...]
) -> Float[np.ndarray, "reaches widths"]:
    """The mean held-out log-likelihood, up to a constant."""
    scores = np.zeros((len(reaches), len(widths)))
    for train, held_out in splits:
        for row, reach in enumerate(reaches):
            local = _local(train, reach)
            offsets = held_out[:, None, :] - local.means[None, :, :]
            squares = np.einsum("pki,kij->pkj", offsets, local.axes) ** 2
            for column, width in enumerate(widths):
                variances = local.variances + width**2
                exponents = np.sum(squares / variances + np.log(variances), axis=2)
                scores[row, column] += logsumexp(-0.5 * exponents, axis=1).sum()
    return scores / sum(len(split.held_out) for split in splits)
