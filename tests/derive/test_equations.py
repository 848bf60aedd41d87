"""The game's own equations in symbols agree with the numbers, and read as they are written."""

import sys
import threading
import time
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp
from tests.tables import DIM, DYNAMICS, FUNCTIONALS, LAGRANGIANS, REVERSAL, place, target

from mfgen.costs import (
    AbstractLagrangian,
    Anisotropic,
    Kinetic,
    NoCost,
    ScoreLagrangian,
    WithPotential,
)
from mfgen.densities import Gaussian, GaussianMixture
from mfgen.densities._base import densities
from mfgen.derive import equations, fokker_planck, hjb, terminal
from mfgen.derive._symbols.deadline import within
from mfgen.derive._symbols.functionals import Place, read
from mfgen.derive._symbols.legendre import legendre
from mfgen.derive._symbols.number import number
from mfgen.derive._symbols.tracing import formula
from mfgen.dynamics import Integrator, Underdamped
from mfgen.functionals import KL, MMD, CrossEntropy, Entropy, Linear, Sum, Wasserstein2, Zero
from mfgen.games import MFG, OfPoints

RNG = np.random.default_rng(5)


def evaluated(derived, expression, t, x, p):
    function = sp.lambdify([derived.t, *derived.x, *derived.p], expression, "numpy")
    return np.array([function(*row) for row in np.column_stack([t, x, p])])


@pytest.mark.parametrize("name", LAGRANGIANS)
def test_the_hamiltonian_is_that_of_the_table(name, x64):
    """Against H written by hand in the tables, which the derivation has never seen."""
    row = LAGRANGIANS[name]
    dim = 2 if name == "Anisotropic" else DIM  # of a metric that varies, in two dimensions only
    derived = equations(MFG(row.dynamics(), row.build(), Zero()), dim)
    assert derived.is_closed
    t, x, p = RNG.uniform(0.1, 0.9, 5), RNG.normal(size=(5, dim)), RNG.normal(size=(5, dim))
    expected = jax.vmap(row.hamiltonian)(*map(jnp.asarray, (t, x, p)))
    assert np.allclose(evaluated(derived, derived.hamiltonian, t, x, p), expected, rtol=1e-10)
    # The drift a + g v* is minus the slope of H.
    for index in range(dim):
        slope = -sp.diff(derived.hamiltonian, derived.p[index])
        steered = derived.drift[index] + (derived.gain * sp.Matrix(derived.control))[index]
        found = evaluated(derived, steered, t, x, p)
        assert np.allclose(found, evaluated(derived, slope, t, x, p), rtol=1e-8, atol=1e-10)


def test_a_constant_metric_is_inverted():
    metric = jnp.array([[2.0, 0.5], [0.5, 1.0]])
    derived = equations(MFG(Integrator(), Anisotropic(lambda x: metric), Zero()))
    p1, p2 = derived.p
    expected = (4 * p1**2 - 4 * p1 * p2 + 8 * p2**2) / 14
    assert sp.expand(derived.hamiltonian - expected) == 0


class Quartic(AbstractLagrangian):
    def __call__(self, t, x, v):
        return jnp.sum(v**4) / 4


class Soft(AbstractLagrangian):
    """No closed form: the sum of two radial costs whose slopes do not invert."""

    def __call__(self, t, x, v):
        return jnp.exp(v @ v) + v @ v


class Lying(AbstractLagrangian):
    """Its argmax is not that of its cost."""

    def __call__(self, t, x, v):
        return 0.5 * v @ v

    def argmax(self, t, x, q):
        return 2 * q


def test_a_cost_of_the_coordinates_one_by_one():
    derived = equations(MFG(Integrator(), Quartic(), Zero()))
    expected = sum(sp.Rational(3, 4) * sp.Abs(p) ** sp.Rational(4, 3) for p in derived.p)
    assert sp.simplify(derived.hamiltonian - expected) == 0


@pytest.mark.parametrize(
    ("cost", "said"),
    [
        (NoCost(), "H is infinite unless g^T p = 0"),
        (Soft(), "H is left as the supremum over v"),
        (Lying(), "was found and not believed"),
    ],
)
def test_what_has_no_formula_says_why(cost, said):
    derived = equations(MFG(Integrator(), cost, Zero()))
    assert not derived.is_closed
    assert said in " ".join(derived.notes)
    assert "sup" in dict(derived.lines())["Hamiltonian"]
    assert "H(t, x, ∇U)" in dict(derived.lines())["HJB equation"]


def test_a_network_is_a_name():
    network = eqx.nn.MLP(2, "scalar", 64, 2, key=jax.random.key(0))
    cost = WithPotential(Kinetic(), lambda t, x: network(x))
    derived = equations(MFG(Integrator(), cost, Linear(network)))
    assert not derived.is_closed  # L as a whole cannot be seen through
    assert any("L is shown as a name" in note for note in derived.notes)
    assert "f(x)" in dict(derived.lines())["at the end"]


LOGARITHMIC = MFG(
    Integrator(sigma=0.6, horizon=2.0),
    WithPotential(Kinetic(), lambda t, x: 0.45 * x @ x),
    Linear(lambda x: x @ x),
    interaction=0.4 * Entropy(),
)


def called(function, t, x):
    return function(t, *x)


def test_the_residual_of_a_formula_is_the_residual(x64):
    """The game with logarithmic coupling, off and on its solution."""
    derived, nu = equations(LOGARITHMIC, 2), 0.18
    alpha = (-0.4 + np.sqrt(0.16 + 4 * nu**2 * 0.9)) / (2 * nu)
    kappa = 2 * nu * alpha + 0.4 * (np.log(alpha / (2 * np.pi * nu)) + 1)
    rho = Gaussian(jnp.zeros(2), nu / alpha)
    density = sp.exp(-sum(s**2 for s in derived.x) * alpha / (2 * nu)) * alpha / (2 * np.pi * nu)
    left = 2.0 - derived.t
    solution = alpha * sum(s**2 for s in derived.x) / 2 + kappa * left
    other = sp.sin(derived.x[0] * derived.x[1] + derived.t)
    t, x = 0.3, jnp.array([0.4, -0.7])
    at = {derived.t: t, derived.x[0]: 0.4, derived.x[1]: -0.7}
    for u in (solution, other):
        given = derived.residual(u).subs(derived.density, density).subs(at)
        value = partial(called, sp.lambdify([derived.t, *derived.x], u, jnp))
        expected = hjb(LOGARITHMIC, value, lambda t: rho, t, x)
        assert np.isclose(float(given), float(expected), rtol=1e-9, atol=1e-9)
    assert abs(float(derived.residual(solution).subs(derived.density, density).subs(at))) < 1e-9


def test_translation_solves_the_equation_in_symbols():
    derived = equations(MFG(Integrator(sigma=0.5, horizon=2.0), Kinetic(0.7), Zero()), 2)
    q = sp.symbols("q1:3", real=True)
    h = derived.hamiltonian.subs(dict(zip(derived.p, q, strict=True)))
    plane = sum(a * b for a, b in zip(q, derived.x, strict=True))
    assert sp.simplify(derived.residual(plane - (2 - derived.t) * h)) == 0
    assert sp.simplify(derived.residual(plane + (2 - derived.t) * h)) != 0


def test_hopf_cole_solves_the_equation_of_a_score_based_model():
    """U = -log eta of a normal law under VP, with signal and noise of the same clock."""
    game = MFG(REVERSAL, ScoreLagrangian(REVERSAL), Zero())
    derived = equations(game, 1)
    s = 1 - derived.t
    integral = sp.Rational(1, 10) * s + sp.Rational(199, 20) * s**2
    mean, variance = sp.exp(-integral / 2) * 1.5, sp.exp(-integral) * 0.09 + 1 - sp.exp(-integral)
    u = (derived.x[0] - mean) ** 2 / (2 * variance) + sp.log(2 * sp.pi * variance) / 2
    residual = derived.residual(u).subs({derived.t: 0.6, derived.x[0]: 0.8})
    assert abs(float(residual)) < 1e-9


def test_the_fokker_planck_equation_is_the_residual_times_rho(x64):
    derived = equations(LOGARITHMIC, 1)
    t, x = derived.t, derived.x[0]
    variance = 1 + t / 2
    density = sp.exp(-((x - t) ** 2) / (2 * variance)) / sp.sqrt(2 * sp.pi * variance)
    u = sp.sin(x + t)
    equation = derived.fokker_planck.lhs - derived.fokker_planck.rhs
    given = equation.subs({derived.value: u, derived.density: density}).doit()
    path = lambda t: Gaussian(jnp.array([t]), 1 + t / 2)
    value = lambda t, x: jnp.sin(x[0] + t)
    expected = fokker_planck(LOGARITHMIC, value, path, 0.3, jnp.array([0.4]))
    expected = expected * jnp.exp(path(0.3).log_density(jnp.array([0.4])))
    assert np.isclose(float(given.subs({t: 0.3, x: 0.4})), float(expected), rtol=1e-9)


def stated(game, derived, pi=()):
    """The residuals in symbols and in numbers of one u and rho at one place: HJB, FP, end."""
    t, x = derived.t, derived.x
    dim, variance = derived.dim, 1 + t / 2
    square = sum((entry - t) ** 2 for entry in x)
    density = sp.exp(-square / (2 * variance)) / sp.sqrt(2 * sp.pi * variance) ** dim
    u = sp.sin(sum((i + 1) * entry for i, entry in enumerate(x)) + t) + x[0] ** 2
    # WithLabels has no derivatives along labels: neither has u then.
    at = {t: sp.Rational(3, 10), **{entry: sp.Rational(4 - 3 * i, 10) for i, entry in enumerate(x)}}
    end = {derived.density.subs(t, derived.horizon): density.subs(t, derived.horizon)}
    put = lambda side: side.subs(derived.value, u).subs(derived.density, density).doit()
    equation = derived.fokker_planck.lhs - derived.fokker_planck.rhs
    known = [
        derived.residual(u).subs(derived.density, density),
        put(equation) / density,
        u.subs(t, derived.horizon) - derived.terminal.rhs.xreplace(end),
    ]
    found = [float(part.xreplace(dict(pi)).subs(at).evalf()) for part in known]
    place = jnp.array([0.4 - 0.3 * i for i in range(dim)])
    path = lambda t: Gaussian(jnp.full(dim, t), 1 + t / 2)
    value = partial(called, sp.lambdify([t, *x], u, jnp))
    numeric = jax.jit(
        lambda x: (
            hjb(game, value, path, 0.3, x),
            fokker_planck(game, value, path, 0.3, x),
            terminal(game, value, path, x),
        )
    )
    return found, [float(part) for part in numeric(place)]


def nested(potential):
    inner = WithPotential(Kinetic(0.7), potential)
    return WithPotential(inner, lambda t, x: jnp.float32(0.1) * x[0].astype(jnp.float32) * t)


@pytest.mark.parametrize("name", sorted(set(DYNAMICS) - {"Integrator-diffusing"}))
def test_both_equations_of_every_dynamics_are_the_residuals(name, x64):
    cost = nested(place)
    if name.startswith("WithLabels"):
        cost = OfPoints(cost, 1)
    game = MFG(DYNAMICS[name](), cost, 3 * Linear(lambda x: x @ x), discount=0.25)
    sized = name.startswith(("WithLabels", "ControlAffine", "Integrator-by", "LinearNoising"))
    found, expected = stated(game, equations(game, DIM if sized else 2))
    # The potential holds a number and a cast of single precision.
    assert np.allclose(found, expected, rtol=1e-6, atol=1e-6)


READABLE = [
    "Zero",
    "Linear",
    "CrossEntropy",
    "Entropy",
    "KL",
    "Sum",
    "Scaled",
    "CrowdAversion",
    "PorousMedium",
    "ForwardKL",
    "ChiSquared",
    "AlphaDivergence-1.5",
    "AlphaDivergence-half",
]


def test_weights_and_sums_are_those_of_the_costs(x64):
    """All readable functionals at once, each with its own weight, scaled twice and nested."""
    parts = [FUNCTIONALS[name]() for name in READABLE]
    weighted = [(0.1 + 0.07 * i) * part for i, part in enumerate(parts)]
    everything = Sum(tuple(weighted[1:])) + weighted[0]
    game = MFG(
        Integrator(sigma=0.6, horizon=2.0),
        Kinetic(0.7),
        -2.0 * (0.5 * everything) + parts[1],
        interaction=0.3 * (everything + 2 * Zero()) + CrossEntropy(target()) * 3.0,
        discount=0.5,
    )
    derived = equations(game, 1)
    (x,) = derived.x
    laws = {id(law): law for part in (game.interaction, game.terminal) for law in densities(part)}
    pi = {}
    for index, law in enumerate(laws.values()):
        name = f"pi_{index + 1}" if index else "pi"
        pi[sp.Function(name, positive=True)(x)] = mixture(law, x)
    found, expected = stated(game, derived, pi)
    assert np.allclose(found, expected, rtol=1e-7)


def mixture(law, x):
    """A law of the tables as an expression."""
    if isinstance(law, Gaussian):
        rows = [(1.0, float(law.mean[0]), float(law.covariance.variances[0]))]
    else:
        weights, variances = jnp.exp(law.log_weights), law.covariances.variances[:, 0]
        rows = zip(
            *(map(float, part) for part in (weights, law.means[:, 0], variances)), strict=True
        )
    return sum(w * sp.exp(-((x - m) ** 2) / (2 * s)) / sp.sqrt(2 * sp.pi * s) for w, m, s in rows)


def test_a_weight_stands_before_what_it_weighs():
    """Two parts never share a name, and a multiple is not named like the whole."""
    data = Gaussian([0.0, 1.0])
    game = MFG(Integrator(), Kinetic(), 100 * MMD(data) + 2 * MMD(data) + Wasserstein2(data))
    lines = dict(equations(game).lines("ascii"))
    assert "dM/drho" not in lines["at the end"]
    for part in ("100 dMMD/drho(x)", "2 dMMD_2/drho(x)", "dWasserstein2/drho(x)"):
        assert part in lines["at the end"]
    assert "100 MMD(rho)" in lines["terminal cost"]
    network = eqx.nn.MLP(2, "scalar", 64, 2, key=jax.random.key(0))
    other = eqx.nn.MLP(2, "scalar", 64, 2, key=jax.random.key(1))
    game = MFG(Integrator(), Kinetic(), Linear(network), interaction=Linear(other))
    lines = dict(equations(game).lines("ascii"))
    assert lines["HJB equation"].endswith("= f(x)")
    assert lines["at the end"].endswith("= f_2(x)")


def test_numbers_are_printed_short():
    cost = lambda t, x: 1e20 * x[0] + jnp.float32(0.1) * x[1] + jnp.exp(1.0) + 1e-12 * x[0] ** 2
    derived = equations(MFG(Integrator(), WithPotential(Kinetic(), cost), Zero()))
    assert dict(derived.lines("ascii"))["Lagrangian"] == (
        "L = |v|^2/2 + 1.0e+20 x1 + 2.718 + 1.0e-12 x1^2 + 0.1 x2"
    )


class Cast(AbstractLagrangian):
    """Half of the squared speed in single precision, and a cast of a place to an integer."""

    def __call__(self, t, x, v):
        single = v.astype(jnp.float32)
        return 0.5 * jnp.sum(single.astype(float) ** 2) + x[0].astype(int)


def test_a_cast_to_another_precision_is_none():
    derived = equations(MFG(Integrator(), Cast(), Zero()))
    assert derived.is_closed
    assert dict(derived.lines("ascii"))["Lagrangian"] == "L = |v|^2/2 + floor(Abs(x1)) sign(x1)"
    assert "|p|^2/2" in dict(derived.lines("ascii"))["Hamiltonian"]


class Doubtful(AbstractLagrangian):
    """Its argmax is wrong by the square of the costate, beside a deep bowl."""

    def __call__(self, t, x, v):
        return 0.5 * v @ v + 3e6 * x @ x

    def argmax(self, t, x, q):
        return 1.1 * q


def test_a_deep_bowl_hides_no_wrong_control():
    derived = equations(MFG(Integrator(), Doubtful(), Zero()))
    assert "was found and not believed" in " ".join(derived.notes)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: jnp.linalg.eigvalsh(jnp.outer(x, x))[0], "no formula is known for"),
        (lambda x: jnp.asarray(float(x[0])), "`ConcretizationTypeError` in it"),
        (lambda x: x[jnp.argmax(x)], "no formula is known for"),
        (lambda x: jnp.sum(jnp.ones((100, 100)) * x[0]), "an array of 10000 numbers"),
    ],
)
def test_a_function_without_a_formula_is_a_name(function, said):
    found = formula("f", function, sp.symbols("x1:3", real=True))
    assert str(found.scalar) == "f(x1, x2)"
    assert said in found.note


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.5, "1/2"),
        (np.float32(0.7), "7/10"),
        (1 / 3, "1/3"),
        (np.float32(2 / 3), "2/3"),
        (3, "3"),
        (0.0, "0"),
        (-2.25, "-9/4"),
        (np.inf, "oo"),
        (True, "True"),
    ],
)
def test_numbers_are_as_short_as_they_are_exact(value, expected):
    assert str(number(value)) == expected


def test_a_number_that_is_not_short_keeps_its_digits():
    assert float(number(np.pi)) == np.pi


@pytest.mark.parametrize("name", READABLE)
def test_first_variations_are_read(name, x64):
    functional = FUNCTIONALS[name]()
    (x,) = sp.symbols("x1:2", real=True)
    rho = sp.Function("rho", positive=True)(x)
    found = read(functional, Place("I", (x,), rho, []))
    law, there = GaussianMixture([1.0], [[0.2]], [0.5]), jnp.array([0.4])
    goal: GaussianMixture = functional.goal or target()  # pyright: ignore[reportAssignmentType]
    known = {
        rho: sp.Float(float(jnp.exp(law.log_density(there)))),
        sp.Function("pi", positive=True)(x): sp.Float(float(jnp.exp(goal.log_density(there)))),
    }
    value = float(sp.sympify(found.variation.xreplace(known)).subs(x, 0.4))
    assert np.isclose(value, float(functional.variation(law, there)), rtol=1e-9)
    assert found.depends == (name not in ("Zero", "Linear", "CrossEntropy"))


def test_an_unknown_functional_has_a_name():
    game = MFG(Integrator(), Kinetic(), Zero(), interaction=FUNCTIONALS["Pairwise"]())
    derived = equations(game)
    assert dict(derived.lines())["HJB equation"] == "-∂U/∂t + |∇U|²/2 = δI/δρ(x)"
    assert "dI/drho is the first variation of `Pairwise`." in derived.notes
    assert "depends on the population" in derived.reading


def test_a_power_of_a_derivative_is_no_second_derivative():
    """(∂U/∂x2)², beside ∂²U/∂x2², in all three forms."""
    law = Gaussian(jnp.zeros(2), jnp.eye(2))
    derived = equations(MFG(Underdamped(0.5, 0.3), Kinetic(), Zero(), initial=law))
    found = [dict(derived.lines(form))["HJB equation"] for form in ("unicode", "ascii", "latex")]
    powers = "(∂U/∂x2)²/2", "(dU/dx2)^2/2", r"\left(\partial_{2} U\right)^{2}"
    assert all(power in text for power, text in zip(powers, found, strict=True))


def test_ot_flow_reads_as_in_a_book():
    derived = equations(
        MFG(Integrator(), Kinetic(2.0), KL(GaussianMixture([1.0], [[0.0, 1.0]], [1.0])))
    )
    assert derived.lines() == [
        ("dynamics", "dX = v dt"),
        ("Lagrangian", "L = |v|²"),
        ("interaction cost", "I = 0"),
        ("terminal cost", "M = KL(ρ, π)"),  # noqa: RUF001
        ("Hamiltonian", "H = |p|²/4"),
        ("optimal control", "v* = -∇U/2"),
        ("HJB equation", "-∂U/∂t + |∇U|²/4 = 0"),
        ("at the end", "U(1, x) = 1 - log(π(x)) + log(ρ(1, x))"),  # noqa: RUF001
        ("Fokker-Planck", "∂ρ/∂t + ∇·(ρ [-∇U/2]) = 0"),  # noqa: RUF001
        ("at the start", "ρ(0, x) = ρ₀(x)"),  # noqa: RUF001
    ]
    assert all(text.isascii() for _, text in derived.lines("ascii"))
    assert r"- \partial_t U + \frac{|\nabla U|^{2}}{4} = 0" in derived.latex()
    assert derived._repr_latex_().startswith("$")
    assert "runs backwards" in str(derived)


def test_a_score_based_model_reads_as_in_a_book():
    game = MFG(REVERSAL, ScoreLagrangian(REVERSAL), CrossEntropy(Gaussian([0.0, 1.0])))
    lines = dict(equations(game).lines("ascii"))
    assert lines["dynamics"] == "dX = [(10 - 9.95 t) x + sigma v] dt + sigma dW"
    assert lines["optimal control"] == "v* = -sigma grad U"
    assert lines["HJB equation"].endswith("- (sigma^2/2) lap U = 0")
    assert lines["where"] == "sigma = sqrt(20 - 19.9 t)"
    assert "solved first" in equations(game).reading


def test_squares_of_different_weight_stay_components():
    cost = WithPotential(Kinetic(), lambda t, x: 0.25 * x[0] ** 2 + 0.6 * x[1] ** 2)
    lines = dict(equations(MFG(Integrator(), cost, Zero()), 2).lines("ascii"))
    assert lines["Lagrangian"] == "L = |v|^2/2 + 0.6 x2^2 + x1^2/4"


def test_a_dimension_that_does_not_fit_is_refused():
    game = MFG(Integrator(), Kinetic(), KL(Gaussian([0.0, 1.0])))
    with pytest.raises(ValueError, match="`equations` got dim = 3, expected 2"):
        equations(game, 3)
    with pytest.raises(ValueError, match="got dim = 0"):
        equations(MFG(Integrator(), Kinetic(), Zero()), 0)


def test_a_limit_of_time_holds_in_any_thread():
    def forever():
        while True:
            sp.Integer(1) + 1

    found = []

    def run():
        before = sys.getprofile()
        found.append((within(0.05, forever), within(5.0, lambda: 3), sys.getprofile() is before))

    began = time.monotonic()
    thread = threading.Thread(target=run)
    thread.start()
    run()
    thread.join()
    assert found == [(None, 3, True), (None, 3, True)]
    assert time.monotonic() - began < 5


def test_a_transform_stops_at_its_limit():
    v, q = sp.symbols("v1:3", real=True), sp.symbols("q1:3", real=True)
    assert legendre(v[0] ** 2 + v[1] ** 2, v, q, seconds=1e-6) is None
