"""The linear form against exact games, against quadrature, against the grid, and its refusals."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.costs import Kinetic, Relativistic, WithPotential
from mfgen.densities import Gaussian, GaussianMixture, checkerboard
from mfgen.dynamics import Integrator
from mfgen.functionals import KL, AbstractFunctional, CrowdAversion, Linear, Prescribed
from mfgen.games import MFG
from mfgen.oracles import cost_identity, gaussian_bridge, hopf_cole
from mfgen.solvers import Grid, HopfCole
from mfgen.solvers._base import Status

pytestmark = pytest.mark.usefixtures("x64")

START = Gaussian([-0.5], 0.3)
BUMPS = GaussianMixture(jnp.array([0.4, 0.6]), jnp.array([[-1.0], [1.0]]), jnp.array([0.1, 0.15]))


def game(**changes):
    given = {
        "dynamics": Integrator(sigma=0.8),
        "lagrangian": Kinetic(),
        "terminal": Linear(lambda x: jnp.sin(2 * x[0])),
        "initial": START,
    }
    given |= changes
    return MFG(given.pop("dynamics"), given.pop("lagrangian"), given.pop("terminal"), **given)


def errors(solution, exact):
    """Of U and rho at three times, relative L2 over the particles."""
    lattice, steps = solution.value.lattice, len(solution.value.times) - 1
    nodes = jnp.asarray(lattice.nodes()).reshape(-1, lattice.dim)
    worst = np.zeros(2)
    for index in (0, steps // 2, steps):
        t = solution.value.times[index]
        rho = np.exp(np.asarray(jax.vmap(exact.density(t).log_density)(nodes)))
        u = np.asarray(jax.vmap(lambda x: exact.value(t, x))(nodes))  # noqa: B023
        off = np.asarray(solution.value.values[index]).ravel() - u
        miss = np.asarray(solution.density.mass[index]).ravel() / lattice.volume - rho
        size = np.sqrt((rho * u**2).sum()), np.sqrt((rho**2).sum())
        found = np.sqrt((rho * off**2).sum()), np.sqrt((miss**2).sum())
        worst = np.maximum(worst, np.divide(found, size))
    return worst


@pytest.mark.parametrize("build", [gaussian_bridge, hopf_cole, cost_identity])
def test_games_with_exact_answers_are_solved_to_many_digits(build):
    oracle = build(1)
    half = 1.3 * oracle.box
    found = HopfCole((-half, half), 300, steps=20).solve(oracle.solution.game)
    assert found.result.converged, found.result.message
    assert errors(found, oracle.solution).max() < 1e-6


@pytest.mark.parametrize(("dim", "points"), [pytest.param(1, 200, marks=pytest.mark.slow), (2, 72)])
def test_a_bridge_finds_its_multiplier(dim, points):
    oracle = gaussian_bridge(dim)
    hard = eqx.tree_at(lambda g: g.terminal, oracle.solution.game, Prescribed(oracle.target))
    half = 1.2 * oracle.box
    found = HopfCole(((-half, half),) * dim, points, steps=12).solve(hard)
    assert found.result.converged, found.result.message
    assert found.stats["iterations"] > 0
    # The oracle's gauge too: the mean of U(T) under the target is zero.
    assert errors(found, oracle.solution).max() < 1e-6


def test_a_cost_out_of_proportion_to_the_noise_is_a_temperature():
    declared = game(lagrangian=Kinetic(2.0))
    found = HopfCole((-7.0, 7.0), 300, steps=20).solve(declared)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    temperature = 2.0 * 0.8**2
    for x in (-1.0, 0.3):
        ends = np.exp(-np.sin(2 * (x + 0.8 * nodes)) / temperature)
        exact = -temperature * np.log((weights * ends).sum() / weights.sum())
        assert float(found.value(0.0, jnp.array([x]))) == pytest.approx(exact, abs=1e-7)


@pytest.mark.slow
def test_the_grid_finds_the_same_bridge():
    """Its implicit steps are of first order: the difference halves with their length."""
    declared = game(terminal=Prescribed(BUMPS))
    linear = HopfCole((-5.0, 5.0), 160, steps=20).solve(declared)
    places = jnp.linspace(-1.5, 1.5, 9)[:, None]
    off = []
    for steps in (80, 160):
        coupled = Grid((-5.0, 5.0), 160, steps=steps, tolerance=1e-4).solve(declared)
        assert coupled.result.converged, coupled.result.message
        here, there = (np.asarray(s.density(0.5).mass) for s in (linear, coupled))
        assert 0.5 * np.abs(here - there).sum() < 5e-3
        force = [jax.vmap(lambda x: s.costate(0.5, x))(places) for s in (linear, coupled)]  # noqa: B023
        off.append(float(jnp.abs(force[0] - force[1]).max()))
    assert off[1] < 0.02
    assert off[0] / off[1] == pytest.approx(2.0, abs=0.5)


def test_single_precision_gets_a_solution_in_single_precision():
    with jax.enable_x64(False):
        found = HopfCole((-5.0, 5.0), 100, steps=10).solve(game())
        assert found.value(0.0, jnp.zeros(1)).dtype == jnp.float32
        assert float(found.density(0.5).mass.sum()) == pytest.approx(1.0, abs=1e-5)


def test_few_iterations_are_said_to_be_few():
    short = HopfCole((-5.0, 5.0), 200, steps=10, iterations=10).solve(
        game(dynamics=Integrator(sigma=0.3), terminal=Prescribed(BUMPS))
    )
    assert short.result.status is Status.STALLED
    assert "allow more iterations" in short.result.message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dynamics": Integrator()}, "without noise"),
        ({"lagrangian": Relativistic(1.0)}, "`HopfCole` got the Lagrangian `Relativistic`"),
        ({"lagrangian": WithPotential(Kinetic(), lambda t, x: x @ x)}, "depends on the place"),
        ({"terminal": KL(BUMPS)}, "terminal cost that depends on the population"),
        ({"interaction": CrowdAversion()}, "interaction"),
        ({"initial": None}, "without an initial density"),
        ({"initial": Gaussian([4.0], 1.0)}, "take a box such as"),
        ({"terminal": Prescribed(Gaussian([4.0], 1.0))}, "the prescribed density has mass 0.84"),
        ({"terminal": Linear(lambda x: jnp.log(x[0]))}, "not finite in the whole box"),
    ],
)
def test_what_has_no_linear_form_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        HopfCole((-5.0, 5.0), 100, steps=10).solve(game(**changes))


def test_cells_wider_than_the_noise_are_refused():
    with pytest.raises(ValueError, match="take at least 40"):
        HopfCole((-5.0, 5.0), 50, steps=100).solve(game(dynamics=Integrator(sigma=0.25)))


def test_a_target_that_is_zero_somewhere_is_refused():
    flat = MFG(
        Integrator(sigma=1.0),
        Kinetic(),
        Prescribed(checkerboard()),
        initial=Gaussian(jnp.zeros(2), 1.0),
    )
    with pytest.raises(ValueError, match="positive everywhere"):
        HopfCole(((-5.0, 5.0),) * 2, 40, steps=8).solve(flat)


class Correlated(AbstractFunctional):
    """Its first variation sees how two coordinates vary together, and neither by itself."""

    def value(self, rho):
        return 0.5 * jnp.square(rho.moments()[1][0, 1])

    def variation(self, rho, x):
        return rho.moments()[1][0, 1] * x[0] * x[1]


@pytest.mark.parametrize("role", ["terminal", "interaction"])
def test_a_coupling_that_uncorrelated_populations_do_not_show_is_refused(role):
    coupled = game(initial=Gaussian([0.0, 0.0], 0.3), **{role: Correlated()})
    with pytest.raises(ValueError, match=f"{role} cost that depends on the population"):
        HopfCole(box=[(-3, 3), (-3, 3)], points=24, steps=6).solve(coupled)
