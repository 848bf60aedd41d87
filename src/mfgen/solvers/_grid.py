"""Any declared game on a lattice in one or two dimensions.

The HJB equation is swept backward (`mfgen.solvers._hjb_sweep`), the Fokker-Planck equation forward
by the exact transpose (`mfgen.solvers._fp_sweep`), and what couples them is iterated until it is
consistent (`mfgen.solvers._outer`). All of it is in double precision. Second order in space and
time where cells resolve the drift, |b| h <= sigma^2, and upwind, first order, elsewhere; where a
step would make a density negative it is taken more implicitly, and where values diverge steps are
taken finer.
"""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mfgen._types import Costate, Key, Scalar, State, Time
from mfgen.densities import _grid as grid_density
from mfgen.games._game import MFG
from mfgen.math import _domain as domain
from mfgen.math._count import count
from mfgen.math._lattice import Interval, Lattice
from mfgen.math._spline import Spline, spline
from mfgen.models._base import AbstractPotential
from mfgen.solvers import _fp_sweep, _hjb_sweep, _outer
from mfgen.solvers._base import AbstractSolver, Result, Solution, Status, in_double
from mfgen.solvers._box import cut_remarks, initial_masses, lattice_of
from mfgen.solvers._equilibrium import Problem
from mfgen.solvers._hjb_sweep import Clock

_EDGE = 1e-3  # part of the mass that may come to the walls of a box
_ROUNDING = 1e-13  # a negative mass that is none, relative to the largest
_FINER = 4  # steps for one when values diverge
_COARSE = 0.2  # viscosity that upwinding may add, in units of the game's own


class GridPotential(AbstractPotential):
    """The value function on a lattice: a spline in time and place.

    It is known in the box, at times of the game; on a circle points wrap. Elsewhere a value is an
    error, or nan if place or time are traced. The costate outside is that of the nearest point of
    the box: particles that are simulated with it may leave the box and go on.

    Arguments:
        function: the spline.
        lattice: the cells.
        times: `[n]`.
        values: U at the cell centres, `[n, *points]`.
        horizon: the last of the times.
    """

    function: Spline
    lattice: Lattice
    times: jax.Array
    values: jax.Array
    horizon: float = eqx.field(static=True)

    def __call__(self, t: Time, x: State) -> Scalar:
        known = self._in_time(t) * domain.known(
            self.lattice.contains(x),
            lambda: (
                f"`Solution.value` got the point {domain.said(x)}, "
                f"expected one in the box {self.lattice.box} on which the game was solved: solve "
                "it in a wider box."
            ),
        )
        return _evaluated(self.function, t, x) * known

    def costate(self, t: Time, x: State) -> Costate:
        place = self.lattice.nearest(x)
        return jax.grad(_evaluated, argnums=2)(self.function, t, place) * self._in_time(t)

    def inside(self, x: State) -> State:
        return self.lattice.folded(x)

    def _in_time(self, t: Time) -> Scalar | float:
        return domain.in_time("Solution.value", t, 0.0, self.horizon)


@eqx.filter_jit
def _evaluated(function: Spline, t: Time, x: State) -> Scalar:
    return function(t, *x)


class Grid(AbstractSolver):
    """Solves a game on a lattice.

    Arguments:
        box: the interval (low, high), or one for each axis. It must hold the particles at all
            times. The game's domain if absent; where that has ends, they are the box's.
        points: cells along an axis, or along each.
        steps: steps in time; four times as many are taken if values diverge.
        tolerance: of the coupling and of the values, relative.
        iterations: at most.

    Raises (on `solve`):
        ValueError: no initial density, another dimension than the box's, a box that cuts off
            mass or is not the game's domain, costs that are not finite on the lattice.
        RuntimeError: a Lagrangian whose control cannot be found.

    Reference: Y. Achdou, I. Capuzzo-Dolcetta, SIAM J. Numer. Anal. 48 (2010).

    Example:

        parabola = Linear(lambda x: 0.5 * x @ x)
        game = MFG(Integrator(0.5), Kinetic(), parabola, initial=Gaussian([1.0], 0.2))
        solution = solve(game, Grid(box=(-4, 4), points=200))
        print(solution.result.message)
    """

    box: Interval | Sequence[Interval] | None = eqx.field(static=True, default=None)
    points: int | Sequence[int] = eqx.field(static=True, default=200)
    steps: int = eqx.field(static=True, default=100)
    tolerance: float = eqx.field(static=True, default=1e-9)
    iterations: int = eqx.field(static=True, default=100)

    def __check_init__(self):
        if self.box is not None:
            Lattice(self.box, self.points)
        count("Grid", "steps", self.steps, least=6)

    def solve(self, game: MFG, *, key: Key | None = None) -> Solution:
        return in_double(self._solve, game)

    def _solve(self, game: MFG) -> Solution:
        lattice = lattice_of("Grid", game, self.box, self.points)
        _hjb_sweep.check_axes("Grid", game, lattice.dim)
        initial, cuts = initial_masses("Grid", game, lattice)
        problem = Problem(game, lattice, _hjb_sweep.clock(game, self.steps), initial)
        _check_costs(problem)
        state, result, counts = _outer.iterate(problem, self.tolerance, self.iterations)

        def again(clock: Clock) -> None:
            nonlocal problem, state, result
            problem = eqx.tree_at(lambda p: p.clock, problem, clock)
            state, result, more = _outer.iterate(problem, self.tolerance, self.iterations)
            for name in counts:
                counts[name] += more[name]

        if result.status is Status.DIVERGED:
            again(_hjb_sweep.clock(game, _FINER * self.steps))
        if result.status is Status.DIVERGED:
            again(eqx.tree_at(lambda c: c.theta, problem.clock, jnp.ones(_FINER * self.steps)))
        if result.status is Status.DIVERGED:
            raise FloatingPointError(f"`Grid`: {result.message}")
        if float(state.mass.min()) < -_ROUNDING * float(state.mass.max()):
            # At least for drifts like those found.
            theta = _fp_sweep.positive_theta(game, lattice, problem.clock, 1.2 * state.played.drift)
            again(eqx.tree_at(lambda c: c.theta, problem.clock, theta))
        stats = counts | _stats(problem, state) | cuts
        steps = len(problem.clock.theta)
        times = np.arange(steps + 1) * game.dynamics.horizon / steps
        degree = 3 if game.dynamics.deterministic else 5
        values, mass = np.asarray(state.u), np.maximum(np.asarray(state.mass), 0.0)
        through = spline(
            [times, *lattice.axes()], values, degree=degree, lengths=(None, *lattice.lengths)
        )
        return Solution(
            game,
            GridPotential(
                through, lattice, jnp.asarray(times), jnp.asarray(values), game.dynamics.horizon
            ),
            grid_density.grid_path(lattice, times, mass, degree),
            _remarked(result, stats, lattice, game, self.steps),
            stats,
        )


@eqx.filter_jit
def _first_couplings(problem: Problem) -> dict[str, jax.Array]:
    """The couplings at the initial density, by the name of the cost."""
    rho = grid_density.nodal(problem.lattice, problem.initial)
    zero = jnp.zeros_like(problem.initial)
    return {
        "terminal": problem.game.terminal.lack(zero, rho),
        "interaction": problem.game.interaction.on_lattice(rho),
    }


def _check_costs(problem: Problem) -> None:
    """Couplings that are not finite come from costs the user wrote."""
    for name, coupling in _first_couplings(problem).items():
        bad = ~np.isfinite(np.asarray(coupling))
        if bad.any():
            where = problem.lattice.nodes()[bad][0]
            raise ValueError(
                f"`Grid` got a {name} cost whose first variation is not finite at "
                f"{np.array2string(where, precision=3)} and {bad.sum() - 1} other cells: if the "
                "target of a KL is zero there, take a smaller box or a target that is positive "
                "everywhere, such as `target.noised(1.0, 0.1)`."
            )


def _stats(problem: Problem, state) -> dict[str, float]:
    mass, lattice = np.asarray(state.mass), problem.lattice
    edge = 0.0
    domain = problem.game.domain
    for axis in range(lattice.dim):
        # Walls and circles of the game are meant to be there.
        own = axis < domain.dim
        for end, held in (
            (0, own and domain.low[axis] > -np.inf),
            (-1, own and domain.high[axis] < np.inf),
        ):
            if not held:
                there = np.moveaxis(mass, axis + 1, -1)[..., end]
                edge = max(edge, float(there.reshape(len(mass), -1).sum(1).max()))
    added = _fp_sweep.added_viscosity(
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
    """The result with remarks on the box and the cells, and the fix."""
    said = [result.message, *cut_remarks(stats)]
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
