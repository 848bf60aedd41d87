"""Particle flows: velocities against automatic differentiation, ends against the target."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.costs import Kinetic
from mfgen.densities import Empirical, Gaussian, checkerboard
from mfgen.dynamics import Integrator
from mfgen.functionals import KL, MMD, DistanceKernel, GaussianKernel
from mfgen.games import MFG
from mfgen.metrics import energy_distance
from mfgen.solvers import BlobFlow, LangevinFlow, MMDFlow, SteinFlow, descend
from mfgen.solvers._divergence_flow import blob_energy
from mfgen.trainers import CheckpointError, Checkpoints, Particles, Problem, run

KEY = jax.random.key(0)
TARGET = Gaussian(jnp.array([0.5, -0.5]), jnp.array([1.0, 0.5]))


@pytest.fixture
def points():
    return 0.7 * jax.random.normal(KEY, (60, 2)) + 1.0


def test_the_blob_velocity_is_the_gradient_of_its_energy(points):
    """n times, since F is a mean and each particle has the mass 1 / n."""
    energy = lambda points: blob_energy("BlobFlow", TARGET, 0.4, points).value
    expected = -points.shape[0] * jax.grad(energy)(points)
    found = BlobFlow(TARGET, 0.4).velocity(points, key=KEY)
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-4)


def test_the_stein_velocity_is_its_definition(points):
    width = 0.8

    def velocity(x):
        kernel = lambda y: jnp.exp(-0.5 * jnp.sum((x - y) ** 2) / width**2)
        each = lambda y: kernel(y) * jax.grad(TARGET.log_density)(y) + jax.grad(kernel)(y)
        return jnp.mean(jax.vmap(each)(points), axis=0)

    found = SteinFlow(TARGET, width).velocity(points, key=KEY)
    np.testing.assert_allclose(found, jax.vmap(velocity)(points), rtol=1e-3, atol=1e-5)


def test_the_witness_is_the_variation_of_the_discrepancy(points):
    data = TARGET.sample(50, key=KEY)
    flow, functional = MMDFlow(data, (0.6,)), MMD(Empirical(data), GaussianKernel(0.6))
    witness = lambda x: functional.variation(Empirical(points), x)
    np.testing.assert_allclose(
        flow.velocity(points, key=KEY), -jax.vmap(jax.grad(witness))(points), rtol=1e-3, atol=1e-5
    )
    # Its energy leaves out pairs of a point with itself, of which there are 1 in n.
    itself = 0.5 * (1 / 60 + 1 / 50)
    pairs = 0.5 * (59 / 60 * 1 + 49 / 50 * 1)
    low, high = functional.value(Empirical(points)) - itself, functional.value(Empirical(points))
    assert low <= flow.energy(points).value * pairs + 0.01
    assert flow.energy(points).value < high


def test_without_widths_half_an_energy_distance_goes_down(points):
    data = TARGET.sample(50, key=KEY)
    flow, functional = MMDFlow(data), MMD(Empirical(data), DistanceKernel())
    witness = lambda x: functional.variation(Empirical(points), x)
    np.testing.assert_allclose(
        flow.velocity(points, key=KEY), -jax.vmap(jax.grad(witness))(points), rtol=1e-3, atol=1e-4
    )
    found = flow.energy(points)
    assert abs(found.value - 0.5 * energy_distance(points, data).value) < 2e-3
    assert found.standard_error > 0


def test_langevin_has_the_variance_of_its_step():
    """x' = (1 - h) x + sqrt(2 h) xi rests at the variance 1 / (1 - h / 2)."""
    step, count = 0.4, 20_000
    target = Gaussian(jnp.zeros(1), jnp.ones(1))
    found = descend(
        LangevinFlow(target, width=0.3),
        jnp.zeros((count, 1)) + jnp.linspace(-1, 1, count)[:, None],
        steps=40,
        step=step,
        key=KEY,
        every=40,
    )
    variance, error = float(jnp.var(found.points)), (2 / count) ** 0.5 / (1 - step / 2)
    assert abs(variance - 1 / (1 - step / 2)) < 4 * error


@pytest.mark.parametrize(
    ("flow", "steps", "step"),
    [
        (BlobFlow(TARGET, 0.3), 200, 0.02),
        (SteinFlow(TARGET, 0.7, smoothing=0.4), 200, 0.4),
        (MMDFlow(TARGET.sample(400, key=jax.random.key(5)), (1.0, 3.0)), 400, 2.0),
        (MMDFlow(TARGET.sample(400, key=jax.random.key(5))), 200, 1.0),
    ],
    ids=["blob", "stein", "mmd", "energy-distance"],
)
def test_particles_reach_the_target_and_never_rise(flow, steps, step):
    start = 0.3 * jax.random.normal(KEY, (400, 2)) + 1.0
    found = descend(flow, start, steps=steps, step=step, key=KEY, every=20)
    mean, covariance = jnp.mean(found.points, 0), jnp.cov(found.points.T)
    # Half of the first energy or less is left, and it fell from record to record.
    assert found.rise < 1  # standard errors
    assert found.energies[-1] < 0.1 * found.energies[0]
    np.testing.assert_allclose(mean, TARGET.moments()[0], atol=0.12)
    np.testing.assert_allclose(jnp.diag(covariance), [1.0, 0.5], rtol=0.2)


def test_injected_noise_displaces_the_argument(points):
    data = TARGET.sample(50, key=KEY)
    widths = (1.0, 3.0)
    still, noisy = MMDFlow(data, widths), MMDFlow(data, widths, noise=0.5)
    moved = points + 0.5 * jax.random.normal(KEY, points.shape)
    apart = still.velocity(points, key=KEY) - noisy.velocity(points, key=KEY)
    assert float(jnp.max(jnp.abs(apart))) > 1e-3
    # The argument alone is displaced, not the particles that make the witness.
    far = MMDFlow(data, widths, noise=1e4).velocity(points, key=KEY)
    np.testing.assert_allclose(far, 0.0, atol=1e-6)
    assert moved.shape == noisy.velocity(points, key=KEY).shape


def test_what_cannot_be_is_refused(points):
    with pytest.raises(TypeError, match="`SteinFlow` got a target `Empirical` without"):
        SteinFlow(Empirical(points))
    with pytest.raises(ValueError, match="`MeanKernel` got no widths"):
        MMDFlow(points, widths=())
    with pytest.raises(ValueError, match="`SteinFlow` got an energy that is"):
        descend(SteinFlow(checkerboard()), points, steps=1, step=0.1, key=KEY)
    with pytest.raises(ValueError, match="`descend` got step"):
        descend(LangevinFlow(TARGET), points, steps=1, step=0.0, key=KEY)
    with pytest.raises(FloatingPointError, match=r"`descend` got particles .* after 9 steps"):
        descend(LangevinFlow(TARGET), points, steps=50, step=1e4, key=KEY)


def test_a_start_may_be_one_point_or_many_at_one_place():
    """Noise parts them; without noise Stein's and the blob's particles go up the density as one."""
    one, many = jnp.array([[2.0, 2.0]]), jnp.full((8, 2), 2.0)
    for start in (one, many):
        chain = descend(LangevinFlow(TARGET), start, steps=3, step=0.01, key=KEY)
        assert jnp.all(jnp.isfinite(chain.points))
        assert len(np.unique(chain.points[:, 0])) == len(start)
    score = jax.grad(TARGET.log_density)(one[0])
    for flow, start in (
        (SteinFlow(TARGET), one),
        (SteinFlow(TARGET), many),
        (BlobFlow(TARGET), many),
    ):
        velocity = flow.velocity(start, key=KEY)
        np.testing.assert_allclose(velocity, jnp.tile(score, (len(start), 1)), rtol=1e-5)
    drawn = descend(MMDFlow(TARGET.sample(40, key=KEY)), one, steps=4, step=0.05, every=1, key=KEY)
    assert np.all(np.diff(drawn.energies) < 0)
    assert np.isinf(drawn.standard_errors).all()


def test_the_width_of_stein_is_that_of_the_particles_that_are_apart(points):
    """More than half at one place: the median of the distances that are left."""
    repeated = jnp.concatenate([jnp.tile(points[:1], (60, 1)), points[1:20]])
    squares = np.sum((np.asarray(repeated)[:, None] - np.asarray(repeated)[None]) ** 2, axis=-1)
    width = float(np.sqrt(0.5 * np.median(squares[squares > 0]) / np.log(len(repeated))))
    np.testing.assert_allclose(
        SteinFlow(TARGET).velocity(repeated, key=KEY),
        SteinFlow(TARGET, width).velocity(repeated, key=KEY),
        rtol=1e-3,
        atol=1e-4,
    )


class Interrupt(Exception):
    pass


def test_particles_that_are_stopped_go_on_to_the_bit(points, tmp_path):
    """Half-way between two records, and with the energies that were recorded before."""
    settings = {"steps": 30, "step": 0.05, "key": KEY, "every": 10}
    move = lambda **more: descend(LangevinFlow(TARGET), points, **settings, **more)
    whole = move(checkpoints=Checkpoints(tmp_path / "whole", every=7))

    def stop(done, energy):
        if done == 20:
            raise Interrupt

    with pytest.raises(Interrupt):
        move(checkpoints=Checkpoints(tmp_path / "cut", every=7), callback=stop)
    found = move(checkpoints=Checkpoints(tmp_path / "cut", every=7), resume=True)
    for name in ("points", "times", "energies", "standard_errors"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))
    with pytest.raises(CheckpointError, match=r"`descend` got step_size = 0.04 for a run"):
        descend(
            LangevinFlow(TARGET),
            points,
            **(settings | {"step": 0.04}),
            resume=True,
            checkpoints=Checkpoints(tmp_path / "cut", every=7),
        )


def test_particles_may_be_drawn_of_the_initial_density():
    start = Gaussian(jnp.array([3.0, 0.0]), jnp.array([0.01, 0.01]))
    problem = Problem(MFG(Integrator(), Kinetic(), KL(TARGET), initial=start))
    moved = run(Particles(LangevinFlow(TARGET), 60, 0.05), problem, steps=10, key=KEY)
    assert moved.solution.shape == (60, 2)
    assert moved.history.records[0].step == 0
    assert moved.history.records[-1].terms["Energy"] < moved.history.records[0].terms["Energy"]
    with pytest.raises(ValueError, match="`Particles` got start = 5 and a problem without"):
        run(Particles(LangevinFlow(TARGET), 5, 0.05), Problem(), steps=1, key=KEY)
