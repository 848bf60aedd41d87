"""The quadrature along a curve is exact to rounding where samples fall, and refined when needed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp, roots_legendre
from scipy.stats import norm

from mfgen.densities import _toy
from mfgen.densities._curve import Curve


def refined(density, noise, points, count=4000):
    """Return the log density with many more nodes than the library takes."""
    nodes, weights = roots_legendre(count)
    nodes, weights = 0.5 * (nodes + 1), 0.5 * weights
    curve = np.asarray(jax.jit(jax.vmap(density.curve))(nodes))
    weights = weights * (1 + density.power) * nodes**density.power
    squared = np.square(points[:, None, None, :] - curve[None]).sum(axis=-1)
    logs = logsumexp(-squared / (2 * noise**2), axis=(1, 2), b=weights[None, :, None])
    return logs - np.log(2 * np.pi * noise**2 * curve.shape[1])


@pytest.mark.parametrize(("name", "noise"), [("moons", 0.2), ("swissroll", 0.2), ("spiral", 0.15)])
def test_quadrature_error_is_far_below_a_millionth(x64, name, noise, key):
    density = getattr(_toy, name)()
    sample_key, far_key = jax.random.split(key)
    near = density.sample(100, key=sample_key)
    far = jax.random.uniform(far_key, (100, 2), minval=-8.0, maxval=8.0)
    evaluate = jax.jit(lambda x: jax.lax.map(density.log_density, x, batch_size=100))
    for points, tolerance in ((near, 1e-9), (far, 1e-6)):
        expected = refined(density, noise, np.asarray(points))
        assert np.max(abs(evaluate(points) - expected)) < tolerance


def test_a_straight_segment_has_a_closed_form(x64):
    def segment(tau):
        return jnp.stack([4.0 * tau, 0.0 * tau])[None, :]

    density = Curve(segment, 0.1)
    points = np.array([[0.0, 0.0], [2.0, 0.1], [4.2, -0.1]])
    along = (norm.cdf(points[:, 0] / 0.1) - norm.cdf((points[:, 0] - 4.0) / 0.1)) / 4.0
    expected = np.log(along) + norm.logpdf(points[:, 1], scale=0.1)
    values = jax.jit(jax.vmap(density.log_density))(points)
    np.testing.assert_allclose(values, expected, rtol=1e-10, atol=1e-10)


def test_a_curve_may_be_built_inside_a_compiled_function():
    value = jax.jit(lambda x: _toy.moons().log_density(x))(jnp.array([1.0, 0.2]))
    np.testing.assert_allclose(value, _toy.moons().log_density(jnp.array([1.0, 0.2])), rtol=1e-6)


@pytest.mark.parametrize("noise", [1e-4, 0.0])
def test_too_small_a_noise_is_refused(noise):
    with pytest.raises(ValueError, match=r"`Curve` got noise .* pass a noise of at least"):
        Curve(lambda tau: 10.0 * jnp.stack([tau, tau])[None, :], noise)
