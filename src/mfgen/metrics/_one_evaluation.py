"""Divergence and likelihood of the density of a potential, with the error of its integral.

For q = exp(-U) / Z and n samples of the truth pi

    KL(pi || q) = E_pi[log pi + U] + log Z,

and log Z has two estimates: that of the model's own points, with its error e, and a second one from
the samples themselves, Z = E_pi[r] Z for r = q / pi. A mixture of both, with a = -log r,

    KL ~ mean(a) + c log mean(r),        variance  var(a + c r / m) / n + (1 - c)^2 e^2,

m = mean(r), holds (1 - c) of an error of log Z. It is least at

    c = (n e^2 - cov(a, r / m)) / (n e^2 + var(r / m)).

Near the truth a is nearly 1 - r and c nearly 1: what is left is of second order, as the divergence
itself is. Where r has heavy tails, and the samples of pi do not tell Z, c vanishes. It is set to
zero where the two differ by more than three errors: exp(-U) has mass then that no sample of pi
sees.

    held-out likelihood = E_data[-U] - log Z

has no such help. Errors of the mean and of log Z are independent, and added in squares. They do not
hold the bias of log Z, of order 1/n, nor mass of exp(-U) where no point was drawn: both make the
divergence too small.

Reference: A. B. Owen, "Monte Carlo theory, methods and examples" (2013), section 8.9.
"""

import math

import numpy as np

from mfgen._types import Given
from mfgen.densities._base import AbstractEvaluable
from mfgen.metrics import _door
from mfgen.metrics._estimate import Estimate, mean_number
from mfgen.metrics._likelihood import evaluate, mean_log_likelihood
from mfgen.metrics._potential_density import PotentialDensity

_AGREE = 3  # errors by which two estimates of log Z may differ


def one_evaluation_kl(truth: AbstractEvaluable, law: PotentialDensity, samples: Given) -> Estimate:
    """KL(truth || exp(-U) / Z) in nats, from samples of the truth.

    Arguments:
        truth: the density the samples come from.
        law: of the potential, by `potential_density`.
        samples: independent points of the truth, `[n, dim]`.

    Returns:
        The estimate; infinite where the law has no mass. Its error holds that of log Z, but no
        bias of it, and no mass where nothing was drawn.

    Raises:
        ValueError: fewer than 2 samples.

    Example:

        law = potential_density(game, model, key=key)
        one_evaluation_kl(truth, law, truth.sample(4096, key=key))
    """
    points = _door.held("one_evaluation_kl", "samples", samples)
    exact = np.asarray(evaluate(truth.log_density, points), np.float64)
    gaps = exact - np.asarray(law.log_prob(points), np.float64)
    if not np.isfinite(gaps).all():
        return mean_number(gaps)
    ratios = np.exp(gaps.min() - gaps)  # up to a factor, which is beside the point in r / m
    log_mean = math.log(ratios.mean()) - gaps.min()
    ratios /= ratios.mean()
    noise = len(gaps) * float(law.log_normaliser.standard_error) ** 2
    spread = noise + ratios.var(ddof=1)
    share = 0.0
    if abs(log_mean) <= _AGREE * math.sqrt(spread / len(gaps)) and spread > 0:
        share = (noise - np.cov(gaps, ratios)[0, 1]) / spread
    found = mean_number(gaps + share * (ratios - 1))
    value = Estimate(found.value + share * log_mean, found.standard_error)
    return _with_normaliser(value, law, 1 - share)


def one_evaluation_log_likelihood(
    law: PotentialDensity, points: Given, log_jacobian: float = 0.0
) -> Estimate:
    """The mean of log(exp(-U) / Z) over held-out points, in nats, in their original units.

    Arguments:
        law: of the potential, by `potential_density`.
        points: held-out points in the units of the game, `[n, dim]`.
        log_jacobian: log |dz/dx| of the map from original units x to those of the game, z.

    Returns:
        The estimate; its error as that of `one_evaluation_kl`.

    Raises:
        ValueError: fewer than 2 points.
    """
    held = _door.held("one_evaluation_log_likelihood", "points", points)
    return _with_normaliser(mean_log_likelihood(law.log_prob(held), log_jacobian), law)


def _with_normaliser(mean: Estimate, law: PotentialDensity, slope: float = 1.0) -> Estimate:
    """The estimate with the error of log Z, on which it depends with a slope."""
    own = slope * float(law.log_normaliser.standard_error)
    return Estimate(mean.value, math.hypot(float(mean.standard_error), own))
