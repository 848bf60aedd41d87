"""Smoothing by Gaussian kernels on a lattice, in logarithms.

    (K f)(x) = int f(y) G_S(y - m x) dy,      (K^T f)(y) = int f(x) G_S(y - m x) dx

G_S is the normal density with variance S in each coordinate: K is what the transition
X -> m X + sqrt(S) W does to functions, K^T what it does to densities. Kernels of many coordinates
are products, so that smoothing goes axis by axis. The integrals are sums over cells; of smooth
functions on a large box their error falls like exp(-2 pi^2 S / h^2), so that kernels as wide as a
cell already have eight digits, and narrower ones are not to be used.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from mfgen.math._lattice import Lattice

Number = Float[ArrayLike, ""]


def smooth(
    lattice: Lattice, logarithm: Float[Array, "*points"], factor: Number, variance: Number
) -> Float[Array, "*points"]:
    """log K f from log f."""
    return _along_axes(lattice, logarithm, factor, variance, forward=False)


def spread(
    lattice: Lattice, logarithm: Float[Array, "*points"], factor: Number, variance: Number
) -> Float[Array, "*points"]:
    """log K^T f from log f."""
    return _along_axes(lattice, logarithm, factor, variance, forward=True)


def _along_axes(lattice, logarithm, factor, variance, *, forward: bool):
    for axis, (nodes, h) in enumerate(zip(lattice.axes(), lattice.spacing, strict=True)):
        x = jnp.asarray(nodes, logarithm.dtype)
        shift = x[None, :] - factor * x[:, None]
        kernel = jnp.log(h) - 0.5 * (shift**2 / variance + jnp.log(2 * jnp.pi * variance))
        kernel = kernel.T if forward else kernel
        lines = jnp.moveaxis(logarithm, axis, 0)
        flat = lines.reshape(len(x), -1)
        summed = jax.nn.logsumexp(kernel[:, :, None] + flat[None], axis=1)
        logarithm = jnp.moveaxis(summed.reshape(lines.shape), 0, axis)
    return logarithm
