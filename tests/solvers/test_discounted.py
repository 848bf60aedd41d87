"""Solvers on discounted games: decay rates of gradient flows, and what cannot be discounted.

On a grid the steps are implicit in the discount, so that a horizon of 100 / r takes no more of them
than a horizon of 1 / r. The rate of the deviation is what steps without noise change most:
upwinding adds |b| h / 2 of diffusivity and implicit steps b^2 tau / 2, relative errors of the rate
of h E|X| / (2 C) and a tau (1 + m^2 / (2 C)), here .3 % and .4 %.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.costs import Kinetic, WithPotential
from mfgen.densities import Gaussian
from mfgen.dynamics import Integrator
from mfgen.functionals import Linear, Zero
from mfgen.games import MFG
from mfgen.math import Lattice, _stencil
from mfgen.oracles import decay_rate
from mfgen.solvers import Grid, HopfCole, Neural, Riccati
from mfgen.solvers._base import Status
from mfgen.zoo import gradient_flow_game

HORIZON = 1.0
START = Gaussian([0.5], 1.0)
LONG = pytest.mark.slow


def parabola(x):
    return 0.5 * x @ x


def flow(epsilon, terminal=None):
    """The gradient flow of a parabola; a multiple of it at the end makes the rate a constant."""
    end = Linear(lambda x: decay_rate(epsilon) * parabola(x)) if terminal is None else terminal
    return gradient_flow_game(Linear(parabola), START, epsilon, HORIZON, end)


def rates(solution, until=HORIZON):
    """log of what is left of mean and deviation after a time, over that time."""
    (first, before), (last, after) = (solution.density(t).moments() for t in (0.0, until))
    mean = jnp.log(first[0] / last[0]) / until
    return float(mean), float(0.5 * jnp.log(before[0, 0] / after[0, 0]) / until)


@pytest.mark.parametrize("epsilon", [1.0, 0.1, 0.01])
def test_rates_on_a_grid(epsilon):
    solution = Grid((-4.5, 5.5), 2400, steps=300).solve(flow(epsilon))
    assert solution.result.converged, solution.result.message
    exact = decay_rate(epsilon)
    for found in rates(solution):
        assert found == pytest.approx(exact, rel=0.01)
    # The value too: its curvature is the rate.
    u = solution.value(0.0, jnp.ones(1)) - solution.value(0.0, jnp.zeros(1))
    assert float(u) == pytest.approx(0.5 * exact, rel=0.01)


@pytest.mark.parametrize("terminal", [Zero(), pytest.param(Linear(parabola), marks=LONG)])
def test_a_layer_at_the_end_leaves_the_rest_alone(terminal):
    """W(T) = 0 or dF/drho, 100 discount times long: no oscillation, and the rate before it."""
    solution = Grid((-4.5, 5.5), 1000, steps=40).solve(flow(0.01, terminal))
    assert solution.result.converged, solution.result.message
    slopes = [float(solution.costate(t, jnp.ones(1))[0]) for t in np.linspace(0, 0.7, 8)]
    np.testing.assert_allclose(slopes, decay_rate(0.01), rtol=0.01)
    ends = [float(solution.costate(t, jnp.ones(1))[0]) for t in (0.95, 0.975, 1.0)]
    low, high = (0.0, 0.99) if isinstance(terminal, Zero) else (0.98, 1.0)
    assert all(low - 0.01 < slope < high + 0.01 for slope in ends)


def test_long_steps_with_noise_do_not_oscillate():
    """sigma > 0: Crank-Nicolson up to r tau = 2, more implicit beyond; U rests at its own value."""
    sigma, epsilon = 0.5, 0.005
    game = MFG(
        Integrator(sigma=sigma),
        WithPotential(Kinetic(), lambda t, x: parabola(x) / epsilon),
        Zero(),
        initial=START,
        discount=1 / epsilon,
    )
    solution = Grid((-5.0, 6.0), 220, steps=60).solve(game)
    assert solution.result.converged, solution.result.message
    rate = decay_rate(epsilon)
    for t in (0.0, 0.2, 0.45):
        # r U = (sigma^2/2) a + ... : U = a |x|^2 / 2 + e sigma^2 a / 2.
        exact = 0.5 * rate + 0.5 * epsilon * sigma**2 * rate
        assert float(solution.value(t, jnp.ones(1))) == pytest.approx(exact, rel=2e-3)
    assert rates(solution, 0.5)[0] == pytest.approx(rate, rel=0.01)


@pytest.mark.parametrize("box", [(-2.0, 2.0), ((-2.0, 2.0), (-1.0, 1.0))], ids=["line", "plane"])
def test_a_step_of_a_constant_counts_as_the_discount_says(box):
    """No hopping of a constant: it fades as the rational map says, and r u = l is at rest."""
    with jax.enable_x64(True):
        lattice = Lattice(box, 12)
        u = jnp.full(lattice.points, 2.0)
        wave = jnp.sin(jnp.asarray(lattice.nodes()))
        hops = _stencil.rates(lattice, wave, 0.1)
        faded = [_stencil.step(lattice, hops, u, tau, 0.5, discount=3.0) for tau in (0.02, 0.01)]
        errors = [
            float(jnp.abs(f - 2 * np.exp(-3 * t)).max())
            for f, t in zip(faded, (0.02, 0.01), strict=True)
        ]
        assert errors[0] < 1e-4
        assert 2.7 < np.log2(errors[0] / errors[1]) < 3.3  # one step is of third order
        rest = _stencil.step(lattice, hops, u, 50.0, 1.0, paid=3.0 * u, discount=3.0)
        np.testing.assert_allclose(rest, u, rtol=1e-12)


@pytest.mark.parametrize("epsilon", [pytest.param(1.0, marks=LONG), 0.01])
def test_riccati(epsilon):
    with jax.enable_x64(True):
        solution = Riccati(steps=400).solve(flow(epsilon))
        assert solution.result.converged, solution.result.message
        np.testing.assert_allclose(rates(solution), decay_rate(epsilon), rtol=1e-7)
        x = jnp.array([0.6])
        exact = 0.5 * decay_rate(epsilon) * x @ x
        np.testing.assert_allclose(solution.value(0.2, x), exact, rtol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [1.0, 0.1, 0.01])
def test_rates_by_a_network(epsilon, key):
    """What is built in fades within epsilon of the end, and the network has to learn the rest.

    The law has 4096 particles, whose own mean and deviation are compared with those they came from.
    """
    solver = Neural(width=32, steps=1500, particles=4096, stages=200)
    game = flow(epsilon)
    solution = solver.solve(game, key=key)
    assert solution.result.status is not Status.DIVERGED, solution.result.message
    for found in rates(solution):
        assert found == pytest.approx(decay_rate(epsilon), rel=0.01)


def test_refusals():
    game = MFG(Integrator(sigma=0.5), Kinetic(), Linear(parabola), initial=START, discount=2.0)
    with pytest.raises(ValueError, match=r"`HopfCole` got a game with discount = 2.*Riccati"):
        HopfCole((-5.0, 7.0)).solve(game)
    with pytest.raises(ValueError, match=r"`Riccati` got steps = 256.*take 1000 steps"):
        Riccati().solve(flow(0.001))
