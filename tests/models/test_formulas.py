"""Scaling, features and starts of the models against their formulas."""

import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.dynamics import VE, VP
from mfgen.models import kernel_potential
from mfgen.models._mlp import LevelFeatures, SpaceFeatures
from mfgen.models._precondition import precondition
from mfgen.zoo import score_based


def test_amplitude_is_its_formula(target):
    """A = q(kappa / c) - q(kappa_max / c) with q(r) = (r^2 + .05^2)^(-1/2)."""
    noising = VE(0.03, 10.0)
    scaling = precondition(score_based(noising, target))
    q = lambda kappa: 1 / np.sqrt((kappa / scaling.spread) ** 2 + 0.05**2)
    for kappa in (0.03, 0.5, 4.0):
        amplitude = scaling.amplitude(noising.time(jnp.asarray(kappa)))
        np.testing.assert_allclose(amplitude, q(kappa) - q(10.0), rtol=1e-4)


def test_features_are_their_formulas(key):
    level = LevelFeatures(2)(jnp.asarray(0.3))
    angles = 0.5 * np.pi * 0.3 * np.array([1, 2])
    np.testing.assert_allclose(level, [0.3, *np.cos(angles), *np.sin(angles)], rtol=1e-5)
    z, space = jnp.array([0.4, -1.0]), SpaceFeatures(2, 3, 2.0, key=key)
    angles = space.frequencies @ z
    np.testing.assert_allclose(space(z), [*z, *jnp.cos(angles), *jnp.sin(angles)], rtol=1e-5)


@pytest.mark.parametrize("unit", [1.0, 100.0])
def test_kernels_start_spread_out_in_the_units_of_the_data(unit, key):
    """k-means++ takes one centre from each of four far clusters, and scales follow the spread."""
    corners = unit * jnp.array([[10.0, 0.0], [0.0, 10.0], [-10.0, 0.0], [0.0, -10.0]])
    data = jnp.concatenate([corners + unit * 1e-3 * k for k in range(50)])
    game = score_based(VE(0.03 * unit, 10.0 * unit), _empirical(data))
    model = kernel_potential(game, data, components=4, key=key)
    nearest = jnp.argmin(jnp.linalg.norm(model.centres[:, None] - corners[None], axis=2), axis=1)
    assert sorted(nearest.tolist()) == [0, 1, 2, 3]
    spread = precondition(game).spread
    np.testing.assert_allclose(jnp.exp(model.log_scales), spread / 2, rtol=1e-5)


def _empirical(points):
    from mfgen.densities import Empirical

    return Empirical(points)


@pytest.mark.parametrize("noising", [VE(0.6, 3.0), VP(smallest_ratio=0.5), VP()])
def test_scaling_is_that_of_the_data_and_ends_in_the_first_density(noising, target):
    """Not that of the data noised to the smallest ratio, which the terminal cost is about."""
    game = score_based(noising, target)
    mean, covariance = target.moments()
    scaling = precondition(game)
    np.testing.assert_allclose(scaling.mean, mean, atol=1e-4)
    np.testing.assert_allclose(scaling.spread**2, jnp.trace(covariance) / 2, rtol=1e-3)
    end = scaling.width(noising.horizon) ** 2
    np.testing.assert_allclose(end, game.initial.moments()[1][0, 0], rtol=1e-5)
