"""The grid solver against exact solutions, and its discrete laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.costs import AbstractLagrangian, Kinetic, NoCost, WithPotential
from mfgen.densities import Gaussian, Unnormalised
from mfgen.dynamics import Integrator
from mfgen.functionals import KL, CrowdAversion, Entropy, Linear, Prescribed
from mfgen.games import MFG, Torus
from mfgen.math import Lattice
from mfgen.solvers import Grid, _equilibrium, _hjb_sweep
from mfgen.solvers._box import cut_remarks, initial_masses

pytestmark = pytest.mark.usefixtures("x64")

GAMMA, B, NU, HORIZON = 0.4, 0.9, 0.3, 2.0
ALPHA = (-GAMMA + np.sqrt(GAMMA**2 + 4 * NU**2 * B)) / (2 * NU)


def coupled(dim=1):
    """The game with logarithmic coupling: stationary density N(0, nu/alpha), quadratic U."""
    return MFG(
        Integrator(sigma=float(np.sqrt(2 * NU)), horizon=HORIZON),
        WithPotential(Kinetic(), lambda t, x: 0.5 * B * x @ x),
        Linear(lambda x: 0.5 * ALPHA * x @ x),
        interaction=GAMMA * Entropy(),
        initial=Gaussian(jnp.zeros(dim), NU / ALPHA),
    )


def value(x, dim=1):
    kappa = NU * ALPHA * dim + GAMMA * (0.5 * dim * np.log(ALPHA / (2 * np.pi * NU)) + 1)
    return 0.5 * ALPHA * (x**2).sum(-1) + kappa * HORIZON


def errors(solution, dim=1):
    """Relative L2 errors of U at time 0 and of rho at the horizon, over the particles."""
    lattice = solution.value.lattice
    x, mass = lattice.nodes(), np.asarray(solution.density.mass[-1])
    exact = value(x, dim)
    u = np.asarray(solution.value.values[0]) - exact
    law = np.exp(-0.5 * ALPHA / NU * (x**2).sum(-1))
    law /= law.sum()
    relative = lambda off, size, weight: np.sqrt((weight * off**2).sum() / (weight * size**2).sum())
    return relative(u, exact, law), relative(mass - law, law, 1.0)


@pytest.fixture(scope="module")
def solved():
    with jax.enable_x64(True):
        return [Grid((-6.0, 6.0), n, steps=n // 2).solve(coupled()) for n in (50, 100)]


def test_second_order_with_a_logarithmic_coupling(solved):
    assert all(one.result.converged for one in solved), [one.result.message for one in solved]
    for coarse, fine in zip(*map(errors, solved), strict=True):
        assert np.log2(coarse / fine) > 1.8
        assert fine < 2e-3


def test_mass_is_kept_and_never_negative(solved):
    for one in solved:
        assert one.stats["mass_defect"] < 1e-12
        assert float(one.density.mass.min()) >= 0


def test_values_pay_what_particles_pay(solved):
    """<U(T), rho(T)> - <U(0), rho(0)> = -sum tau <L + f, rho'>: transposes leave rounding only."""
    solution = solved[0]
    lattice, u, mass = solution.value.lattice, solution.value.values, solution.density.mass
    game = coupled()
    clock = _hjb_sweep.clock(game, 25)
    played = _hjb_sweep.policies(game, lattice, clock, u)
    inner = 0.5 * (mass[1:] + mass[:-1])
    charge = GAMMA * (jnp.log(inner / lattice.volume) + 1)
    paid = float(clock.tau * jnp.sum((played.cost + charge) * inner))
    ends = float(jnp.sum(u[-1] * mass[-1]) - jnp.sum(u[0] * mass[0]))
    assert abs(ends + paid) < 1e-7 * abs(paid)


def test_interpolation_solves_the_equation_between_the_nodes(solved):
    """U as a function, off the nodes and between the times, against the exact value."""
    places = jnp.array([[0.013], [-0.77], [0.4]])
    for t in (0.0, 0.31, 1.97):
        found = jax.vmap(lambda x, t=t: solved[1].value(t, x))(places)
        exact = value(np.asarray(places)) - (value(np.zeros(1)) * t / HORIZON)
        np.testing.assert_allclose(found, exact, atol=2e-3)
    assert (
        abs(
            float(jnp.exp(solved[1].density(1.0).log_density(jnp.zeros(1))))
            - np.sqrt(ALPHA / (2 * np.pi * NU))
        )
        < 2e-3
    )


def test_no_value_outside_of_the_box_and_of_the_game(solved):
    """Refused, or nan where it is traced; the costate is that of the nearest wall."""
    value = solved[1].value
    out, wall = jnp.array([8.0]), jnp.array([6.0])
    with pytest.raises(ValueError, match="expected one in the box"):
        value(0.5, out)
    with pytest.raises(ValueError, match="expected one in the box"):
        jax.grad(value, 1)(0.5, out)
    for t in (-1.0, 2 * HORIZON):
        with pytest.raises(ValueError, match="expected one from 0 to 2"):
            value(t, jnp.zeros(1))
        with pytest.raises(ValueError, match="expected one from 0 to 2"):
            solved[1].density(t)
    traced = jax.jit(lambda t, x: (value(t, x), jax.grad(value, 1)(t, x), value.costate(t, x)))
    for t, x in ((0.5, out), (-1.0, wall), (2 * HORIZON, wall)):
        assert all(np.isnan(part).all() for part in traced(t, x)[:2])
    assert np.isnan(traced(-1.0, wall)[2])
    np.testing.assert_allclose(traced(0.5, out)[2], traced(0.5, wall)[1], rtol=1e-12)
    assert np.isfinite(np.asarray(traced(HORIZON, -wall)[0]))


def test_a_circle_has_no_seam():
    """Free noise from a normal law at the seam: the first wave falls like e^(-variance / 2)."""
    game = MFG(
        Integrator(sigma=0.5),
        Kinetic(),
        Linear(lambda x: 0.0 * x[0]),
        initial=Gaussian(jnp.array([0.1]), 0.3),
        domain=Torus(2 * np.pi),
    )
    solution = Grid(points=100, steps=10).solve(game)
    x = solution.value.lattice.nodes()[:, 0]
    for t in (0.0, 0.15, 1.0):
        law = solution.density(t)
        wave = (np.asarray(law.mass) * np.exp(1j * x)).sum()
        assert abs(wave - np.exp(-0.5 * (0.3 + 0.25 * t) + 0.1j)) < 1e-3
        turned = [float(law.log_density(jnp.array([z]))) for z in (-0.3, 2 * np.pi - 0.3)]
        np.testing.assert_allclose(*turned, atol=1e-9)
    assert abs(float(solution.value(0.5, jnp.array([9.0])))) < 1e-9


def test_mass_that_a_box_cuts_off_is_told():
    lattice, wide = Lattice((-4.0, 4.0), 80), Gaussian(jnp.zeros(1), 1.0)
    game = lambda end: MFG(Integrator(sigma=1.0), Kinetic(), end, initial=wide)
    mass, cuts = initial_masses("Grid", game(KL(Gaussian(jnp.ones(1), 1.0))), lattice)
    assert float(mass.sum()) == pytest.approx(1.0, abs=1e-12)
    assert cuts["initial_cut"] == pytest.approx(6.33e-5, rel=0.05)  # 2 (1 - Phi(4))
    assert cuts["target_cut"] == pytest.approx(1.35e-3, rel=0.05)  # 1 - Phi(3)
    said = " ".join(cut_remarks(cuts))
    energy = Unnormalised(lambda x: 0.5 * x @ x, 1)  # of unknown mass
    assert "target_cut" not in initial_masses("Grid", game(KL(energy)), lattice)[1]
    assert "cuts off 6.3e-05 of the mass of the initial density" in said
    assert "of the target of the terminal cost" in said
    with pytest.raises(ValueError, match=r"the prescribed density has mass 0\.97"):
        initial_masses("Grid", game(Prescribed(Gaussian(jnp.full(1, 2.1), 1.0))), lattice)


def test_two_dimensions():
    solution = Grid(((-4.5, 4.5), (-4.5, 4.5)), 30, steps=10).solve(coupled(2))
    assert solution.result.converged
    assert max(errors(solution, 2)) < 1.5e-2
    assert solution.stats["mass_defect"] < 1e-12


def test_bridge_between_gaussians():
    """The hard terminal condition: variance at half time from the closed form of the bridge."""
    s0, s1, sigma = 0.5, 1.0, 0.7
    game = MFG(
        Integrator(sigma=sigma),
        Kinetic(1 / sigma**2),
        Prescribed(Gaussian(jnp.ones(1), s1**2)),
        initial=Gaussian(-jnp.ones(1), s0**2),
    )
    solution = Grid((-6.0, 7.0), 80, steps=40).solve(game)
    mean, covariance = solution.density(0.5).moments()
    between = 0.5 * (np.sqrt(4 * s0**2 * s1**2 + sigma**4) - sigma**2)
    exact = 0.25 * s0**2 + 0.25 * s1**2 + 0.25 * (2 * between + sigma**2)
    assert solution.result.converged
    assert abs(float(mean[0])) < 1e-3
    assert abs(float(covariance[0, 0]) - exact) < 1e-3


class Quartic(AbstractLagrangian):
    """A cost of speed given by its values alone."""

    def __call__(self, t, x, v):
        return 0.5 * v @ v + 0.25 * (v @ v) ** 2


def test_a_kink_without_noise_is_first_order():
    """U = inf_y |y| + (y - x)^2 / (2 (T - t)): Huber's function, with an edge on the way."""
    exact = lambda x, left: np.where(np.abs(x) < left, x**2 / (2 * left), np.abs(x) - 0.5 * left)
    game = MFG(
        Integrator(), Kinetic(), Linear(lambda x: jnp.abs(x[0])), initial=Gaussian(jnp.ones(1), 0.2)
    )
    off = []
    for n in (100, 200):
        solution = Grid((-4.0, 4.0), n, steps=n // 2).solve(game)
        assert solution.result.converged
        x = solution.value.lattice.nodes()[:, 0]
        inside = np.abs(x) < 2.5
        off.append(np.abs(np.asarray(solution.value.values[0]) - exact(x, 1.0))[inside].mean())
    assert off[1] < 0.02
    assert np.log2(off[0] / off[1]) > 0.8  # h log h at the edge


def test_any_convex_cost_of_speed():
    """Translation under a cost without a closed form: U = q x - (T - t) H(q), v constant."""
    q = 2.0
    v = float(np.roots([1, 0, 1, q]).real[np.isreal(np.roots([1, 0, 1, q]))][0])
    game = MFG(
        Integrator(sigma=0.5),
        Quartic(),
        Linear(lambda x: q * x[0]),
        initial=Gaussian(jnp.ones(1), 0.2),
    )
    solution = Grid((-6.0, 6.0), 120, steps=20).solve(game)
    mean, _ = solution.density(1.0).moments()
    hamiltonian = -q * v - 0.5 * v**2 - 0.25 * v**4
    assert abs(float(mean[0]) - (1 + v)) < 1e-3
    assert abs(float(solution.value(0.0, jnp.ones(1))) - (q - hamiltonian)) < 1e-3


def test_newton_where_the_fixed_point_expands():
    """A KL terminal cost: mean and deviation from the closed form, up to upwind smearing."""
    k, m0, s0 = 1.0, 2.0, 0.5
    game = MFG(
        Integrator(),
        Kinetic(k),
        KL(Gaussian(jnp.zeros(1), 1.0)),
        initial=Gaussian(jnp.full(1, m0), s0**2),
    )
    solution = Grid((-4.0, 5.0), 90, steps=30, tolerance=3e-2).solve(game)
    mean, covariance = solution.density(1.0).moments()
    s1 = (k * s0 + np.sqrt(k**2 * s0**2 + 4 * (1 + k))) / (2 * (1 + k))
    assert abs(float(mean[0]) - k * m0 / (1 + k)) < 0.03
    assert abs(float(covariance[0, 0]) ** 0.5 - s1) < 0.05


def test_the_linearised_residual_is_its_derivative():
    game = coupled()
    grid = Grid((-6.0, 6.0), 160, steps=10)  # cells that resolve the drift everywhere
    lattice = Lattice(grid.box, grid.points)
    mass = jnp.exp(-0.5 * jnp.asarray(lattice.nodes()[:, 0]) ** 2 * ALPHA / NU)
    problem = _equilibrium.Problem(game, lattice, _hjb_sweep.clock(game, 10), mass / mass.sum())
    z = _equilibrium.Couplings(*map(jnp.zeros_like, _equilibrium.free(problem)))
    state = _equilibrium.marched(problem, z)
    wave = jnp.sin(0.7 * jnp.asarray(lattice.nodes()[:, 0]))
    dz = _equilibrium.Couplings(jnp.broadcast_to(wave, z.f.shape), wave**2)
    h = 1e-5
    there = [
        _equilibrium.marched(problem, _equilibrium.Couplings(*(s * h * d for d in dz))).residual
        for s in (1, -1)
    ]
    found = _equilibrium.linearised(problem, z, state, dz)
    inner = np.asarray(mass / mass.sum()) > 1e-4
    for ahead, behind, exact in zip(*there, found, strict=True):
        finite = (ahead - behind) / (2 * h)
        np.testing.assert_allclose(finite[..., inner], exact[..., inner], rtol=1e-4, atol=1e-5)


GOOD = {"initial": Gaussian(jnp.zeros(1), 0.2)}


@pytest.mark.parametrize(
    ("grid", "game", "words"),
    [
        (Grid((-4, 4)), MFG(Integrator(), Kinetic(), Linear(jnp.sum)), "without an initial"),
        (Grid((0, 4)), MFG(Integrator(), Kinetic(), Linear(jnp.sum), **GOOD), "take a box such as"),
        (
            Grid(((-4, 4), (-4, 4))),
            MFG(Integrator(), Kinetic(), Linear(jnp.sum), **GOOD),
            "dimension 1",
        ),
        (
            Grid((-4, 4), 40),
            MFG(Integrator(), Kinetic(), Linear(lambda x: jnp.log(x[0])), **GOOD),
            "terminal cost whose first variation is not finite",
        ),
        (Grid((-4, 4), 40), MFG(Integrator(), NoCost(), Linear(jnp.sum), **GOOD), "Kinetic"),
    ],
    ids=["no initial", "box", "dimension", "infinite cost", "no cost"],
)
def test_refusals_name_the_fix(grid, game, words):
    with pytest.raises(ValueError, match=words):
        grid.solve(game)


def test_lattices_refuse_what_they_cannot_hold():
    with pytest.raises(ValueError, match="Neural"):
        Lattice(((-1, 1),) * 3, 10)
    with pytest.raises(ValueError, match="low < high"):
        Lattice((1, -1), 10)
    with pytest.raises(ValueError, match="at least 8"):
        Lattice((-1, 1), 4)


def test_remarks_on_walls_and_coarse_cells():
    """Particles driven to a wall, by a drift that the cells do not resolve, are told of."""
    game = MFG(
        Integrator(sigma=0.1),
        Kinetic(),
        Linear(lambda x: -6 * x[0]),
        initial=Gaussian(jnp.zeros(1), 0.1),
    )
    said = Grid((-2.0, 2.0), 40, steps=40).solve(game).result.message
    assert "take a wider box" in said
    assert "too coarse" in said


def test_crowd_aversion_spreads_the_crowd():
    """Against the same game without the interaction: the variance at the end grows."""
    spread = []
    for weight in (0.0, 0.5):
        game = MFG(
            Integrator(sigma=0.3),
            Kinetic(),
            Linear(lambda x: 0.0 * x[0]),
            interaction=weight * CrowdAversion(),
            initial=Gaussian(jnp.full(1, 0.5), 0.02),
        )
        solution = Grid((-1.5, 2.5), 80, steps=20).solve(game)
        assert solution.result.converged
        spread.append(float(solution.density(1.0).moments()[1][0, 0]))
    assert abs(spread[0] - (0.02 + 0.09)) < 1e-3
    assert spread[1] > 1.2 * spread[0]
