"""Games that no recipe has, each declared in a few lines, as a user would who changes a cost.

Every function returns a game; `ROWS` names them with the law of their data, what is said to `train`
and the bound that they are held to (`benchmarks.inventions` measures them).
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import mfgen as mg
from mfgen.data import _embedded

KEY = jax.random.key(7)
NORMAL = mg.Gaussian(jnp.zeros(2), 1.0)


def points(law: mg.densities.AbstractDensity, n: int = 1000) -> mg.Empirical:
    return mg.Empirical(law.sample(n, key=KEY))


def hill(t, x):
    """A hill of height 5 in the middle."""
    return 5.0 * jnp.exp(-2.0 * x @ x)


class Cosh(mg.costs.AbstractLagrangian):
    """L = sum cosh(v_i) - 1, known by its formula alone, and a hill in the way."""

    def __call__(self, t, x, v):
        return jnp.sum(jnp.cosh(v) - 1) + hill(t, x)


def noisy(terminal: mg.functionals.AbstractFunctional, interaction=None, law=NORMAL) -> mg.MFG:
    """dX = v dt + dW / 2 with the kinetic cost."""
    extra = {} if interaction is None else {"interaction": interaction}
    return mg.MFG(mg.Integrator(sigma=0.5), mg.Kinetic(), terminal, initial=law, **extra)


def mmd(weight: float = 100.0) -> mg.functionals.AbstractFunctional:
    return weight * mg.MMD(points(mg.densities.eight_gaussians()), mg.functionals.DistanceKernel())


def sinkhorn(weight: float = 20.0) -> mg.functionals.AbstractFunctional:
    return weight * mg.functionals.SinkhornDivergence(points(mg.densities.eight_gaussians(), 512))


def with_mmd() -> mg.MFG:
    return noisy(mmd())


def with_sinkhorn() -> mg.MFG:
    return noisy(sinkhorn())


def with_repulsion() -> mg.MFG:
    return noisy(mmd(), 2.0 * mg.functionals.Pairwise(mg.functionals.GaussianKernel(0.5)))


def with_crowd() -> mg.MFG:
    return noisy(mmd(), mg.functionals.CrowdAversion())


def cosh(interaction=None) -> mg.MFG:
    extra = {} if interaction is None else {"interaction": interaction}
    end, start = 30.0 * mg.KL(NORMAL), points(mg.densities.moons())
    return mg.MFG(mg.Integrator(), Cosh(), end, initial=start, data_at="start", **extra)


def cosh_entropy() -> mg.MFG:
    # The data of a flow with an interaction of log rho must have a density.
    end = 30.0 * mg.KL(NORMAL)
    return mg.MFG(
        mg.Integrator(),
        Cosh(),
        end,
        initial=mg.densities.moons(),
        interaction=mg.functionals.Entropy(),
        data_at="start",
    )


def cosh_pairwise() -> mg.MFG:
    return cosh(mg.functionals.Pairwise(mg.functionals.GaussianKernel(0.5)))


def flow_to_mixture() -> mg.MFG:
    goal = mg.GaussianMixture(
        jnp.full(2, 0.5), jnp.asarray([[-2.0, 0.0], [2.0, 0.0]]), jnp.full(2, 0.5)
    )
    start = points(mg.densities.moons())
    return mg.MFG(mg.Integrator(), mg.Kinetic(), 30.0 * mg.KL(goal), initial=start, data_at="start")


def flow_with_linear() -> mg.MFG:
    end = 30.0 * mg.KL(NORMAL) + mg.Linear(lambda x: 0.5 * x @ x)
    start = points(mg.densities.moons())
    return mg.MFG(mg.Integrator(), mg.Kinetic(), end, initial=start, data_at="start")


def kinetic(sigma: float = 0.0) -> mg.MFG:
    """Second order: positions from N(0, I) to the data, velocities from and to N(0, I)."""
    data = mg.densities.eight_gaussians().sample(1000, key=KEY)
    joint = jnp.concatenate([data, jax.random.normal(KEY, data.shape)], axis=1)
    end = 100.0 * mg.MMD(mg.Empirical(joint), mg.functionals.DistanceKernel())
    start = mg.Gaussian(jnp.zeros(4), 1.0)
    return mg.MFG(mg.dynamics.Underdamped(sigma), mg.Kinetic(0.1), end, initial=start)


def second_order() -> mg.MFG:
    return kinetic(0.0)


def second_order_noisy() -> mg.MFG:
    return kinetic(0.5)


def path_integral(spread: float) -> mg.MFG:
    """The path-integral sampler: the cost of the end is log N(x; 0, spread + 1) + V(x)."""
    wells, start = mg.densities.double_well(2), mg.Gaussian(jnp.zeros(2), spread)
    alone = mg.Gaussian(jnp.zeros(2), 1.0 + spread)
    end = mg.Linear(lambda x: alone.log_density(x) + wells.energy(x))
    return mg.MFG(mg.Integrator(sigma=1.0), mg.Kinetic(), end, initial=start)


def wells_from_point() -> mg.MFG:
    return path_integral(1e-6)


def wells_from_cloud() -> mg.MFG:
    return path_integral(0.05)


def bridge(dim: int) -> mg.MFG:
    """From moons to 8 Gaussians, with noise and a hill; further axes stay standard normal."""
    wide = lambda law: (
        mg.densities.Product((law, mg.Gaussian(jnp.zeros(dim - 2), 1.0))) if dim > 2 else law
    )
    start, end = points(wide(mg.densities.moons())), points(wide(mg.densities.eight_gaussians()))
    lagrangian = mg.costs.WithPotential(mg.Kinetic(), lambda t, x: hill(t, x[:2]))
    return mg.MFG(mg.Integrator(sigma=0.5), lagrangian, mg.Prescribed(end), initial=start)


def bridge_plane() -> mg.MFG:
    return bridge(2)


def bridge_five() -> mg.MFG:
    return bridge(5)


def w1w2() -> mg.MFG:
    critic = mg.models.lipschitz_critic(2, key=KEY)
    end = 20.0 * mg.functionals.Wasserstein1(critic, points(mg.densities.eight_gaussians()))
    return mg.MFG(mg.Integrator(), mg.costs.Relativistic(6.0), end, initial=NORMAL)


def alpha() -> mg.MFG:
    critic = mg.models.lipschitz_critic(2, key=KEY)
    end = 20.0 * mg.functionals.LipschitzDivergence(
        critic, points(mg.densities.eight_gaussians()), mg.functionals.Alpha(2.0)
    )
    return mg.MFG(mg.Integrator(), mg.Kinetic(), end, initial=NORMAL)


def discounted(functional: mg.functionals.AbstractFunctional) -> mg.MFG:
    return mg.zoo.gradient_flow_game(functional, NORMAL, epsilon=0.1, horizon=2.0)


def discounted_mmd() -> mg.MFG:
    return discounted(mmd(4.0))


def discounted_porous() -> mg.MFG:
    return discounted(mg.functionals.PorousMedium(2.0) + mg.Linear(lambda x: 0.5 * x @ x))


def discounted_chi() -> mg.MFG:
    return discounted(mg.functionals.ChiSquared(mg.Gaussian(jnp.ones(2), 1.0)))


class Chase(mg.functionals.AbstractFunctional):
    """f(x, rho) = E k(x - Y) with k(z) = tanh(z_1): a coupling that is no first variation."""

    def variation(self, rho, x):
        places, weights = rho.particles()
        return weights @ jnp.tanh(x[0] - places[:, 0])


def chase(dim: int) -> mg.MFG:
    start = mg.Gaussian(jnp.zeros(dim), 0.5)
    end = mg.Linear(lambda x: 0.5 * x @ x)
    return mg.MFG(mg.Integrator(sigma=0.5), mg.Kinetic(), end, 2.0 * Chase(), start)


def chase_line() -> mg.MFG:
    return chase(1)


def chase_plane() -> mg.MFG:
    return chase(2)


def chase_ten() -> mg.MFG:
    return chase(10)


class Quartic(mg.costs.AbstractLagrangian):
    """L = |v|^4 / 4 beside that of the score, known by its formula alone."""

    score: mg.costs.AbstractLagrangian

    def __call__(self, t, x, v):
        return self.score(t, x, v) + 0.25 * jnp.square(v @ v)


def score_to_wells() -> mg.MFG:
    wells = mg.GaussianMixture(jnp.array([0.3, 0.7]), jnp.array([[-1.5], [1.5]]), jnp.full(2, 0.2))
    return mg.score_based(mg.VP(), wells)


def score_hill() -> mg.MFG:
    game = score_to_wells()
    return dataclasses.replace(game, lagrangian=mg.costs.WithPotential(game.lagrangian, hill))


def score_quartic() -> mg.MFG:
    game = score_to_wells()
    return dataclasses.replace(game, lagrangian=Quartic(game.lagrangian))


def schedule() -> mg.MFG:
    cosine = mg.dynamics.Noising(
        lambda s: jnp.cos(0.5 * jnp.pi * s), lambda s: jnp.sin(0.5 * jnp.pi * s), largest_ratio=50.0
    )
    return mg.score_based(cosine, points(mg.densities.eight_gaussians(), 20_000))


def turning() -> mg.MFG:
    turn = mg.dynamics.LinearNoising([[-1.0, 2.0], [-2.0, -1.5]], 1.4, horizon=2.5)
    return mg.score_based(turn, points(mg.densities.eight_gaussians(), 20_000))


def wells_forward() -> mg.MFG:
    drift = mg.dynamics.Diffusion(lambda s, y: y - y**3, 1.4, horizon=2.5)
    return mg.score_based(drift, points(mg.densities.eight_gaussians(), 20_000))


def two_populations() -> mg.MFG:
    """Two populations that repel each other, each on its way to half of the 8 Gaussians."""
    places = mg.densities.eight_gaussians().sample(1000, key=KEY)
    labels = mg.densities.one_hot((places[:, 0] > 0).astype(int), 2)
    apart = lambda z: jnp.exp(-2 * z[:2] @ z[:2]) * 0.5 * (z[2:] @ z[2:])
    goal = mg.Empirical(mg.densities.labelled(places, 4.0 * labels))
    game = mg.MFG(
        mg.Integrator(sigma=0.5),
        mg.Kinetic(),
        100.0 * mg.MMD(goal, mg.functionals.DistanceKernel()),
        interaction=2.0 * mg.functionals.Pairwise(apart),
        initial=mg.densities.Labelled(NORMAL, 4.0 * labels),
    )
    return mg.games.with_labels(game)


def octants(places):
    return jnp.round(jnp.arctan2(places[:, 1], places[:, 0]) / (jnp.pi / 4)).astype(int) % 8


def labelled_scores() -> mg.MFG:
    places = mg.densities.eight_gaussians().sample(20_000, key=KEY)
    data = mg.densities.LabelledPoints(
        places, mg.densities.one_hot(octants(places), 8), unlabelled=0.1
    )
    return mg.score_based(mg.VP(), data)


def angles(n: int, key):
    """Three heaps on the torus, one of them across its end."""
    which, place = jax.random.split(key)
    means = jnp.array([[0.2, 3.0], [2.0, 6.1], [4.5, 1.0]])
    heaps = means[jax.random.randint(which, (n,), 0, 3)] + 0.35 * jax.random.normal(place, (n, 2))
    return heaps % (2 * jnp.pi)


def torus() -> mg.MFG:
    room = mg.games.Torus((2 * jnp.pi, 2 * jnp.pi))
    return mg.MFG(
        mg.Integrator(sigma=0.5),
        mg.Kinetic(),
        100.0 * mg.MMD(mg.Empirical(angles(1000, KEY)), mg.functionals.DistanceKernel()),
        initial=mg.densities.Uniform(room),
        domain=room,
    )


def real(name: str) -> tuple[jax.Array, jax.Array]:
    """Training and test rows of a table; digits in their first 8 principal axes, standardised."""
    found = {"wine": _embedded.wine, "digits": _embedded.digits}[name]()
    train, test = jnp.asarray(found.train), jnp.asarray(found.test)
    if name == "digits":
        middle = jnp.mean(train, axis=0, keepdims=True)
        axes = jnp.linalg.svd(train - middle, full_matrices=False)[2][:8].T
        train, test = (train - middle) @ axes, (test - middle) @ axes
        scale = jnp.std(train, axis=0, keepdims=True)
        train, test = train / scale, test / scale
    return train, test


def on_table(name: str) -> mg.MFG:
    train, _ = real(name)
    start = mg.Gaussian(jnp.zeros(train.shape[1]), 1.0)
    end = 100.0 * mg.MMD(mg.Empirical(train), mg.functionals.DistanceKernel())
    return noisy(end, mg.functionals.Pairwise(mg.functionals.GaussianKernel(0.5)), start)


def on_wine() -> mg.MFG:
    return on_table("wine")


def on_digits() -> mg.MFG:
    return on_table("digits")


def quadratic(dim: int) -> mg.MFG:
    """A linear-quadratic game with noise, of axes that differ."""
    stiff, middle = jnp.linspace(0.5, 2.0, dim), jnp.linspace(-1.0, 1.0, dim)
    lagrangian = mg.costs.WithPotential(mg.Kinetic(), lambda t, x: 0.5 * stiff @ x**2)
    end = mg.Linear(lambda x: (x - middle) @ (x - middle))
    start = mg.Gaussian(jnp.ones(dim), 0.5)
    return mg.MFG(mg.Integrator(sigma=0.5), lagrangian, end, initial=start)


def quadratic_two() -> mg.MFG:
    return quadratic(2)


def quadratic_ten() -> mg.MFG:
    return quadratic(10)


def quadratic_fifty() -> mg.MFG:
    return quadratic(50)


class Row(NamedTuple):
    """A row of the page.

    Attributes:
        number: of the game in the list.
        title: what it is.
        game: declares it.
        fresh: the law of its data, if samples are compared with it.
        bound: of the energy distance.
        options: what is said to `train`.
    """

    number: int | str
    title: str
    game: Callable[[], mg.MFG]
    fresh: mg.densities.AbstractDensity | None
    bound: float | None
    options: Mapping[str, Any] = {}


_OWN = {"way": "own cost", "learning_rate": 5e-2, "steps": 4000}
_EIGHT, _MOONS = mg.densities.eight_gaussians(), mg.densities.moons()

ROWS: dict[str, Row] = {
    "mmd": Row(1, "noise, M = 100 MMD", with_mmd, _EIGHT, 0.01),
    "sinkhorn": Row(1, "noise, M = 20 Sinkhorn divergence", with_sinkhorn, _EIGHT, 0.01),
    "repulsion": Row(2, "the first with pairwise repulsion", with_repulsion, _EIGHT, 0.015),
    "crowd": Row(2, "the first with crowd aversion", with_crowd, _EIGHT, 0.015),
    "cosh": Row(3, "flow, L = cosh and a hill, M = KL", cosh, _MOONS, None),
    "cosh-entropy": Row(3, "the same, I = entropy", cosh_entropy, _MOONS, None),
    "cosh-pairwise": Row(3, "the same, I = pairwise", cosh_pairwise, _MOONS, None),
    "mixture": Row(4, "flow to a mixture", flow_to_mixture, _MOONS, 0.02),
    "linear": Row(4, "flow, M = KL + linear", flow_with_linear, _MOONS, 0.02),
    "score-hill": Row(5, "score game with a hill, d = 1", score_hill, None, None),
    "score-quartic": Row(5, "score game, quartic L, d = 1", score_quartic, None, None),
    "schedule": Row(6, "own schedule, cosine", schedule, _EIGHT, 0.005),
    "turning": Row(6, "linear drift that turns", turning, _EIGHT, 0.05),
    "wells-forward": Row(6, "drift y - y^3", wells_forward, _EIGHT, 0.05),
    "kinetic": Row(7, "second order", second_order, _EIGHT, 0.03),
    "kinetic-noisy": Row(7, "second order, noise on velocities", second_order_noisy, _EIGHT, 0.03),
    "wells-point": Row(8, "path-integral sampler from a point", wells_from_point, None, None),
    "wells-cloud": Row(8, "the same from N(0, .05)", wells_from_cloud, None, None, {"steps": 4000}),
    "bridge": Row(9, "bridge of samples, with a hill", bridge_plane, _EIGHT, 0.01),
    "bridge-five": Row(9, "the same in five dimensions", bridge_five, None, 0.01),
    "w1w2": Row(10, "W1 + W2, relativistic", w1w2, _EIGHT, 0.012),
    "alpha": Row(10, "alpha = 2 with Lipschitz bound", alpha, _EIGHT, 0.012),
    "discounted-mmd": Row(
        11, "discounted flow of an MMD", discounted_mmd, _EIGHT, 0.03, {"steps": 2000}
    ),
    "discounted-porous": Row(11, "of a porous medium", discounted_porous, None, None),
    "discounted-chi": Row(11, "of chi squared", discounted_chi, None, None),
    "chase": Row(12, "no first variation, d = 1", chase_line, None, None),
    "chase-plane": Row(12, "d = 2", chase_plane, None, None),
    "chase-ten": Row(12, "d = 10", chase_ten, None, None),
    "populations": Row(
        13, "two populations that repel", two_populations, None, 0.02, {"steps": 4000}
    ),
    "labels": Row(14, "labels in a score game, guidance", labelled_scores, None, 0.01),
    "torus": Row(15, "angles on a torus", torus, None, 0.005),
    "wine": Row(16, "wine, with repulsion", on_wine, None, None),
    "digits": Row(16, "digits in 8 axes, with repulsion", on_digits, None, None),
    "quadratic": Row("LQ", "linear-quadratic, d = 2", quadratic_two, None, None, _OWN),
    "quadratic-ten": Row("LQ", "d = 10", quadratic_ten, None, None, _OWN),
    "quadratic-fifty": Row("LQ", "d = 50", quadratic_fifty, None, None, _OWN | {"steps": 8000}),
}
