"""Kernels k(x - y) for `Pairwise` and `MMD`, and their averages over particles.

    GaussianKernel         exp(-|z|^2 / (2 w^2)), or the normal density of that width
    MeanKernel             the mean of Gaussian kernels of several widths
    InverseMultiquadric    (1 + |z|^2 / w^2)^(-1/2)
    DistanceKernel         -|z|: of an energy distance
    AttractionRepulsion    |z|^a / a - |z|^b / b, a > b: together from afar, apart when near

The first four are positive definite (the fourth on measures of total mass zero), so that the square
of the MMD is positive; all of them characterise a law. The normal density turns `Pairwise` into a
congestion cost: (1/2) int (g * rho) rho, the smoothed (1/2) int rho^2 of `CrowdAversion()`, which
makes sense for particles. The last has its rest at the distance |z| = 1, where its slope is zero.

Averages over particles are summed in chunks, so that a table of all pairs is never stored.

References: D. Balagué, J. Carrillo, T. Laurent, G. Raoul, "Dimensionality of local minimizers of
the interaction energy" (2013), arXiv 1210.6795; D. Sejdinovic, B. Sriperumbudur, A. Gretton,
K. Fukumizu, "Equivalence of distance-based and RKHS-based statistics" (2013), arXiv 1207.6076.
"""

from collections.abc import Callable
from typing import Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen._types import Batch, Scalar, State
from mfgen.densities._base import Weights
from mfgen.dynamics._dynamics import positive
from mfgen.math import _entry
from mfgen.math._chunk import chunk_sums
from mfgen.math._space import AbstractDomain

Kernel = Callable[[State], Scalar]


class RadialKernel(Protocol):
    """A kernel that is a function of the squared distance alone."""

    def __call__(self, z: State) -> Scalar: ...

    def radial(self, square: Array) -> Array:
        """k where the squared distance is given, of any shape."""
        ...


# Particles at once in the average at one point, and numbers at once in the mean over all pairs
# (the differences of the pairs: 64 MB in single precision, a few times that while computing).
_PARTICLES = 512
_NUMBERS = 2**24
_TOGETHER = 1e-8  # square of a distance that counts as none


class GaussianKernel(eqx.Module):
    """k(z) = exp(-|z|^2 / (2 width^2)), over (2 pi width^2)^(dim / 2) if it is normalised.

    Arguments:
        width: w, in the units of the points.
        normalised: whether the integral of k is one.
    """

    width: float = 1.0
    normalised: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        positive("GaussianKernel", "width", self.width)

    def __call__(self, z: State) -> Scalar:
        exponent = -0.5 * z @ z / self.width**2
        if self.normalised:
            exponent = exponent - 0.5 * z.size * jnp.log(2 * jnp.pi * self.width**2)
        return jnp.exp(exponent)


class MeanKernel(eqx.Module):
    """The mean of Gaussian kernels of several widths: a narrow one sees detail, a wide one far.

    Arguments:
        widths: at least one, in the units of the points.
    """

    widths: tuple[float, ...] = eqx.field(static=True)

    def __check_init__(self):
        if not self.widths:
            raise ValueError("`MeanKernel` got no widths, expected some: pass widths=(1.0, 3.0).")
        for width in self.widths:
            positive("MeanKernel", "widths", width)

    def __call__(self, z: State) -> Scalar:
        return self.radial(z @ z)

    def radial(self, square: Array) -> Array:
        """k at points whose squared distance from the origin is given, of any shape."""
        values = [jnp.exp(-0.5 * square / width**2) for width in self.widths]
        return sum(values[1:], values[0]) / len(values)


class InverseMultiquadric(eqx.Module):
    """k(z) = (1 + |z|^2 / width^2)^(-1/2), felt farther away than a Gaussian.

    Arguments:
        width: w, in the units of the points.
    """

    width: float = 1.0

    def __check_init__(self):
        positive("InverseMultiquadric", "width", self.width)

    def __call__(self, z: State) -> Scalar:
        return jax.lax.rsqrt(1 + z @ z / self.width**2)


class DistanceKernel(eqx.Module):
    """k(z) = -|z|, with which MMD^2 is the energy distance 2 E|X - Y| - E|X - X'| - E|Y - Y'|.

    Without a width to choose; its gradient at z = 0 is taken to be zero.
    """

    def __call__(self, z: State) -> Scalar:
        return -_power_of_norm(z, 1.0)

    def radial(self, square: Array) -> Array:
        """k at points whose squared distance from the origin is given, of any shape.

        Flat where distances are below what squares in single precision tell from zero.
        """
        return -jnp.sqrt(jnp.maximum(square, _TOGETHER))


class AttractionRepulsion(eqx.Module):
    """k(z) = |z|^a / a - |z|^b / b: attraction from afar, repulsion when near; least at |z| = 1.

    Arguments:
        attraction: a, above b.
        repulsion: b > 0; particles gather on sets of lower dimension the larger it is.
    """

    attraction: float = eqx.field(static=True, default=2.0)
    repulsion: float = eqx.field(static=True, default=1.0)

    def __check_init__(self):
        if not self.attraction > self.repulsion > 0:
            raise ValueError(
                f"`AttractionRepulsion` got attraction = {self.attraction} and repulsion = "
                f"{self.repulsion}, expected attraction > repulsion > 0: the larger power wins "
                "from afar, and with a negative one a particle would push itself without bound."
            )

    def __call__(self, z: State) -> Scalar:
        a, b = self.attraction, self.repulsion
        return _power_of_norm(z, a) / a - _power_of_norm(z, b) / b


class ShortestWay(eqx.Module):
    """A kernel of the difference by the shortest way round each circle.

    Arguments:
        kernel: k.
        domain: the domain.
    """

    kernel: Kernel
    domain: AbstractDomain

    def __call__(self, z: State) -> Scalar:
        return self.kernel(self.domain.shortest(z))


class Chord(eqx.Module):
    """A positive definite kernel of distances, by the chords of circles: positive definite there.

    By arcs it would not be: a circle's arcs are no distances of a Hilbert space.

    Arguments:
        kernel: k, a function of the distance alone.
        domain: the domain.
    """

    kernel: Kernel
    domain: AbstractDomain

    def __call__(self, z: State) -> Scalar:
        return self.kernel(self.domain.chord(z))


_DEFINITE = (GaussianKernel, MeanKernel, InverseMultiquadric, DistanceKernel)


def definite_on_circles(kernel: Kernel, domain: AbstractDomain) -> Kernel:
    """A kernel that is positive definite in space, as one that is so on the domain.

    One's own is taken by the shortest way, which leaves it as it is if it is periodic.
    """
    if any(domain.periodic) and isinstance(kernel, _DEFINITE):
        return Chord(kernel, domain)
    return kernel if isinstance(kernel, Chord) else on_circles(kernel, domain)


def on_circles(kernel: Kernel, domain: AbstractDomain) -> Kernel:
    """The kernel on a domain, where the shortest way is not the difference itself."""
    if not any(domain.periodic) or isinstance(kernel, ShortestWay):
        return kernel
    return ShortestWay(kernel, domain)


def kernel_mean(kernel: Kernel, x: State, points: Batch, weights: Weights) -> Scalar:
    """sum_j w_j k(x - y_j), the particles in chunks.

    Mapped over many x it holds one chunk of each at once, and so does its derivative, for which
    chunks are computed again.
    """
    x = _entry.point("kernel_mean", x, points.shape[1])
    mean = lambda part: part[1] @ jax.vmap(lambda y: kernel(x - y))(part[0])
    if len(points) <= _PARTICLES:
        return mean((points, weights))
    return chunk_sums(jax.checkpoint(mean, prevent_cse=False), (points, weights), _PARTICLES)


def pair_mean(
    kernel: Kernel,
    first: tuple[Batch, Weights],
    second: tuple[Float[Array, "m dim"], Float[Array, "m"]],
) -> Scalar:
    """sum_ij v_i w_j k(x_i - y_j), some rows i at once and the columns in chunks."""
    points, weights = first
    held = min(_PARTICLES, second[0].shape[0]) * points.shape[1]
    rows = max(1, min(points.shape[0], _NUMBERS // held))
    average = jax.checkpoint(lambda x: kernel_mean(kernel, x, *second))
    return weights @ jax.lax.map(average, points, batch_size=rows)


def _power_of_norm(z: State, exponent: float) -> Scalar:
    square = z @ z
    if exponent >= 2:  # smooth enough at zero to have a second derivative there
        return square if exponent == 2 else square * _power_of_norm(z, exponent - 2)
    apart = square > 0
    # The gradient of a root at zero is infinite, and of a branch not taken it must be finite.
    return jnp.where(apart, jnp.where(apart, square, 1.0) ** (0.5 * exponent), 0.0)
