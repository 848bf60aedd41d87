"""The two-dimensional targets of the generative-model literature, all with known log densities.

Shapes and sizes follow FFJORD (Grathwohl et al. 2018, arXiv 1810.01367) and OT-Flow (Onken et al.
2020, arXiv 2006.00104). Where the usual sampler has no density in closed form, the law is changed
just enough to have one: the blur of a curve is isotropic and Gaussian, the pinwheel is twisted by
the radius.

| target | noised law |
|---|---|
| `eight_gaussians`, `moons`, `swissroll`, `spiral` | Gaussian mixture |
| `checkerboard` | error functions |
| `rings` | Bessel function |
| `pinwheel` | none in closed form |
"""

import jax.numpy as jnp
import numpy as np

from mfgen._types import Batch, Scalar
from mfgen.densities._checkerboard import Checkerboard
from mfgen.densities._curve import Curve
from mfgen.densities._gaussian import GaussianMixture
from mfgen.densities._pinwheel import Pinwheel
from mfgen.densities._ring import Rings


def eight_gaussians() -> GaussianMixture:
    """Return eight Gaussians of deviation .5 / 1.414 on a circle of radius 4 / 1.414."""
    angles = np.arange(8) * np.pi / 4.0
    means = 4.0 / 1.414 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return GaussianMixture(np.full(8, 0.125), means, np.full(8, (0.5 / 1.414) ** 2))


def checkerboard() -> Checkerboard:
    """Return the uniform law on eight squares of side 2 in [-4, 4]^2."""
    return Checkerboard()


def rings() -> Rings:
    """Return four circles of radius .75, 1.5, 2.25 and 3, with noise .08."""
    return Rings([0.75, 1.5, 2.25, 3.0], 0.08)


def moons() -> Curve:
    """Return two interleaved half circles of radius 2, with noise .2."""
    return Curve(_moons, 0.2)


def swissroll() -> Curve:
    """Return one spiral of radius 3 pi / 10 to 9 pi / 10, with noise .2."""
    return Curve(_swissroll, 0.2)


def spiral() -> Curve:
    """Return two opposite spirals of one and a half turns up to radius pi, with noise .15."""
    return Curve(_spiral, 0.15, power=1)


def pinwheel() -> Pinwheel:
    """Return five twisted arms."""
    return Pinwheel()


def _moons(tau: Scalar) -> Batch:
    half = 2.0 * jnp.stack([jnp.cos(jnp.pi * tau), jnp.sin(jnp.pi * tau)])
    return jnp.stack([half - jnp.array([1.0, 0.2]), jnp.array([1.0, 0.8]) - half])


def _swissroll(tau: Scalar) -> Batch:
    angle = 1.5 * jnp.pi * (1.0 + 2.0 * tau)
    return angle / 5.0 * jnp.stack([jnp.cos(angle), jnp.sin(angle)])[None, :]


def _spiral(tau: Scalar) -> Batch:
    angle = 3.0 * jnp.pi * tau
    arm = angle / 3.0 * jnp.stack([-jnp.cos(angle), jnp.sin(angle)])
    return jnp.stack([arm, -arm])
