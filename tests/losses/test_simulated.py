"""Forward processes with any drift: kernels, equations, and score matching along simulated paths.

Oracles: Gaussians under linear drifts, where Y_s has the mean e^{sA} m and a covariance that solves
Lyapunov's equation; and a double well, by the Fokker-Planck equation on a grid.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.losses.tilted import is_flat, slopes

import mfgen as mg
from mfgen.derive import hjb
from mfgen.dynamics._noising import log_ratio_speed
from mfgen.models import score_field, score_potential
from mfgen.models._precondition import moved
from mfgen.simulate._frame import is_score_based

KEY = jax.random.key(0)
MATRIX = jnp.array([[-1.0, 2.0], [-1.5, -0.5]])
NOISE = jnp.array([[1.0, 0.0], [0.6, 0.9]])
MEAN, COVARIANCE = jnp.array([0.8, -0.4]), jnp.array([[0.5, 0.1], [0.1, 0.3]])
DATA = mg.Gaussian(MEAN, COVARIANCE)
LINEAR = mg.dynamics.LinearNoising(
    np.asarray(MATRIX), np.asarray(NOISE), horizon=1.5, smallest_noise=0.1
)
PATHS = mg.dynamics.Diffusion(
    lambda s, y: MATRIX.astype(y.dtype) @ y, np.asarray(NOISE), horizon=1.5, smallest_noise=0.1
)


def exact_law(t, x):
    """-log of the Gaussian at s = S - t, from the kernel."""
    power, root = LINEAR.kernel(LINEAR.horizon - t)
    covariance = power @ COVARIANCE @ power.T + root @ root.T
    gap = x - power @ MEAN
    return (
        0.5 * gap @ jnp.linalg.solve(covariance, gap)
        + 0.5 * jnp.linalg.slogdet(2 * jnp.pi * covariance)[1]
    )


EXACT = mg.models.Potential(exact_law)
draw = lambda n, *, key: DATA.sample(n, key=key)


def test_the_kernel_solves_lyapunovs_equation(x64):
    def both(s):
        power, root = LINEAR.kernel(s)
        return power, root @ root.T

    s, matrix, noise = jnp.asarray(0.7), MATRIX.astype(float), NOISE.astype(float)
    (power, covariance), slopes = jax.jvp(both, (s,), (jnp.ones(()),))
    np.testing.assert_allclose(power, jax.scipy.linalg.expm(0.7 * matrix), rtol=1e-9)
    np.testing.assert_allclose(slopes[0], matrix @ power, rtol=1e-9)
    wanted = matrix @ covariance + covariance @ matrix.T + noise @ noise.T
    np.testing.assert_allclose(slopes[1], wanted, rtol=1e-8)
    free = mg.dynamics.LinearNoising(np.zeros((2, 2)), 2.0)  # rates that cancel: Brownian motion
    np.testing.assert_allclose(free.kernel(0.25)[1], np.eye(2), rtol=1e-12)


@pytest.mark.parametrize("process", [LINEAR, PATHS], ids=["linear", "paths"])
def test_the_clock_and_the_size_of_noise_belong_together(process, x64):
    s = jnp.asarray(0.4)
    speed = jax.grad(lambda s: jnp.log(process.ratio(s)))(s)
    np.testing.assert_allclose(log_ratio_speed(process, s), speed, rtol=1e-9)
    np.testing.assert_allclose(process.time(process.ratio(s)), s, rtol=1e-8)
    np.testing.assert_allclose(process.added(process.start), 0.1**2, rtol=1e-6)


@pytest.mark.parametrize("process", [LINEAR, PATHS], ids=["linear", "paths"])
def test_the_value_function_is_minus_the_log_density_for_any_drift(process, x64):
    game, x = mg.score_based(process, DATA), jnp.array([0.4, -0.3])
    assert is_score_based(game, named=True)
    for t in (0.2, 1.2):
        assert abs(hjb(game, EXACT, None, jnp.asarray(t), x)) < 1e-7
    off = mg.models.Potential(lambda t, x: 1.01 * exact_law(t, x))
    assert abs(hjb(game, off, None, jnp.asarray(0.2), x)) > 1e-3


def test_a_drift_that_depends_on_the_place_has_its_divergence_in_the_lagrangian(x64):
    """dY = -Y^3 ds + dW: H = f p + p^2 / 2 - div f with f = -x^3, div f = -3 x^2."""
    game = mg.score_based(
        mg.dynamics.Diffusion(lambda s, y: -(y**3)), mg.Gaussian(jnp.zeros(1), jnp.eye(1))
    )
    x, p = jnp.array([0.7]), jnp.array([-0.4])
    wanted = -(0.7**3) * -0.4 + 0.5 * 0.16 + 3 * 0.49
    np.testing.assert_allclose(mg.hamiltonian(game, 0.3, x, p), wanted, rtol=1e-12)
    assert is_score_based(game, named=True)


def test_simulated_paths_have_the_moments_of_the_kernel():
    s, count = jnp.asarray(1.5), 20_000
    power, root = LINEAR.kernel(s)
    wanted = power @ COVARIANCE @ power.T + root @ root.T
    points = DATA.sample(count, key=KEY)
    for process in (LINEAR, PATHS):
        found = moved(process, s, points, key=jax.random.key(1))
        error = 4 * jnp.sqrt(jnp.diag(wanted) / count)
        assert np.all(np.abs(found.mean(axis=0) - power @ MEAN) < error + 2e-3)
        np.testing.assert_allclose(np.cov(found.T), wanted, atol=0.04)


@pytest.mark.parametrize(
    ("process", "loss"),
    [
        (LINEAR, mg.losses.DenoisingScoreMatching()),
        (PATHS, mg.losses.SimulatedScoreMatching()),
        (PATHS, mg.losses.ImplicitScoreMatching()),
    ],
    ids=["denoising", "simulated", "implicit"],
)
def test_losses_are_least_at_the_score(process, loss):
    game = mg.score_based(process, DATA)
    found = slopes(game, EXACT, loss, draw)
    assert is_flat(found)
    assert not is_flat(slopes(game, EXACT, loss, draw, at=0.5))
    if isinstance(loss, mg.losses.SimulatedScoreMatching):
        # Of the size of a denoising loss in closed form: both signs of the noise are seen.
        assert found.std() < 0.5


def test_samples_and_densities_of_a_linear_noising():
    game = mg.score_based(LINEAR, DATA)
    np.testing.assert_allclose(game.initial.moments()[0], LINEAR.kernel(1.5)[0] @ MEAN, atol=1e-5)
    end = DATA.sample(8, key=KEY)
    t = game.dynamics.horizon
    wanted = [-exact_law(t, x) for x in end]
    np.testing.assert_allclose(mg.log_prob(game, EXACT, end), wanted, atol=5e-3)
    found = mg.sample(game, EXACT, 2000, key=KEY, method=mg.simulate.StochasticHeun(40))
    np.testing.assert_allclose(found.mean(axis=0), MEAN, atol=0.08)
    np.testing.assert_allclose(np.cov(found.T), COVARIANCE + 0.01 * np.eye(2), atol=0.06)


class Well:
    """dY = (Y - Y^3) ds + dW from N(1.2, .3^2), and its Fokker-Planck equation on a grid."""

    process = mg.dynamics.Diffusion(lambda s, y: y - y**3, 1.0, horizon=2.0, smallest_noise=0.1)
    data = mg.Gaussian(jnp.array([1.2]), jnp.array([[0.09]]))
    times = (0.05, 0.4, 1.6)

    def __init__(self):
        x, step = np.linspace(-4, 4, 801), 1e-3
        gap = x[1] - x[0]
        middle = 0.5 * (x[1:] + x[:-1])
        drift = middle - middle**3
        # Fluxes through the middles, without any through the ends; implicit in time.
        out = np.zeros((801, 801))
        left, right = 0.5 * drift + 0.5 / gap, 0.5 * drift - 0.5 / gap
        for i in range(800):
            out[i, i], out[i, i + 1] = out[i, i] - left[i] / gap, out[i, i + 1] - right[i] / gap
            out[i + 1, i], out[i + 1, i + 1] = left[i] / gap, out[i + 1, i + 1] + right[i] / gap
        advance = np.linalg.inv(np.eye(801) - 0.5 * step * out) @ (np.eye(801) + 0.5 * step * out)
        rho = np.exp(-0.5 * (x - 1.2) ** 2 / 0.09)
        rho, now, kept = rho / (rho.sum() * gap), 0, []
        for s in self.times:
            rho = np.linalg.matrix_power(advance, round(s / step) - now) @ rho
            now = round(s / step)
            kept.append(rho)
        self.x, self.rho = x, np.array(kept)
        safe = np.maximum(self.rho, 1e-12)
        self.scores = jnp.asarray(np.gradient(np.log(safe), gap, axis=1))

    def costate(self, t, x):
        """Minus the score at the nearest of the times that are known."""
        near = jnp.argmin(jnp.abs(self.process.horizon - t - jnp.asarray(self.times)))
        return -jnp.interp(x, jnp.asarray(self.x), self.scores[near])


def test_a_double_well_agrees_with_the_fokker_planck_equation_on_a_grid():
    well = Well()
    points = well.data.sample(20_000, key=KEY)
    for s, rho in zip(well.times, well.rho, strict=True):
        found = np.asarray(moved(well.process, jnp.asarray(s), points, key=jax.random.key(2)))[:, 0]
        for part in (well.x, well.x**2, (well.x < 0) * 1.0):
            mean = np.sum(part * rho) * (well.x[1] - well.x[0])
            seen = np.interp(found, well.x, part)
            assert abs(seen.mean() - mean) < 4 * seen.std() / len(seen) ** 0.5 + 4e-3
    game = mg.score_based(well.process, well.data)
    levels = mg.losses.Levels(tuple(float(well.process.ratio(s)) for s in well.times))
    loss, draw = (
        mg.losses.SimulatedScoreMatching(levels),
        lambda n, *, key: well.data.sample(n, key=key),
    )
    exact = mg.models.VectorField(well.costate)
    assert is_flat(slopes(game, exact, loss, draw))
    assert not is_flat(slopes(game, exact, loss, draw, at=0.5))


@pytest.mark.parametrize("make", [score_field, score_potential])
def test_networks_are_scaled_by_simulated_moments(make):
    game = mg.score_based(PATHS, DATA)
    scaling = make(game, key=KEY, width=8, depth=1).precondition
    for s in (0.05, 0.7, 1.5):
        power, root = LINEAR.kernel(s)
        covariance = power @ COVARIANCE @ power.T + root @ root.T
        np.testing.assert_allclose(scaling.centre(s), power @ MEAN, atol=0.06)
        np.testing.assert_allclose(scaling.width(s), (jnp.trace(covariance) / 2) ** 0.5, rtol=0.05)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (
            lambda: mg.dynamics.LinearNoising([[0.0, 1.0], [0.0, 0.0]]),
            "without a basis of eigenvectors",
        ),
        (
            lambda: mg.dynamics.LinearNoising(np.eye(2), np.diag([1.0, 0.0])),
            "noise in every direction",
        ),
        (lambda: mg.dynamics.LinearNoising(np.ones(2)), "expected \\[dim, dim\\]"),
        (lambda: mg.dynamics.Diffusion(lambda s, y: y, 0.001), "raise sigma or horizon"),
        (lambda: mg.dynamics.Diffusion(lambda s, y: y, np.ones((2, 1))), "a square matrix"),
        (
            lambda: mg.score_based(mg.dynamics.Diffusion(lambda s, y: 40 * y**3), DATA),
            "stay finite",
        ),
        (
            lambda: mg.score_based(PATHS, DATA, reference=mg.Gaussian(jnp.zeros(3), jnp.eye(3))),
            "in 3 dimensions",
        ),
    ],
)
def test_what_is_no_forward_process_is_refused(build, said):
    with pytest.raises(ValueError, match=said):
        build()


def test_losses_and_estimates_that_need_a_kernel_are_refused():
    paths, linear = mg.score_based(PATHS, DATA), mg.score_based(LINEAR, DATA)
    with pytest.raises(TypeError, match="SimulatedScoreMatching"):
        mg.losses.DenoisingScoreMatching().check(paths)
    with pytest.raises(TypeError, match="DenoisingScoreMatching"):
        mg.losses.SimulatedScoreMatching().check(linear)
    with pytest.raises(TypeError, match="signal x \\+ noise eps"):
        mg.models.kernel_estimate(paths, np.zeros((8, 2)))
    with pytest.raises(TypeError, match="signal x \\+ noise eps"):
        mg.sample(linear, EXACT, 2, key=KEY, denoise=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["linear", "well"])
def test_trained_samples_are_the_data(name):
    from mfgen.metrics import energy_distance

    law = mg.densities.eight_gaussians()
    data = law.sample(20_000, key=KEY)
    process, loss = {
        "linear": (
            mg.dynamics.LinearNoising([[-1.0, 2.0], [-2.0, -1.5]], 1.4, horizon=2.5),
            mg.losses.DenoisingScoreMatching(),
        ),
        "well": (
            mg.dynamics.Diffusion(lambda s, y: y - y**3, 1.4, horizon=2.5),
            mg.losses.SimulatedScoreMatching(),
        ),
    }[name]
    game = mg.score_based(process, mg.Empirical(data))
    model, _ = mg.fit(game, score_field(game, key=KEY), loss, data, steps=4000, key=KEY)
    drawn = mg.sample(game, model, 5000, key=KEY)
    assert energy_distance(drawn, law.sample(5000, key=jax.random.key(1))).value < 0.05
