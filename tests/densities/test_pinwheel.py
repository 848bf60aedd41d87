"""The twist of the pinwheel keeps volumes, which makes its log density exact."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities._pinwheel import Pinwheel


def test_density_follows_from_the_change_of_variables(x64):
    density = Pinwheel(twist=0.3)

    def twisted(z):
        angle = 0.3 * (z @ z)
        c, s = jnp.cos(angle), jnp.sin(angle)
        return jnp.array([[c, -s], [s, c]]) @ z

    def terms(z):
        determinant = jnp.linalg.det(jax.jacfwd(twisted)(z))
        return determinant, density.log_density(twisted(z)), density.star.log_density(z)

    points = np.random.default_rng(0).normal(size=(20, 2)) * 2.0
    determinant, twisted_value, star_value = jax.jit(jax.vmap(terms))(points)
    np.testing.assert_allclose(determinant, 1.0, rtol=1e-10)
    np.testing.assert_allclose(twisted_value, star_value, rtol=1e-10)


def test_log_density_is_smooth_at_the_origin():
    density = Pinwheel()
    hessian = jax.jit(jax.hessian(lambda x: density.log_density(x)))(jnp.zeros(2))
    assert np.isfinite(hessian).all()


def test_two_arms_are_refused():
    with pytest.raises(ValueError, match="`Pinwheel` got 2 arms, expected at least 3"):
        Pinwheel(arms=2)
