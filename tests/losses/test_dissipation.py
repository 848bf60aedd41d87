"""Discounted games over windows of their own paths, against exact solutions."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.costs import Kinetic
from mfgen.densities import Empirical, Gaussian, checkerboard
from mfgen.dynamics import Integrator
from mfgen.functionals import KL, ChiSquared
from mfgen.games import MFG
from mfgen.losses import DissipationHJB, PathHJB, Paths, Squared, WeightedDissipation, Windows
from mfgen.models import AbstractPotential, ot_flow_potential, velocity
from mfgen.oracles import entropic_flow, quadratic_flow
from mfgen.simulate import RungeKutta4
from mfgen.trainers import fit
from mfgen.zoo import gradient_flow_game

BATCH = jnp.zeros((2048, 1))
QUICK = Windows(steps=6)
FINE = Windows(stages=100, steps=20, reach=12.0)


@pytest.fixture(scope="module")
def exact():
    """KL(. || N(0, 1)) at e = .25, from N(1.2, .25) to T = 1."""
    return entropic_flow(epsilon=0.25, horizon=1.0).solution


class Bent(AbstractPotential):
    """A value function and a bit of |x|^2, so that the flow widens (by < 0) or narrows."""

    value: Callable = eqx.field(static=True)
    by: jax.Array

    def __call__(self, t, x):
        return self.value(t, x) + self.by * (x @ x)


def bent(solution, by: float) -> Bent:
    return Bent(solution.value, jnp.asarray(by, jnp.float32))


@pytest.mark.parametrize("make", [quadratic_flow, entropic_flow])
def test_the_solution_is_where_the_cost_is_least(make):
    """From where the particles are: the derivative goes through what they do later alone."""
    solution = make(epsilon=0.25, horizon=1.0).solution
    term = WeightedDissipation(FINE)

    @jax.jit
    def slope(by, key):
        at = lambda by: term(solution.game, Bent(solution.value, by), BATCH, key=key)
        return jax.grad(at)(by)

    found = {
        by: np.array([float(slope(by, jax.random.key(seed))) for seed in range(8)])
        for by in (-0.1, 0.0, 0.1)
    }
    error = found[0.0].std(ddof=1) / 8**0.5
    assert abs(found[0.0].mean()) < 4 * error + 1e-5  # of the parabola rounding is all
    assert found[-0.1].mean() < -10 * error
    assert found[0.1].mean() > 10 * error


def test_its_equation_holds_along_the_paths(exact):
    term = DissipationHJB(Squared(), FINE)
    at = lambda by: float(term(exact.game, bent(exact, by), BATCH, key=jax.random.key(0)))
    assert at(0.0) < 1e-4
    assert at(0.1) > 1e-3
    assert at(-0.1) > 1e-3


def test_the_residual_along_paths_follows_the_density(exact):
    """`PathHJB` of a game whose interaction is a divergence; only normal laws are known there."""
    start = exact.game.initial.sample(512, key=jax.random.key(1))
    term = PathHJB(paths=Paths(RungeKutta4(40)))
    at = lambda by: float(term(exact.game, bent(exact, by), start, key=jax.random.key(0)))
    assert at(0.0) < 1e-3
    assert at(0.1) > 0.1
    unknown = eqx.tree_at(lambda game: game.initial, exact.game, Empirical(start))
    with pytest.raises(TypeError, match="`Paths` got a initial density `Empirical`"):
        term(unknown, bent(exact, 0.0), start, key=jax.random.key(0))


def test_what_cannot_be_followed_is_refused_before_a_training():
    start = Gaussian(jnp.zeros(2), 4 * jnp.ones(2))
    term = WeightedDissipation()
    with pytest.raises(ValueError, match="`WeightedDissipation` got a game without a discount"):
        term.check(MFG(Integrator(), Kinetic(), KL(start), initial=start))
    walls = gradient_flow_game(KL(checkerboard()), start)
    with pytest.raises(ValueError, match="`WeightedDissipation` got an energy that is"):
        term.check(walls)
    curved = gradient_flow_game(ChiSquared(start), start)
    with pytest.raises(ValueError, match="not affine in log rho, expected a sum of `KL`"):
        term.check(curved)


def test_cost_from_time_zero_is_that_of_the_game():
    """A window over all of [0, T] pays r (J - F(rho_0)), up to what E log rho_0 leaves at T."""
    oracle = entropic_flow(epsilon=0.5, horizon=1.0)
    game, term = oracle.solution.game, WeightedDissipation(Windows(1, 40, 100.0))
    model = bent(oracle.solution, 0.0)
    once = jax.jit(lambda key: term(game, model, BATCH, key=key))
    paid = [float(once(jax.random.key(seed))) for seed in range(20)]
    mean, covariance = (np.asarray(moment, float) for moment in game.initial.moments())
    width = float(covariance[0, 0])
    divergence = 0.5 * (mean[0] ** 2 + width - 1 - np.log(width))
    kept = -0.5 * np.log(2 * np.pi * np.e * width) - 1  # E log rho_0 and the 1 of dF/drho
    expected = 2.0 * (oracle.cost - divergence + np.exp(-2.0) * kept)
    assert abs(np.mean(paid) - expected) < 4 * np.std(paid, ddof=1) / 20**0.5


@pytest.mark.slow
def test_training_finds_the_exact_density(exact):
    game = exact.game
    model = ot_flow_potential(game, width=16, key=jax.random.key(0))
    objective = WeightedDissipation(QUICK) + 0.1 * DissipationHJB(windows=QUICK)
    start = game.initial.sample(4096, key=jax.random.key(1))
    model, _ = fit(
        game, model, objective, start, steps=1000, key=jax.random.key(2), learning_rate=1e-2
    )
    (m, covariance), (m_end, covariance_end) = (exact.density(t).moments() for t in (0.0, 1.0))
    along = lambda t, x: velocity(game, model, jnp.asarray(t, x.dtype), x)
    end = jax.vmap(lambda x: RungeKutta4(40)(along, x, jnp.ones(())).value)(start)
    wanted = m_end[None] + jnp.sqrt(covariance_end / covariance) * (start - m[None])
    assert (
        float(jnp.sqrt(jnp.mean((end - wanted) ** 2))) < 0.02 * float(covariance_end[0, 0]) ** 0.5
    )
