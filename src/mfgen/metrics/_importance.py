"""Importance sampling: a model's points weighted to follow a target known by its energy.

    x_i ~ q,      log w_i = -V(x_i) - log q(x_i),      E_q[w] = Z = int exp(-V)

    log Z          log mean(w)                          error  sd(w) / (mean(w) sqrt n)
    E_pi[f]        m = mean(w f) / mean(w)              error  sd(w (f - m)) / (mean(w) sqrt n)
    KL(q || pi)    log mean(w) - mean(log w)            error  sd(w / mean(w) - log w) / sqrt n
    effective sample size     e = mean(w)^2 / mean(w^2), between 1/n and 1
                              error  e sd(2 w / mean(w) - w^2 / mean(w^2)) / sqrt n

Standard errors are those of the delta method; the bias of the logarithm and of the ratio is of
order 1/n and not contained in them. All of it is told by the points of q alone: a mode of the
target where q has no points is not seen by any of these numbers. An effective sample of few points,
n times the fraction, says that the estimate and its error rest on those few.

References:
    L. Kish, "Survey sampling" (1965); A. B. Owen, "Monte Carlo theory, methods and examples"
    (2013), chapter 9.
"""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from mfgen._types import Given, Scalar, State
from mfgen.densities._base import AbstractEvaluable
from mfgen.metrics import _door
from mfgen.metrics._estimate import Estimate, mean_number
from mfgen.metrics._likelihood import evaluate


def log_weights(
    target: AbstractEvaluable,
    model_log_density: Callable[[State], Scalar] | Given,
    samples: Given,
) -> Float[np.ndarray, "n"]:
    """log w = log target - log model at samples of the model.

    Arguments:
        target: the law aimed at; for an `Unnormalised` one its log density is -V.
        model_log_density: log-density of the model at one point `[dim]`; or its values `[n]`.
        samples: independent points of the model, `[n, dim]`.

    Returns:
        `[n]` in float64, minus infinity where the target has no mass.

    Raises:
        ValueError: no samples, or values that are not one per sample.
    """
    points = _door.held("log_weights", "samples", samples, least=1)
    if callable(model_log_density):
        model_log_density = evaluate(model_log_density, points)
    model = _door.values("log_weights", "model_log_density", model_log_density, least=1)
    if model.size != len(points):
        raise ValueError(
            f"`log_weights` got {model.size} values in `model_log_density` for {len(points)} "
            "samples, expected one per sample: evaluate the model at the same points."
        )
    return np.asarray(evaluate(target.log_density, points), np.float64) - model


def effective_sample_size(log_weights: _door.Numbers) -> float:
    """mean(w)^2 / mean(w^2): 1 for equal weights, 1/n if one of them dominates.

    The number alone; with its error it is `effective_fraction`.

    Arguments:
        log_weights: log w_i, `[n]`, up to a constant; minus infinity for points without weight.

    Raises:
        ValueError: no numbers, NaN or plus infinity among them, or no weight at all.
    """
    weights, _ = _weights("effective_sample_size", log_weights, 1)
    return float(weights.mean() ** 2 / np.mean(weights**2))


def effective_fraction(log_weights: _door.Numbers) -> Estimate:
    """`effective_sample_size` with its standard error, by the delta method.

    It is judged by the points drawn: weights that none of them has seen make it too large.

    Arguments, errors: as for `log_normaliser`, with weights up to a constant.
    """
    weights, _ = _weights("effective_fraction", log_weights, 2)
    mean, square = weights.mean(), np.mean(weights**2)
    found = float(mean**2 / square)
    influence = mean_number(2 * weights / mean - weights**2 / square)
    return Estimate(found, found * float(influence.standard_error))


def log_normaliser(log_weights: _door.Numbers) -> Estimate:
    """log Z = log E_q[w] and its standard error.

    Arguments:
        log_weights: log w_i, `[n]`; minus infinity for points without weight.

    Raises:
        ValueError: fewer than 2 numbers, NaN or plus infinity among them, or no weight at all.
    """
    weights, largest = _weights("log_normaliser", log_weights, 2)
    mean = mean_number(weights)
    return Estimate(largest + math.log(mean.value), mean.standard_error / mean.value)


def reweighted_mean(values: _door.Numbers, log_weights: _door.Numbers) -> Estimate:
    """The mean of f under the target, from its values at the points of the model.

    Its error is NaN if one point has all of the weight: nothing tells it.

    Arguments:
        values: f(x_i), `[n]`, finite where the weight is positive.
        log_weights: log w_i, `[n]`, up to a constant; minus infinity for points without weight.

    Raises:
        ValueError: fewer than 2 numbers, different numbers of them, values that are not finite, or
            weights as in `effective_sample_size`.
    """
    weights, _ = _weights("reweighted_mean", log_weights, 2)
    numbers = _door.values("reweighted_mean", "values", values)
    if numbers.shape != weights.shape:
        raise ValueError(
            f"`reweighted_mean` got {numbers.size} values for {weights.size} weights, expected one "
            "per weight: evaluate both at the same points."
        )
    numbers = np.where(weights > 0, numbers, 0.0)
    broken = int(np.sum(~np.isfinite(numbers)))
    if broken:
        raise ValueError(
            f"`reweighted_mean` got {broken} of {numbers.size} values that are NaN or infinite at "
            "points with weight, expected finite ones: repair the function."
        )
    weights = weights / weights.mean()
    mean = float(np.mean(weights * numbers))
    if np.count_nonzero(weights) < 2:
        return Estimate(mean, math.nan)
    return Estimate(mean, mean_number(weights * (numbers - mean)).standard_error)


def reverse_kl(log_weights: _door.Numbers) -> Estimate:
    """KL(q || pi) in nats, the normaliser of pi estimated from the same weights.

    Infinite where q has points without weight. A mode that q misses is not seen: to the part of the
    target near its points q may be close.

    Arguments:
        log_weights: log w_i, `[n]`, up to a constant.

    Raises:
        ValueError: as in `log_normaliser`.
    """
    weights, largest = _weights("reverse_kl", log_weights, 2)
    logs = np.asarray(log_weights, np.float64) - largest
    if not np.isfinite(logs).all():
        return Estimate(math.inf, math.nan)
    mean = weights.mean()
    influence = mean_number(weights / mean - logs)
    return Estimate(math.log(mean) - float(logs.mean()), influence.standard_error)


def _weights(
    owner: str, log_weights: _door.Numbers, least: int
) -> tuple[Float[np.ndarray, "n"], float]:
    """The weights divided by the largest, and the logarithm of that."""
    logs = _door.values(owner, "log_weights", log_weights, least=least)
    broken = int(np.sum(np.isnan(logs) | (logs == np.inf)))
    if broken:
        raise ValueError(
            f"`{owner}` got {broken} of {logs.size} log weights that are NaN or plus infinity, "
            "expected finite numbers, or minus infinity for points without weight: check the "
            "energy and the model's log density at its own samples."
        )
    largest = float(logs.max())
    if largest == -np.inf:
        raise ValueError(
            f"`{owner}` got {logs.size} points without weight, expected some: the model has no "
            "sample where the target has mass."
        )
    return np.exp(logs - largest), largest
