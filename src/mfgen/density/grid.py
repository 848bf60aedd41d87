"""Densities on the cells of a lattice: what a grid solver finds.

    rho(x) = exp(spline through log rho_i),      sum_i rho_i h^d = 1

The logarithm is interpolated, so that the density is positive and its score smooth. Integrals are
sums over cells, exact for the mass, which therefore is one to rounding; integrals of the
interpolated density agree with them to the order of the lattice.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfgen._types import Batch, Key, Scalar, State, Time
from mfgen.density.base import (
    AbstractDensity,
    AbstractEvaluable,
    Matrix,
    Weights,
    weighted_moments,
)
from mfgen.math.lattice import Lattice
from mfgen.math.spline import Spline, spline

# The logarithm of a density is cut off at this part of the largest.
_FLOOR = 1e-200
# What a solver takes for nothing: there a charge by the logarithm stops growing.
_NOTHING = 1e-12


class GridDensity(AbstractEvaluable):
    """A density given by its mass in each cell of a lattice.

    Arguments:
        lattice: the cells.
        mass: of each cell, `[*points]`, summing to one.
        logarithm: log rho(x).
    """

    lattice: Lattice
    mass: Float[Array, "*points"]
    logarithm: Callable[[State], Scalar]

    def __init__(
        self,
        lattice: Lattice,
        mass: Float[Array, "*points"],
        logarithm: Callable[[State], Scalar],
    ):
        self.lattice, self.mass, self.logarithm = lattice, mass, logarithm

    @property
    def dim(self) -> int:
        return self.lattice.dim

    def log_density(self, x: State) -> Scalar:
        return self.logarithm(x)

    @eqx.filter_jit
    def sample(self, n: int, *, key: Key) -> Batch:
        """Draw cells by their mass, then points uniformly in them."""
        cell_key, place_key = jax.random.split(key)
        points, weights = self.particles()
        cells = jax.random.categorical(cell_key, jnp.log(weights), shape=(n,))
        shift = jax.random.uniform(place_key, (n, self.dim), points.dtype, -0.5, 0.5)
        return points[cells] + shift * jnp.asarray(self.lattice.spacing, points.dtype)[None]

    def moments(self) -> tuple[State, Matrix]:
        return weighted_moments(*self.particles())

    def particles(self) -> tuple[Batch, Weights]:
        """Centres and masses of the cells."""
        points = jnp.asarray(self.lattice.nodes(), self.mass.dtype)
        return points.reshape(-1, self.dim), self.mass.reshape(-1)


class GridPath(eqx.Module):
    """Densities on a lattice over time: t -> `GridDensity`.

    Attributes:
        lattice: the cells.
        times: `[n]`, uniform and increasing.
        mass: of each cell, `[n, *points]`.
        logarithm: the spline of log rho over time and place.
    """

    lattice: Lattice
    times: Float[Array, "n"]
    mass: Float[Array, "n *points"]
    logarithm: Spline

    def __call__(self, t: Time) -> GridDensity:
        return self._at(jnp.asarray(t, self.mass.dtype))

    @eqx.filter_jit
    def _at(self, t: Scalar) -> GridDensity:
        place = (t - self.times[0]) / (self.times[1] - self.times[0])
        place = jnp.clip(place, 0, len(self.times) - 1)
        before = jnp.minimum(place.astype(int), len(self.times) - 2)
        part = place - before
        mass = (1 - part) * self.mass[before] + part * self.mass[before + 1]
        return GridDensity(self.lattice, mass, _At(self.logarithm, t))


class _At(eqx.Module):
    """A spline over time and place, at a time."""

    function: Spline
    t: Scalar

    def __call__(self, x: State) -> Scalar:
        return self.function(self.t, *x)


class _OnLattice(eqx.Module):
    """Values at the cell centres, multilinear in between: exact where a solver needs it."""

    lattice: Lattice
    values: Float[Array, "*points"]

    def __call__(self, x: State) -> Scalar:
        below, part = self.lattice.index(x)
        values = self.values
        for axis in range(self.lattice.dim):
            count = self.lattice.points[axis]
            here, there = values[below[axis]], values[(below[axis] + 1) % count]
            values = (1 - part[axis]) * here + part[axis] * there
        return values


def grid_path(lattice: Lattice, times: np.ndarray, mass: np.ndarray, degree: int) -> GridPath:
    """The path of densities with the given masses of cells at uniform times, `[n, *points]`."""
    density = np.asarray(mass) / lattice.volume
    lengths = (None, *(b - a if lattice.periodic else None for a, b in lattice.box))
    logarithm = np.log(np.maximum(density, _FLOOR * density.max()))
    through = spline([times, *lattice.axes()], logarithm, degree=degree, lengths=lengths)
    return GridPath(lattice, jnp.asarray(times), jnp.asarray(mass), through)


def nodal(lattice: Lattice, mass: Float[Array, "*points"]) -> GridDensity:
    """The density with the given masses, its logarithm exact at the centres of the cells."""
    density = mass / lattice.volume
    logarithm = jnp.log(jnp.maximum(density, _NOTHING * jnp.max(density)))
    return GridDensity(lattice, mass, _OnLattice(lattice, logarithm))


def cell_masses(lattice: Lattice, density: AbstractDensity) -> tuple[np.ndarray, float]:
    """The mass of a density in each cell, `[*points]`, summing to one; and what the box cuts off.

    A log-density is taken at the centres; the particles of any other density are shared out between
    the centres next to them.
    """
    if isinstance(density, AbstractEvaluable):
        nodes = jnp.asarray(lattice.nodes()).reshape(-1, lattice.dim)
        values = np.asarray(jax.lax.map(density.log_density, nodes, batch_size=4096), float)
        mass = np.exp(values).reshape(lattice.points) * lattice.volume
    else:
        mass = _shared_out(lattice, *density.particles())
    total = float(mass.sum())
    if not (np.isfinite(total) and total > 0):
        raise ValueError(
            f"`Lattice` got a density with mass {total:.3g} in the box {lattice.box}, expected a "
            "finite positive one: choose a box around the density."
        )
    return mass / total, 1.0 - total


def _shared_out(lattice: Lattice, points: Batch, weights: Weights) -> np.ndarray:
    inside = np.ones(len(points), bool)
    for axis, (low, high) in enumerate(lattice.box):
        inside &= (np.asarray(points)[:, axis] >= low) & (np.asarray(points)[:, axis] <= high)
    kept, share = np.asarray(points)[inside], np.asarray(weights, float)[inside]
    below, part = (np.asarray(a) for a in jax.vmap(lattice.index)(jnp.asarray(kept)))
    mass = np.zeros(lattice.points)
    for corner in np.ndindex(*(2,) * lattice.dim):
        ahead = np.asarray(corner)
        cells = (below + ahead) % np.asarray(lattice.points)
        part_of = np.prod(np.where(ahead == 1, part, 1 - part), axis=1)
        np.add.at(mass, tuple(cells.T), share * part_of)
    return mass
