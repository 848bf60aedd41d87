"""Bounds bound and estimates have errors: linear-quadratic games whose least cost is known."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.costs import Kinetic, WithPotential
from mfgen.densities import Empirical, Gaussian
from mfgen.dynamics import Integrator
from mfgen.functionals import Entropy, Linear
from mfgen.games import MFG
from mfgen.math._quadrature import gauss_legendre
from mfgen.metrics import _duality, certify
from mfgen.metrics._check_table import QUADRATURE, CheckTable
from mfgen.models import Potential
from mfgen.solvers._base import Result, Solution, Status

R, Q, T, START, SIGMA = 0.5, 2.0, 1.5, 0.8, 0.6
GAIN, NU = math.sqrt(R * Q), 0.5 * SIGMA**2
LEAST = 0.5 * GAIN * (START + SIGMA**2 * T)  # of one coordinate
BOX = ((-5.0, 5.0),)
DONE = Result(Status.CONVERGED, "a formula")


class Feedback(eqx.Module):
    """U = gain x^2/2 + ..., v = -(gain / R) x; arrays, so that all share one compiled program."""

    gain: jax.Array

    def __init__(self, factor):
        self.gain = jnp.asarray(factor * GAIN)

    def __call__(self, t, x):
        return 0.5 * self.gain * x @ x + NU * x.size * self.gain * (T - t)


class Settling(eqx.Module):
    """The law of v: N(0, variance(t) I)."""

    gain: jax.Array
    dim: int = eqx.field(static=True)

    def __call__(self, t):
        rest = NU * R / self.gain
        variance = rest + (START - rest) * jnp.exp(-2 * self.gain / R * t)
        return Gaussian(jnp.zeros(self.dim), variance)


def game(dim=1):
    """L = R v^2/2 + Q x^2/2, M = E GAIN x^2/2: the constant GAIN solves the Riccati equation."""
    lagrangian = WithPotential(Kinetic(R), lambda t, x: 0.5 * Q * x @ x)
    terminal = Linear(lambda x: 0.5 * GAIN * x @ x)
    start = Gaussian(jnp.zeros(dim), START)
    return MFG(Integrator(sigma=SIGMA, horizon=T), lagrangian, terminal, initial=start)


GAME = game()


def candidate(factor, dim=1):
    value = Feedback(factor)
    declared = GAME if dim == 1 else game(dim)
    return Solution(declared, Potential(value), Settling(value.gain, dim), DONE)


def cost_of(factor):
    """int (R k^2 + Q) S / 2 dt + GAIN S(T) / 2 with k = gain / R, by hand, of one coordinate."""
    rate = factor * GAIN / R
    rest = NU / rate
    second = rest * T - (START - rest) * np.expm1(-2 * rate * T) / (2 * rate)
    last = rest + (START - rest) * np.exp(-2 * rate * T)
    return 0.5 * (R * rate**2 + Q) * second + 0.5 * GAIN * last


def sheet(solution, best=None, box=None, times=8):
    """The rows on costs alone."""
    ledger = CheckTable(jax.random.key(0))
    rule = gauss_legendre(times, 0.0, T)
    gains = _duality.Gains(64, 8, best)
    _duality.costs(ledger, solution, rule, box, gains)
    return ledger


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("factor", [0.2, 0.6, 1.0, 1.7])
def test_bounds_hold_and_estimates_are_called_so(factor):
    found = certify(candidate(factor), box=BOX, points=64, steps=8)
    loss = cost_of(factor) - LEAST
    assert found["primal cost"].value == pytest.approx(cost_of(factor), rel=1e-7)
    assert found["dual value, at least"].value <= LEAST + 1e-7
    assert found["gap, at most"].value >= loss - 1e-7
    assert found["exploitability, at most"].value >= loss - 1e-7
    for name in ("exploitability", "dual value", "gap"):
        assert name not in found.checks
        assert "no bound" in found.checks[f"{name}, estimated"].basis
    # An estimate is never printed beyond what the bound allows.
    assert -1e-9 <= found["gap, estimated"].value <= found["gap, at most"].value + 1e-9
    assert found["dual value, estimated"].value >= found["dual value, at least"].value - 1e-9
    assert found.checks["gap, at most"].basis.startswith("bound")
    assert found.checks["primal cost"].basis == QUADRATURE
    if factor == 0.2:
        assert found["gap, estimated"].value == pytest.approx(found["gap, at most"].value)
    if factor == 1.7:  # what the names are for: this one lies above the least cost
        assert found["dual value, estimated"].value > LEAST + 0.01
    assert "dual value, at least" in str(found)
    assert "estimate, no bound" in str(found)


@pytest.mark.usefixtures("x64")
def test_the_best_response_makes_the_gap_exact():
    best = Potential(Feedback(1.0))
    found = sheet(candidate(1.7), best).checks
    assert found["dual value"].estimate.value == pytest.approx(LEAST, rel=1e-7)
    assert found["gap"].estimate.value == pytest.approx(cost_of(1.7) - LEAST, rel=1e-6)
    assert not any("estimated" in name for name in found)


@pytest.mark.usefixtures("x64")
def test_without_a_box_there_are_no_bounds():
    found = certify(candidate(1.7), points=64, steps=8)
    assert not any("at most" in name or "at least" in name for name in found.checks)


@pytest.mark.usefixtures("x64")
def test_a_box_that_leaves_particles_out_bounds_nothing():
    found = certify(candidate(1.7), box=((-1.0, 1.0),), points=64, steps=8)
    assert "outside the box" in found.missing["exploitability, at most"]
    assert "gap, at most" not in found.checks


@pytest.mark.usefixtures("x64")
def test_costs_that_are_not_convex_have_no_dual_value():
    concave = eqx.tree_at(
        lambda s: s.game.interaction, candidate(1.0), -0.2 * Entropy(), is_leaf=lambda x: x is None
    )
    found = sheet(concave, Potential(Feedback(1.0)))
    assert "I is not known to be convex" in found.missing["dual value"]
    assert "gap" in found.missing
    assert "primal cost" in found.checks


def test_means_over_particles_have_errors(within):
    """Above three dimensions laws are sampled: no error is zero, and each covers."""
    dim = 5
    ledger = sheet(candidate(1.4, dim), Potential(Feedback(1.0)), times=4)
    found = ledger.checks
    assert ledger.missing == {}
    exact = {
        "primal cost": dim * cost_of(1.4),
        "defect": 0.0,
        "dual value": dim * LEAST,
        "gap": dim * (cost_of(1.4) - LEAST),
    }
    for name, value in exact.items():
        estimate = found[name].estimate
        assert 0 < estimate.standard_error < 0.05 * dim, name
        within(estimate, value)
    # The number of the particles tells the size: sd of the cost of a path over the root.
    assert 0.01 < found["primal cost"].estimate.standard_error < 0.06


class Paths(eqx.Module):
    """Particles at given times, `[times, n, 1]`."""

    times: tuple = eqx.field(static=True)
    points: jax.Array

    def __call__(self, t):
        return Empirical(self.points[int(np.argmin(np.abs(np.array(self.times) - float(t))))])


def simulated(factor, seed, count, times):
    """Exact paths of dX = -k X dt + sigma dW at the nodes of the rule and both ends."""
    rng, rate = np.random.default_rng(seed), factor * GAIN / R
    at = (0.0, *gauss_legendre(times, 0.0, T).nodes.tolist(), T)
    x = [math.sqrt(START) * rng.normal(size=(count, 1))]
    for step in np.diff(at):
        decay = math.exp(-rate * step)
        noise = math.sqrt(NU / rate * (1 - decay**2))
        x.append(decay * x[-1] + noise * rng.normal(size=(count, 1)))
    return Paths(at, jnp.asarray(np.stack(x), jnp.result_type(float)))


@pytest.mark.slow
def test_errors_of_particles_cover(covered):
    """Where they start, the noise of paths, common to all times: 100 clouds of 192 particles."""
    best, rows = Potential(Feedback(1.0)), []
    for seed in range(100):
        value = Feedback(1.4)
        path = simulated(1.4, seed, 192, 6)
        rows.append(sheet(Solution(GAME, Potential(value), path, DONE), best, times=6).checks)
    exact = {
        "primal cost": cost_of(1.4),
        "defect": 0.0,
        "dual value": LEAST,
        "gap": cost_of(1.4) - LEAST,
    }
    for name, value in exact.items():
        covered([row[name].estimate for row in rows], value)
