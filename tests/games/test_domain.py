"""Domains: folding, laws and costs on circles and between walls, and what does not fit them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfgen as mg
from mfgen.densities._folded import folded
from mfgen.functionals import GaussianKernel

TURN = 2 * np.pi
CIRCLE = mg.games.Torus(TURN)
MIXED = mg.games.Torus((TURN, None), low=(-1.0, 0.0)) * mg.games.Box(
    (0.0, -jnp.inf, 0.0), (1.0, 3.0, None)
)


def declared(terminal=None, initial=None, domain=CIRCLE, dynamics=None, **parts):
    initial = mg.Gaussian(jnp.zeros(1), 0.5) if initial is None else initial
    dynamics = mg.Integrator(sigma=0.5) if dynamics is None else dynamics
    terminal = mg.functionals.Zero() if terminal is None else terminal
    return mg.MFG(dynamics, mg.Kinetic(), terminal, initial=initial, domain=domain, **parts)


def test_folding_each_kind_of_axis():
    x = jnp.array([[6.0, 9.0, 1.25, 4.0, -2.0], [-1.5, -9.0, -0.3, 2.0, 0.5]])
    place, sign = MIXED.folded(x)
    wanted = [[6.0 - TURN, 9.0, 0.75, 2.0, 2.0], [TURN - 1.5, -9.0, 0.3, 2.0, 0.5]]
    np.testing.assert_allclose(place, wanted, atol=1e-6)
    np.testing.assert_array_equal(sign, [[1, 1, -1, -1, -1], [1, 1, -1, 1, 1]])
    np.testing.assert_allclose(MIXED.fold(place), place, atol=1e-6)
    slopes = jax.vmap(lambda x: jnp.diag(jax.jacfwd(MIXED.fold)(x)))(x)
    np.testing.assert_array_equal(slopes, sign)
    assert str(MIXED).count("x") == 4
    assert MIXED.sides is None


def test_features_are_functions_on_the_domain(key):
    x = 5 * jax.random.normal(key, (20, 5))
    across = jax.vmap(MIXED.features)
    np.testing.assert_allclose(across(x), across(MIXED.fold(x)), atol=2e-5)
    # Chords are at most arcs, and arcs at most half a turn.
    z = x - jnp.roll(x, 1, axis=0)
    short, chord = MIXED.shortest(z)[:, 0], MIXED.chord(z)[:, 0]
    assert jnp.all(jnp.abs(short) <= np.pi + 1e-5)
    assert jnp.all(jnp.abs(chord) <= jnp.abs(short) + 1e-5)
    np.testing.assert_allclose(jnp.exp(1j * short), jnp.exp(1j * z[:, 0]), atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: mg.games.Torus(-1.0), "period -1.0, expected a finite positive"),
        (lambda: mg.games.Torus((1.0, 0.0)), "period 0.0"),
        (lambda: mg.games.Torus((1.0, 1.0), low=(0.0, 0.0, 0.0)), "expected 2 numbers"),
        (lambda: mg.games.Box(1.0, 0.0), "expected low < high"),
        (lambda: mg.densities.Uniform(mg.games.Torus((1.0, None))), "expected finite sides"),
        (lambda: declared(domain=mg.games.Torus((1.0, 1.0))), "a domain with 2 axes"),
        (lambda: declared(mg.Linear(lambda x: x[0])), "jumps by 6.28 where the circle of axis 0"),
        (
            lambda: declared(mg.KL(mg.Unnormalised(lambda x: x[0], 1))),
            "target `Unnormalised` jumps",
        ),
        (lambda: declared(domain=mg.games.Box(0.0, 1.0)), "of its mass beyond the walls"),
        (
            lambda: declared(initial=mg.Empirical([[0.5], [1.2]]), domain=mg.games.Box(0.0, 1.0)),
            "beyond the walls",
        ),
        (
            lambda: declared(mg.functionals.MeanTarget(jnp.zeros(1))),
            "points of a circle have no mean",
        ),
        (
            lambda: declared(2 * mg.functionals.Wasserstein2(mg.densities.Uniform(CIRCLE))),
            "take `SinkhornDivergence`",
        ),
        (lambda: declared(dynamics=mg.dynamics.TimeReversal(mg.dynamics.VE())), "`GameCost\\(\\)`"),
        (
            lambda: declared(
                initial=mg.densities.Uniform(mg.games.Box((0, 0), (1, 1))),
                domain=mg.games.Box((0, 0), (1, 1)),
                dynamics=mg.Integrator(sigma=((0.5, 0.0), (0.2, 0.3))),
            ),
            "walls on axis 0 with noise",
        ),
        (
            lambda: declared(
                initial=mg.Gaussian(jnp.zeros(2)),
                domain=mg.games.Box((-9, -9), (9, 9)),
                dynamics=mg.dynamics.Underdamped(0.5, 0.3),
            ),
            "of the second order",
        ),
    ],
)
def test_what_does_not_fit_is_refused(wrong, said):
    with pytest.raises((ValueError, TypeError), match=said):
        wrong()


def test_a_kink_or_a_position_on_a_circle_are_allowed():
    """(x - pi)^2 has one value where the circle closes; velocities of a circle live on a line."""
    declared(mg.Linear(lambda x: (x[0] - np.pi) ** 2))
    start, around = mg.Gaussian(jnp.zeros(2), 0.3), mg.dynamics.Underdamped(0.5, 0.3)
    game = declared(initial=start, domain=CIRCLE, dynamics=around)
    assert game.initial.sample(8, key=jax.random.key(0))[:, 0].min() >= 0


def test_laws_are_folded_and_normalised(key):
    """The folded normal law is the heat kernel: cosine modes fall like exp(-k^2 v / 2)."""
    for domain, wave in ((CIRCLE, 1.0), (mg.games.Box(0.0, TURN), 0.5)):
        law = mg.densities.Folded(mg.Gaussian(jnp.array([0.4]), 1.7), domain)
        x = (jnp.arange(400) + 0.5)[:, None] * TURN / 400
        density = jnp.exp(jax.vmap(law.log_density)(x)) * TURN / 400
        np.testing.assert_allclose(jnp.sum(density), 1.0, atol=1e-5)
        drawn = law.sample(20_000, key=key)
        assert drawn.min() >= 0
        assert drawn.max() <= np.float32(TURN)
        for k in (1, 2):
            exact = np.cos(k * wave * 0.4) * np.exp(-0.5 * 1.7 * (k * wave) ** 2)
            np.testing.assert_allclose(density @ jnp.cos(k * wave * x[:, 0]), exact, atol=1e-5)
            modes = jnp.cos(k * wave * drawn[:, 0])
            assert abs(jnp.mean(modes) - exact) < 4 * jnp.std(modes) / 20_000**0.5
    assert law.log_density(jnp.array([-0.5])) == -jnp.inf


def test_a_law_of_the_domain_is_left_as_it_is():
    uniform = mg.densities.Uniform(CIRCLE)
    assert folded(uniform, CIRCLE) is uniform
    wrapped = folded(mg.Gaussian(jnp.zeros(2)), CIRCLE * mg.games.Box(-9, 9))
    assert folded(wrapped, CIRCLE * mg.games.Box(None, None)) is wrapped


def test_costs_of_populations_know_the_domain(key):
    """Costs repeat themselves, see no seam, and are those of the population turned as a whole."""
    points = jax.random.normal(key, (60, 1)) * 0.7
    rho, other = mg.Empirical(points % TURN), mg.Empirical((points + 1.0) % TURN)
    costs = {
        "MMD": lambda target: mg.MMD(target),
        "Sinkhorn": lambda target: mg.functionals.SinkhornDivergence(
            target, epsilon=0.1, tolerance=1e-4
        ),
        "Pairwise": lambda target: mg.functionals.Pairwise(GaussianKernel()),
    }
    turned, moved = (mg.Empirical((points + shift) % TURN) for shift in (2.5, 3.5))
    for cost in costs.values():
        bound, other_bound = declared(cost(other)).terminal, declared(cost(moved)).terminal
        np.testing.assert_allclose(bound.value(rho), other_bound.value(turned), rtol=2e-3)
        at = bound.variation(rho, jnp.array([0.01]))
        for near in (TURN + 0.01, 0.0, TURN - 1e-4):
            np.testing.assert_allclose(bound.variation(rho, jnp.array([near])), at, atol=2e-2)
    same = declared(mg.functionals.SinkhornDivergence(rho, epsilon=0.1, tolerance=1e-4)).terminal
    assert abs(same.value(rho)) < 1e-4
    # An arc's Gaussian kernel has negative Fourier coefficients, a chord's none.
    lattice = jnp.arange(64)[:, None] * TURN / 64
    kernel = declared(mg.MMD(rho)).terminal.kernel
    assert jnp.min(jnp.real(jnp.fft.fft(jax.vmap(kernel)(lattice)))) > -1e-4
    own = declared(mg.functionals.Pairwise(lambda z: jnp.cos(z[0]))).terminal
    np.testing.assert_allclose(own.kernel(jnp.array([5.0])), np.cos(5.0), atol=1e-6)


def test_equations_and_check_say_the_domain():
    domain = CIRCLE * mg.games.Box(0.0, 1.0)
    game = declared(
        mg.Linear(lambda x: jnp.cos(x[0]) * jnp.cos(np.pi * x[1])),
        mg.densities.Uniform(domain),
        domain,
    )
    said = mg.equations(game)
    assert "U(t, x + 6.283 e1) = U(t, x)" in str(said)
    assert "∂U/∂x2 = 0" in str(said)
    assert r"\partial U / \partial x_2 = 0" in said.latex()
    assert r"x_1 \in \mathbb{R} / 6.283" in said.latex()
