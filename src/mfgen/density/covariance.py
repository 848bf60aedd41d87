"""A covariance by its eigenvalues and eigenvectors, C = Q diag(c) Q'.

In this form noising is an addition: alpha^2 C + sigma^2 I = Q diag(alpha^2 c + sigma^2) Q'.
`basis = None` stands for Q = I (diagonal), and a single eigenvalue for c I (isotropic).
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from mfgen._types import Scalar, State
from mfgen.density.base import Matrix, Number


class Covariance(eqx.Module):
    """The matrix Q diag(c) Q'.

    **Arguments:**

    - `variances`: the eigenvalues c, `[dim]`, or `[1]` when all are equal.
    - `basis`: the eigenvectors as columns, `[dim, dim]`, or None for the identity.
    """

    variances: Float[Array, "*batch axes"]
    basis: Float[Array, "*batch dim dim"] | None

    def noised(self, alpha: Number, sigma: Number) -> "Covariance":
        """Return alpha^2 C + sigma^2 I."""
        return Covariance(jnp.square(alpha) * self.variances + jnp.square(sigma), self.basis)

    def log_normal(self, offset: State) -> Scalar:
        """Return log N(offset; 0, C)."""
        whitened = offset if self.basis is None else offset @ self.basis
        dim = offset.shape[0]
        log_determinant = dim / self.variances.shape[0] * jnp.sum(jnp.log(self.variances))
        squared = jnp.sum(jnp.square(whitened) / self.variances)
        return -0.5 * (squared + log_determinant + dim * np.log(2.0 * np.pi))

    def colour(self, standard: State) -> State:
        """Turn a standard normal vector into one of covariance C: Q sqrt(c) z."""
        scaled = jnp.sqrt(self.variances) * standard
        return scaled if self.basis is None else self.basis @ scaled

    def matrix(self, dim: int) -> Matrix:
        """Return the full matrix `[dim, dim]`."""
        basis = jnp.eye(dim, dtype=self.variances.dtype) if self.basis is None else self.basis
        return (basis * jnp.broadcast_to(self.variances, (dim,))[None, :]) @ basis.T


def decompose(name: str, covariances: Array, count: int, dim: int) -> Covariance:
    """Return `count` eigen-decomposed covariances, stacked along the first axis.

    **Arguments:**

    - `name`: the public object to name in errors.
    - `covariances`: `[count]` (isotropic), `[count, dim]` (diagonal) or `[count, dim, dim]`.

    **Raises:** `ValueError` for another shape, an asymmetric or a not positive definite matrix.
    """
    allowed = ((count,), (count, dim), (count, dim, dim))
    if covariances.shape not in allowed:
        raise ValueError(
            f"`{name}` got covariances of shape {covariances.shape}, expected one of {allowed}: "
            "pass variances, diagonals or square matrices, one for each mean."
        )
    if covariances.ndim == 3:
        _check_symmetric(name, covariances)
        variances, bases = jnp.linalg.eigh(covariances)
    else:
        variances, bases = covariances.reshape(count, -1), None
    _check_positive(name, variances)
    return Covariance(variances, bases)


def _check_symmetric(name: str, matrices: Array) -> None:
    if isinstance(matrices, Tracer):
        return
    values = np.asarray(matrices)
    if not np.allclose(values, values.transpose(0, 2, 1), rtol=1e-4, atol=1e-5 * abs(values).max()):
        raise ValueError(
            f"`{name}` got an asymmetric covariance, expected C = C': pass (C + C.T) / 2."
        )


def _check_positive(name: str, variances: Array) -> None:
    if isinstance(variances, Tracer):
        return
    smallest = float(np.asarray(variances).min())
    if not smallest > 0.0:
        raise ValueError(
            f"`{name}` got a covariance with eigenvalue {smallest:.3g}, expected positive ones: "
            "add a small multiple of the identity."
        )
