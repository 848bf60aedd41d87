import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.dynamics import VE, VP, Integrator, SubVP, TimeReversal
from mfgen.simulate._clock import (
    LogRatioClock,
    SaturatingClock,
    UniformClock,
    clock,
    time_grid,
)

NOISINGS = [VP(), VE(), SubVP(), VP(smallest_ratio=1e-3), VE(largest_ratio=300.0)]
IDS = ["VP", "VE", "SubVP", "VP-fine", "VE-wide"]


@pytest.mark.parametrize("noising", NOISINGS, ids=IDS)
def test_grid_of_a_noising_has_equal_ratios_and_exact_ends(noising):
    dynamics = TimeReversal(noising)
    grid = time_grid(dynamics, 16)
    assert grid.dtype == jnp.float32
    assert float(grid[0]) == 0.0
    assert float(grid[-1]) == float(jnp.float32(dynamics.horizon))
    assert np.all(np.diff(grid) > 0)
    steps = -np.diff(jax.vmap(lambda t: jnp.log(noising.ratio(dynamics.noising_time(t))))(grid))
    # Rounding of t moves log kappa by its speed times eps, at most 10 per unit of time for VE and
    # 1 / (2 s) near the end of the others.
    fastest = 10.0 if noising.start == 0 else max(10.0, 0.5 / noising.start)
    rounding = 4 * jnp.finfo(jnp.float32).eps * fastest
    np.testing.assert_allclose(steps, np.mean(steps), rtol=1e-5, atol=rounding)


def test_grid_of_other_dynamics_is_uniform():
    np.testing.assert_array_equal(time_grid(Integrator(horizon=2.0), 4), [0.0, 0.5, 1.0, 1.5, 2.0])
    assert isinstance(clock(Integrator(horizon=2.0)), UniformClock)


@pytest.mark.parametrize("noising", NOISINGS, ids=IDS)
@pytest.mark.parametrize("kind", ["ratio", "saturating"])
def test_speed_is_the_derivative_of_time(noising, kind, x64):
    dynamics = TimeReversal(noising)
    spread = jnp.asarray(1.7)
    chosen = LogRatioClock(dynamics) if kind == "ratio" else SaturatingClock(dynamics, spread)
    assert float(chosen.time(0.0)) == 0.0
    assert float(chosen.time(chosen.span)) == dynamics.horizon
    for tau in np.array([0.1, 0.5, 0.95]) * float(chosen.span):
        _, slope = jax.jvp(chosen.time, (jnp.asarray(tau),), (jnp.ones(()),))
        np.testing.assert_allclose(slope, chosen.speed(tau), rtol=1e-8)


def test_saturating_clock_is_logarithmic_below_the_spread_and_short_above():
    dynamics = TimeReversal(VP())
    chosen, ratio = SaturatingClock(dynamics, jnp.asarray(1.0)), LogRatioClock(dynamics)
    assert float(chosen.span) < 0.55 * float(ratio.span)
    tail = chosen.span - jnp.array([1.0, 0.5, 0.0])
    level = lambda tau: VP().ratio(dynamics.noising_time(chosen.time(tau)))
    levels = jax.vmap(level)(tail)
    np.testing.assert_allclose(np.diff(np.log(levels)), -0.5, rtol=0.01)
