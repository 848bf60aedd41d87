import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Gaussian
from mfgen.dynamics import VE, VP, SubVP
from mfgen.models import velocity
from mfgen.models._base import probability_flow
from mfgen.simulate._frame import (
    from_frame,
    is_score_based,
    noise_level,
    random_frame,
    scaled_field,
    score_dynamics,
    smooth_frame,
    to_frame,
)
from mfgen.zoo import score_based

NOISINGS = [VP(), VE(largest_ratio=150.0), SubVP()]
IDS = ["VP", "VE", "SubVP"]


@pytest.mark.parametrize("noising", NOISINGS, ids=IDS)
@pytest.mark.parametrize("build", [random_frame, smooth_frame])
def test_velocity_follows_a_particle(noising, build, mixture, x64):
    frame = build(score_based(noising, mixture()))
    b, start = jnp.array([2.0, -1.0]), jnp.array([0.3, 0.7])
    path = lambda t: start + b * t

    def in_frame(tau):
        t = frame.clock.time(tau)
        return to_frame(frame, t, path(t))

    tau = 0.6 * frame.clock.span
    w, expected = jax.jvp(in_frame, (tau,), (jnp.ones(()),))
    t = frame.clock.time(tau)
    np.testing.assert_allclose(from_frame(frame, t, w), path(t), rtol=1e-12)
    np.testing.assert_allclose(frame.velocity(tau, w, b), expected, rtol=1e-8)


@pytest.mark.parametrize("noising", NOISINGS, ids=IDS)
def test_divergence_is_the_trace_in_the_frame(noising, mixture, x64):
    frame = smooth_frame(score_based(noising, mixture()))
    matrix = jnp.array([[1.0, 2.0], [-0.5, 3.0]])
    field = scaled_field(frame, lambda t, x: matrix @ x + t)
    tau, w = 0.4 * frame.clock.span, jnp.array([0.2, -0.4])
    expected = jnp.trace(jax.jacfwd(field, argnums=1)(tau, w))
    np.testing.assert_allclose(
        frame.divergence(tau, 2, jnp.trace(matrix)[None])[0], expected, rtol=1e-8
    )


def test_noisings_differ_by_their_frame_only(solved, mixture, x64):
    tau, w, rows = jnp.asarray(4.0), jnp.array([0.3, -0.8]), []
    for noising in (VP(), VE(largest_ratio=float(VP().ratio(1.0)))):
        game, model, _ = solved(noising, mixture())
        frame = random_frame(game)
        fields = (
            scaled_field(frame, lambda t, x, g=game, m=model: velocity(g, m, t, x)),
            scaled_field(frame, lambda t, x, g=game, m=model: probability_flow(g, m, t, x)),
        )
        rows.append([*fields[0](tau, w), *fields[1](tau, w), noise_level(frame, game, tau)])
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-6)


def test_gaussian_data_of_the_spread_stand_still(solved):
    game, model, _ = solved(VP(), Gaussian([5.0, 0.0], 4.0))
    frame = smooth_frame(game)
    assert float(frame.spread) == pytest.approx(2.0, rel=2e-3)
    np.testing.assert_allclose(frame.mean, [5.0, 0.0], rtol=1e-5)
    field = scaled_field(frame, lambda t, x: probability_flow(game, model, t, x))
    for share in (0.0, 0.3, 0.7, 1.0):
        assert np.all(np.abs(field(share * frame.clock.span, jnp.array([1.0, -2.0]))) < 2e-3)


def test_noise_adds_up_to_the_noise_of_the_kernel(solved, mixture, x64):
    game, _, _ = solved(VP(), mixture())
    frame = random_frame(game)
    low, high = 0.5 * frame.clock.span, 0.7 * frame.clock.span
    nodes, weights = np.polynomial.legendre.leggauss(20)
    taus = 0.5 * (low + high) + 0.5 * (high - low) * nodes

    # Along a path without control, w = (kappa-dependent factor) z: in z = y / signal the variance
    # that enters between two noise ratios is the difference of their squares.
    def entering(tau):
        t = frame.clock.time(tau)
        unit = frame.scale(t) / VP().signal(game.dynamics.noising_time(t))
        return jnp.square(noise_level(frame, game, tau) * unit)

    total = 0.5 * (high - low) * weights @ jax.vmap(entering)(taus)
    ratios = [VP().ratio(game.dynamics.noising_time(frame.clock.time(tau))) for tau in (low, high)]
    np.testing.assert_allclose(total, ratios[0] ** 2 - ratios[1] ** 2, rtol=1e-8)


def test_spread_is_one_where_the_reference_hides_it(mixture):
    game = score_based(VE(largest_ratio=50.0), mixture())
    pure = eqx.tree_at(lambda game: game.initial, game, Gaussian([0.0, 0.0], 2500.0))
    assert float(random_frame(pure).spread) == 1.0
    nothing = eqx.tree_at(lambda game: game.initial, game, None)
    assert float(random_frame(nothing).spread) == 1.0


def test_frame_of_other_games_is_the_space_itself(translation):
    game, _, q = translation(0.3)
    frame = smooth_frame(game)
    field = scaled_field(frame, lambda t, x: -q + t * x)
    np.testing.assert_allclose(field(0.5, jnp.ones(2)), -q + 0.5)
    assert float(noise_level(frame, game, 0.5)) == pytest.approx(0.3)


def test_score_based_games_are_told_from_others(solved, translation, mixture):
    game, _, _ = solved(VP(), mixture())
    other, _, _ = translation(0.3)
    assert is_score_based(game)
    assert score_dynamics("Method", game) is game.dynamics
    assert not is_score_based(other)
    with pytest.raises(TypeError, match=r"`Method` got .*`Integrator`.*`score_based`"):
        score_dynamics("Method", other)
