"""Noisings by signal and noise alone: what is derived is what is known of VP, sub-VP and VE."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfgen as mg
from mfgen.metrics import energy_distance

KNOWN = {"vp": mg.VP(), "subvp": mg.dynamics.SubVP(), "ve": mg.dynamics.VE(largest_ratio=8.0)}


def derived(known):
    return mg.dynamics.Noising(known.signal, known.noise, horizon=known.horizon)


def cosine(**options):
    quarter = 0.5 * jnp.pi
    return mg.dynamics.Noising(
        lambda s: jnp.cos(quarter * s),
        lambda s: jnp.sin(quarter * s),
        largest_ratio=50.0,
        **options,
    )


@pytest.mark.parametrize("name", KNOWN)
def test_the_rest_is_derived(name, x64):
    known, found = KNOWN[name], derived(KNOWN[name])
    assert found.start == pytest.approx(known.start, abs=1e-9)
    times = jnp.linspace(known.start + 1e-4, known.horizon, 9)

    def parts(noising):
        at = lambda s: (noising.rate(s), noising.diffusion(s), noising.ratio(s))
        return jax.jit(jax.vmap(at))(times)

    for one, other in zip(parts(found), parts(known), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-12)
    ratios = jax.vmap(known.ratio)(times)
    np.testing.assert_allclose(jax.jit(jax.vmap(found.time))(ratios), times, rtol=1e-6)
    slope = jax.grad(found.time)(ratios[4])
    np.testing.assert_allclose(slope, jax.grad(lambda k: known.time(k))(ratios[4]), rtol=1e-5)
    mg.dynamics.TimeReversal(found)


def test_a_cosine_schedule_has_its_own_diffusion(x64):
    """alpha = cos, sigma = sin of b s: r = -b tan, g^2 = 2 b tan; it ends where the ratio is 50."""
    noising, b = cosine(), 0.5 * jnp.pi
    s = jnp.asarray(0.6)
    np.testing.assert_allclose(noising.rate(s), -b * jnp.tan(b * s), rtol=1e-12)
    np.testing.assert_allclose(noising.diffusion(s) ** 2, 2 * b * jnp.tan(b * s), rtol=1e-12)
    assert noising.horizon == pytest.approx(float(jnp.arctan(50.0) / b))
    assert noising.start == pytest.approx(float(jnp.arctan(0.03) / b))


def test_a_schedule_by_log_snr_and_in_single_precision():
    level = lambda s: 7.0 - 14.0 * s
    root = lambda x: jnp.sqrt(jax.nn.sigmoid(x))
    noising = mg.dynamics.Noising(
        lambda s: root(level(s)), lambda s: root(-level(s)), smallest_ratio=0.05
    )
    ratios = jnp.geomspace(0.051, 30.0, 7)
    np.testing.assert_allclose(
        jax.vmap(noising.ratio)(jax.vmap(noising.time)(ratios)), ratios, 1e-4
    )
    game = mg.score_based(noising, mg.Gaussian(jnp.zeros(2), jnp.eye(2)))
    # Of variance one, and so is the Gaussian: the flow stands still.
    x = jnp.array([[0.3, -1.0]])
    exact = mg.models.Potential(lambda t, x: 0.5 * x @ x + jnp.log(2 * jnp.pi))
    np.testing.assert_allclose(mg.log_prob(game, exact, x), -exact(0.0, x[0]), rtol=1e-3)


@pytest.mark.parametrize(
    ("signal", "noise", "said"),
    [
        (lambda s: 2 - s, lambda s: s, "signal\\(0\\) = 2"),
        (lambda s: 1 - 0 * s, lambda s: 0.1 + s, "noise\\(0\\) = 0.1"),
        (lambda s: 1 - 0 * s, lambda s: jnp.sin(5 * s), "decreases at s = 0.31"),
        (lambda s: 1 - s, lambda s: s, "largest_ratio=100"),
        (lambda s: 1 - 0 * s, lambda s: jnp.sqrt(s - 0.5), "largest_ratio=100|noise\\(0\\)"),
        (lambda s: 1 - 0 * s, lambda s: 0.01 * s, "add more noise"),
    ],
)
def test_what_is_no_noising_is_refused_with_the_place(signal, noise, said):
    with pytest.raises(ValueError, match=said):
        mg.dynamics.Noising(signal, noise)


class Own(mg.dynamics.AbstractNoising):
    """Two functions in a class, and a diffusion that may be another."""

    horizon: float = 1.0
    factor: float = eqx.field(static=True, default=1.0)

    @property
    def start(self):
        return 0.03

    def signal(self, s):
        return jnp.exp(-2 * s)

    def noise(self, s):
        return jnp.asarray(s)

    def diffusion(self, t):
        return self.factor * mg.dynamics.AbstractNoising.diffusion(self, t)


def test_a_class_gives_two_functions_and_is_held_to_them():
    mg.dynamics.TimeReversal(Own())
    with pytest.raises(ValueError, match="diffusion"):
        mg.dynamics.TimeReversal(Own(factor=1.1))


@pytest.mark.slow
def test_a_cosine_schedule_trains(key):
    law = mg.densities.eight_gaussians()
    data = law.sample(20_000, key=key)
    game = mg.score_based(cosine(), mg.Empirical(data))
    model = mg.models.score_potential(game, key=key)
    model, _ = mg.fit(game, model, mg.losses.DenoisingScoreMatching(), data, steps=4000, key=key)
    drawn = mg.sample(game, model, 5000, key=key)
    fresh = law.sample(5000, key=jax.random.key(1))
    assert energy_distance(drawn, fresh).value < 0.005
