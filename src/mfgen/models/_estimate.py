"""Classical density estimates as models of a score-based game: kernels and mixtures fitted to data.

Both are Gaussian mixtures, which noising keeps, so that they solve the HJB equation exactly and
need no training by gradients. They are what a network has to beat.

    kernels     rho = (1/n) sum_i N(x_i, h^2 S),   S the mean variance times I, or the covariance
    mixture     rho = sum_k w_k N(m_k, C_k),       fitted by expectation and maximisation (EM)

What is free (h and S; the number of components, full or diagonal C_k, and the ridge added to them)
is chosen by the likelihood of points held out from the data given; the estimate with it is then
made of all of them. Equal rows are held out together. A search that stops at an end of its range,
and an EM that is cut short, are warned of. The estimates are of the data without noise; the noising
is the model's.

References: B. W. Silverman, "Density estimation for statistics and data analysis" (1986), section
3.4.4; A. Dempster, N. Laird, D. Rubin, "Maximum likelihood from incomplete data via the EM
algorithm" (1977); B. J. Zhang et al. (2024), arXiv 2402.06162 (kernel models of the score).
"""

import warnings

import jax.numpy as jnp
import numpy as np

from mfgen._types import Count, Given, Key
from mfgen.games._game import MFG
from mfgen.math._count import count, whole
from mfgen.models import _heldout, _mixing
from mfgen.models._bandwidth import BANDWIDTHS, Bandwidths, best_bandwidth, correlated, isotropic
from mfgen.models._kernel import KernelPotential
from mfgen.models._smoothed import SmoothedPotential

_JUDGED, _SUBSET = 5000, 1000  # points judged by: all up to the first, else so many
# Mixtures: cross-validated up to so many points, searched and fitted on at most so many.
_FEW, _SEARCHED, _FITTED = 2000, 5000, 20_000
_PLANE, _MANY = 2, 5000


def kernel_estimate(
    game: MFG,
    data: Given,
    *,
    folds: int = 5,
    bandwidths: Bandwidths = BANDWIDTHS,
    key: Key | None = None,
) -> SmoothedPotential:
    """The Gaussian kernel density estimate of the data, with its bandwidth cross-validated.

    Kernels are round or have the shape of the data's covariance, whichever predicts held-out points
    better.

    Arguments:
        game: from `score_based`.
        data: samples `[n, dim]`.
        folds: of the cross-validation.
        bandwidths: where to look first, in deviations of the data; then beyond, if the best is at
            an end, and between the best ones. One alone is taken.
        key: random key of the folds; always the same ones if absent.

    Raises:
        ValueError: for data that are none or do not fit the game, bad folds or bandwidths.
        TypeError: if the game is not score-based.
    """
    noising, points = _heldout.data_of("kernel_estimate", game, data, folds)
    widths = np.asarray(bandwidths, float).reshape(-1)
    if widths.size == 0 or not np.all(np.isfinite(widths) & (widths > 0)):
        raise ValueError(
            f"`kernel_estimate` got bandwidths = {bandwidths}, expected positive numbers: pass "
            "some, or leave them out."
        )
    judged = len(points) if len(points) <= _JUDGED else _SUBSET
    splits = _heldout.folds(points, folds, _heldout.generator(key), judged=judged)
    found = [(best_bandwidth(splits, shape, widths), shape) for shape in (isotropic, correlated)]
    best, shape = max(found, key=lambda pair: pair[0].log_likelihood)
    if not best.inside:
        warnings.warn(
            f"`kernel_estimate` got the largest likelihood at the last bandwidth that it tried, "
            f"{best.value:.3g} deviations, expected one inside the range: look for rows that "
            "nearly repeat, or for a few very far from all others.",
            stacklevel=2,
        )
    return SmoothedPotential(noising, _floats(points), _floats(best.value**2 * shape(points)))


def mixture_estimate(
    game: MFG,
    data: Given,
    *,
    components: Count | None = None,
    folds: int = 5,
    starts: Count = 4,
    key: Key,
) -> KernelPotential:
    """A Gaussian mixture fitted to the data by EM, its size chosen on held-out data.

    Up to 2,000 samples are cross-validated; of more a tenth is held out. At most 20,000 samples,
    chosen at random, are fitted to.

    Arguments:
        game: from `score_based`.
        data: samples `[n, dim]`.
        components: the number of components; chosen if absent.
        folds: of the cross-validation.
        starts: of EM, the best of which is continued.
        key: random key of the splits and starts.

    Raises:
        ValueError: for data that are none or do not fit the game, bad folds or starts, or more
            components than samples to fit them to.
        TypeError: if the game is not score-based.
    """
    noising, points = _heldout.data_of("mixture_estimate", game, data, folds)
    starts = count("mixture_estimate", "starts", starts, advice="pass starts=4")
    rng = _heldout.generator(key)
    # EM starts from clusters and adds one ridge to all axes: both want coordinates of one size.
    mean, scale = points.mean(axis=0), points.std(axis=0)
    standard = (points - mean) / scale
    if len(points) <= _FEW:
        splits, ridges = _heldout.folds(standard, folds, rng, judged=_FEW), _mixing.RIDGES
    else:
        splits = _heldout.holdout(standard, rng, fraction=0.1, most=_SEARCHED)
        ridges = _mixing.NO_RIDGE
    counts = _counts(components, points.shape, min(len(split.train) for split in splits))
    seed = int(rng.integers(2**31 - starts))
    chosen = _mixing.search(splits, counts, ridges, seed)
    fit = _mixing.fitted(rng.permutation(standard)[:_FITTED], chosen, starts, seed)
    if components is None and 1 < chosen.components == counts[-1]:
        warnings.warn(
            f"`mixture_estimate` got the largest likelihood with {counts[-1]} components, the most "
            "that it tried: more may be better, pass `components`.",
            stacklevel=2,
        )
    if not fit.converged:
        warnings.warn(
            f"`mixture_estimate` got an EM of {chosen.components} components that still rises "
            "after all steps: pass fewer `components`, or take it as it is.",
            stacklevel=2,
        )
    factors = scale[:, None] * fit.factors
    full = chosen.covariance == "full"
    return KernelPotential(
        noising,
        _floats(np.log(fit.weights)),
        _floats(mean + scale * fit.means),
        _floats(np.log(np.diagonal(factors, axis1=1, axis2=2))),
        _floats(np.tril(factors, -1)) if full else None,
    )


def _counts(components: Count | None, shape: tuple[int, ...], train: int) -> tuple[int, ...]:
    """The numbers of components to try."""
    if components is None:
        many = _mixing.MANY if shape[1] == _PLANE and shape[0] >= _MANY else ()
        return tuple(count for count in (*_mixing.COUNTS, *many) if count <= max(train // 2, 1))
    number = whole(components)
    if number is None or not 1 <= number <= train:
        raise ValueError(
            f"`mixture_estimate` got components = {components} for {train} samples to fit them to, "
            "expected between 1 and as many: pass fewer components."
        )
    return (number,)


def _floats(values: np.ndarray):
    return jnp.asarray(values, float)
