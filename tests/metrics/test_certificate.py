"""Certificates: exact solutions hold, and each mistake is seen by the check made for it."""

import dataclasses
import json
import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.costs import Kinetic, NoCost, WithPotential
from mfgen.densities import AbstractDensity, Empirical, Gaussian
from mfgen.dynamics import Integrator
from mfgen.functionals import Entropy, Linear, Prescribed, Zero
from mfgen.games import MFG
from mfgen.metrics import Certificate, Estimate, certify
from mfgen.metrics._check_table import Check
from mfgen.metrics._domain import places
from mfgen.metrics._strong import terminal_mismatch
from mfgen.metrics._weak import law_mismatch, weak_residual
from mfgen.models import Potential
from mfgen.oracles import terminal_divergence
from mfgen.simulate import solution as solution_of
from mfgen.solvers._base import Result, Solution, Status

DONE = Result(Status.CONVERGED, "a formula")
GAMMA, B, NU, HORIZON = 0.4, 0.9, 0.3, 1.0
ALPHA = float((-GAMMA + np.sqrt(GAMMA**2 + 4 * NU**2 * B)) / (2 * NU))
KAPPA = float(NU * ALPHA + GAMMA * (0.5 * np.log(ALPHA / (2 * np.pi * NU)) + 1))
BOX = ((-6.0, 6.0),)
# Few points: the numbers that are asserted do not depend on them.
SMALL = {"times": 3, "points": 256, "steps": 6}


class Quadratic(eqx.Module):
    """U = bend x^2/2 + fall (T - t) + lift; arrays, so that all share one compiled program."""

    bend: jax.Array
    fall: jax.Array
    lift: jax.Array

    def __init__(self, bend=ALPHA, fall=KAPPA, lift=0.0):
        self.bend, self.fall, self.lift = jnp.asarray(bend), jnp.asarray(fall), jnp.asarray(lift)

    def __call__(self, t, x):
        return 0.5 * self.bend * x @ x + self.fall * (HORIZON - t) + self.lift


class End(eqx.Module):
    bend: jax.Array

    def __call__(self, x):
        return 0.5 * self.bend * x @ x


class Still(eqx.Module):
    """A path that stays at N(0, variance)."""

    variance: jax.Array

    def __call__(self, t):
        return Gaussian(jnp.zeros(1), self.variance)


def place(t, x):
    return 0.5 * B * x @ x


def solution(value=(), nu=NU, bend=ALPHA, variance=NU / ALPHA):
    """The game with logarithmic coupling and its stationary solution, or a spoiled one."""
    law = Gaussian(jnp.zeros(1), NU / ALPHA)
    game = MFG(
        Integrator(sigma=math.sqrt(2 * nu), horizon=HORIZON),
        WithPotential(Kinetic(), place),
        Linear(End(jnp.asarray(bend))),
        interaction=GAMMA * Entropy(),
        initial=law,
    )
    u = Potential(Quadratic(**dict(value)))
    return Solution(game, u, Still(jnp.asarray(variance)), DONE)


def fraction(certificate, name):
    return certificate.checks[name].fraction.value


@pytest.mark.usefixtures("x64")
def test_an_exact_solution_holds_to_rounding():
    found = certify(solution(), box=BOX, **SMALL)
    assert found.missing == {}
    for name in ("HJB", "Fokker-Planck, strong", "Fokker-Planck, weak", "initial", "terminal"):
        assert abs(found[name].value) < 1e-10, name
    for name in ("mass - 1", "exploitability, at most", "defect", "gap, at most"):
        assert abs(found[name].value) < 1e-8, name
    for name in ("exploitability, estimated", "gap, estimated"):
        assert abs(found[name].value) < 1e-8, name
    entropy = -0.5 * (np.log(2 * np.pi * NU / ALPHA) + 1)
    exact = 0.5 * (ALPHA**2 + B) * NU / ALPHA + GAMMA * entropy + 0.5 * NU
    assert found["primal cost"].value == pytest.approx(exact, rel=1e-9)
    assert found["dual value, at least"].value == pytest.approx(exact, rel=1e-9)
    # Asked by its plain name, what is only estimated is found.
    assert found["dual value"] == found["dual value, estimated"]
    assert found["dual value"].value == pytest.approx(exact, rel=1e-9)
    assert found.holds
    assert "hold within 1 %" in str(found)
    assert json.loads(json.dumps(found.to_dict()))["holds"] is True


@pytest.mark.slow
def test_an_exact_solution_holds_in_single_precision():
    found = certify(solution(), **SMALL)
    assert found.holds, str(found)


class Mistake(NamedTuple):
    """A spoiled solution: checks that must see it, and those it must leave alone."""

    spoiled: dict
    seen: tuple[str, ...]
    unseen: tuple[str, ...]


MISTAKES = {
    "drift of the wrong sign": Mistake(
        {"value": {"bend": -ALPHA}},
        ("HJB", "Fokker-Planck, strong", "Fokker-Planck, weak", "terminal, up to a constant"),
        ("initial", "mass - 1"),
    ),
    "wrong sigma": Mistake(
        {"nu": 1.5 * NU},
        ("HJB", "Fokker-Planck, strong", "Fokker-Planck, weak"),
        ("initial", "terminal, up to a constant"),
    ),
    "wrong terminal cost": Mistake(
        {"bend": 2.5 * ALPHA},
        ("terminal, up to a constant", "exploitability, estimated"),
        ("HJB", "Fokker-Planck, strong", "Fokker-Planck, weak", "initial"),
    ),
    "value that drifts in time": Mistake(
        {"value": {"fall": KAPPA + 0.5}},
        ("HJB",),
        ("Fokker-Planck, strong", "Fokker-Planck, weak", "exploitability, estimated"),
    ),
    "another law": Mistake(
        {"variance": 1.5 * NU / ALPHA},
        ("HJB", "Fokker-Planck, strong", "Fokker-Planck, weak", "initial"),
        ("terminal, up to a constant",),
    ),
}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_is_seen_by_its_check(name):
    mistake = MISTAKES[name]
    found = certify(solution(**mistake.spoiled), **SMALL)
    assert not found.holds
    assert set(mistake.seen) <= set(found.failures), str(found)
    for unseen in mistake.unseen:
        assert abs(fraction(found, unseen)) < 1e-9, unseen
    assert found.verdict.startswith("Not a solution within 1 %")
    assert found.failures[0] in found.verdict


@pytest.mark.usefixtures("x64")
def test_known_sizes_of_mistakes():
    """A shift is seen as it is; a slope in time is the HJB residual; a wrong law's residual."""
    shifted = certify(solution({"lift": 0.25}), **SMALL)
    assert shifted["terminal"].value == pytest.approx(0.25)
    assert shifted["terminal, up to a constant"].value == pytest.approx(0.0, abs=1e-12)
    assert shifted.holds
    assert shifted["gap"].value == pytest.approx(0.0, abs=1e-9)
    drifting = certify(solution({"fall": KAPPA + 0.5}), **SMALL)
    assert drifting["HJB"].value == pytest.approx(0.5)
    np.testing.assert_allclose(drifting.profiles["HJB"].value, 0.5)
    # For N(0, s^2) that stands still the relative residual is (s^2 alpha - nu)(x^2/s^2 - 1)/s^2.
    wide = 1.5 * NU / ALPHA
    wrong = certify(solution(variance=wide), **SMALL)["Fokker-Planck, strong"]
    exact = (wide * ALPHA - NU) / wide * math.sqrt(2)
    assert abs(float(wrong.value) - exact) < 4 * float(wrong.standard_error)


@pytest.mark.usefixtures("x64")
def test_the_best_response_replaces_the_estimate():
    """With a wrong end the frozen game is linear-quadratic: P' = P^2 - alpha^2, P(T) = bend."""
    bend = 1.5 * ALPHA
    spoiled = solution(bend=bend)

    def best(t, x):
        """P by the addition of tanh; the rest from nu P and the constant of f, by quadrature."""
        nodes, weights = np.polynomial.legendre.leggauss(20)
        riccati = lambda s: ALPHA * _tanh_sum(1.5, ALPHA * (HORIZON - s))
        left = HORIZON - t
        times = t + 0.5 * left * (jnp.asarray(nodes) + 1)
        traces = 0.5 * left * jnp.asarray(weights) @ jax.vmap(riccati)(times)
        constant = GAMMA * (0.5 * math.log(ALPHA / (2 * math.pi * NU)) + 1) * left
        return 0.5 * riccati(t) * x @ x + NU * traces + constant

    exact = certify(spoiled, best=Potential(best), **SMALL)
    guessed = certify(spoiled, **SMALL)["exploitability, estimated"]
    value = float(exact["exploitability"].value)
    assert value > 0.005
    assert exact["exploitability"].standard_error == 0
    # The Newton step is right up to the relative size of the mistake.
    spread = 4 * float(guessed.standard_error)
    assert spread < 0.8 * value
    assert abs(float(guessed.value) - value) < spread + 0.3 * value
    assert exact["gap"].value == pytest.approx(value, rel=1e-9)


def _tanh_sum(start, angle):
    """tanh(artanh(start) + angle) for starts on either side of one."""
    return (start + jnp.tanh(angle)) / (1 + start * jnp.tanh(angle))


class Signed(eqx.Module):
    """U = sign c x^2 / (2 (1 - c t))."""

    sign: jax.Array
    c: float

    def __call__(self, t, x):
        return 0.5 * self.sign * self.c * x @ x / (1 - self.c * t)


class Cloud(AbstractDensity):
    """Particles that know no density."""

    points: jax.Array
    dim: int = 1

    def sample(self, n, *, key):
        return Empirical(self.points).sample(n, key=key)

    def moments(self):
        return Empirical(self.points).moments()

    def particles(self):
        return Empirical(self.points).particles()


def test_particles_without_density(key):
    """Paths of particles: the weak equation holds within its error, and a wrong drift does not."""
    count, pull = 4000, 0.8
    start = jax.random.normal(key, (count, 1))
    game = MFG(Integrator(sigma=0.0), Kinetic(), Linear(lambda x: 0.5 * pull * x @ x / (1 + pull)))
    # v = -c x with c = pull / (1 + pull (1 - t)) moves every particle along a straight line.
    path = lambda t: Cloud(start * (1 - pull * t / (1 + pull)))
    value = Signed(jnp.asarray(1.0), pull / (1 + pull))
    right = certify(Solution(game, Potential(value), path, DONE), best=Potential(value), **SMALL)
    assert "without a log-density" in right.missing["Fokker-Planck, strong"]
    assert "initial" in right.missing
    # Particles move with the control, so that nothing is left of their noise.
    assert right["Fokker-Planck, weak"].value < 1e-5
    turned = Solution(game, Potential(Signed(jnp.asarray(-1.0), pull / (1 + pull))), path, DONE)
    assert weak_residual(turned, path, key=key).overall.value > 0.05


def test_error_of_the_weak_residual_is_that_of_sampling(key):
    """Fresh particles at each time: the mean square of a right solution is one error squared."""
    law, count = Gaussian(jnp.zeros(1), NU / ALPHA), 16

    def ratio(candidate, seed):
        own = jax.random.fold_in(key, seed)
        path = lambda t: Cloud(law.sample(500, key=jax.random.fold_in(own, int(1000 * t))))
        found = weak_residual(candidate, path, key=own).overall
        return float(found.value / found.standard_error) ** 2

    ratios = np.array([ratio(solution(), seed) for seed in range(count)])
    spread = ratios.std(ddof=1) / math.sqrt(count)
    assert abs(ratios.mean() - 1) < 4 * spread
    assert 4 * spread < 0.6
    assert ratio(solution({"bend": -ALPHA}), 0) > 2 * ratios.max()


@pytest.mark.parametrize("dim", [2, 3])
def test_rules_of_quadrature_are_asked_for_no_wave_that_they_cannot_tell(dim):
    """A normal law by ten nodes on an axis: short waves had the weak equation off by .13."""
    law, drift = Gaussian(jnp.zeros(dim), NU / ALPHA), Potential(Quadratic())
    game = MFG(Integrator(sigma=math.sqrt(2 * NU)), Kinetic(), Linear(lambda x: 0.0))
    still = Solution(game, drift, lambda t: law, DONE)
    drawn = law.sample(2048, key=jax.random.key(9))
    for seed in range(4):
        own = jax.random.key(seed)
        assert weak_residual(still, still.density, key=own).overall.value < 1e-3
        missed = law_mismatch(Empirical(drawn), law, game.domain, key=own)
        assert missed.value < 2.5 * missed.standard_error


def test_what_is_left_of_u_without_an_end_is_held_against_its_start():
    """U = (1.02 - t) |x|^2 in a game without a cost of its end: a part of U(0), not all of U(T)."""
    bare = solution()
    game = eqx.tree_at(lambda game: game.terminal, bare.game, Zero())
    small, path = Potential(lambda t, x: (1.02 - t) * x @ x), Still(jnp.asarray(NU / ALPHA))
    found = terminal_mismatch(
        Solution(game, small, path, DONE), places(path, None, 256), key=jax.random.key(0)
    )
    part = float(found.spread.value) / found.scale
    assert part == pytest.approx(0.02 / 1.04, rel=0.2)


def test_without_density_and_without_hamiltonian():
    bare = solution()
    alone = Solution(bare.game, bare.value, None, DONE)
    found = certify(alone, **SMALL)
    assert not found.holds
    assert "no density" in found.missing["HJB"]
    assert "without density" in found.missing["primal cost"]
    assert found.verdict.startswith("Not decided")
    with pytest.raises(KeyError, match="no 'HJB'"):
        found["HJB"]
    free = eqx.tree_at(lambda s: s.game.lagrangian, bare, NoCost())
    assert "`NoCost`" in certify(free, **SMALL).missing["HJB"]


def test_a_value_function_alone_is_checked_in_a_box():
    game = MFG(Integrator(), Kinetic(), Linear(lambda x: x[0]))
    value = Potential(lambda t, x: x[0] - 0.5 * (1.0 - t))
    found = certify(Solution(game, value, None, DONE), box=((-1.0, 1.0), (0.0, 2.0)), **SMALL)
    assert found["HJB"].value < 1e-6
    assert found["terminal"].value < 1e-6


def test_numbers_that_are_none_are_not_shown():
    broken = certify(solution({"fall": math.nan}), **SMALL)
    assert "not finite" in broken.missing["HJB"]
    assert all(math.isfinite(check.estimate.value) for check in broken.checks.values())
    assert not broken.holds


@pytest.mark.usefixtures("x64")
def test_bridge_with_a_prescribed_end():
    """MATH: the Gaussian bridge; its end is compared as a law, and U(T) is a free multiplier."""
    s0, s1, m0, m1, sigma = 0.5, 0.8, -1.0, 1.0, 0.7
    c = 0.5 * (math.sqrt(4 * s0**2 * s1**2 + sigma**4) - sigma**2)
    mean = lambda t: (1 - t) * m0 + t * m1
    variance = lambda t: (1 - t) ** 2 * s0**2 + t**2 * s1**2 + t * (1 - t) * (2 * c + sigma**2)
    # v = (m1 - m0) + slope (x - mean) with  d var/dt = 2 slope var + sigma^2.
    slope = lambda t: (jax.grad(variance)(t) - sigma**2) / (2 * variance(t))

    def value(t, x):
        """-U = v-potential; the constant in time is left out on purpose: HJB alone sees it."""
        y = x[0] - mean(t)
        return -((m1 - m0) * y + 0.5 * slope(jnp.asarray(t, x.dtype)) * y**2)

    def game(target):
        start = Gaussian(jnp.full(1, m0), s0**2)
        return MFG(Integrator(sigma=sigma), Kinetic(), Prescribed(target), initial=start)

    path = lambda t: Gaussian(jnp.full(1, mean(t)), variance(t))
    target = Gaussian(jnp.full(1, m1), s1**2)
    found = certify(Solution(game(target), Potential(value), path, DONE), **SMALL)
    for name in ("Fokker-Planck, strong", "Fokker-Planck, weak", "initial", "terminal"):
        assert fraction(found, name) < 1e-8, name
    assert abs(found["exploitability"].value) < 1e-12
    assert abs(found["gap"].value) < 1e-9
    elsewhere = game(Gaussian(jnp.full(1, m1 + 0.5), s1**2))
    wrong = certify(Solution(elsewhere, Potential(value), path, DONE), **SMALL)
    assert "terminal" in wrong.failures
    # The dual value is the tangent of the least cost in the target: that of a shift by h is
    # J + 2 h + h^2/2, and U(T) has the slope -2 and the bend -slope(1).
    dual = found["primal cost"].value + 1 + 0.125 * float(slope(1.0))
    assert wrong["dual value"].value == pytest.approx(dual, rel=1e-9)
    assert dual < found["primal cost"].value + 1.125


def test_the_end_of_a_flow_from_samples_is_not_judged(key):
    """At 30 KL a kernel estimate of log rho(T) misses an end that the exact solution meets."""
    exact = terminal_divergence(2, divergence=30.0).solution
    known = certify(solution_of(exact.game, exact.model, key=key, particles=512), times=2)
    assert not known.failures, known.verdict
    samples = Empirical(exact.game.initial.sample(300, key=key))
    game = dataclasses.replace(exact.game, initial=samples)
    found = certify(
        solution_of(game, exact.model, key=key, particles=512), times=2, points=64, tolerance=0.1
    )
    assert found["terminal"].value > 10 * known["terminal"].value + 1
    assert found["exploitability"].value > 100 * known["exploitability"].value + 1
    assert not found.failures
    assert not found.holds
    assert "the end: its cost asks for log rho(T)" in found.verdict


def test_an_estimated_gain_beyond_the_cost_itself_is_no_figure():
    checks = {
        "exploitability, estimated": Check(Estimate(50.0, 1.0), "cost", Estimate(11.8, 0.1)),
        "HJB": Check(Estimate(2.0, 0.1), "cost per time", Estimate(1.5, 0.1)),
    }
    said = Certificate(solution(), checks, {}, {}, 0.01).verdict
    assert "left over: exploitability, estimated over 100 %, HJB 150 %" in said


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="`certify` got times = 1"):
        certify(solution(), times=1)
    for box in (((1.0, -1.0),), ((0.0, 1.0), (0.0, 1.0)), ((0.0, math.inf),)):
        with pytest.raises(ValueError, match="`certify` got box"):
            certify(solution(), box=box)
