"""Double wells: normalised to rounding, sampled as they are evaluated, as in the literature."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from mfgen.densities import WellProduct, double_well, many_wells

# Symmetric, tilted, with one well, narrow and far apart, and with one side empty.
WELLS = {
    "literature": (1.0, -6.0, -0.5),
    "symmetric": (1.0, -4.0, 0.0),
    "one": (0.25, 0.0, 0.0),
    "narrow": (1.0, -40.0, 2.0),
    "one-sided": (1.0, -6.0, 60.0),
}


def line(name):
    """Z exp(min V), and means of 1, x, x^2 and x > 0, by an adaptive rule."""
    quartic, quadratic, linear = WELLS[name]
    energy = lambda x: quartic * x**4 + quadratic * x**2 + linear * x
    grid = np.linspace(-8, 8, 100_001)
    lowest = energy(grid).min()
    ends = grid[energy(grid) < lowest + 60][[0, -1]]

    def integral(f, low=ends[0]):
        breaks = [low, *[p for p in (-4.5, -1.7, 0.0, 1.7, 4.5) if low < p < ends[1]], ends[1]]
        whole = lambda x: f(x) * np.exp(lowest - energy(x))
        return sum(
            quad(whole, *part, epsabs=1e-14, epsrel=1e-13, limit=500)[0]
            for part in pairwise(breaks)
        )

    total = integral(lambda x: 1.0)
    upper = integral(lambda x: 1.0, max(0.0, ends[0])) if ends[1] > 0 else 0.0
    mean, square = integral(lambda x: x) / total, integral(lambda x: x * x) / total
    return np.log(total) - lowest, upper / total, mean, square - mean**2


@pytest.mark.parametrize("name", WELLS)
def test_integrals_agree_with_an_adaptive_rule(name):
    law = WellProduct(1, (0,), *WELLS[name])
    found = (law.log_normaliser, law.upper, *law.well_moments)
    np.testing.assert_allclose(found, line(name), rtol=1e-10, atol=1e-10)


def test_the_literature_agrees():
    plane = double_well()
    assert plane.log_normaliser == pytest.approx(np.log(11784.50927 * np.sqrt(2 * np.pi)), abs=1e-8)
    assert many_wells(32).log_normaliser == pytest.approx(164.69567532, abs=1e-7)
    x = jnp.array([1.5, -0.4])
    assert plane.energy(x) == pytest.approx(1.5**4 - 6 * 1.5**2 - 0.75 + 0.08, rel=1e-5)


def test_density_integrates_to_one_in_the_plane():
    axis = np.linspace(-6, 6, 241)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    values = jax.jit(jax.vmap(double_well().log_density))(jnp.asarray(grid, float))
    mass = np.exp(np.asarray(values, np.float64)).sum() * (axis[1] - axis[0]) ** 2
    assert mass == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("name", WELLS)
def test_samples_follow_the_density(name, key):
    n, law = 40_000, WellProduct(3, (1,), *WELLS[name])
    x = np.asarray(jax.jit(lambda key: law.sample(n, key=key))(key), np.float64)
    grid = np.linspace(float(law.ends[0]), float(law.ends[-1]), 20_001)
    places = jnp.zeros((len(grid), 3)).at[:, 1].set(jnp.asarray(grid, float))
    logs = np.asarray(jax.vmap(law.log_density)(places), np.float64)
    mass = np.exp(logs - logs.max())
    mass /= mass.sum()
    features = lambda x: np.stack([x, x * x, x > 0, np.cos(3 * x), np.sin(7 * x)], axis=1)
    mean = mass @ features(grid)
    deviation = np.sqrt(mass @ (features(grid) - mean) ** 2)
    observed = features(x[:, 1]).mean(axis=0)
    # A grid of float32 energies is right to 1e-4.
    assert np.all(abs(observed - mean) < 4 * deviation / np.sqrt(n) + 1e-4)
    # The others are standard normal, and independent.
    assert np.all(abs(x[:, [0, 2]].mean(axis=0)) < 4 / np.sqrt(n))
    assert np.all(abs(x[:, [0, 2]].var(axis=0) - 1) < 4 * np.sqrt(2 / n))


@pytest.mark.parametrize("law", [double_well(5), many_wells(6)], ids=["double", "many"])
def test_samples_agree_with_moments(law, key):
    n = 40_000
    x = np.asarray(law.sample(n, key=key), np.float64)
    mean, covariance = map(np.asarray, law.moments())
    centred = x - mean
    assert np.all(abs(centred.mean(axis=0)) < 4 * np.sqrt(np.diag(covariance) / n))
    products = centred[:, :, None] * centred[:, None, :]
    errors = products.std(axis=0) / np.sqrt(n)
    assert np.all(abs(products.mean(axis=0) - covariance) < 4.5 * errors + 1e-6)
    upper = (x[:, list(law.wells)] > 0).mean(axis=0)
    assert np.all(abs(upper - law.upper) < 4 * np.sqrt(law.upper * (1 - law.upper) / n))
    points, weights = law.particles()
    assert points.shape == (4096, law.dim)
    assert weights.sum() == pytest.approx(1.0, rel=1e-5)


def test_many_wells_are_independent_double_wells():
    law, plane = many_wells(4), double_well()
    x = jnp.array([1.0, 0.3, -2.0, -0.6])
    parts = plane.log_density(x[:2]) + plane.log_density(x[2:])
    assert law.log_density(x) == pytest.approx(float(parts), rel=1e-5)
    assert law.wells == (0, 2)


def test_scores_are_finite_everywhere():
    law = many_wells(4)
    points = jnp.array([[0.0, 0.0, 0.0, 0.0], [1e3, -1e3, 1e4, 1e4], [-1.7, 0.0, 1.7, 1e-8]])
    values, slopes = jax.vmap(jax.value_and_grad(law.log_density))(points)
    assert np.isfinite(values).all()
    assert np.isfinite(slopes).all()
    np.testing.assert_allclose(slopes[0], [0.5, 0.0, 0.5, 0.0])


def test_bad_input_is_refused():
    for wells in ((), (2,), (0, 0), (-1,)):
        with pytest.raises(ValueError, match="distinct coordinates from 0 to 1"):
            WellProduct(2, wells)
    for coefficients in ((0.0, 1.0, 0.0), (-1.0, 1.0, 0.0), (1.0, float("nan"), 0.0)):
        with pytest.raises(ValueError, match="finite ones with a positive quartic"):
            double_well(2, *coefficients)
    for dim in (0, 3):
        with pytest.raises(ValueError, match=f"pass dim={max(2, dim + 1)}"):
            many_wells(dim)
