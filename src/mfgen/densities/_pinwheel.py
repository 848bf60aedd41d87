"""The pinwheel: a star of Gaussian arms twisted by an angle that depends on the radius alone.

    x = R(twist |z|^2) z,    z ~ (1 / arms) sum_k N(R(2 pi k / arms) (radius, 0), C_k)

In polar coordinates the twist is (rho, phi) -> (rho, phi + twist rho^2). It keeps areas, so

    log rho(x) = log rho_z( R(-twist |x|^2) x )

exactly, with no Jacobian. The usual construction (Johnson et al. 2016, arXiv 1603.06277) turns each
point by its radial feature instead of its radius; its density has no closed form. Nor has the
noised law here, so the pinwheel can be evaluated but not noised exactly.
"""

import jax
import jax.numpy as jnp
import numpy as np

from mfgen._types import Batch, Key, Scalar, State
from mfgen.densities._base import AbstractEvaluable, Matrix, Weights
from mfgen.densities._gaussian import GaussianMixture
from mfgen.math import _entry


class Pinwheel(AbstractEvaluable):
    """The twisted star in the plane.

    Arguments:
        arms: how many, at least 3.
        radius: distance of the centre of an arm from the origin.
        radial, tangential: standard deviations along and across an arm.
        twist: angle in radians per squared radius.

    Raises:
        ValueError: for fewer than 3 arms, where the covariance would not be isotropic.
    """

    star: GaussianMixture
    twist: Scalar

    def __init__(
        self,
        arms: int = 5,
        radius: float = 2.0,
        radial: float = 0.6,
        tangential: float = 0.2,
        twist: float = 0.1,
    ):
        if arms < 3:
            raise ValueError(f"`Pinwheel` got {arms} arms, expected at least 3: pass `arms=3`.")
        angles = 2.0 * np.pi * np.arange(arms) / arms
        along = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        across = np.stack([-np.sin(angles), np.cos(angles)], axis=1)
        covariances = radial**2 * along[:, :, None] * along[:, None, :]
        covariances += tangential**2 * across[:, :, None] * across[:, None, :]
        self.star = GaussianMixture(np.full(arms, 1.0 / arms), radius * along, covariances)
        self.twist = jnp.asarray(twist, float)

    @property
    def dim(self) -> int:
        return 2

    def log_density(self, x: State) -> Scalar:
        x = _entry.point("Pinwheel", x, self.dim)
        return self.star.log_density(_rotate(x, -self.twist * (x @ x)))

    def sample(self, n: int, *, key: Key) -> Batch:
        return self._twisted(self.star.sample(n, key=key))

    def moments(self) -> tuple[State, Matrix]:
        # Turning by 2 pi / arms keeps the law, so its mean is 0 and its covariance isotropic.
        _, covariance = self.star.moments()
        return jnp.zeros_like(covariance[0]), 0.5 * jnp.trace(covariance) * jnp.eye(2)

    def particles(self) -> tuple[Batch, Weights]:
        points, weights = self.star.particles()
        return self._twisted(points), weights

    def _twisted(self, points: Batch) -> Batch:
        return jax.vmap(lambda z: _rotate(z, self.twist * (z @ z)))(points)


def _rotate(x: State, angle: Scalar) -> State:
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([cosine * x[0] - sine * x[1], sine * x[0] + cosine * x[1]])
