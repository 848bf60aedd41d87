"""Divergence and likelihood of the density of a potential, with the error of its integral.

For q = exp(-U) / Z and n samples of the truth pi

    KL(pi || q) = E_pi[a],      a = log pi + U + log Z,

and since q is a density, E_pi[r - 1] = 0 for r = exp(-a): a control variate. The estimate is

    mean(a + b (r - 1)),        variance  var(a + b r) / n + (1 - b m)^2 e^2,

with m = mean(r) and e the error of log Z, and b is where the variance is least,

    b = (n m e^2 - cov(a, r)) / (n m^2 e^2 + var(r)).

Near the truth a is nearly 1 - r, so b is nearly 1: what is left is of second order, as the
divergence itself is. Where r has heavy tails b vanishes and the plain mean is left.

    held-out likelihood = E_data[-U] - log Z

has no such help. The errors of mean and log Z are independent, and added in squares. They do not
hold the bias of log Z, of order 1/n, nor mass of exp(-U) where no point was drawn: both make the
divergence too small.

Reference: A. B. Owen, "Monte Carlo theory, methods and examples" (2013), section 8.9.
"""

import math

import numpy as np

from mfgen._types import Given
from mfgen.density.base import AbstractEvaluable
from mfgen.metrics import door
from mfgen.metrics.estimate import Estimate, mean_number
from mfgen.metrics.likelihood import evaluate, mean_log_likelihood
from mfgen.metrics.potential_density import PotentialDensity


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
    points = door.held("one_evaluation_kl", "samples", samples)
    exact = np.asarray(evaluate(truth.log_density, points), np.float64)
    gaps = exact - np.asarray(law.log_prob(points), np.float64)
    if not np.isfinite(gaps).all():
        return mean_number(gaps)
    with np.errstate(over="ignore", invalid="ignore"):
        ratios = np.exp(-gaps)
        mean, noise = ratios.mean(), len(gaps) * float(law.log_normaliser.standard_error) ** 2
        weight = noise * mean - np.cov(gaps, ratios)[0, 1]
        weight /= noise * mean**2 + ratios.var(ddof=1)
    if not np.isfinite(weight):  # ratios all equal, or beyond the range of floats
        weight, ratios = 0.0, np.ones_like(gaps)
    found = mean_number(gaps + weight * (ratios - 1))
    return _with_normaliser(found, law, float(1 - weight * ratios.mean()))


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
    held = door.held("one_evaluation_log_likelihood", "points", points)
    return _with_normaliser(mean_log_likelihood(law.log_prob(held), log_jacobian), law)


def _with_normaliser(mean: Estimate, law: PotentialDensity, slope: float = 1.0) -> Estimate:
    """The estimate with the error of log Z, on which it depends with a slope."""
    own = slope * float(law.log_normaliser.standard_error)
    return Estimate(mean.value, math.hypot(float(mean.standard_error), own))
