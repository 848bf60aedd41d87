"""Densities on the cells of a lattice, as a grid solver finds them.

    rho(x) = exp(spline through log rho_i) in the box, 0 outside,      sum_i rho_i h^d = 1

The logarithm is interpolated, so that the density is positive and its score smooth. Integrals are
sums over cells, exact for the mass, which therefore is one to rounding; integrals of the
interpolated density agree with them to the order of the lattice. On a circle points wrap.

Between kept times logarithms are interpolated as well, cell by cell, and the density is divided by
its sum: positive, of mass one, and of the order of the spline; a translated normal law is exact.
Masses that are mixed linearly would spread the law by the square of what it moves in a step.

Where logarithms jump, at the edge of a support, a spline would swing to both sides. It is kept near
the straight line between neighbours, as near as their second differences are small (`limited`), so
that no density stands higher there than the cells around it.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfgen._types import Batch, Key, Scalar, State, Time
from mfgen.densities._base import (
    AbstractDensity,
    AbstractEvaluable,
    Weights,
)
from mfgen.densities._folded import folded
from mfgen.math._domain import in_time
from mfgen.math._lattice import Lattice
from mfgen.math._limited import block_line, limited
from mfgen.math._space import AbstractDomain
from mfgen.math._spline import Spline, spline

# The logarithm of a density is cut off at this part of the largest.
_FLOOR = 1e-200
# What a solver takes for nothing: there a charge by the logarithm stops growing.
_NOTHING = 1e-12


class GridDensity(AbstractEvaluable):
    """A density given by its mass in each cell of a lattice.

    Arguments:
        lattice: the cells.
        mass: of each cell, `[*points]`, summing to one.
        logarithm: log rho(x) in the box; outside of it the density is zero.
    """

    lattice: Lattice
    mass: Float[Array, "*points"]
    logarithm: Callable[[State], Scalar]

    @property
    def dim(self) -> int:
        return self.lattice.dim

    @eqx.filter_jit
    def log_density(self, x: State) -> Scalar:
        inside = self.lattice.contains(x)
        return jnp.where(inside, self.logarithm(self.lattice.nearest(x)), -jnp.inf)

    @eqx.filter_jit
    def sample(self, n: int, *, key: Key) -> Batch:
        """Draw cells by their mass, then points uniformly in them."""
        cell_key, place_key = jax.random.split(key)
        points, weights = self.particles()
        cells = jax.random.categorical(cell_key, jnp.log(weights), shape=(n,))
        shift = jax.random.uniform(place_key, (n, self.dim), points.dtype, -0.5, 0.5)
        return points[cells] + shift * jnp.asarray(self.lattice.spacing, points.dtype)[None]

    def particles(self) -> tuple[Batch, Weights]:
        """Centres and masses of the cells."""
        points = jnp.asarray(self.lattice.nodes(), self.mass.dtype)
        return points.reshape(-1, self.dim), self.mass.reshape(-1)


@folded.register
def _(law: GridDensity, domain: AbstractDomain):
    return law


class GridPath(eqx.Module):
    """Densities on a lattice over time: t -> `GridDensity`, from the first time to the last.

    Attributes:
        lattice: the cells.
        times: `[n]`, uniform and increasing.
        mass: of each cell, `[n, *points]`.
        logarithm: the spline of log rho over time and place.
        at_centres: the spline of log rho over time, at the centres of the cells.
        kept: log rho at the kept times, `[n, *points]`.
        ends: the first time and the last.
    """

    lattice: Lattice
    times: Float[Array, "n"]
    mass: Float[Array, "n *points"]
    logarithm: Spline
    at_centres: Spline
    kept: Float[Array, "n *points"]
    ends: tuple[float, float] = eqx.field(static=True)

    def __call__(self, t: Time) -> GridDensity:
        """The density at a time; outside of the game's times an error, or nan if t is traced."""
        known = in_time("Solution.density", t, *self.ends)
        return self._at(jnp.asarray(t, self.mass.dtype) * known)

    @eqx.filter_jit
    def _at(self, t: Scalar) -> GridDensity:
        place = (t - self.ends[0]) / (self.ends[1] - self.ends[0]) * (len(self.times) - 1)
        line, room = block_line(self.kept, place, periodic=False)
        centres = limited(self.at_centres(t), line, room)
        # What interpolation adds to the mass, or takes from it.
        excess = jax.nn.logsumexp(centres) + np.log(self.lattice.volume)
        centres = centres - excess
        mass = jnp.exp(centres) * self.lattice.volume
        return GridDensity(
            self.lattice, mass, _At(self.lattice, self.logarithm, t, excess, centres)
        )


class _At(eqx.Module):
    """A spline over time and place, at a time, kept near the values at the centres of the cells."""

    lattice: Lattice
    function: Spline
    t: Scalar
    excess: Scalar
    centres: Float[Array, "*points"]

    def __call__(self, x: State) -> Scalar:
        line, room = self.centres, jnp.zeros_like(self.centres)
        low = [side[0] for side in self.lattice.box]
        for axis, h in enumerate(self.lattice.spacing):
            place = (x[axis] - low[axis]) / h - 0.5
            line, room = block_line(line, place, room, periodic=self.lattice.periodic[axis])
        return limited(self.function(self.t, *x) - self.excess, line, room)


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
    lengths = (None, *lattice.lengths)
    logarithm = np.log(np.maximum(density, _FLOOR * density.max()))
    through = spline([times, *lattice.axes()], logarithm, degree=degree, lengths=lengths)
    at_centres = spline([times], logarithm, degree=degree)
    ends = float(times[0]), float(times[-1])
    kept = jnp.asarray(logarithm)
    return GridPath(lattice, jnp.asarray(times), jnp.asarray(mass), through, at_centres, kept, ends)


def nodal(lattice: Lattice, mass: Float[Array, "*points"]) -> GridDensity:
    """The density with the given masses, its logarithm exact at the centres of the cells."""
    density = mass / lattice.volume
    logarithm = jnp.log(jnp.maximum(density, _NOTHING * jnp.max(density)))
    return GridDensity(lattice, mass, _OnLattice(lattice, logarithm))


def cell_masses(lattice: Lattice, density: AbstractDensity) -> tuple[np.ndarray, float]:
    """The mass of a density in each cell, `[*points]`, summing to one; and what the box cuts off.

    A log-density is taken at the centres; the particles of any other density are shared out between
    the centres next to them. On a circle what lies beyond the ends is wrapped around it.
    """
    density = folded(density, lattice.circles) if any(lattice.periodic) else density
    if isinstance(density, AbstractEvaluable):
        mass = _at_centres(lattice, density)
    else:
        mass = _shared_out(lattice, *density.particles())
    total = float(mass.sum())
    if not (np.isfinite(total) and total > 0):
        raise ValueError(
            f"`Lattice` got a density with mass {total:.3g} in the box {lattice.box}, expected a "
            "finite positive one: choose a box around the density."
        )
    return mass / total, 1.0 - total


def _at_centres(lattice: Lattice, density: AbstractEvaluable) -> np.ndarray:
    """The density at the centres times the cell's volume."""
    nodes = jnp.asarray(lattice.nodes()).reshape(-1, lattice.dim)
    values = np.asarray(_log_densities(density, nodes), float)
    return np.exp(values).reshape(lattice.points) * lattice.volume


@eqx.filter_jit
def _log_densities(density: AbstractEvaluable, nodes: Batch) -> Float[Array, "n"]:
    return jax.lax.map(density.log_density, nodes, batch_size=4096)


def _shared_out(lattice: Lattice, points: Batch, weights: Weights) -> np.ndarray:
    places, share = np.asarray(points), np.asarray(weights, float)
    low, high = np.asarray(lattice.box).T
    inside = ((places >= low) & (places <= high) | np.asarray(lattice.periodic)).all(axis=1)
    places, share = places[inside], share[inside]
    below, part = (np.asarray(a) for a in jax.vmap(lattice.index)(jnp.asarray(places)))
    mass = np.zeros(lattice.points)
    for corner in np.ndindex(*(2,) * lattice.dim):
        ahead = np.asarray(corner)
        cells = (below + ahead) % np.asarray(lattice.points)
        part_of = np.prod(np.where(ahead == 1, part, 1 - part), axis=1)
        np.add.at(mass, tuple(cells.T), share * part_of)
    return mass
