"""Games that a logarithm makes linear: Schrödinger bridges and score-based models.

If the dynamics are  dX = [A(t) X + g v] dt + sigma dW  with a number A, and the Hamiltonian is
H = -A x.p + (kappa / 2) |p|^2 + h, nothing couples the particles and eps = sigma^2 / kappa does not
depend on time, then U = -eps log phi turns the HJB equation

    -dt U - A x.grad U + (kappa / 2) |grad U|^2 + h - (sigma^2 / 2) lap U = 0

into the linear  dt phi + A x.grad phi + (sigma^2 / 2) lap phi + (h / eps) phi = 0,  solved by the
transition density of the particles without control, G_S(y - m x):

    U(t, x) = -eps log int phi_T(y) G_S(y - m x) dy - int_t^T h ds,
    m = exp int_t^T A ds,      S = int_t^T exp(2 int_s^T A dr) sigma(s)^2 ds,

and the density is rho = phi psi, where psi starts as rho_0 / phi(0) and follows the adjoint
equation. A terminal cost that is given gives phi_T = exp(-U_T / eps) at once; a prescribed terminal
density by Sinkhorn's iteration (`mfgen.solvers._bridge`).

References:
    W. H. Fleming, H. M. Soner, "Controlled Markov processes and viscosity solutions" (2006),
    chapter VI (the logarithmic transform).
    Y. Chen, T. Georgiou, M. Pavon, "On the relation between optimal transport and Schrödinger
    bridges" (2016), arXiv 1412.4430.
"""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfgen._types import Key
from mfgen.densities import _grid as grid_density
from mfgen.densities._base import AbstractDensity, AbstractEvaluable
from mfgen.densities._gaussian import Gaussian
from mfgen.functionals._constraint import Prescribed
from mfgen.functionals._functional import evaluable
from mfgen.games._game import MFG
from mfgen.math._count import count
from mfgen.math._heat import smooth, spread
from mfgen.math._lattice import Interval, Lattice
from mfgen.math._spline import spline
from mfgen.solvers import _bridge, _quadratic
from mfgen.solvers._base import AbstractSolver, Result, Solution, Status, in_double
from mfgen.solvers._box import cut_remarks, initial_masses
from mfgen.solvers._grid import GridPotential
from mfgen.solvers._linear_form import LinearForm, linear_form

_SAME = 1e-6  # relative, of couplings that should be equal
_LOST = 1e-3  # mass that a box may lose
_SEEN = 1e-5  # mass of which it is told


class HopfCole(AbstractSolver):
    """Solves a Schrödinger bridge or a score-based model on a lattice by its linear form.

    Arguments:
        box: the interval (low, high), or one for each axis. It must hold the particles at all
            times, with and without control; there is no flux at its walls to speak of.
        points: cells along an axis, or along each.
        steps: times at which the solution is kept; it is exact in time.
        tolerance: of a prescribed terminal density, the mass that is out of place.
        iterations: of Sinkhorn, at most.

    Raises (on `solve`):
        ValueError: a game that is not of this form, and why; cells wider than the noise of a step.

    Example:

        game = MFG(Integrator(sigma=1.0), Kinetic(), Prescribed(target), initial=start)
        solution = solve(game, HopfCole(box=(-5, 5), points=400))
    """

    box: Interval | Sequence[Interval] = eqx.field(static=True)
    points: int | Sequence[int] = eqx.field(static=True, default=200)
    steps: int = eqx.field(static=True, default=50)
    tolerance: float = eqx.field(static=True, default=1e-9)
    iterations: int = eqx.field(static=True, default=20_000)

    def __check_init__(self):
        Lattice(self.box, self.points)
        count("HopfCole", "steps", self.steps, least=6)

    def solve(self, game: MFG, *, key: Key | None = None) -> Solution:
        return in_double(self._solve, game)

    def _solve(self, game: MFG) -> Solution:
        _quadratic.check_euclidean(game, owner="HopfCole")
        lattice = Lattice(self.box, self.points)
        mass, cuts = initial_masses("HopfCole", game, lattice)
        times = np.linspace(0.0, game.dynamics.horizon, self.steps + 1)
        form = linear_form(game, times, lattice.dim)
        _check_width(form, lattice, self.steps)
        asked = lambda _, rho: game.interaction.on_lattice(rho)
        if bool(jnp.any(_coupling("interaction", asked, lattice, mass) != 0)):
            raise ValueError(
                "`HopfCole` got an interaction, expected none: solve the game by `Grid`."
            )
        start = _logarithm(game.initial, lattice, mass)
        phi, mismatch, iterations = self._end(game, lattice, form, start, mass)
        logs = _both_ways(lattice, form, start, phi)
        price = -form.temperature * logs[0] - _over_axes(form.cost, lattice)
        found = np.exp(np.asarray(logs[0] + logs[1])) * lattice.volume
        sums = found.reshape(len(found), -1).sum(1)
        stats = {
            "iterations": float(iterations),
            "mismatch": mismatch,
            "mass_defect": float(np.abs(sums - 1).max()),
            **cuts,
        }
        through = spline([times, *lattice.axes()], np.asarray(price))
        value = GridPotential(through, lattice, jnp.asarray(times), price, game.dynamics.horizon)
        found = found / np.asarray(_over_axes(sums, lattice))
        path = grid_density.grid_path(lattice, times, found, 5)
        return Solution(game, value, path, self._result(stats), stats)

    def _end(self, game, lattice, form, start, mass) -> _bridge.Ends:
        """log phi at the end, from the terminal cost or from the density prescribed there."""
        if isinstance(game.terminal, Prescribed):
            target = evaluable("HopfCole", "prescribed density", game.terminal.target)
            end = _logarithm(target, lattice)
            _check_finite("target", end)
            whole = float(form.factor[0]), float(form.variance[0])
            found = _bridge.multiplier(lattice, start, end, *whole, self.tolerance, self.iterations)
            # U(T) is free up to a constant: its mean at the end is made zero.
            mean = jnp.sum(jnp.exp(end) * found.phi) * lattice.volume
            return found._replace(phi=found.phi - mean)
        price = _coupling("terminal", game.terminal.lack, lattice, mass)
        _check_finite("terminal cost", price)
        return _bridge.Ends(-price / form.temperature, 0.0, 0)

    def _result(self, stats: dict[str, float]) -> Result:
        off, lost = stats["mismatch"], stats["mass_defect"]
        if not lost <= _LOST:
            said = f"Stalled: up to {lost:.1e} of the mass leaves the box: take a wider one."
            return Result(Status.STALLED, said)
        if not off <= 2 * self.tolerance:
            said = (
                f"Stalled: after {stats['iterations']:.0f} iterations of Sinkhorn {off:.1e} of the "
                f"mass is out of place, expected at most {self.tolerance:.1e}: allow more "
                "iterations."
            )
            return Result(Status.STALLED, said)
        said = f"Converged: the linear form is exact in time; {off:.1e} of the mass is out of place"
        lost_some = [f"Up to {lost:.1e} of the mass leaves the box."] * (lost > _SEEN)
        return Result(
            Status.CONVERGED, " ".join([f"{said} at the end.", *cut_remarks(stats), *lost_some])
        )


def _check_width(form: LinearForm, lattice: Lattice, steps: int) -> None:
    """Kernels have to be as wide as a cell, in the place they smooth."""
    widths = {
        "last": np.sqrt(form.variance[-2]) / max(form.factor[-2], 1),
        "first": np.sqrt(form.first_variance[1]) / max(form.first_factor[1], 1),
    }
    for which, width in widths.items():
        h = max(lattice.spacing)
        if width < h:
            raise ValueError(
                f"`HopfCole` got cells of width {h:.3g}, wider than the noise of the {which} step, "
                f"{width:.3g}: take at least {int(np.ceil(max(lattice.points) * h / width))} "
                f"points, or fewer than {steps} steps."
            )


def _logarithm(
    density: AbstractDensity | None, lattice: Lattice, mass: jax.Array | None = None
) -> jax.Array:
    """log rho at the centres, exact where the density can tell it, and summing to one."""
    if isinstance(density, AbstractEvaluable):
        nodes = jnp.asarray(lattice.nodes()).reshape(-1, lattice.dim)
        found = jax.lax.map(density.log_density, nodes, batch_size=4096).reshape(lattice.points)
    else:
        assert mass is not None
        found = jnp.log(mass / lattice.volume)
    return found - jax.nn.logsumexp(found) - jnp.log(lattice.volume)


def _check_finite(what: str, logarithm: jax.Array) -> None:
    if not bool(jnp.isfinite(logarithm).all()):
        raise ValueError(
            f"`HopfCole` got a {what} that is not finite in the whole box: take a smaller box, or "
            "a target that is positive everywhere, such as `target.noised(1.0, 0.1)`."
        )


def _coupling(role: str, function, lattice: Lattice, mass: jax.Array) -> jax.Array:
    """A first variation that does not depend on the population, at the centres."""
    zero = jnp.zeros(lattice.points)
    other = jnp.asarray(grid_density.cell_masses(lattice, Gaussian(*_shifted(lattice)))[0])
    here, there = (function(zero, grid_density.nodal(lattice, m)) for m in (mass, other))
    if not bool(jnp.allclose(here, there, rtol=_SAME, atol=_SAME, equal_nan=True)):
        raise ValueError(
            f"`HopfCole` got a {role} cost that depends on the population, so that its game has no "
            "linear form: solve it by `Grid`."
        )
    return here


def _shifted(lattice: Lattice) -> tuple[jax.Array, jax.Array]:
    """Mean and covariance of a density that no game starts from: its coordinates depend."""
    sides = jnp.asarray(lattice.box)
    length = sides[:, 1] - sides[:, 0]
    shares = jnp.asarray([0.4131, 0.5477])[: lattice.dim]
    shape = jnp.asarray([[1.0, 0.37], [0.37, 1.3]])[: lattice.dim, : lattice.dim]
    return sides[:, 0] + shares * length, 0.15**2 * shape * jnp.outer(length, length)


@eqx.filter_jit
def _both_ways(
    lattice: Lattice, form: LinearForm, start: jax.Array, end: jax.Array
) -> tuple[Float[Array, "n *points"], Float[Array, "n *points"]]:
    """log phi and log psi at the kept times."""
    back = jnp.asarray(form.factor[:-1]), jnp.asarray(form.variance[:-1])
    phi = jax.lax.map(lambda given: smooth(lattice, end, *given), back)
    phi = jnp.concatenate([phi, end[None]])
    first = start - phi[0]
    forth = jnp.asarray(form.first_factor[1:]), jnp.asarray(form.first_variance[1:])
    psi = jax.lax.map(lambda given: spread(lattice, first, *given), forth)
    return phi, jnp.concatenate([first[None], psi])


def _over_axes(values, lattice: Lattice):
    return jnp.asarray(values).reshape(-1, *(1,) * lattice.dim)
