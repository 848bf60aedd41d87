"""The law of shift + scale * X: a density in other units.

    rho(y) = rho_X((y - shift) / scale) / prod |scale|

With one scale for all coordinates noising commutes with it:
alpha (shift + scale X) + sigma N = alpha shift + [(alpha scale) X + sigma N].
"""

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from mfgen._types import Batch, Key, Scalar, State
from mfgen.densities._base import (
    AbstractEvaluable,
    AbstractNoisable,
    Matrix,
    Number,
    Values,
    Weights,
)
from mfgen.math import _entry


class Affine(AbstractNoisable):
    """The law of `shift + scale * X`, X following `density`.

    Arguments:
        density: the law of X; `noised` needs it to be an `AbstractNoisable`.
        shift: `[dim]`, or one number for every coordinate.
        scale: `[dim]`, or one number for every coordinate; `noised` needs the number.

    Raises:
        ValueError: for a zero scale or a shape that fits neither form.
    """

    density: AbstractEvaluable
    shift: State
    scale: Float[Array, "..."]

    def __init__(self, density: AbstractEvaluable, shift: Values = 0.0, scale: Values = 1.0):
        shift, scale = _entry.floating("Affine", shift=shift, scale=scale)
        for name, value in (("shift", shift), ("scale", scale)):
            if value.shape not in ((), (density.dim,)):
                raise ValueError(
                    f"`Affine` got a {name} of shape {value.shape}, expected () or "
                    f"({density.dim},): pass one number or one for each coordinate."
                )
        if not isinstance(scale, Tracer) and not bool(jnp.all(scale != 0.0)):
            raise ValueError("`Affine` got a zero scale, expected none: the law has no density.")
        self.density = density
        self.shift = jnp.broadcast_to(shift, (density.dim,))
        self.scale = scale

    @property
    def dim(self) -> int:
        return self.density.dim

    def log_density(self, x: State) -> Scalar:
        x = _entry.point("Affine", x, self.dim)
        log_jacobian = jnp.sum(jnp.log(jnp.abs(jnp.broadcast_to(self.scale, x.shape))))
        return self.density.log_density((x - self.shift) / self.scale) - log_jacobian

    def noised(self, alpha: Number, sigma: Number) -> "Affine":
        if self.scale.ndim != 0 or not isinstance(self.density, AbstractNoisable):
            raise ValueError(
                f"`Affine.noised` got a scale of shape {self.scale.shape} and a "
                f"`{type(self.density).__name__}`, expected one number and a density that can be "
                "noised: scale every coordinate alike, or noise samples instead."
            )
        return Affine(self.density.noised(alpha * self.scale, sigma), alpha * self.shift)

    def sample(self, n: int, *, key: Key) -> Batch:
        return self._apply(self.density.sample(n, key=key))

    def moments(self) -> tuple[State, Matrix]:
        mean, covariance = self.density.moments()
        scale = jnp.broadcast_to(self.scale, mean.shape)
        return self.shift + scale * mean, scale[:, None] * covariance * scale[None, :]

    def particles(self) -> tuple[Batch, Weights]:
        points, weights = self.density.particles()
        return self._apply(points), weights

    def _apply(self, points: Batch) -> Batch:
        return jax.vmap(lambda x: self.shift + self.scale * x)(points)
