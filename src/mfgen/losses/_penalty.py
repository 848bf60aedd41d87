"""Penalties of a residual r: how far from zero counts how much.

Squared r^2,    Absolute |r|,    Huber r^2 / 2 inside |r| <= delta, delta (|r| - delta/2) beyond

    Variance    n (r - mean r)^2 / (n - 1) over n residuals, which leaves them free by one number
"""

from abc import abstractmethod
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen import _check
from mfgen._types import Scalar

Residual = Float[Array, "*shape"]


class AbstractPenalty(eqx.Module):
    """A nonnegative function of a residual, zero at zero. To add one, give `__call__(r)`.

    Attributes:
        pointwise: whether each residual counts for itself.
    """

    pointwise: ClassVar[bool] = True

    @abstractmethod
    def __call__(self, residual: Residual) -> Residual:
        """The penalty, entry by entry."""


class Squared(AbstractPenalty):
    """r^2."""

    def __call__(self, residual: Residual) -> Residual:
        return jnp.square(residual)


class Absolute(AbstractPenalty):
    """|r|."""

    def __call__(self, residual: Residual) -> Residual:
        return jnp.abs(residual)


class Huber(AbstractPenalty):
    """r^2 / 2 for |r| <= delta and delta (|r| - delta / 2) beyond.

    Arguments:
        delta: where the parabola becomes a line, positive.
    """

    delta: float = eqx.field(static=True, default=1.0)

    def __check_init__(self):
        _check.numbers(self, "delta")
        if not self.delta > 0:
            raise ValueError(
                f"`Huber` got delta = {self.delta}, expected a positive number: pass delta=1.0."
            )

    def __call__(self, residual: Residual) -> Residual:
        size = jnp.abs(residual)
        return jnp.where(
            size <= self.delta, 0.5 * jnp.square(size), self.delta * (size - 0.5 * self.delta)
        )


class Variance(AbstractPenalty):
    """The squared deviation from the mean of all; for the martingale form."""

    pointwise: ClassVar[bool] = False

    def __call__(self, residual: Residual) -> Residual:
        return jnp.square(residual - jnp.mean(residual)) * (residual.size / (residual.size - 1))


def squared_without_bias(estimates: Float[Array, "probes"]) -> Scalar:
    """An unbiased estimate of (E r)^2 from independent estimates r_1, ..., r_K of r.

    The mean of r_i r_j over pairs i != j. The square of one noisy estimate would be too large by
    its variance.
    """
    count = estimates.shape[0]
    pairs = jnp.square(jnp.sum(estimates)) - jnp.sum(jnp.square(estimates))
    return pairs / (count * (count - 1))


def penalise(penalty: AbstractPenalty, estimates: Float[Array, "estimates"]) -> Scalar:
    """The penalty of a residual known exactly `[1]`, or its square from several estimates."""
    if estimates.shape[0] == 1:
        return penalty(estimates[0])
    return squared_without_bias(estimates)
