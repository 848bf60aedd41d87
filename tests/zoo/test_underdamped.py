"""The bridge of particles with inertia: its equations, its ends, its cost, and paths under it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfgen as mg
from mfgen.derive import fokker_planck, hjb, terminal
from mfgen.oracles import underdamped_bridge


@pytest.mark.parametrize("dim", [1, 2])
def test_the_equations_hold_and_the_ends_are_met(x64, dim):
    oracle = underdamped_bridge(dim, sigma=0.9, friction=0.6, horizon=1.2)
    game, u, rho = oracle.solution.game, oracle.solution.value, oracle.solution.density

    @jax.jit
    def residuals(t, x):
        return jnp.stack(
            [hjb(game, u, rho, t, x), fokker_planck(game, u, rho, t, x), terminal(game, u, rho, x)]
        )

    for t in (0.1, 0.6, 1.1):
        x = rho(t).sample(1, key=jax.random.key(3))[0]
        assert jnp.max(jnp.abs(residuals(t, x))) < 1e-9
    for law, end in ((game.initial, rho(0.0)), (oracle.target, rho(1.2))):
        for said, found in zip(law.moments(), end.moments(), strict=True):
            np.testing.assert_allclose(found, said, atol=1e-10)
    # Riccati's equation for the same terminal cost.
    solved = mg.solve(game, mg.solvers.Riccati())
    x = game.initial.sample(1, key=jax.random.key(4))[0]
    assert float(solved.value(0.0, x)) == pytest.approx(float(u(0.0, x)), rel=1e-5, abs=1e-5)
    start = game.initial.sample(200_000, key=jax.random.key(5))
    values = jax.vmap(lambda x: u(0.0, x))(start)
    error = float(values.std()) / np.sqrt(len(values))
    assert abs(float(values.mean()) - oracle.cost) < 4 * error


def test_particles_arrive_at_the_law_prescribed(key):
    oracle = underdamped_bridge(1)
    game = oracle.solution.game
    start = game.initial.sample(20_000, key=key)
    found = mg.trajectories(
        game, oracle.solution.value, start, key=key, method=mg.simulate.StochasticHeun(60)
    )
    mean, covariance = oracle.target.moments()
    np.testing.assert_allclose(jnp.mean(found.points[-1], 0), mean, atol=0.02)
    np.testing.assert_allclose(jnp.cov(found.points[-1].T), covariance, atol=0.02)
    paid = found.paid[-1]
    error = float(jnp.std(paid)) / np.sqrt(len(paid))
    assert abs(float(jnp.mean(paid)) - oracle.cost) < 4 * error + 0.01
