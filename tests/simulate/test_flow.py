import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Gaussian
from mfgen.dynamics import VP
from mfgen.simulate import Adaptive, ExactDivergence, RungeKutta4, inverse_error
from mfgen.simulate._flow import transport


@pytest.fixture
def carry():
    """Transports a point of a game, compiled."""

    @eqx.filter_jit
    def run(game, model, x, steps=20, reverse=False):
        return transport(
            game,
            model,
            x,
            integrator=RungeKutta4(steps),
            divergence=ExactDivergence(),
            reverse=reverse,
        )

    return run


def test_gaussians_are_carried_in_closed_form(solved, carry, x64):
    # The flow between Gaussians with common axes is the affine map of their quantiles.
    target = Gaussian([1.0, -2.0], [0.25, 4.0])
    game, model, last = solved(VP(), target)
    first, x = game.initial, jnp.array([0.7, -1.3])
    (start, before), (end, after) = first.moments(), last.moments()
    stretch = jnp.sqrt(jnp.diag(after) / jnp.diag(before))
    moved = carry(game, model, x)
    np.testing.assert_allclose(moved.point, end + stretch * (x - start), rtol=1e-5)
    np.testing.assert_allclose(moved.log_det, [jnp.sum(jnp.log(stretch))], atol=1e-4)
    assert float(moved.time) == game.dynamics.horizon
    back = carry(game, model, moved.point, reverse=True)
    # Each of the two passages is as far from the exact map as the first one.
    np.testing.assert_allclose(back.point, x, rtol=2e-5)
    np.testing.assert_allclose(back.log_det, -moved.log_det, atol=2e-4)
    assert float(back.time) == 0.0


def test_log_det_is_that_of_the_derivative(solved, mixture, carry, x64):
    game, model, _ = solved(VP(), mixture())
    x = jnp.array([0.3, 0.4])
    derivative = jax.jacrev(lambda x: carry(game, model, x, steps=32).point)(x)
    expected = jnp.linalg.slogdet(derivative)[1]
    np.testing.assert_allclose(carry(game, model, x, steps=32).log_det, [expected], atol=1e-5)


def test_translation_is_exact(translation, carry):
    game, model, q = translation(0.0)
    moved = carry(game, model, jnp.array([0.1, 0.2]), steps=3)
    np.testing.assert_allclose(moved.point, jnp.array([0.1, 0.2]) - 2.0 * q, rtol=1e-6)
    np.testing.assert_allclose(moved.log_det, [0.0], atol=1e-6)


def test_inverse_error_falls_with_the_steps(solved, mixture):
    game, model, last = solved(VP(), mixture())
    x = last.sample(64, key=jax.random.key(1))
    coarse, fine = (
        inverse_error(game, model, x, integrator=RungeKutta4(steps)) for steps in (6, 24)
    )
    assert coarse.shape == (64,)
    assert float(jnp.max(fine)) < 1e-4
    assert float(jnp.max(fine)) < 0.05 * float(jnp.max(coarse))


def test_inverse_error_names_what_is_wrong(translation):
    game, model, _ = translation(0.0)
    with pytest.raises(ValueError, match=r"`inverse_error` got points of shape \(2,\)"):
        inverse_error(game, model, jnp.zeros(2))
    with pytest.raises(RuntimeError, match=r"`inverse_error` stopped at game time"):
        inverse_error(game, model, jnp.zeros((1, 2)), integrator=Adaptive(1e-6, max_steps=2))
