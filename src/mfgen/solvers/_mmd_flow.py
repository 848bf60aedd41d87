"""The gradient flow of the maximum mean discrepancy to a sample: no density is needed.

    F = (1/2) MMD^2(rho, pi),     v(x) = -grad w(x),     w(x) = E k(x - X) - E k(x - Y)

w is the witness function, X ~ rho and Y ~ pi. Particles can be caught where w is flat; noise that
is injected into its argument, v(x + beta xi), lets them leave, and F still decreases while beta is
small enough. Of a Gaussian kernel the curvature of w is at most about 1 / width^2, and a step above
twice the square of the narrowest throws particles out. A Gaussian kernel does not see beyond its
width and is flat within it; -|z|, of which F is half an energy distance, does both, and no particle
is faster than 2. Sums over all pairs are chunked.

References: M. Arbel, A. Korba, A. Salim, A. Gretton, "Maximum mean discrepancy gradient flow"
(2019), arXiv 1906.04370; J. Hertrich, C. Wald, F. Altekrüger, P. Hagemann, "Generative sliced MMD
flows with Riesz kernels" (2023), arXiv 2305.11463, for -|z|.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen._types import Batch, Given, Key
from mfgen.data._validate import check_samples
from mfgen.functionals._kernel import DistanceKernel, MeanKernel, RadialKernel
from mfgen.math._pairs import pair_gradients, pair_sums
from mfgen.solvers._particle import AbstractParticleFlow, Energy, variance_of_mean


class MMDFlow(AbstractParticleFlow):
    """Particles along -grad of the witness function.

    Arguments:
        data: a sample of pi, `[m, dim]`.
        widths: of Gaussian kernels whose mean is k: a narrow one sees detail, a wide one far. The
            kernel is -|z| if absent.
        noise: beta, by which arguments of the witness are displaced, in the units of the points.

    Raises:
        ValueError: for data that are not finite, or widths that are not positive.
    """

    data: Float[Array, "m dim"]
    kernel: RadialKernel
    noise: float = eqx.field(static=True)

    def __init__(self, data: Given, widths: tuple[float, ...] | None = None, noise: float = 0.0):
        self.data = jnp.asarray(check_samples(data, name="data"))
        gaussian = widths is not None
        self.kernel = MeanKernel(tuple(map(float, widths))) if gaussian else DistanceKernel()
        self.noise = float(noise)
        if not self.noise >= 0:
            raise ValueError(
                f"`MMDFlow` got noise = {noise}, expected a number >= 0: pass noise=0.0 for none."
            )

    def check(self, points: Batch) -> None:
        if points.shape[1] != self.data.shape[1]:
            raise ValueError(
                f"`MMDFlow` got points of dimension {points.shape[1]} for data of dimension "
                f"{self.data.shape[1]}, expected the same: start where the data live."
            )

    def velocity(self, points: Batch, *, key: Key) -> Batch:
        n, m = points.shape[0], self.data.shape[0]
        at = points
        if self.noise:
            at = points + self.noise * jax.random.normal(key, points.shape, points.dtype)
        apart = pair_gradients(self.kernel.radial, at, points, jnp.full(n, 1 / n, points.dtype))
        drawn = pair_gradients(self.kernel.radial, at, self.data, jnp.full(m, 1 / m, points.dtype))
        return drawn - apart

    def energy(self, points: Batch) -> Energy:
        """(1/2) MMD^2, unbiased: pairs of a point with itself are left out, but of one alone."""
        n, m = points.shape[0], self.data.shape[0]
        phi = self.kernel.radial
        mean = lambda x, y: pair_sums(phi, x, y, jnp.ones((y.shape[0], 1), x.dtype))[:, 0]
        itself = phi(jnp.zeros((), points.dtype))
        own = (mean(points, points) - itself) / (n - 1) if n > 1 else itself[None]
        theirs = (mean(self.data, self.data) - itself) / (m - 1)
        cross = mean(points, self.data) / m
        back = mean(self.data, points) / n
        value = 0.5 * jnp.mean(own) + 0.5 * jnp.mean(theirs) - jnp.mean(cross)
        # By the delta method: the witness is the influence of a particle, and of a data point.
        spread = variance_of_mean(own - cross) + variance_of_mean(theirs - back)
        return Energy(value, jnp.sqrt(spread))
