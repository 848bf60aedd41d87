"""A covariance by its eigenvalues and eigenvectors, C = Q diag(c) Q'.

In this form noising is an addition: alpha^2 C + sigma^2 I = Q diag(alpha^2 c + sigma^2) Q'.
`basis = None` stands for Q = I (diagonal), and a single eigenvalue for c I (isotropic).

Eigenvectors have no derivative where eigenvalues meet, but the normal law has: a matrix that may
vary, because it is traced, keeps Q and c fixed and varies by E in

    C = Q (diag(c) + E) Q',     E = Q' dC Q,

whose value is zero. Derivatives by E are those of the law (`mfgen.math._symmetric`), of all orders;
values do not see it.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from mfgen._types import Scalar, State
from mfgen.densities._base import Matrix, Number
from mfgen.math import _entry, _symmetric


class Covariance(eqx.Module):
    """The matrix Q diag(c) Q'.

    Arguments:
        variances: the eigenvalues c, `[dim]`, or `[1]` when all are equal.
        basis: the eigenvectors as columns, `[dim, dim]`, or None for the identity.
        change: E, zero but for its derivatives, `[dim, dim]`, or None for a matrix that is fixed.
    """

    variances: Float[Array, "*batch axes"]
    basis: Float[Array, "*batch dim dim"] | None
    change: Float[Array, "*batch dim dim"] | None = None

    def noised(self, alpha: Number, sigma: Number) -> "Covariance":
        """Return alpha^2 C + sigma^2 I."""
        variances = jnp.square(alpha) * self.variances + jnp.square(sigma)
        change = None if self.change is None else jnp.square(alpha) * self.change
        return Covariance(variances, self.basis, change)

    def log_normal(self, offset: State) -> Scalar:
        """Return log N(offset; 0, C)."""
        whitened = offset if self.basis is None else offset @ self.basis
        dim = offset.shape[0]
        if self.change is not None:
            return _symmetric.log_normal(self.variances, self.change, whitened)
        log_determinant = dim / self.variances.shape[0] * jnp.sum(jnp.log(self.variances))
        squared = jnp.sum(jnp.square(whitened) / self.variances)
        return -0.5 * (squared + log_determinant + dim * np.log(2.0 * np.pi))

    def colour(self, standard: State) -> State:
        """Turn a standard normal vector into one of covariance C: Q sqrt(c) z."""
        if self.change is not None:
            scaled = _symmetric.root(self.variances, self.change) @ standard
        else:
            scaled = jnp.sqrt(self.variances) * standard
        return scaled if self.basis is None else self.basis @ scaled

    def marginal(self) -> Float[Array, "*batch axes"]:
        """Return the variance of each coordinate, or one for all of them."""
        if self.basis is None:
            return self.variances
        return jnp.sum(jnp.square(self.basis) * self.variances[..., None, :], axis=-1)

    def given(self) -> Array:
        """Return it as it is given: a number, a vector of variances, or a matrix."""
        if self.basis is not None:
            return self.matrix(self.basis.shape[0])
        return self.variances[0] if self.variances.shape[0] == 1 else self.variances

    def matrix(self, dim: int) -> Matrix:
        """Return the full matrix `[dim, dim]`."""
        basis = jnp.eye(dim, dtype=self.variances.dtype) if self.basis is None else self.basis
        whole = (basis * jnp.broadcast_to(self.variances, (dim,))[None, :]) @ basis.T
        return whole if self.change is None else whole + basis @ self.change @ basis.T


def decompose(name: str, covariances: Array, count: int, dim: int) -> Covariance:
    """Return `count` eigen-decomposed covariances, stacked along the first axis.

    Arguments:
        name: the public object to name in errors.
        covariances: `[count]` (isotropic), `[count, dim]` (diagonal) or `[count, dim, dim]`.

    Raises:
        ValueError: for another shape, an asymmetric or a not positive definite matrix.
    """
    allowed = ((count,), (count, dim), (count, dim, dim))
    if covariances.shape not in allowed:
        raise ValueError(
            f"`{name}` got covariances of shape {covariances.shape}, expected one of {allowed}: "
            "pass variances, diagonals or square matrices, one for each mean."
        )
    if covariances.ndim == 3:
        check_symmetric(name, covariances)
        fixed = jax.lax.stop_gradient(covariances)
        variances, bases = jnp.linalg.eigh(fixed)
        change = None
        if isinstance(covariances, Tracer):
            moved = covariances - fixed
            moved = 0.5 * (moved + jnp.swapaxes(moved, 1, 2))
            change = jnp.swapaxes(bases, 1, 2) @ moved @ bases
    else:
        variances, bases, change = covariances.reshape(count, -1), None, None
    _check_positive(name, variances)
    return Covariance(variances, bases, change)


def check_resolved(name: str, means: Float[Array, "count dim"], variances: Array) -> None:
    """Raise a `ValueError` where a mean is too far from zero for its deviations.

    Arguments:
        name: the public object to name in errors.
        means: `[count, dim]`.
        variances: of the coordinates, `[count, dim]` or `[count, 1]`.
    """
    if isinstance(means, Tracer) or isinstance(variances, Tracer):
        return
    steps = np.abs(np.asarray(means, np.float64)) * float(jnp.finfo(means.dtype).eps)
    deviations = np.sqrt(np.asarray(variances, np.float64))
    coarse = _entry.STEPS * steps > deviations
    if coarse.any():
        row, column = np.unravel_index(int(np.argmax(coarse)), coarse.shape)
        raise ValueError(
            f"`{name}` got a mean with the coordinate {np.asarray(means)[row, column]:.6g}, which "
            f"{means.dtype} resolves to steps of {steps[row, column]:.2g}, for a deviation of "
            f"{np.broadcast_to(deviations, steps.shape)[row, column]:.3g}, expected {_entry.STEPS} "
            "steps in it at least: shift the coordinates, so that the law is nearer to zero."
        )


def check_symmetric(name: str, matrices: Array) -> None:
    """Raises a `ValueError` in the name of `name` if one of the matrices is not symmetric."""
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
