"""Functions of a symmetric matrix  diag(c) + E  at E = 0, with their derivatives by E.

    log N(z; 0, diag(c) + E),      (diag(c) + E)^(1/2)

Both are smooth in the matrix wherever it is positive definite, also where eigenvalues meet. Values
are those of the diagonal; the rules below differentiate, with S the matrix and X its root,

    d log det S = tr(S^-1 dS),      d S^-1 = -S^-1 dS S^-1,      X dX + dX X = dS,

each by functions that are differentiated in the same way, so that derivatives of all orders are
right. What a rule does to tangents is written in products, which can be transposed.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfgen._types import Scalar

Diagonal = Float[Array, "dim"]
Vector = Float[Array, "dim"]
Matrix = Float[Array, "dim dim"]


@jax.custom_jvp
def log_normal(c: Diagonal, e: Matrix, z: Vector) -> Scalar:
    """log N(z; 0, diag(c) + e) for e = 0."""
    del e
    return -0.5 * jnp.sum(jnp.square(z) / c + jnp.log(2 * np.pi * c))


@log_normal.defjvp
def _log_normal_rule(given, moved):
    (c, e, z), (dc, de, dz) = given, moved
    change, inverse = de + jnp.diag(dc), _inverse(c, e)
    y = inverse @ z
    slope = 0.5 * (y @ change @ y - jnp.sum(inverse * change)) - y @ dz
    return log_normal(c, e, z), slope


@jax.custom_jvp
def root(c: Diagonal, e: Matrix) -> Matrix:
    """The symmetric square root of diag(c) + e for e = 0."""
    del e
    return jnp.diag(jnp.sqrt(c))


@root.defjvp
def _root_rule(given, moved):
    (c, e), (dc, de) = given, moved
    x, s = root(c, e), jnp.sqrt(c)
    slope = jax.lax.custom_linear_solve(
        lambda y: x @ y + y @ x,
        de + jnp.diag(dc),
        lambda _, right: right / (s[:, None] + s[None, :]),
        symmetric=True,
    )
    return x, slope


@jax.custom_jvp
def _inverse(c: Diagonal, e: Matrix) -> Matrix:
    del e
    return jnp.diag(1 / c)


@_inverse.defjvp
def _inverse_rule(given, moved):
    (c, e), (dc, de) = given, moved
    inverse = _inverse(c, e)
    return inverse, -inverse @ (de + jnp.diag(dc)) @ inverse
