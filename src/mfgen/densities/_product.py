"""Independent laws side by side, turned by a rotation: targets in any even dimension.

    X = R (Y_1, ..., Y_m),    Y_k ~ rho_k independent,    R orthogonal
    log rho(x) = sum_k log rho_k( (R^T x)_k )

Noise is the same in all directions, so that noising commutes with the rotation and acts on each
factor alone: the noised law is that of the noised factors. Of R alone it comes that coordinates
depend on each other.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from mfgen import _check
from mfgen._types import Batch, Key, Scalar, State
from mfgen.densities import _toy
from mfgen.densities._affine import Affine
from mfgen.densities._base import (
    AbstractEvaluable,
    AbstractNoisable,
    Matrix,
    Number,
    Values,
)
from mfgen.math import _entry
from mfgen.math._count import count

# Of the board's edges: a density that is zero outside would be missed there by rounding.
_BLUR = 0.1


class Product(AbstractNoisable):
    """The law of R (Y_1, ..., Y_m), the factors Y_k independent.

    Arguments:
        factors: the laws of Y_k; `noised` needs each to be an `AbstractNoisable`.
        rotation: the orthogonal matrix R, `[dim, dim]`, dim the sum of theirs; the identity if
            absent.

    Raises:
        ValueError: for no factors, or a rotation that has another shape or is not orthogonal.
    """

    factors: tuple[AbstractEvaluable, ...]
    rotation: Matrix

    def __init__(self, factors: tuple[AbstractEvaluable, ...], rotation: Values | None = None):
        if not factors:
            raise ValueError("`Product` got no factors, expected at least one: pass some laws.")
        self.factors = tuple(factors)
        for factor in self.factors:
            fix = "pass laws such as `Gaussian(mean, covariance)`"
            _check.of_kind("Product", "a factor", factor, AbstractEvaluable, fix)
        dim = sum(factor.dim for factor in factors)
        given = jnp.eye(dim) if rotation is None else rotation
        (self.rotation,) = _entry.floating("Product", rotation=given)
        _check_rotation(self.rotation, dim)

    @property
    def dim(self) -> int:
        return sum(factor.dim for factor in self.factors)

    def log_density(self, x: State) -> Scalar:
        x = _entry.point("Product", x, self.dim)
        parts = jnp.split(x @ self.rotation, self._ends())
        logs = [law.log_density(part) for law, part in zip(self.factors, parts, strict=True)]
        return jnp.sum(jnp.stack(logs))

    def noised(self, alpha: Number, sigma: Number) -> "Product":
        noised = []
        for factor in self.factors:
            if not isinstance(factor, AbstractNoisable):
                raise ValueError(
                    f"`Product.noised` got a factor `{type(factor).__name__}`, expected ones that "
                    "can be noised: leave it out, or noise samples instead."
                )
            noised.append(factor.noised(alpha, sigma))
        return Product(tuple(noised), self.rotation)

    def sample(self, n: int, *, key: Key) -> Batch:
        keys = jax.random.split(key, len(self.factors))
        parts = [law.sample(n, key=key) for law, key in zip(self.factors, keys, strict=True)]
        return jnp.concatenate(parts, axis=1) @ self.rotation.T

    def moments(self) -> tuple[State, Matrix]:
        moments = [factor.moments() for factor in self.factors]
        mean = jnp.concatenate([mean for mean, _ in moments])
        covariance = jax.scipy.linalg.block_diag(*[covariance for _, covariance in moments])
        return self.rotation @ mean, self.rotation @ covariance @ self.rotation.T

    def _ends(self) -> list[int]:
        return np.cumsum([factor.dim for factor in self.factors])[:-1].tolist()


def product_of_toys(dim: int = 8, seed: int = 0) -> Product:
    """Return a checkerboard, rings, moons, ... in pairs of coordinates, turned at random.

    Each pair has mean zero and mean variance one. The edges of the board are blurred by a
    twentieth of its squares' side, so that the density is positive and smooth.

    Arguments:
        dim: an even dimension; the three targets are repeated as often as needed.
        seed: of the rotation.

    Raises:
        ValueError: for a dimension that is odd or below 2.
    """
    if count("product_of_toys", "dim", dim, least=0) % 2 or dim < 2:
        raise ValueError(
            f"`product_of_toys` got dim = {dim}, expected an even number of at least 2: pass "
            f"dim={max(2, dim + 1)}."
        )
    cycle = (_toy.checkerboard().noised(1.0, _BLUR), _toy.rings(), _toy.moons())
    factors = tuple(_standard(cycle[k % len(cycle)]) for k in range(dim // 2))
    rng = np.random.default_rng((seed, dim))
    rotation, triangle = np.linalg.qr(rng.normal(size=(dim, dim)))
    return Product(factors, rotation * np.sign(np.diag(triangle)))


def _standard(law: AbstractEvaluable) -> Affine:
    mean, covariance = law.moments()
    scale = jnp.sqrt(jnp.trace(covariance) / law.dim)
    return Affine(law, -mean / scale, 1 / scale)


def _check_rotation(rotation: Matrix, dim: int) -> None:
    if rotation.shape != (dim, dim):
        raise ValueError(
            f"`Product` got a rotation of shape {rotation.shape}, expected ({dim}, {dim}): pass an "
            "orthogonal matrix, or none."
        )
    if isinstance(rotation, Tracer):
        return
    error = float(np.abs(np.asarray(rotation) @ np.asarray(rotation).T - np.eye(dim)).max())
    if not error < 1e-4:
        raise ValueError(
            f"`Product` got a rotation R with R R^T off the identity by {error:.2g}, expected an "
            "orthogonal matrix: take the first factor of `np.linalg.qr`."
        )
