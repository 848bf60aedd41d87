"""Interactions: with the crowd at a place, and of pairs at a distance.

    CrowdAversion   F(rho) = int rho^m dx / m,                  dF/drho(x) = rho(x)^(m - 1)
    Pairwise        F(rho) = (1/2) E E k(X - Y), X, Y ~ rho,    dF/drho(x) = E k(x - Y)

for m > 1 and an even kernel k. The first is monotone in the sense of Lasry and Lions; the second is
if the Fourier transform of k is nowhere negative. On a lattice the convolution is done by fast
Fourier transforms.

Reference: J.-M. Lasry, P.-L. Lions, "Mean field games", Jpn. J. Math. 2 (2007).
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfgen import _check
from mfgen._types import Scalar, State
from mfgen.densities._base import expectation
from mfgen.densities._grid import GridDensity
from mfgen.functionals._functional import AbstractFunctional, Population, evaluable, given
from mfgen.functionals._kernel import kernel_mean, on_circles, pair_mean
from mfgen.math._space import AbstractDomain


class CrowdAversion(AbstractFunctional):
    """F = int rho^m dx / m, with first variation rho^(m - 1): the cost of a crowd.

    Arguments:
        exponent: m > 1; with m = 2 a particle pays the density itself.
    """

    exponent: float = eqx.field(static=True, default=2.0)

    def __check_init__(self):
        if not self.exponent > 1:
            raise ValueError(
                f"`CrowdAversion` got exponent = {self.exponent}, expected a number above 1: for "
                "the limit 1 take `Entropy()`."
            )

    def value(self, rho: Population) -> Scalar:
        density = evaluable("CrowdAversion", "population", rho)
        return expectation(density, lambda x: self.variation(density, x)) / self.exponent

    def variation(self, rho: Population, x: State) -> Scalar:
        density = evaluable("CrowdAversion", "population", rho)
        return jnp.exp((self.exponent - 1) * density.log_density(x))


class Pairwise(AbstractFunctional):
    """F = (1/2) E E k(X - Y), with first variation E k(x - Y).

    Arguments:
        kernel: k, takes a difference of shape `[dim]`, returns a scalar; k(-z) = k(z), such as
            `AttractionRepulsion()`. On a circle it is taken at the shortest way round, which
            leaves a periodic kernel such as lambda z: -jnp.cos(z[0]) as it is.

    Reference: J.-M. Lasry, P.-L. Lions, "Mean field games", Jpn. J. Math. 2 (2007), section 2.6.
    """

    kernel: Callable[[State], Scalar]

    def __check_init__(self):
        _check.a_function("Pairwise", "kernel", self.kernel, "a difference z, `GaussianKernel()`")

    def value(self, rho: Population) -> Scalar:
        particles = given("Pairwise", rho).particles()
        return 0.5 * pair_mean(self.kernel, particles, particles)

    def variation(self, rho: Population, x: State) -> Scalar:
        return kernel_mean(self.kernel, x, *given("Pairwise", rho).particles())

    def on(self, domain: AbstractDomain) -> AbstractFunctional:
        return Pairwise(on_circles(self.kernel, domain))

    def on_lattice(self, rho: GridDensity) -> Float[Array, "*points"]:
        lattice, mass = rho.lattice, rho.mass
        # Twice the box where it ends, so that what leaves on one side does not come in opposite.
        shifts = [
            np.fft.fftfreq(count, 1 / count) * h
            for n, h, turns in zip(lattice.points, lattice.spacing, lattice.periodic, strict=True)
            for count in (n if turns else 2 * n,)
        ]
        differences = np.stack(np.meshgrid(*shifts, indexing="ij"), -1)
        at = jax.vmap(self.kernel)(jnp.asarray(differences, mass.dtype).reshape(-1, lattice.dim))
        sizes = [len(shift) for shift in shifts]
        padded = jnp.zeros(sizes, mass.dtype).at[tuple(slice(n) for n in lattice.points)].set(mass)
        product = jnp.fft.rfftn(at.reshape(sizes)) * jnp.fft.rfftn(padded)
        return jnp.fft.irfftn(product, s=sizes)[tuple(slice(n) for n in lattice.points)]
