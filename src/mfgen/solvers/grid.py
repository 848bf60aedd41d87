"""Any declared game on a lattice in one or two dimensions.

The HJB equation is swept backward (`mfgen.solvers.hjb_sweep`), the Fokker-Planck equation forward
by the exact transpose (`mfgen.solvers.fp_sweep`), and what couples them is iterated until it is
consistent (`mfgen.solvers.outer`). All of it is in double precision. Second order in space and
time where cells resolve the drift, |b| h <= sigma^2, and upwind, first order, elsewhere; where a
step would make a density negative it is taken more implicitly, and where values diverge steps are
taken finer.
"""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mfgen._types import Key, Scalar, State, Time
from mfgen.density import grid as grid_density
from mfgen.math.lattice import Boundary, Interval, Lattice
from mfgen.math.spline import Spline, spline
from mfgen.models.base import AbstractPotential
from mfgen.problem.game import MFG
from mfgen.solvers import fp_sweep, hjb_sweep, outer
from mfgen.solvers.base import AbstractSolver, Result, Solution, Status, in_double
from mfgen.solvers.equilibrium import Problem
from mfgen.solvers.hjb_sweep import Clock

_CUT = 1e-3  # part of the mass that a box may cut off
_EDGE = 1e-3  # part of the mass that may come to the walls of a box
_ROUNDING = 1e-13  # a negative mass that is none, relative to the largest
_FINER = 4  # steps for one when values diverge
_COARSE = 0.2  # viscosity that upwinding may add, in units of the game's own


class GridPotential(AbstractPotential):
    """The value function on a lattice: a spline in time and place.

    Arguments:
        function: the spline.
        lattice: the cells.
        times: `[n]`.
        values: U at the cell centres, `[n, *points]`.
    """

    function: Spline
    lattice: Lattice
    times: jax.Array
    values: jax.Array

    def __call__(self, t: Time, x: State) -> Scalar:
        return self.function(t, *x)


class Grid(AbstractSolver):
    """Solves a game on a lattice.

    Arguments:
        box: the interval (low, high), or one for each axis. It must hold the particles at all
            times.
        points: cells along an axis, or along each.
        steps: steps in time; four times as many are taken if values diverge.
        boundary: what happens at the walls: particles are turned back, or come in opposite.
        tolerance: of the coupling and of the values, relative.
        iterations: at most.

    Raises (on `solve`):
        ValueError: no initial density, another dimension than the box's, a box that cuts off
            mass, costs that are not finite on the lattice.
        RuntimeError: a Lagrangian whose control cannot be found.

    Reference: Y. Achdou, I. Capuzzo-Dolcetta, SIAM J. Numer. Anal. 48 (2010).
    """

    box: Interval | Sequence[Interval] = eqx.field(static=True)
    points: int | Sequence[int] = eqx.field(static=True, default=200)
    steps: int = eqx.field(static=True, default=100)
    boundary: Boundary = eqx.field(static=True, default="no-flux")
    tolerance: float = eqx.field(static=True, default=1e-9)
    iterations: int = eqx.field(static=True, default=100)

    def __check_init__(self):
        Lattice(self.box, self.points, self.boundary)
        if self.steps < 6:
            raise ValueError(f"`Grid` got steps = {self.steps}, expected at least 6.")

    def solve(self, game: MFG, *, key: Key | None = None) -> Solution:
        return in_double(self._solve, game)

    def _solve(self, game: MFG) -> Solution:
        lattice = Lattice(self.box, self.points, self.boundary)
        initial = initial_masses("Grid", game, lattice)
        problem = Problem(game, lattice, hjb_sweep.clock(game, self.steps), initial)
        _check_costs(problem)
        state, result, counts = outer.iterate(problem, self.tolerance, self.iterations)

        def again(clock: Clock) -> None:
            nonlocal problem, state, result
            problem = eqx.tree_at(lambda p: p.clock, problem, clock)
            state, result, more = outer.iterate(problem, self.tolerance, self.iterations)
            for name in counts:
                counts[name] += more[name]

        if result.status is Status.DIVERGED:
            again(hjb_sweep.clock(game, _FINER * self.steps))
        if result.status is Status.DIVERGED:
            again(eqx.tree_at(lambda c: c.theta, problem.clock, jnp.ones(_FINER * self.steps)))
        if result.status is Status.DIVERGED:
            raise FloatingPointError(f"`Grid`: {result.message}")
        if float(state.mass.min()) < -_ROUNDING * float(state.mass.max()):
            theta = _positive_theta(problem, state)
            again(eqx.tree_at(lambda c: c.theta, problem.clock, theta))
        stats = counts | _stats(problem, state)
        steps = len(problem.clock.theta)
        times = np.arange(steps + 1) * game.dynamics.horizon / steps
        degree = 3 if game.dynamics.deterministic else 5
        lengths = (None, *(b - a if lattice.periodic else None for a, b in lattice.box))
        values, mass = np.asarray(state.u), np.maximum(np.asarray(state.mass), 0.0)
        through = spline([times, *lattice.axes()], values, degree=degree, lengths=lengths)
        return Solution(
            game,
            GridPotential(through, lattice, jnp.asarray(times), jnp.asarray(values)),
            grid_density.grid_path(lattice, times, mass, degree),
            _remarked(result, stats, lattice, game, self.steps),
            stats,
        )


def initial_masses(owner: str, game: MFG, lattice: Lattice) -> jax.Array:
    """The mass of the initial density in each cell; refuses, in the name of `owner`, what it must.

    Raises:
        ValueError: no initial density, another dimension than the box's, or one that it cuts off.
    """
    if game.initial is None:
        raise ValueError(
            f"`{owner}` got a game without an initial density, expected one: declare "
            "`MFG(..., initial=density)`."
        )
    if game.initial.dim != lattice.dim:
        raise ValueError(
            f"`{owner}` got a box with {lattice.dim} axes for a game in dimension "
            f"{game.initial.dim}: give one interval for each axis, and above two dimensions "
            "solve by a network, `Neural()`."
        )
    mass, cut = grid_density.cell_masses(lattice, game.initial)
    if abs(cut) > _CUT and not lattice.periodic:
        mean, covariance = game.initial.moments()
        reach = 5 * np.sqrt(np.diag(np.asarray(covariance)))
        fix = [f"({m - r:.3g}, {m + r:.3g})" for m, r in zip(np.asarray(mean), reach, strict=True)]
        raise ValueError(
            f"`{owner}` got a box {lattice.box} in which the initial density has mass "
            f"{1 - cut:.4f}, expected 1: take a box such as {' x '.join(fix)}, or more points if "
            "the density is narrower than a cell."
        )
    return jnp.asarray(mass)


@eqx.filter_jit
def _first_charges(problem: Problem) -> dict[str, jax.Array]:
    """What the initial density is charged, by the name of the cost."""
    rho = grid_density.nodal(problem.lattice, problem.initial)
    zero = jnp.zeros_like(problem.initial)
    return {
        "terminal": problem.game.terminal.lack(zero, rho),
        "interaction": problem.game.interaction.on_lattice(rho),
    }


def _check_costs(problem: Problem) -> None:
    """Charges that are not finite come from costs the user wrote."""
    for name, charge in _first_charges(problem).items():
        bad = ~np.isfinite(np.asarray(charge))
        if bad.any():
            where = problem.lattice.nodes()[bad][0]
            raise ValueError(
                f"`Grid` got a {name} cost whose first variation is not finite at "
                f"{np.array2string(where, precision=3)} and {bad.sum() - 1} other cells: if the "
                "target of a KL is zero there, take a smaller box or a target that is positive "
                "everywhere, such as `target.noised(1.0, 0.1)`."
            )


def _positive_theta(problem: Problem, state) -> jax.Array:
    """How implicit steps keep densities nonnegative, at least for drifts like those found."""
    return fp_sweep.positive_theta(
        problem.game, problem.lattice, problem.clock, 1.2 * state.played.drift
    )


def _stats(problem: Problem, state) -> dict[str, float]:
    mass, lattice = np.asarray(state.mass), problem.lattice
    edge = 0.0
    if not lattice.periodic:
        for axis in range(lattice.dim):
            ends = np.moveaxis(mass, axis + 1, -1)[..., [0, -1]]
            edge = max(edge, float(ends.reshape(len(mass), -1).sum(1).max()))
    added = fp_sweep.added_viscosity(
        problem.game, lattice, problem.clock, state.played.drift, state.mass
    )
    return {
        "steps": float(len(problem.clock.theta)),
        "lack": float(state.missing / state.size),
        "change": float(state.change),
        "mass_defect": float(np.abs(mass.reshape(len(mass), -1).sum(1) - 1).max()),
        "least_mass": float(mass.min()),
        "edge_mass": edge,
        "implicitness": float(np.asarray(problem.clock.theta).max()),
        "added_viscosity": float(added),
    }


def _remarked(
    result: Result, stats: dict[str, float], lattice: Lattice, game: MFG, steps: int
) -> Result:
    """What the figures say against the box and the cells, with the fix."""
    said = [result.message]
    if stats["edge_mass"] > _EDGE:
        said.append(
            f"Up to {stats['edge_mass']:.1e} of the mass is in cells at the walls: if they are "
            "not meant to hold it back, take a wider box."
        )
    added = stats["added_viscosity"]
    if _COARSE < added < np.inf:
        finer = [int(np.ceil(n * (1 + added))) for n in lattice.points]
        said.append(
            f"The lattice is too coarse for the drift: it adds {added:.1f} times the game's own "
            f"diffusion; take at least {finer} points."
        )
    counted = game.discount * game.dynamics.horizon
    if lattice.dim > 1 and counted > stats["steps"]:
        # Steps along the axes then come to rest one by one.
        said.append(
            f"Steps are longer than 1 / discount: take at least {np.ceil(counted):.0f} of them."
        )
    if stats["implicitness"] > 0.5 and not game.dynamics.deterministic:
        said.append("Steps were taken more implicitly, to keep densities nonnegative or finite.")
    if stats["steps"] > steps:
        said.append(f"{stats['steps']:.0f} steps were taken for {steps}, which diverged.")
    return Result(result.status, " ".join(said))
