"""JKO steps on lattices against exact steps of normal laws and the spreading of a porous medium."""

import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Empirical, Gaussian, cell_masses, nodal
from mfgen.functionals import KL, MMD, AbstractFunctional, Entropy, Linear, PorousMedium
from mfgen.functionals._local import local_variation
from mfgen.math import Lattice
from mfgen.oracles import barenblatt, barenblatt_on
from mfgen.solvers import jko, jko_grid

LINE = Lattice((-4.0, 6.0), 80)
PLANE = Lattice(((-4.0, 6.0), (-5.0, 4.0)), (40, 36))


def on(lattice, mean, variance):
    law = Gaussian(jnp.asarray(mean), jnp.asarray(variance))
    return nodal(lattice, jnp.asarray(cell_masses(lattice, law)[0]))


def to_normal(dim):
    return KL(Gaussian(jnp.zeros(dim), jnp.ones(dim)))


def finest(lattice):
    """The least entropy that the lattice bears."""
    return 2 * max(lattice.spacing) ** 2


def exact(mean, deviation, step):
    """A step of KL to N(0, 1), k = 1 / h (MATH, oracle 5)."""
    k = 1 / step
    root = (k**2 * deviation**2 + 4 * (1 + k)) ** 0.5
    return k * mean / (1 + k), (k * deviation + root) / (2 * (1 + k))


@pytest.mark.parametrize("step", [0.1, 1.0])
def test_a_step_of_kl_is_the_exact_one(step):
    found = jko_grid(
        to_normal(1), on(LINE, [2.0], [0.25]), step=step, steps=1, entropy=finest(LINE)
    )
    mean, covariance = found.densities[-1].moments()
    known = exact(2.0, 0.5, step)
    np.testing.assert_allclose(mean[0], known[0], rtol=1e-3)
    np.testing.assert_allclose(covariance[0, 0] ** 0.5, known[1], rtol=1e-3)
    assert found.mismatches[0] < 1e-6
    assert found.converged.all()
    few = jko_grid(
        to_normal(1),
        on(LINE, [2.0], [0.25]),
        step=step,
        steps=1,
        entropy=finest(LINE),
        iterations=2,
    )
    assert not few.converged.any()


@pytest.mark.parametrize(
    "functional", [to_normal(2), Entropy() + Linear(lambda x: 0.5 * x @ x)], ids=["KL", "sum"]
)
def test_in_the_plane_coordinates_step_by_themselves(functional):
    start = on(PLANE, [2.0, -1.0], [0.25, 0.49])
    found = jko_grid(functional, start, step=0.5, steps=1, entropy=finest(PLANE))
    mean, covariance = found.densities[-1].moments()
    for axis, known in enumerate((exact(2.0, 0.5, 0.5), exact(-1.0, 0.7, 0.5))):
        np.testing.assert_allclose(mean[axis], known[0], rtol=2e-3)
        np.testing.assert_allclose(covariance[axis, axis] ** 0.5, known[1], rtol=2e-3)
    assert abs(float(covariance[0, 1])) < 1e-4


def test_without_the_symmetric_term_a_step_blurs_by_half_gamma():
    """F = 0: the step that stays where it is, and one that adds gamma / 2 to the variance."""
    nothing, start = Linear(lambda x: 0.0 * x[0]), on(LINE, [1.0], [0.5])
    stays, blurs = (
        jko_grid(nothing, start, step=0.1, steps=2, entropy=0.1, symmetric=symmetric)
        for symmetric in (True, False)
    )
    np.testing.assert_allclose(stays.densities[-1].moments()[1], [[0.5]], rtol=1e-4)
    np.testing.assert_allclose(blurs.densities[-1].moments()[1], [[0.5 + 0.1]], rtol=1e-4)


def apart(cells, step):
    """In L1 from the law of Barenblatt at t = 2, after steps from that at t = 1."""
    lattice = Lattice(((-3.0, 3.0), (-3.0, 3.0)), cells)
    found = jko_grid(
        PorousMedium(2.0),
        barenblatt_on(1.0, lattice),
        step=step,
        steps=round(1 / step),
        entropy=finest(lattice),
        tolerance=1e-5,
    )
    assert jnp.all(jnp.diff(found.energies) < 0)
    assert jnp.all(found.mismatches < 1e-5)
    return float(jnp.sum(jnp.abs(found.densities[-1].mass - barenblatt_on(2.0, lattice).mass)))


def test_porous_media_spread_like_barenblatt():
    """First order in the step, cells refined with it."""
    coarse, fine = apart(16, 0.5), apart(32, 0.125)
    assert fine < 0.35 * coarse, (coarse, fine)
    assert fine < 0.01, fine


def test_a_long_step_is_that_of_quantile_functions():
    """A second method: W2 itself, with the edges of cells of equal mass as unknowns."""
    lattice, medium = Lattice((-4.0, 4.0), 80), PorousMedium(2.0)
    found = jko_grid(
        medium, barenblatt_on(1.0, lattice), step=1.0, steps=1, entropy=finest(lattice)
    )
    other = jko(medium, barenblatt(1.0, 100), step=1.0, steps=1)
    variance = other.law(-1).moments()[1]
    np.testing.assert_allclose(found.densities[-1].moments()[1], variance, rtol=3e-3)
    np.testing.assert_allclose(found.energies[-1], other.energies[-1], rtol=1e-3)


def test_the_source_solution_on_lattices():
    """On the line it is that of equal masses, in the plane it solves d rho/dt = lap rho^2."""
    line = barenblatt_on(1.5, LINE)
    edges = barenblatt(1.5, 4000)
    np.testing.assert_allclose(line.moments()[1], edges.moments()[1], rtol=1e-2)
    lattice = Lattice(((-3.0, 3.0), (-3.0, 3.0)), 40)
    late, early, now = (
        np.asarray(barenblatt_on(t, lattice).mass) / lattice.volume for t in (1.01, 0.99, 1.0)
    )
    bend = -4 * now[1:-1, 1:-1] ** 2
    for axis in (0, 1):
        for shift in (1, -1):
            bend = bend + (np.roll(now, shift, axis) ** 2)[1:-1, 1:-1]
    rate = ((late - early) / 0.02)[1:-1, 1:-1]
    inside = now[1:-1, 1:-1] > 0.05
    np.testing.assert_allclose(rate[inside], (bend / lattice.volume)[inside], atol=1e-3)
    with pytest.raises(ValueError, match="`barenblatt_on` got the box"):
        barenblatt_on(1.0, Lattice(((-1.0, 3.0), (-3.0, 3.0)), 40))


def test_energy_does_not_rise_and_is_reported():
    told = []
    found = jko_grid(
        to_normal(1) + 0.1 * PorousMedium(2.0),
        on(LINE, [2.0], [0.25]),
        step=0.2,
        steps=3,
        entropy=finest(LINE),
        callback=lambda index, energy: told.append((index, energy)),
    )
    assert jnp.all(jnp.diff(found.energies) < 0)
    assert len(found.densities) == 4
    np.testing.assert_allclose([energy for _, energy in told], found.energies[1:], rtol=1e-5)


class Fisher(AbstractFunctional):
    """E |grad log rho|^2 as if its variation were the integrand: it sees slopes of rho."""

    def value(self, rho):
        return jnp.zeros(())

    def variation(self, rho, x):
        score = jnp.array([rho.log_density(x + 0.1) - rho.log_density(x - 0.1)]) / 0.2
        return score @ score


def test_local_functionals_are_told_by_what_they_ask():
    x, logarithm = jnp.array([0.3]), jnp.asarray(-1.2)
    found = local_variation(KL(Gaussian(jnp.zeros(1), 1.0)) + 2 * Entropy(), x, logarithm)
    normal = -0.5 * (0.3**2 + np.log(2 * np.pi))
    np.testing.assert_allclose(found, 3 * (-1.2) - normal + 3, rtol=1e-6)
    for asking in (MMD(Empirical(jnp.zeros((3, 1)))), Fisher()):
        with pytest.raises(TypeError, match="expected a local functional"):
            local_variation(Entropy() + asking, x, logarithm)


def test_what_cannot_be_is_refused():
    start = on(LINE, [0.0], [1.0])
    fine = {"step": 0.1, "steps": 1, "entropy": 0.1}
    with pytest.raises(TypeError, match="expected a local functional"):
        jko_grid(MMD(Empirical(jnp.zeros((3, 1)))), start, **fine)
    with pytest.raises(ValueError, match="falls where the density grows"):
        jko_grid(-1.0 * Entropy(), start, **fine)
    for name, value in (("step", -1.0), ("steps", 0), ("entropy", 0.0), ("iterations", 0)):
        with pytest.raises(ValueError, match=f"`jko_grid` got {name}"):
            jko_grid(Entropy(), start, **(fine | {name: value}))
    with pytest.raises(ValueError, match="at least twice the square"):
        jko_grid(Entropy(), start, **(fine | {"entropy": 0.01}))
    ring = Lattice((-4.0, 6.0), 80, "periodic")
    with pytest.raises(ValueError, match="periodic lattice"):
        jko_grid(Entropy(), on(ring, [0.0], [1.0]), **fine)
    with pytest.raises(FloatingPointError, match="after 0 steps"):
        jko_grid(Linear(lambda x: jnp.where(x[0] > 0, jnp.inf, 0.0)), start, **fine)
