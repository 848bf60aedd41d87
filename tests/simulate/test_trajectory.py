"""Trajectories: orders of the methods, what is paid on the way, densities, noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfgen as mg

RATE, SIGMA = 1.3, 0.8
ONE = np.ones((1, 1))


def game(dynamics, discount=0.0):
    initial = mg.Gaussian(jnp.zeros(1), jnp.ones((1, 1)))
    return mg.MFG(
        dynamics, mg.Kinetic(), mg.Linear(lambda x: x @ x), initial=initial, discount=discount
    )


DAMPED = mg.models.ControlField(lambda t, x: -RATE * x)


def test_orders_without_noise(x64):
    """x' = -k x with L = k^2 x^2 / 2: x = e^-kt, C = k (1 - e^-2kt) / 4, log |det| = -k t."""
    still = game(mg.Integrator())
    exact = np.exp(-RATE), RATE * (1 - np.exp(-2 * RATE)) / 4
    errors = []
    for steps in (4, 8):
        found = mg.trajectories(
            still,
            DAMPED,
            jnp.asarray(ONE),
            key=jax.random.key(0),
            method=mg.simulate.RungeKutta4(steps),
            divergence=mg.simulate.ExactDivergence(),
        )
        assert found.points.shape == (steps + 1, 1, 1)
        assert found.noise.shape == (steps, 1, 0)
        np.testing.assert_allclose(found.log_det[:, 0], -RATE * found.times, rtol=1e-12, atol=1e-12)
        ends = found.points[-1, 0, 0], found.paid[-1, 0]
        errors.append([abs(a - b) for a, b in zip(ends, exact, strict=True)])
    orders = np.log2(np.array(errors[0]) / np.array(errors[1]))
    assert np.all(orders > 3.8)
    close = mg.trajectories(
        still,
        DAMPED,
        jnp.asarray(ONE),
        key=jax.random.key(0),
        method=mg.simulate.Adaptive(1e-9),
        nodes=3,
    )
    np.testing.assert_allclose(close.points[:, 0, 0], np.exp(-RATE * close.times), rtol=1e-7)


@pytest.mark.parametrize(
    ("method", "order"), [(mg.simulate.EulerMaruyama, 1), (mg.simulate.StochasticHeun, 2)]
)
def test_weak_orders_with_noise(x64, method, order):
    """E X^2 and E C of an Ornstein-Uhlenbeck process, the same Brownian paths being coarsened.

    The noise is additive and the drift linear: the mean over paths is a recursion of moments, so
    that the methods' own errors are seen without those of sampling.
    """
    noisy = game(mg.Integrator(SIGMA))
    stationary = SIGMA**2 / (2 * RATE)
    second = stationary + (1 - stationary) * np.exp(-2 * RATE)
    paid = 0.5 * RATE**2 * (stationary + (1 - stationary) * (1 - np.exp(-2 * RATE)) / (2 * RATE))
    count, errors = 200_000, []
    for steps in (4, 8):
        found = mg.trajectories(
            noisy, DAMPED, jnp.ones((count, 1)), key=jax.random.key(1), method=method(steps)
        )
        # What is left of the sample's own Brownian motion is taken out at first order.
        x, kicks = found.points[-1, :, 0], found.noise[..., 0]
        control = np.stack([*kicks, *(kicks**2 - 1 / steps)], 1)
        control = np.concatenate([np.ones((count, 1)), control], 1)
        both = np.stack([x**2, found.paid[-1]], 1)
        errors.append(np.abs(np.linalg.lstsq(control, both, rcond=None)[0][0] - [second, paid]))
    orders = np.log2(errors[0] / errors[1])
    np.testing.assert_allclose(orders, order, atol=0.45)


def test_what_is_paid_later_counts_less(x64):
    found = mg.trajectories(
        game(mg.Integrator(), discount=2.0), DAMPED, jnp.asarray(ONE), key=jax.random.key(0)
    )
    rate = 2 * RATE + 2.0
    np.testing.assert_allclose(
        found.paid[-1, 0], 0.5 * RATE**2 * (1 - np.exp(-rate)) / rate, rtol=1e-7
    )


def test_noise_moves_by_its_own_map(key):
    """Increments of W have the variance of their steps, and X - x is their image where b = 0."""
    sigma = np.array([[0.5, 0.0], [0.3, 0.4], [0.0, 0.0]])
    initial = mg.Gaussian(jnp.zeros(3), jnp.eye(3))
    still = mg.MFG(mg.Integrator(sigma), mg.Kinetic(), mg.Linear(lambda x: x @ x), initial=initial)
    x = initial.sample(2000, key=key)
    found = mg.trajectories(
        still,
        mg.models.ControlField(lambda t, x: 0 * x),
        x,
        key=key,
        method=mg.simulate.StochasticHeun(4),
    )
    assert found.noise.shape == (4, 2000, 2)
    np.testing.assert_allclose(np.var(found.noise), 0.25, rtol=0.05)
    moved = jnp.sum(found.noise, axis=0) @ sigma.T
    np.testing.assert_allclose(found.points[-1] - x, moved, atol=2e-6)
    assert np.all(np.asarray(found.paid) == 0)


def test_it_follows_a_solution_as_the_solution_says(key):
    initial = mg.Gaussian(jnp.array([1.0, -1.0]), 0.3 * jnp.eye(2))
    noisy = mg.MFG(
        mg.Integrator(0.5), mg.Kinetic(), mg.Linear(lambda x: 2 * x @ x), initial=initial
    )
    solution = mg.solve(noisy, mg.solvers.Riccati())
    x = initial.sample(20_000, key=key)
    found = mg.trajectories(
        noisy, solution.value, x, key=key, method=mg.simulate.StochasticHeun(40)
    )
    mean, covariance = solution.density(1.0).moments()
    np.testing.assert_allclose(jnp.mean(found.points[-1], 0), mean, atol=0.02)
    np.testing.assert_allclose(jnp.cov(found.points[-1].T), covariance, atol=0.02)
    total = found.paid[-1] + 2 * jnp.sum(found.points[-1] ** 2, axis=1)
    least = jnp.mean(jax.vmap(lambda x: solution.value(0.0, x))(x))
    error = float(jnp.std(total)) / np.sqrt(len(x))
    assert abs(float(jnp.mean(total)) - float(least)) < 4 * error + 2e-3


@pytest.mark.parametrize(
    ("sigma", "options", "said"),
    [
        (0.5, {"method": mg.simulate.RungeKutta4(4)}, "for a game with noise, .*StochasticHeun"),
        (
            0.5,
            {"divergence": mg.simulate.ExactDivergence()},
            "densities are not known along random paths",
        ),
    ],
)
def test_what_does_not_fit_is_refused(sigma, options, said):
    with pytest.raises(TypeError, match=said):
        mg.trajectories(
            game(mg.Integrator(sigma)), DAMPED, jnp.asarray(ONE), key=jax.random.key(0), **options
        )


def test_memory_of_a_gradient_hardly_grows_with_the_steps():
    """What is kept of a path of K steps is of the order of sqrt(K): sixteen times as long, 1.5."""
    initial = mg.Gaussian(jnp.zeros(10), jnp.eye(10))
    noisy = mg.MFG(
        mg.Integrator(0.5),
        mg.Kinetic(),
        mg.Linear(lambda x: x @ x),
        2.0 * mg.functionals.MeanAttraction(),
        initial=initial,
    )
    batch = jnp.zeros((256, 10))

    def needed(steps):
        loss = mg.GameCost(mg.simulate.EulerMaruyama(steps))
        field = lambda a: mg.models.ControlField(lambda t, x: jnp.tanh(a @ x) - x)
        cost = lambda a: loss(noisy, field(a), batch, key=jax.random.key(0))
        compiled = jax.jit(jax.grad(cost)).lower(jnp.eye(10)).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    short, long = needed(32), needed(512)
    assert long < 1.5 * short
    assert long < 0.5 * 512 * batch.size * 4  # the points of all nodes


def test_paths_in_blocks_are_the_same_paths():
    """33 steps have blocks of 3 or 11, 37 none; halves of the interval agree with the whole."""
    still = game(mg.Integrator())
    for steps in (33, 37):
        found = mg.trajectories(
            still,
            DAMPED,
            jnp.asarray(ONE),
            key=jax.random.key(0),
            method=mg.simulate.RungeKutta4(steps),
        )
        assert found.points.shape == (steps + 1, 1, 1)
        np.testing.assert_allclose(found.points[:, 0, 0], np.exp(-RATE * found.times), rtol=1e-6)
