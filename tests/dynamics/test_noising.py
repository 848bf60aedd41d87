"""Noising kernels against the moment equations of their own stochastic differential equation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.dynamics import VE, VP, Integrator, SubVP, TimeReversal
from mfgen.dynamics._noising import log_ratio_speed

NOISINGS = {
    "vp": lambda: VP(),
    "vp-constant": lambda: VP(beta_min=1.0, beta_max=1.0, horizon=2.0),
    "subvp": lambda: SubVP(),
    "ve": lambda: VE(),
}
members = pytest.mark.parametrize("name", NOISINGS)


@members
def test_kernel_solves_the_moment_equations(name, x64):
    noising = NOISINGS[name]()
    for s in jnp.linspace(noising.start + 1e-3, noising.horizon, 7):
        signal_slope = jax.grad(noising.signal)(s)
        variance_slope = jax.grad(lambda s: noising.noise(s) ** 2)(s)
        assert jnp.allclose(signal_slope, noising.rate(s) * noising.signal(s), rtol=1e-10)
        growth = 2 * noising.rate(s) * noising.noise(s) ** 2 + noising.diffusion(s) ** 2
        assert jnp.allclose(variance_slope, growth, rtol=1e-9)


@members
def test_ratio_time_and_speed_agree(name, x64):
    noising = NOISINGS[name]()
    for s in jnp.linspace(noising.start + 1e-3, noising.horizon, 7):
        ratio = noising.noise(s) / noising.signal(s)
        assert jnp.allclose(noising.ratio(s), ratio, rtol=1e-10)
        assert jnp.allclose(noising.time(ratio), s, rtol=1e-10)
        speed = jax.grad(lambda s: jnp.log(noising.ratio(s)))(s)
        assert jnp.allclose(log_ratio_speed(noising, s), speed, rtol=1e-9)


def test_start_is_where_the_smallest_ratio_is_reached(x64):
    for noising in (VP(smallest_ratio=0.07), SubVP(smallest_ratio=0.07), VE(smallest_ratio=0.07)):
        assert jnp.allclose(noising.ratio(noising.start), 0.07, rtol=1e-10)


def test_time_reversal_runs_from_noise_to_data(x64):
    noising = VP()
    game = TimeReversal(noising)
    x = jnp.array([1.0, -2.0])
    assert game.noising_time(game.horizon) == pytest.approx(noising.start)
    # beta(1) = 20 at the noisy end: the reversed drift pushes outward, +beta/2 x.
    assert jnp.allclose(game.free(0.0, x), 10.0 * x)
    assert jnp.allclose(game.gain(0.0), jnp.sqrt(20.0))


@pytest.mark.parametrize(
    ("build", "fix"),
    [
        (lambda: VP(beta_min=-1.0), "pass beta_min > 0"),
        (lambda: VP(beta_max=0.01), "raise beta_max"),
        (lambda: VP(smallest_ratio=0.0), "pass smallest_ratio > 0"),
        (lambda: VE(largest_ratio=0.01), "lower smallest_ratio"),
        (lambda: SubVP(horizon=float("nan")), "pass horizon > 0"),
        (lambda: Integrator(sigma=-1.0), "pass sigma=0.0"),
        (lambda: Integrator(horizon=0.0), "pass horizon > 0"),
    ],
)
def test_wrong_parameters_are_refused(build, fix):
    with pytest.raises(ValueError, match=fix):
        build()


@pytest.mark.parametrize("build", [VP, SubVP])
def test_small_noise_is_not_lost_in_single_precision(build):
    """1 - exp(-B) would cancel at B = 1e-6: noise, ratio and time keep their relative accuracy."""
    noising = build(smallest_ratio=1e-3)
    single = [noising.noise(noising.start), noising.ratio(noising.start)]
    with jax.enable_x64(True):
        double = [noising.noise(jnp.asarray(noising.start)), jnp.asarray(1e-3)]
    np.testing.assert_allclose(single, double, rtol=1e-6)
