"""Double wells beside harmonic coordinates: energies whose law is known exactly.

    V(x) = sum_{i a well} (a x_i^4 + b x_i^2 + c x_i)  +  sum_{j another} x_j^2 / 2
    rho(x) = exp(-V(x)) / Z,      log Z = m log Z_1 + (dim - m) / 2 log 2 pi

for m wells, Z_1 the integral over one of them. With a > 0 > b a well has minima near
+- sqrt(-b / 2a), and between them a barrier of height b^2 / 4a; c tilts it, so that the two sides
have different masses. m wells have 2^m modes. The coordinates are independent: log Z, the moments
and the distribution function of one well are integrals on a line, done in float64 by a composite
Gauss rule to rounding. Samples invert the distribution function, which is tabulated on 4096 cells
with exact masses.

With a, b, c = 1, -6, -1/2 these are the double well of Boltzmann generators and its many-well
product (log Z_1 = log 11784.50927, and log Z = 164.69568 in dimension 32).

References:
    F. Noé, S. Olsson, J. Köhler, H. Wu, "Boltzmann generators" (2019), arXiv 1812.01729.
    L. Midgley, V. Stimper, G. Simm, B. Schölkopf, J. M. Hernández-Lobato, "Flow annealed
    importance sampling bootstrap" (2023), arXiv 2208.01893.
"""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfgen import _check
from mfgen._types import Batch, Key, Scalar, State
from mfgen.densities._base import AbstractEvaluable, Matrix
from mfgen.math import _entry
from mfgen.math._count import count

# Cells on each side of zero, nodes in each; beyond V = min V + 60 there is no mass in float64.
_CELLS, _NODES, _HEIGHT = 2048, 6, 60.0


class WellProduct(AbstractEvaluable):
    """The normalised law exp(-V) / Z of double wells and harmonic coordinates.

    Arguments:
        dim: dimension of the space.
        wells: which coordinates have a double well; the others are standard normal.
        quartic, quadratic, linear: a, b and c; two wells need a > 0 > b.

    Beside log Z, `upper` is the mass of a well on its positive side, P(x_i > 0), and `well_moments`
    are its mean and variance.

    Raises:
        ValueError: for wells that are no distinct coordinates, or a quartic that is not positive.
    """

    dim: int = eqx.field(static=True)
    wells: tuple[int, ...] = eqx.field(static=True)
    coefficients: tuple[float, float, float] = eqx.field(static=True)
    log_normaliser: float = eqx.field(static=True)
    upper: float = eqx.field(static=True)
    well_moments: tuple[float, float] = eqx.field(static=True)
    ends: Float[Array, "m"]
    cumulative: Float[Array, "m"]

    def __init__(
        self,
        dim: int,
        wells: tuple[int, ...],
        quartic: float = 1.0,
        quadratic: float = -6.0,
        linear: float = -0.5,
    ):
        dim = count("WellProduct", "dim", dim)
        for name, value in (("quartic", quartic), ("quadratic", quadratic), ("linear", linear)):
            _check.a_number("WellProduct", name, value)
        if not wells or len(set(wells)) < len(wells) or not set(wells) <= set(range(dim)):
            raise ValueError(
                f"`WellProduct` got the wells {wells} in dimension {dim}, expected at least one, "
                f"distinct coordinates from 0 to {dim - 1}."
            )
        if not (quartic > 0 and math.isfinite(quartic + abs(quadratic) + abs(linear))):
            raise ValueError(
                f"`WellProduct` got the coefficients {quartic}, {quadratic}, {linear}, expected "
                "finite ones with a positive quartic: otherwise exp(-V) cannot be normalised."
            )
        self.dim, self.wells = dim, tuple(wells)
        self.coefficients = (float(quartic), float(quadratic), float(linear))
        line = _integrate(*self.coefficients)
        rest = 0.5 * (dim - len(wells)) * math.log(2.0 * math.pi)
        self.log_normaliser = len(wells) * line.log_normaliser + rest
        self.upper, self.well_moments = line.upper, (line.mean, line.variance)
        self.ends = jnp.asarray(line.ends, float)
        self.cumulative = jnp.asarray(line.cumulative, float)

    def energy(self, x: State) -> Scalar:
        """V(x), without log Z."""
        others = [i for i in range(self.dim) if i not in self.wells]
        well, other = x[np.array(self.wells)], x[np.array(others, int)]
        quartic, quadratic, linear = self.coefficients
        bottom = quadratic + quartic * jnp.square(well)
        return jnp.sum(well * (linear + well * bottom)) + 0.5 * other @ other

    def log_density(self, x: State) -> Scalar:
        x = _entry.point("WellProduct", x, self.dim)
        return -self.energy(x) - self.log_normaliser

    def sample(self, n: int, *, key: Key) -> Batch:
        normal_key, well_key = jax.random.split(key)
        points = jax.random.normal(normal_key, (n, self.dim), self.ends.dtype)
        levels = jax.random.uniform(well_key, (n, len(self.wells)), self.ends.dtype)
        inside = jnp.interp(levels, self.cumulative, self.ends)
        return points.at[:, np.array(self.wells)].set(inside)

    def moments(self) -> tuple[State, Matrix]:
        mean, variances = np.zeros(self.dim), np.ones(self.dim)
        mean[list(self.wells)], variances[list(self.wells)] = self.well_moments
        return jnp.asarray(mean, float), jnp.diag(jnp.asarray(variances, float))


def double_well(
    dim: int = 2, quartic: float = 1.0, quadratic: float = -6.0, linear: float = -0.5
) -> WellProduct:
    """Return a double well in the first coordinate, the others standard normal: two modes.

    By default the wells lie at +-1.7, the barrier is 9 high, and the upper one holds 84% of the
    mass.
    """
    return WellProduct(dim, (0,), quartic, quadratic, linear)


def many_wells(dim: int = 32) -> WellProduct:
    """Return dim / 2 double wells, each followed by a standard normal: 2^(dim / 2) modes.

    Raises:
        ValueError: for a dimension that is odd or below 2.
    """
    if count("many_wells", "dim", dim, least=0) % 2 or dim < 2:
        raise ValueError(
            f"`many_wells` got dim = {dim}, expected an even number of at least 2: pass "
            f"dim={max(2, dim + 1)}."
        )
    return WellProduct(dim, tuple(range(0, dim, 2)))


class _Line(NamedTuple):
    """One well on a line: the distribution function at `ends`, and its integrals."""

    ends: np.ndarray
    cumulative: np.ndarray
    log_normaliser: float
    upper: float
    mean: float
    variance: float


def _integrate(quartic: float, quadratic: float, linear: float) -> _Line:
    energy = np.polynomial.Polynomial([0.0, linear, quadratic, 0.0, quartic])
    stationary = energy.deriv().roots()
    lowest = float(energy(stationary.real).min())
    reach = (energy - lowest - _HEIGHT).roots()
    reach = reach.real[abs(reach.imag) < 1e-9]
    # Zero is an end, so that the mass above it is exact as well.
    low, high = min(reach.min(), -1.0), max(reach.max(), 1.0)
    ends = np.append(np.linspace(low, 0.0, _CELLS + 1), np.linspace(0.0, high, _CELLS + 1)[1:])
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    half = 0.5 * np.diff(ends)[:, None]
    x = ends[:-1, None] + half * (nodes + 1.0)
    mass = half * weights * np.exp(lowest - energy(x))
    total = mass.sum()
    mass = mass / total
    mean = float((mass * x).sum())
    cumulative = np.append(0.0, np.cumsum(mass.sum(axis=1)))
    return _Line(
        ends,
        cumulative / cumulative[-1],
        math.log(total) - lowest,
        float(mass[_CELLS:].sum()),
        mean,
        float((mass * (x - mean) ** 2).sum()),
    )
