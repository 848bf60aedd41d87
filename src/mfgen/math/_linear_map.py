"""Linear maps that act on the blocks of a state, given as a number or as a matrix.

A state of m blocks of equal size d is the matrix X of its blocks, `[m, d]`. A matrix A of shape
`[n, m]` takes it to A X, that is A (x) I_d in the full space. A matrix as wide as its state is long
acts on single coordinates (d = 1), and a number a stands for the multiple a I of the identity:

    A v         `image`              A^T p      `adjoint`
    A A^T       `square`             tr(A A^T H) = sum_k a_k.H a_k with the columns a_k of A

So [[0], [1]] steers velocities and leaves positions alone, in any dimension.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

LinearMap = Float[Array, ""] | Float[Array, "_ _"]
Vector = Float[Array, "_"]


def image(a: LinearMap, v: Vector) -> Vector:
    """A v."""
    if a.ndim == 0:
        return a * v
    return (a @ v.reshape(a.shape[1], -1)).reshape(-1)


def adjoint(a: LinearMap, p: Vector) -> Vector:
    """A^T p."""
    if a.ndim == 0:
        return a * p
    return (a.T @ p.reshape(a.shape[0], -1)).reshape(-1)


def square(a: LinearMap) -> LinearMap:
    """A A^T, a number for a number."""
    return jnp.square(a) if a.ndim == 0 else a @ a.T


def mean_square(a: LinearMap) -> Float[Array, ""]:
    """tr(A A^T) / dim."""
    return jnp.square(a) if a.ndim == 0 else jnp.sum(jnp.square(a)) / a.shape[0]


def matrix(a: LinearMap, dim: int) -> Float[Array, "dim n"]:
    """A as a matrix on a state of `dim` coordinates."""
    if a.ndim == 0:
        return a * jnp.eye(dim)
    return jnp.kron(a, jnp.eye(dim // a.shape[0]))


def source_size(a: LinearMap, dim: int) -> int:
    """How many coordinates v has where A v has `dim`."""
    return dim if a.ndim == 0 else a.shape[1] * (dim // a.shape[0])


def trace(a: LinearMap, hessian: Float[Array, "dim dim"]) -> Float[Array, ""]:
    """tr(A H) for a symmetric map such as A A^T."""
    return jnp.sum(matrix(a, hessian.shape[0]) * hessian)
