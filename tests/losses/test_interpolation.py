"""The velocity of a path minimises its regression, and no other velocity does."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from tests.losses.prescribed import HORIZON, draw, flow, moving, slopes, tilted

from mfgen.costs import Kinetic
from mfgen.densities import Empirical, Gaussian
from mfgen.functionals import KL, Entropy
from mfgen.losses import (
    EntropicTransport,
    FlowMatching,
    OptimalTransport,
    StochasticInterpolant,
    Straight,
    Trigonometric,
)
from mfgen.losses._interpolation import between
from mfgen.models import ControlField, VectorField, control_field
from mfgen.trainers import fit

GAME = flow()
LINE = (lambda s: 1 - s, lambda s: s)
ARC = (lambda s: jnp.cos(0.5 * jnp.pi * s), lambda s: jnp.sin(0.5 * jnp.pi * s))


def latent(factor):
    return lambda s: factor * jnp.sqrt(2 * s * (1 - s))


OBJECTIVES = {
    "lines": (FlowMatching(), LINE),
    "interpolant": (StochasticInterpolant(Straight(), latent=0.0), LINE),
    "arcs": (StochasticInterpolant(latent=0.0), ARC),
    "latent": (StochasticInterpolant(Straight(), latent=0.7), (*LINE, latent(0.7))),
    "latent arcs": (StochasticInterpolant(latent=0.5, margin=0.01), (*ARC, latent(0.5))),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_velocity_of_the_path_is_stationary(name, key):
    objective, path = OBJECTIVES[name]
    exact = lambda t, x: moving(t, *path)(x)
    found = slopes(objective, GAME, tilted(exact), 3, key)
    assert jnp.all(jnp.abs(found.mean) < 4 * found.error)
    assert jnp.all(found.curvature > 0)


@pytest.mark.parametrize("name", ["lines", "arcs", "latent"])
def test_the_opposite_velocity_is_not(name, key):
    objective, path = OBJECTIVES[name]
    wrong = lambda t, x: -moving(t, *path)(x)
    found = slopes(objective, GAME, tilted(wrong), 3, key)
    assert jnp.max(jnp.abs(found.mean) / found.error) > 20


def test_a_width_blurs_the_path(key):
    """With noise of constant width the velocity belongs to x_t without it: E[z - x | x_t] / T."""
    width = 0.8

    def exact(t, y):
        s = t / HORIZON
        # The noise leaves cov(z - x, x_t), and adds to the variance of x_t.
        bare = moving(t, *LINE)
        variance = ((1 - s) * jnp.array([0.5, 1.5])) ** 2 + s**2
        return bare.drift + bare.rate * variance / (variance + width**2) * (y - bare.centre)

    objective = FlowMatching(width=width)
    found = slopes(objective, GAME, tilted(exact), 3, key)
    assert jnp.all(jnp.abs(found.mean) < 4 * found.error)
    unblurred = slopes(objective, GAME, tilted(lambda t, x: moving(t, *LINE)(x)), 3, key)
    assert jnp.max(jnp.abs(unblurred.mean) / unblurred.error) > 10


def test_costates_are_matched_by_the_control_that_they_imply(key):
    """v* = -p / k: the costate of the exact velocity b is -k b."""
    game, batch = flow(Kinetic(3.0)), draw(key)
    exact = lambda t, x: moving(t, *LINE)(x)
    costate = VectorField(lambda t, x: -3.0 * exact(t, x))
    values = [
        FlowMatching()(game, model, batch, key=key) for model in (ControlField(exact), costate)
    ]
    assert jnp.allclose(*values, rtol=1e-5)


def test_optimal_pairs_take_less_to_explain(key):
    """What is left at best is the variance of the pairs' velocities: far less with transport."""
    batch = draw(key, 512)
    # From N(m, s^2) to N(0, 1) optimal pairs are z = (x - m) / s; lines between them do not cross.
    deviation, mean = jnp.array([0.5, 1.5]), jnp.array([1.0, -0.5])

    def optimal(t, y):
        s = t / HORIZON
        start = (y + s * mean / deviation) / (1 - s + s / deviation)
        return ((start - mean) / deviation - start) / HORIZON

    objective = FlowMatching(OptimalTransport())
    independent = lambda t, x: moving(t, *LINE)(x)
    evaluate = eqx.filter_jit(lambda objective, f: objective(GAME, ControlField(f), batch, key=key))
    least = evaluate(objective, optimal)
    assert least < 0.1 * evaluate(FlowMatching(), independent)
    assert least < 0.5 * evaluate(objective, independent)


def test_entropic_pairs_with_latent_noise_have_the_bridges_velocity(key):
    """A Gaussian Schrödinger bridge of sigma dW: covariances of its ends in closed form."""
    sigma = 0.6
    variance = sigma**2 * HORIZON
    objective = StochasticInterpolant(
        Straight(),
        latent=sigma * (HORIZON / 2) ** 0.5,
        coupling=EntropicTransport(variance),
        margin=0.02,
    )
    deviation, mean = jnp.array([0.5, 1.5]), jnp.array([1.0, -0.5])
    together = 0.5 * (jnp.sqrt(4 * deviation**2 + variance**2) - variance)

    def exact(t, y):
        s = t / HORIZON
        spread = lambda s: (
            ((1 - s) * deviation) ** 2 + s**2 + s * (1 - s) * (2 * together + variance)
        )
        rate = 0.5 * jax.jacfwd(spread)(s) / spread(s)
        return (-mean + rate * (y - (1 - s) * mean)) / HORIZON

    found = slopes(objective, GAME, tilted(exact), 3, key, count=40)
    assert jnp.all(jnp.abs(found.mean) < 4 * found.error)


def test_interpolants_run_from_data_to_reference():
    x, z = jnp.ones((3, 2)), -2 * jnp.ones((3, 2))
    s = jnp.array([0.0, 0.5, 1.0])
    for interpolant in (Straight(), Trigonometric()):
        points, move = between(interpolant, s, x, z)
        assert jnp.allclose(points[0], x[0], atol=1e-6)
        assert jnp.allclose(points[2], z[2], atol=1e-6)
        step = 1e-2
        later, _ = between(interpolant, s + step, x, z)
        sooner, _ = between(interpolant, s - step, x, z)
        assert jnp.allclose(move, (later - sooner) / (2 * step), atol=1e-3)


def test_training_finds_the_velocity(key):
    """300 steps of the training loop bring a network's loss near that of the exact velocity."""
    data = draw(jax.random.key(1), 4096)
    game = flow(initial=Empirical(data))
    model = control_field(game, width=32, depth=2, key=key)
    objective = FlowMatching(OptimalTransport(passes=1))
    trained, history = fit(game, model, objective, data, steps=300, key=key)
    assert history.records[-1].terms["FlowMatching"] < 0.3 * _loss(game, model, objective, data)
    assert jnp.isfinite(_loss(game, trained, objective, data))


def _loss(game, model, objective, data):
    return float(objective(game, model, data[:256], key=jax.random.key(2)))


def test_single_precision_is_kept(key):
    for objective in (FlowMatching(width=0.1), StochasticInterpolant(latent=0.5)):
        value = objective(GAME, ControlField(lambda t, x: t * x), draw(key), key=key)
        assert value.dtype == jnp.float32
        assert value.shape == ()


@pytest.mark.parametrize("objective", [FlowMatching(), StochasticInterpolant()])
def test_other_games_are_refused(objective, key):
    model, batch = ControlField(lambda t, x: x), draw(key)
    with pytest.raises(TypeError, match=r'declare `MFG\(..., data_at="start"\)`'):
        objective(flow(data_at="end"), model, batch, key=key)
    with pytest.raises(TypeError, match="terminal cost `Entropy`"):
        objective(flow(terminal=Entropy()), model, batch, key=key)
    soft = flow(terminal=10.0 * KL(Gaussian(jnp.zeros(2))))
    assert jnp.isfinite(objective(soft, model, batch, key=key))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: FlowMatching(width=-1.0), "got width = -1.0, .* pass width=0.0"),
        (lambda: StochasticInterpolant(latent=-0.1), "got latent = -0.1, .* pass latent=0.0"),
        (lambda: StochasticInterpolant(margin=0.6), "got margin = 0.6, .* pass margin=1e-3"),
    ],
)
def test_settings_out_of_range_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
