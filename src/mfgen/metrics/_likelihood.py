"""Likelihoods: Kullback-Leibler divergence, mean log-likelihood, and the one-evaluation density.

    KL(truth | model)    = E_truth[ log truth(X) - log model(X) ]
    mean log-likelihood  = E_data[ log model(X) ],      minus the entropy minus the KL

Both are means over independent points, so the standard error is sd / sqrt(n). For points z = (x -
mean) / scale in standard units, log p(x) = log p(z) + log |dz/dx|: the log-Jacobian brings a
likelihood back to the units of the data, without which it cannot be compared.

A score potential with the reference end built in gives the log-density in one evaluation,
-U(horizon, x), without an integration. Its error against the truth or against the likelihood of
the flow has two parts: a constant, the gauge c(s) that score matching leaves free, and a shape.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

from mfgen._types import Batch, Given, Scalar, State
from mfgen.densities._base import AbstractEvaluable
from mfgen.metrics import _door
from mfgen.metrics._estimate import Estimate, Number, mean_number

# Points at once: bounds the memory of densities with many components.
_CHUNK = 512


class OneShotError(NamedTuple):
    """The error of a one-evaluation log-density, in nats, per point.

    Attributes:
        absolute: mean |error|.
        bias: mean error, one-evaluation minus reference: the gauge.
        centred: mean |error - bias|: the shape.
    """

    absolute: Estimate
    bias: Estimate
    centred: Estimate


def kl(
    truth: AbstractEvaluable,
    model_log_density: Callable[[State], Scalar] | Given,
    samples: Given,
) -> Estimate:
    """KL(truth | model) = E_truth[log truth - log model], in nats.

    Arguments:
        truth: the density the samples come from.
        model_log_density: log-density of the model at one point `[dim]`; or its values `[n]` at
            the samples, where they come from an integration that was done for all points.
        samples: independent points of the truth, `[n, dim]`.

    Returns:
        The estimate; it may be negative by chance, and is infinite where the model has no mass.

    Raises:
        ValueError: fewer than 2 samples, or values that are not one per sample.
    """
    points = _door.held("kl", "samples", samples)
    exact = evaluate(truth.log_density, points)
    if callable(model_log_density):
        model_log_density = evaluate(model_log_density, points)
    return mean_number(_difference("kl", "model_log_density", exact, model_log_density))


def mean_log_likelihood(log_densities: _door.Numbers, log_jacobian: Number = 0.0) -> Estimate:
    """The mean log-likelihood of held-out points, in nats, in the original units.

    Arguments:
        log_densities: log-density of the model at each point in standard units, `[n]`.
        log_jacobian: log |dz/dx| of the map from original units x to standard units z.

    Raises:
        ValueError: not one number per point, or fewer than 2 points.
    """
    numbers = _door.values("mean_log_likelihood", "log_densities", log_densities)
    return mean_number(numbers + float(log_jacobian))


def one_shot_error(one_shot: _door.Numbers, reference: _door.Numbers) -> OneShotError:
    """The error of one-evaluation log-densities against reference values at the same points.

    Arguments:
        one_shot: log-densities by one evaluation of the potential, `[n]`.
        reference: the true log-densities, or those of the flow, `[n]`.

    Raises:
        ValueError: not one number per point, different numbers, or fewer than 2 points.
    """
    error = -_difference("one_shot_error", "one_shot", reference, one_shot)
    bias = mean_number(error)
    with np.errstate(invalid="ignore"):
        offset = error - bias.value
        # The mean that is taken out is itself estimated: its influence is the second term.
        influence = np.abs(offset) - np.mean(np.sign(offset)) * offset
    shape = Estimate(float(np.mean(np.abs(offset))), mean_number(influence).standard_error)
    return OneShotError(mean_number(np.abs(error)), bias, shape)


@eqx.filter_jit
def evaluate(function: Callable[[State], Scalar], points: Batch) -> Float[Array, "n"]:
    """A function of one point at many points `[n, dim]`, a chunk at a time."""
    return jax.lax.map(function, points, batch_size=min(_CHUNK, points.shape[0]))


def _difference(
    owner: str, name: str, exact: _door.Numbers, other: _door.Numbers
) -> Float[np.ndarray, "n"]:
    exact = _door.values(owner, "reference", exact)
    other = _door.values(owner, name, other)
    if exact.shape != other.shape:
        raise ValueError(
            f"`{owner}` got {other.size} values in `{name}` for {exact.size} points, expected one "
            "per point: evaluate both at the same points."
        )
    # Minus infinity on both sides is undefined, not a warning.
    with np.errstate(invalid="ignore"):
        return exact - other
