"""Three ways down KL(rho || pi) by particles, for a target pi whose log-density is known.

| flow | v at x | noise |
|---|---|---|
| `LangevinFlow` | grad log pi | sqrt 2 |
| `BlobFlow` | grad log pi - grad log rho, both smoothed as below | none |
| `SteinFlow` | E[ k(x, X) grad log pi(X) + grad_X k(x, X) ] | none |

The blob method replaces the entropy by E log (k * rho), k the normal density of the width h, and is
the exact gradient flow of what is left,

    F_h = E_rho[ log (k * rho) - log pi ],
    v   = grad log pi - (grad k * rho) / (k * rho) - grad k * ( rho / (k * rho) )

so that F_h of its particles decreases up to errors of the step. In Stein variational descent the
velocity is the one of a ball of the kernel's space by which KL decreases fastest. All estimate the
divergence that is left by F_h, with h = `width`; it is below KL(rho || pi), since smoothing raises
the entropy, and its constant is that of log pi.

References: J. Carrillo, K. Craig, F. Patacchini, "A blob method for diffusion" (2019), arXiv
1709.09195; Q. Liu, D. Wang, "Stein variational gradient descent" (2016), arXiv 1608.04471.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfgen._types import Batch, Key, Scalar
from mfgen.densities._base import AbstractDensity
from mfgen.densities._energy import check_energy
from mfgen.dynamics._dynamics import positive
from mfgen.functionals._functional import evaluable
from mfgen.math._pairs import centred, pair_gradients, pair_sums
from mfgen.solvers._particle import AbstractParticleFlow, Energy, mean_energy

# Particles by which a width is chosen.
_FEW = 512
# The square of a distance that counts as none, over that of the largest.
_TOGETHER = 1e-8


class LangevinFlow(AbstractParticleFlow):
    """The Langevin diffusion dX = grad log pi dt + sqrt 2 dW; its step leaves a bias of order h.

    Arguments:
        target: pi, with a log-density, which need not be normalised.
        width: of the kernel by which the divergence is estimated.
    """

    target: AbstractDensity
    width: float = eqx.field(static=True, default=0.1)

    def __check_init__(self):
        positive("LangevinFlow", "width", self.width)
        evaluable("LangevinFlow", "target", self.target)

    @property
    def sigma(self) -> float:
        return 2**0.5

    def check(self, points: Batch) -> None:
        _check("LangevinFlow", self.target, points)

    def velocity(self, points: Batch, *, key: Key) -> Batch:
        return _scores("LangevinFlow", self.target, points)

    def energy(self, points: Batch) -> Energy:
        return blob_energy("LangevinFlow", self.target, self.width, points)


class BlobFlow(AbstractParticleFlow):
    """The gradient flow of E[log (k * rho) - log pi], without noise.

    Arguments:
        target: pi, with a log-density, which need not be normalised.
        width: h of the kernel; of the order of the distance of neighbours or more.
    """

    target: AbstractDensity
    width: float = eqx.field(static=True, default=0.1)

    def __check_init__(self):
        positive("BlobFlow", "width", self.width)
        evaluable("BlobFlow", "target", self.target)

    def check(self, points: Batch) -> None:
        _check("BlobFlow", self.target, points)

    def velocity(self, points: Batch, *, key: Key) -> Batch:
        profile = gaussian_profile(self.width)
        ones = jnp.ones(points.shape[0], points.dtype)
        density = pair_sums(profile, points, points, ones[:, None])[:, 0]
        crowded = pair_gradients(profile, points, points, ones) / density[:, None]
        pushed = pair_gradients(profile, points, points, 1 / density)
        return _scores("BlobFlow", self.target, points) - crowded - pushed

    def energy(self, points: Batch) -> Energy:
        return blob_energy("BlobFlow", self.target, self.width, points)


class SteinFlow(AbstractParticleFlow):
    """Stein variational gradient descent with a Gaussian kernel exp(-|z|^2 / (2 w^2)).

    Arguments:
        target: pi, with a log-density, which need not be normalised.
        width: w; at each step median distance / sqrt(2 log n), if absent, by some particles. Where
            most are at one place it is the median of the distances that are left; particles all at
            one place move as one, whatever the width.
        smoothing: width of the kernel by which the divergence is estimated.
    """

    target: AbstractDensity
    width: float | None = eqx.field(static=True, default=None)
    smoothing: float = eqx.field(static=True, default=0.1)

    def __check_init__(self):
        if self.width is not None:
            positive("SteinFlow", "width", self.width)
        positive("SteinFlow", "smoothing", self.smoothing)
        evaluable("SteinFlow", "target", self.target)

    def check(self, points: Batch) -> None:
        _check("SteinFlow", self.target, points)

    def velocity(self, points: Batch, *, key: Key) -> Batch:
        width = _median_width(points) if self.width is None else jnp.asarray(self.width)
        profile = gaussian_profile(width)
        # grad_y k(x, y) = k (x - y) / w^2, summed over y together with k times the scores; about
        # the centre, since the two parts cancel where the cloud is far from zero.
        places = centred(points, points)[1]
        drawn = _scores("SteinFlow", self.target, points) - places / width**2
        ones = jnp.ones((points.shape[0], 1), points.dtype)
        sums = pair_sums(profile, places, places, jnp.concatenate([drawn, ones], axis=1))
        return (sums[:, :-1] + places * sums[:, -1:] / width**2) / points.shape[0]

    def energy(self, points: Batch) -> Energy:
        return blob_energy("SteinFlow", self.target, self.smoothing, points)


def gaussian_profile(width: Scalar | float):
    """phi(r) = exp(-r / (2 width^2)), the Gaussian kernel of a squared distance r."""
    return lambda square: jnp.exp(-0.5 * square / width**2)


def blob_energy(owner: str, target: AbstractDensity, width: float, points: Batch) -> Energy:
    """F_h = E[log (k * rho) - log pi] over the particles, k the normal density of that width."""
    pi = evaluable(owner, "target", target)
    ones = jnp.ones((points.shape[0], 1), points.dtype)
    smoothed = pair_sums(gaussian_profile(width), points, points, ones)[:, 0] / points.shape[0]
    normal = 0.5 * points.shape[1] * jnp.log(2 * jnp.pi * width**2)
    return mean_energy(jnp.log(smoothed) - normal - jax.vmap(pi.log_density)(points))


def _check(owner: str, target: AbstractDensity, points: Batch) -> None:
    density = evaluable(owner, "target", target)
    check_energy(owner, lambda x: -density.log_density(x), points)


def _scores(owner: str, target: AbstractDensity, points: Batch) -> Batch:
    return jax.vmap(jax.grad(evaluable(owner, "target", target).log_density))(points)


def _median_width(points: Batch) -> Float[Array, ""]:
    count = points.shape[0]
    if count == 1:  # the kernel is one, and the particle goes up the density
        return jnp.ones((), points.dtype)
    few = points[:: max(1, count // _FEW)]
    apart = jnp.sum(jnp.square(few[:, None] - few[None]), axis=-1)
    largest, median = jnp.max(apart), jnp.median(apart)
    left = jnp.nanmedian(jnp.where(apart > _TOGETHER * largest, apart, jnp.nan))
    square = jnp.where(median > _TOGETHER * largest, median, left)
    return jnp.sqrt(0.5 * jnp.where(largest > 0, square, 1.0) / jnp.log(float(count)))
