"""Energies of kernels and powers: maximum mean discrepancy and porous media.

    MMD            F = (1/2) E E k(X - X') + (1/2) E E k(Y - Y') - E E k(X - Y),    X ~ rho, Y ~ pi
                   dF/drho(x) = E k(x - X) - E k(x - Y)
    PorousMedium   F = int rho^m dx / (m - 1),    dF/drho = m / (m - 1) rho^(m - 1)

MMD here is half of the squared discrepancy, so that its variation is the witness function itself.
It needs particles of both laws and no density of either: a target may be a sample. With particles
of n points, means over all pairs include those of a point with itself: the value is zero for equal
samples and, between independent ones of n and m points, too large by about k(0)(1/n + 1/m)/2 (the
estimator of `mfgen.metrics._discrepancy` leaves them out).

The Wasserstein gradient flow of the second is the porous medium equation drho/dt = lap rho^m, and
its limit m = 1 the heat equation of `Entropy()`. It is m / (m - 1) times `CrowdAversion(m)` for
m > 1; here powers below one (fast diffusion) are allowed too.

References: M. Arbel, A. Korba, A. Salim, A. Gretton, "Maximum mean discrepancy gradient flow"
(2019), arXiv 1906.04370; F. Otto, "The geometry of dissipative evolution equations: the porous
medium equation" (2001).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen import _check
from mfgen._types import Scalar, State
from mfgen.densities._base import AbstractDensity, expectation
from mfgen.densities._folded import folded
from mfgen.densities._grid import GridDensity
from mfgen.functionals._functional import AbstractFunctional, Population, evaluable, given
from mfgen.functionals._interaction import Pairwise
from mfgen.functionals._kernel import (
    GaussianKernel,
    Kernel,
    definite_on_circles,
    kernel_mean,
    pair_mean,
)
from mfgen.math._space import AbstractDomain


class MMD(AbstractFunctional):
    """F = (1/2) MMD^2(rho, pi), with first variation E k(x - X) - E k(x - Y).

    Arguments:
        target: pi, which need only have particles: `Empirical(data)` will do.
        kernel: k, takes a difference of shape `[dim]`, returns a scalar; k(-z) = k(z) and positive
            definite, such as `GaussianKernel(width)`, which on circles goes by their chords.

    Example:

        cost = 100 * MMD(Empirical(points), GaussianKernel(1.0))
        MFG(Integrator(0.5), Kinetic(), cost, initial=start)
    """

    target: AbstractDensity
    kernel: Kernel = GaussianKernel()

    def __check_init__(self):
        _check.a_function("MMD", "kernel", self.kernel, "a difference z, `GaussianKernel()`")

    def on(self, domain: AbstractDomain) -> AbstractFunctional:
        return MMD(folded(self.target, domain), definite_on_circles(self.kernel, domain))

    def value(self, rho: Population) -> Scalar:
        here, there = given("MMD", rho).particles(), self.target.particles()
        within = pair_mean(self.kernel, here, here) + pair_mean(self.kernel, there, there)
        return 0.5 * within - pair_mean(self.kernel, here, there)

    def variation(self, rho: Population, x: State) -> Scalar:
        here, there = given("MMD", rho).particles(), self.target.particles()
        return kernel_mean(self.kernel, x, *here) - kernel_mean(self.kernel, x, *there)

    def on_lattice(self, rho: GridDensity) -> Float[Array, "*points"]:
        lattice = rho.lattice
        nodes = jnp.asarray(lattice.nodes(), rho.mass.dtype).reshape(-1, rho.dim)
        there = self.target.particles()
        away = jax.lax.map(
            lambda x: kernel_mean(self.kernel, x, *there), nodes, batch_size=min(4096, len(nodes))
        )
        return Pairwise(self.kernel).on_lattice(rho) - away.reshape(lattice.points)


class PorousMedium(AbstractFunctional):
    """F = int rho^m dx / (m - 1), with first variation m / (m - 1) rho^(m - 1).

    Arguments:
        exponent: m > 0, not 1; above 1 for porous media, below 1 for fast diffusion, which is
            displacement convex for m >= 1 - 1 / dim.
    """

    exponent: float = eqx.field(static=True, default=2.0)

    def __check_init__(self):
        _check.numbers(self, "exponent")
        if not (self.exponent > 0 and self.exponent != 1):
            raise ValueError(
                f"`PorousMedium` got exponent = {self.exponent}, expected a positive number other "
                "than 1: for the limit 1 take `Entropy()`."
            )

    def value(self, rho: Population) -> Scalar:
        density, power = evaluable("PorousMedium", "population", rho), self.exponent - 1
        return expectation(density, lambda x: jnp.exp(power * density.log_density(x))) / power

    def variation(self, rho: Population, x: State) -> Scalar:
        density, power = evaluable("PorousMedium", "population", rho), self.exponent - 1
        return self.exponent / power * jnp.exp(power * density.log_density(x))

    def conjugate(self, slope: Scalar) -> Scalar:
        """U*(s) = sup_{r >= 0} { s r - r^m / (m - 1) }: the conjugate of F at phi is int U*(phi).

        For m > 1 it is ((m - 1) s / m)^(m / (m - 1)) for s > 0 and zero below; for m < 1 the same
        power for s < 0 and infinite above.
        """
        m = self.exponent
        base = (m - 1) / m * slope
        inside = base > 0
        power = jnp.where(inside, base, 1.0) ** (m / (m - 1))
        return jnp.where(inside, power, 0.0 if m > 1 else jnp.inf)
