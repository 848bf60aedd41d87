"""Every question of the check, on a game with a known answer of either kind."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfgen as mg
from mfgen.costs import (
    AbstractLagrangian,
    Anisotropic,
    Kinetic,
    NoCost,
    Power,
    Relativistic,
    WithPotential,
)
from mfgen.densities import (
    Empirical,
    Gaussian,
    GaussianMixture,
    checkerboard,
    eight_gaussians,
    rings,
)
from mfgen.derive import (
    _conventions,
    _convexity,
    _monotonicity,
    _reach,
    _regularity,
    _support,
    check,
)
from mfgen.derive._probe import probe
from mfgen.derive._resolution import CFL, DIFFUSION, PECLET, resolution
from mfgen.derive._verdict import Verdict
from mfgen.dynamics import AbstractDynamics, Integrator
from mfgen.functionals import (
    KL,
    MMD,
    AbstractFunctional,
    CrossEntropy,
    Entropy,
    Linear,
    Prescribed,
    SinkhornDivergence,
    Wasserstein1,
    Wasserstein2,
    Zero,
)
from mfgen.games import MFG

HOLDS, FAILS, UNKNOWN = Verdict.HOLDS, Verdict.FAILS, Verdict.UNKNOWN
KEY = jax.random.key(0)
NORMAL = Gaussian([0.0, 0.0])


class DoubleWell(AbstractLagrangian):
    """Not convex between the wells at |v| = 1."""

    def __call__(self, t, x, v):
        return (v @ v - 1) ** 2 / 4


class Bounded(AbstractLagrangian):
    """A hard limit of the speed: H = |p|, which has a kink at zero."""

    def __call__(self, t, x, v):
        return jnp.where(v @ v <= 1 + 1e-9, 0.0, jnp.inf)

    def argmax(self, t, x, q):
        return q / jnp.maximum(jnp.sqrt(q @ q), 1e-150)


class Edged(AbstractLagrangian):
    """The same limit, c, to the last digit; v* is outside by rounding at some costates."""

    speed: float

    def __call__(self, t, x, v):
        return jnp.where(v @ v <= self.speed**2, 0.0, jnp.inf)

    def argmax(self, t, x, q):
        return self.speed * q / jnp.linalg.norm(q)


class Unaided(AbstractLagrangian):
    """A limit of the speed whose v* is not given, and lies where L has no derivative."""

    def __call__(self, t, x, v):
        return jnp.where(v @ v <= 1, 0.0, jnp.nan)


class Linearly(AbstractLagrangian):
    """Strictly convex, but H is finite for |p| < 1 only."""

    unit: float = 1.0

    def __call__(self, t, x, v):
        return jnp.sqrt(self.unit**2 + v @ v)


class Concave(AbstractLagrangian):
    """Its argmax is where q.v - L is smallest."""

    def __call__(self, t, x, v):
        return -0.5 * v @ v

    def argmax(self, t, x, q):
        return -q


class Backward(AbstractLagrangian):
    """Its argmax has the wrong sign."""

    def __call__(self, t, x, v):
        return 0.5 * v @ v

    def argmax(self, t, x, q):
        return -q


def game(cost, **parts):
    settings = {"dynamics": Integrator(), "terminal": Zero(), "initial": NORMAL} | parts
    return MFG(lagrangian=cost, **settings)


def asked(cost, **parts):
    """All questions about the Lagrangian and the Hamiltonian, by name."""
    made = game(cost, **parts)
    points = probe(made, made.initial, KEY)
    items = [
        *_convexity.convexity(made, points),
        _convexity.growth(made, points),
        *_regularity.finiteness(made, points),
        _regularity.smoothness(made, points),
    ]
    return {item.name: item for item in items}


LAGRANGIAN = (
    _convexity.CONVEX,
    _convexity.SINGLE,
    _convexity.GROWTH,
    _regularity.FINITE,
    _regularity.ATTAINED,
    _regularity.SMOOTH,
)
GOOD = (HOLDS,) * 6
BACKWARD = (HOLDS, HOLDS, HOLDS, HOLDS, FAILS, HOLDS)


def bowl(t, x):
    return 3e6 * x @ x


CASES = {
    "Kinetic-in-a-bowl": (WithPotential(Kinetic(), bowl), GOOD),
    "Relativistic-slow": (Relativistic(1e-3), GOOD),
    "edged": (Edged(1.7), (HOLDS, FAILS, HOLDS, HOLDS, HOLDS, FAILS)),
    "unaided": (Unaided(), (HOLDS, FAILS, HOLDS, HOLDS, UNKNOWN, UNKNOWN)),
    "concave": (Concave(), (FAILS, UNKNOWN, FAILS, FAILS, UNKNOWN, HOLDS)),
    "backward-in-a-bowl": (WithPotential(Backward(), bowl), BACKWARD),
    "Kinetic": (Kinetic(0.1), GOOD),
    "Power-3": (Power(3.0), GOOD),
    "Power-1.1": (Power(1.1), GOOD),
    "Relativistic": (Relativistic(2.0), GOOD),
    "place": (WithPotential(Kinetic(), lambda t, x: 1e3 * jnp.cos(x[0])), GOOD),
    "metric": (Anisotropic(lambda x: jnp.diag(1 + x**2)), GOOD),
    "none": (NoCost(), (HOLDS, FAILS, FAILS, FAILS, UNKNOWN, UNKNOWN)),
    "bounded": (Bounded(), (HOLDS, FAILS, HOLDS, HOLDS, HOLDS, FAILS)),
    "backward": (Backward(), BACKWARD),
}


@pytest.mark.parametrize("name", CASES)
def test_costs_of_speed(name, x64):
    cost, expected = CASES[name]
    found = asked(cost)
    assert {item: found[item].status for item in LAGRANGIAN} == dict(
        zip(LAGRANGIAN, expected, strict=True)
    )
    assert all(bool(item.repair) == (item.status is FAILS) for item in found.values())


FAR = {"initial": Gaussian([5e4, 5e4], 1e8), "dynamics": Integrator(horizon=1e-2)}


class Beside(AbstractDynamics):
    """One control for two coordinates: the second is out of its reach."""

    deterministic: bool = eqx.field(static=True, default=True)
    horizon: float = eqx.field(static=True, default=1.0)

    def free(self, t, x):
        return 0.0 * x

    def gain(self, t):
        return jnp.array([[2.0], [0.0]])

    def diffusion(self, t):
        return jnp.asarray(0.0)


@pytest.mark.parametrize(
    ("cost", "parts", "expected"),
    [
        (Kinetic(1e6), FAR, GOOD),
        (Edged(1e6), FAR, (HOLDS, FAILS, HOLDS, HOLDS, HOLDS, FAILS)),
        (Kinetic(), {"dynamics": Beside()}, GOOD),
    ],
)
def test_verdicts_do_not_depend_on_units(cost, parts, expected, x64):
    found = asked(cost, **parts)
    assert [found[name].status for name in LAGRANGIAN] == list(expected)


@pytest.mark.parametrize("cost", [DoubleWell(), WithPotential(DoubleWell(), bowl)])
def test_a_cost_that_is_not_convex_fails_at_a_point(cost, x64):
    made = game(cost)
    item, single = _convexity.convexity(made, probe(made, NORMAL, KEY))
    assert item.status is FAILS
    assert "between two velocities, v = [" in item.evidence
    assert "convex hull" in item.repair
    assert single.status is UNKNOWN


def test_linear_growth_leaves_steep_costates_without_a_maximum(x64):
    made = game(Linearly())
    points = probe(made, NORMAL, KEY)
    assert _convexity.convexity(made, points)[0].status is HOLDS
    item = _convexity.growth(made, points)
    assert item.status is FAILS
    assert "at |v| = 1e4 and 1 at 1e8" in item.evidence
    assert _regularity.finiteness(made, points)[0].status is FAILS
    # Linear beyond its unit, which is the typical speed of the game, 1e4 / 1e-2.
    far = game(Linearly(1e6), **FAR)
    assert _convexity.growth(far, probe(far, far.initial, KEY)).status is FAILS


class Timed(AbstractDynamics):
    """sigma = level max(t - start, 0)."""

    level: float
    start: float = 0.0
    deterministic: bool = eqx.field(static=True, default=False)
    horizon: float = eqx.field(static=True, default=1.0)

    def free(self, t, x):
        return 0.0 * x

    def gain(self, t):
        return jnp.asarray(1.0)

    def diffusion(self, t):
        return self.level * jnp.maximum(t - self.start, 0.0)


@pytest.mark.parametrize(
    ("dynamics", "status", "said"),
    [
        (Integrator(), HOLDS, "of first order"),
        (Integrator(sigma=0.5), HOLDS, "sigma lies in [0.5, 0.5]"),
        (Timed(1.0), HOLDS, "parabolic"),
        (Timed(1.0, start=0.5), FAILS, "sigma is zero at 13 of 25 times"),
        (Timed(1.0, deterministic=True), FAILS, "`deterministic` is true, but sigma reaches 0.99"),
        (Timed(-1.0), FAILS, "at some of 25 times"),
    ],
)
def test_noise(dynamics, status, said):
    made = game(Kinetic(), dynamics=dynamics)
    item = _reach.noise(made, probe(made, NORMAL, KEY))
    assert item.status is status
    assert said in item.evidence


def circle(dim=2, count=600):
    angles = np.random.default_rng(0).uniform(0, 2 * np.pi, count)
    lift = np.random.default_rng(1).normal(size=(2, dim)) if dim > 2 else np.eye(2)
    return Empirical(np.stack([np.cos(angles), np.sin(angles)], axis=1) @ lift)


LINE = Empirical(np.linspace(-1, 1, 300)[:, None] * np.array([[1.0, 2.0, -1.0]]))
LINE_IN_PLANE = Empirical(np.linspace(-1, 1, 300)[:, None] * np.array([[1.0, 2.0]]))
CLOUD = Empirical(np.random.default_rng(0).normal(size=(600, 2)))


@pytest.mark.parametrize(
    ("density", "thin"),
    [
        (NORMAL, False),
        (CLOUD, False),
        (eight_gaussians(), False),
        (rings(), False),
        (Gaussian(np.zeros(20)), False),
        (circle(), True),
        (circle(5), True),
        (LINE, True),
        (GaussianMixture([0.5, 0.5], [[0.0, 0.0], [1.0, 0.0]], [[1.0, 1e-9], [1.0, 1e-9]]), True),
    ],
)
def test_sets_of_lower_dimension_are_seen(density, thin):
    assert _support.support(density, KEY).is_thin == thin


def test_the_dimension_of_a_circle():
    found = _support.support(circle(), KEY)
    assert abs(found.estimate - 1) < 0.15
    assert abs(found.expected - 2) < 0.3
    assert "dimension 2 in 5" in str(_support.support(circle(5), KEY))


@pytest.mark.parametrize(
    ("terminal", "parts", "status", "said"),
    [
        (KL(eight_gaussians()), {}, HOLDS, "it lies in"),
        (Linear(lambda x: x @ x), {"initial": circle()}, HOLDS, "it lies in"),
        (KL(circle()), {}, FAILS, "its 600 points lie on a set of dimension"),
        (CrossEntropy(CLOUD), {}, FAILS, "has no log-density"),
        (KL(checkerboard()), {}, FAILS, "the target is zero there"),
        (KL(NORMAL), {"initial": circle()}, FAILS, "the first density lies on a set"),
        (KL(NORMAL), {"initial": circle(), "dynamics": Integrator(sigma=1.0)}, HOLDS, "lies in"),
        (Linear(lambda x: jnp.log(x[0])), {}, FAILS, "points that the population can reach"),
        (MMD(circle()), {}, HOLDS, "it lies in"),
        (0.5 * Wasserstein2(circle()), {}, HOLDS, "it lies in"),
        (SinkhornDivergence(CLOUD, 0.5), {"initial": circle()}, HOLDS, "it lies in"),
        (Wasserstein1(jnp.sum, LINE_IN_PLANE), {}, HOLDS, "it lies in"),
        (KL(CLOUD) + MMD(CLOUD), {}, FAILS, "has no log-density"),
        (Prescribed(NORMAL), {}, UNKNOWN, "free multiplier"),
    ],
)
def test_the_terminal_condition(terminal, parts, status, said, x64):
    made = game(Kinetic(), terminal=terminal, **parts)
    item = _support.terminal(made, made.initial, KEY)
    assert item.status is status, item.evidence
    assert said in item.evidence
    if "the target" in item.evidence:
        assert "Lipschitz" in item.repair
        assert "noise" in item.repair


class Pull(AbstractFunctional):
    """F = (weight / 2) E |X - E X|^2, whose variation holds no derivative of the mean."""

    weight: float

    def value(self, rho):
        return 0.5 * self.weight * jnp.trace(rho.moments()[1])

    def variation(self, rho, x):
        return 0.5 * self.weight * jnp.sum((x - rho.moments()[0]) ** 2)


class Follow(AbstractFunctional):
    """Particles pay for E k(x - Y) with an odd kernel: no first variation of anything."""

    def value(self, rho):
        return jnp.asarray(0.0)

    def variation(self, rho, x):
        points, weights = rho.particles()
        return weights @ jnp.tanh(x[0] - points[:, 0])


class Mistaken(AbstractFunctional):
    """The second moment, with twice its first variation."""

    def value(self, rho):
        points, weights = rho.particles()
        return weights @ jnp.sum(points**2, axis=1)

    def variation(self, rho, x):
        return 2 * x @ x


BOWL, WELLS = Linear(lambda x: x @ x), Linear(lambda x: (x @ x - 1) ** 2)
COUPLINGS = {
    "Zero": (Zero(), HOLDS, HOLDS, HOLDS),
    "bowl": (BOWL, HOLDS, HOLDS, HOLDS),
    "wells": (WELLS, HOLDS, FAILS, HOLDS),
    "Entropy": (Entropy(), HOLDS, HOLDS, HOLDS),
    "aggregation": (-0.5 * Entropy(), FAILS, FAILS, HOLDS),
    "KL-normal": (KL(NORMAL), HOLDS, HOLDS, HOLDS),
    "KL-mixture": (KL(eight_gaussians()), HOLDS, FAILS, HOLDS),
    "attraction": (Pull(1.0), FAILS, HOLDS, HOLDS),
    "repulsion": (Pull(-1.0), HOLDS, FAILS, HOLDS),
    "Follow": (Follow(), HOLDS, HOLDS, FAILS),
    "Mistaken": (Mistaken(), HOLDS, HOLDS, FAILS),
    "undefined": (KL(CLOUD), UNKNOWN, UNKNOWN, UNKNOWN),
    "constant": (Linear(lambda x: jnp.asarray(5.0)), HOLDS, HOLDS, HOLDS),
    "wells-on-a-mountain": (WELLS + Linear(lambda x: jnp.asarray(1e9)), HOLDS, FAILS, HOLDS),
    "Follow-weakly": (1e-14 * Follow(), HOLDS, HOLDS, FAILS),
    "transport": (Wasserstein2(CLOUD), UNKNOWN, UNKNOWN, UNKNOWN),
}


@pytest.mark.parametrize("name", COUPLINGS)
def test_couplings(name, x64):
    """Monotone (Lasry and Lions), displacement convex (McCann), potential."""
    functional, *expected = COUPLINGS[name]
    at = _monotonicity.pairs(NORMAL, 2, KEY)
    items = (
        _monotonicity.monotone("I", functional, at),
        _monotonicity.displacement("I", functional, at),
        _monotonicity.potential({"I": functional}, at),
    )
    assert [item.status for item in items] == expected, [item.evidence for item in items]


def test_places_and_pairs_are_where_the_population_is(x64):
    """A target far from the start, of two wells, is not convex there and nowhere near zero."""
    target = GaussianMixture([0.5, 0.5], [[1e3, 0.0], [1e3, 8.0]], [[1.0, 1.0], [1.0, 1.0]])
    made = game(Kinetic(), terminal=KL(target))
    x = np.asarray(probe(made, NORMAL, KEY).x)
    assert np.sum(x[:, 0] > 900) == np.sum(x[:, 0] < 100) == len(x) // 2
    at = _monotonicity.pairs([NORMAL, target], 2, KEY)
    assert _monotonicity.displacement("M", KL(target), at).status is FAILS


def test_a_coupling_in_ten_dimensions(x64):
    """Integrals are over a sample: bounds come from its error."""
    at, waves = _monotonicity.pairs(None, 10, KEY), Linear(lambda x: jnp.cos(3 * x[0]))
    assert _monotonicity.monotone("I", Entropy(), at).status is HOLDS
    assert _monotonicity.monotone("I", -1.0 * Entropy(), at).status is FAILS
    assert _monotonicity.displacement("I", Entropy(), at).status is HOLDS
    assert _monotonicity.displacement("I", waves, at).status is FAILS


def test_the_integral_of_the_entropy_is_the_symmetric_divergence(x64):
    """KL(rho || mu) + KL(mu || rho) of normal laws, in closed form."""
    at = _monotonicity.pairs(NORMAL, 2, KEY)
    item = _monotonicity.monotone("I", Entropy(), at)
    variances, shift = np.asarray(at.scales) ** 2, np.diff(np.asarray(at.means), axis=0)[0] ** 2
    ratio = variances[0] / variances[1]
    exact = 0.5 * np.sum(ratio + 1 / ratio - 2 + shift * (1 / variances).sum(0), axis=1)
    assert f"at least {exact.min():.3g} " in item.evidence


def test_the_conventions():
    with jax.enable_x64(True):
        item = _conventions.conventions()
    assert item.status is HOLDS
    assert "e-1" in item.evidence


def test_a_turned_sign_is_seen(monkeypatch):
    real = _conventions.hjb
    turned = lambda game, u, rho, t, x: real(game, lambda s, x: u(2 * t - s, x), rho, t, x)
    monkeypatch.setattr(_conventions, "hjb", turned)
    assert _conventions.conventions().status is FAILS


def test_the_numbers_of_a_grid(x64):
    """U(T) = 3 x gives the speed 3 for L = |v|^2 / 2, sigma = 1."""
    made = MFG(Integrator(sigma=1.0), Kinetic(), Linear(lambda x: 3 * x[0]))
    points = probe(made, Gaussian([0.0]), KEY)
    numbers = {i.name: i for i in resolution(made, points, 0.1, 0.02)}
    assert numbers[CFL].evidence.startswith("0.6 at the speed 3")
    assert numbers[DIFFUSION].evidence.startswith("2 with sigma up to 1")
    assert numbers[PECLET].evidence.startswith("0.6 ")
    assert [numbers[name].status for name in (CFL, DIFFUSION, PECLET)] == [HOLDS, FAILS, HOLDS]
    assert "a step of at most 0.01" in numbers[DIFFUSION].repair
    first_order = MFG(Integrator(), Kinetic(), Linear(lambda x: 3 * x[0]))
    (peclet,) = resolution(first_order, points, 0.1, None)
    assert peclet.status is FAILS


def test_the_plain_normalizing_flow_on_a_circle():
    """What the paper says of it: both regularisations are needed, each for its own reason."""
    report = check(game(NoCost(), terminal=KL(circle())))
    assert "H is infinite unless grad U = 0" in report[_regularity.FINITE].evidence
    assert "many minimisers" in report[_convexity.SINGLE].evidence
    for name in (_regularity.FINITE, _convexity.SINGLE):
        assert "`Kinetic(0.1)`" in report[name].repair
        assert "W2" in report[name].repair
    assert "U(T) is undefined" in report[_support.TERMINAL].evidence
    assert "W1" in report[_support.TERMINAL].repair
    assert not jax.config.jax_enable_x64


def test_a_game_without_fault():
    report = check(
        game(Kinetic(), dynamics=Integrator(sigma=0.5), terminal=KL(NORMAL)), spacing=0.01
    )
    assert report.failed == ()
    assert {item.status for item in report} == {HOLDS}
    assert len(str(report).splitlines()) == len(report.items)
    with pytest.raises(KeyError, match="no item 'none'"):
        report["none"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"spacing": 0.0}, "got spacing = 0.0"), ({"step": 0.1}, "step without spacing")],
)
def test_a_grid_that_is_none_is_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        check(game(Kinetic()), **settings)


def test_a_target_known_by_its_energy_is_judged_where_the_population_is():
    well = mg.densities.double_well()
    target = mg.Unnormalised(well.energy, well.dim)
    start = mg.Gaussian(jnp.zeros(2), jnp.ones(2))
    found = check(MFG(Integrator(), Kinetic(), KL(target), initial=start))
    item = next(item for item in found if item.name == "dM/drho is defined at T")
    assert item.status is Verdict.HOLDS
