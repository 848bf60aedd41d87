"""log Z by populations down the noise levels against exact integrals; what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Gaussian, GaussianMixture
from mfgen.dynamics import VE, VP, LinearNoising
from mfgen.metrics import DegenerateWeights, log_normaliser, potential_density
from mfgen.metrics._populations import told
from mfgen.models import Potential
from mfgen.simulate import SequentialProposal
from mfgen.simulate._sequential import _lighter, _resampled, _State
from mfgen.simulate._weighted import Weighted
from mfgen.zoo import score_based

NOISING = VP(beta_max=9.1)
DIM = 12
CENTRES = np.zeros((3, DIM))
CENTRES[:, :2] = [[1.2, 0.0], [-0.6, 1.0], [-0.6, -1.0]]
MIXTURE = GaussianMixture([0.5, 0.3, 0.2], CENTRES, [0.3, 0.5, 0.4])
BUMP = Gaussian(jnp.full(DIM, 0.4), 0.2)
GAME = score_based(NOISING, MIXTURE)
PROPOSAL = SequentialProposal(60, 1)


def at(law, t):
    s = NOISING.horizon - t
    return law.noised(NOISING.signal(s), NOISING.noise(s))


def bumped(t, x, *, extra=1.5, constant=0.0):
    """-log of p + a b, with the bump b growing along the game: its integral at the end is 1 + a."""
    share = extra * (t / GAME.dynamics.horizon) ** 4
    heights = jnp.stack([at(MIXTURE, t).log_density(x), at(BUMP, t).log_density(x)])
    return constant - jax.nn.logsumexp(heights + jnp.log(jnp.stack([1.0, share + 1e-30])))


def test_an_exact_potential_has_integral_one(key, within):
    potential = Potential(lambda t, x: -at(MIXTURE, t).log_density(x))
    law = potential_density(GAME, potential, 480, key=key, proposal=PROPOSAL)
    within(law.log_normaliser, 0.0)
    assert float(law.log_normaliser.standard_error) < 0.05
    assert law.drawn.populations == 16


@pytest.fixture(scope="module")
def bump_law():
    potential = Potential(lambda t, x: bumped(t, x, constant=3.0))
    return potential_density(GAME, potential, 1600, key=jax.random.key(0), proposal=PROPOSAL)


def test_a_bump_of_known_mass_and_a_constant_are_found(bump_law, key, within):
    """The bump has one and a half times the mass that is drawn where it is not yet there."""
    within(bump_law.log_normaliser, np.log(2.5) - 3.0)
    assert float(bump_law.log_normaliser.standard_error) < 0.1
    x = BUMP.sample(3, key=key)
    exact = [-bumped(GAME.dynamics.horizon, row) - np.log(2.5) for row in x]
    error = 4 * float(bump_law.log_normaliser.standard_error)
    np.testing.assert_allclose(bump_law.log_prob(x), exact, atol=error)


def test_points_resampled_are_a_sample_of_the_law(bump_law, key):
    """By the mean along axes on which the mixture's is 0, and the share of points in the bump."""
    x = np.asarray(bump_law.sample(1600, key=jax.random.key(1)))
    assert abs(x[:, 3:].mean() - 0.4 * 1.5 / 2.5) < 0.06
    last = at(BUMP, GAME.dynamics.horizon)
    near, own = (
        jax.vmap(last.log_density)(y) for y in (jnp.asarray(x), BUMP.sample(2000, key=key))
    )
    assert abs(np.mean(np.asarray(near) > np.quantile(own, 0.01)) - 0.99 * 0.6) < 0.12


def test_ve_games_are_carried_too(key, within):
    noising = VE()
    game = score_based(noising, Gaussian([0.5, -0.2], [0.4, 0.9]))
    law = lambda t: Gaussian([0.5, -0.2], [0.4, 0.9]).noised(
        1.0, noising.noise(noising.horizon - t)
    )
    potential = Potential(lambda t, x: 2.0 - law(t).log_density(x))
    found = potential_density(game, potential, 480, key=key, proposal=SequentialProposal(40))
    within(found.log_normaliser, -2.0)
    assert float(found.effective_fraction.value) > 0.3


def test_what_populations_tell_is_told_by_their_spread():
    """By hand: four populations of two points."""
    logs = jnp.log(jnp.array([1.0, 3.0, 2.0, 4.0, 1.0, 1.0, 2.0, 2.0]))
    fraction, found = told(Weighted(jnp.zeros((8, 1)), logs, 4))
    means = np.array([2.0, 3.0, 1.0, 2.0])
    error = means.std(ddof=1) / 2 / 2
    assert float(found.value) == pytest.approx(np.log(2.0), abs=1e-6)
    assert float(found.standard_error) == pytest.approx(error, rel=1e-6)
    assert float(fraction.value) == pytest.approx(1 / (1 + 8 * error**2), rel=1e-6)
    alone = told(Weighted(jnp.zeros((8, 1)), logs))[1]
    assert alone == log_normaliser(logs)


def test_resampling_keeps_means(key):
    """A systematic sample has as many copies of a point as its weight says, rounded up or down."""
    weights = jnp.array([0.1, 0.1, 5.0, 0.3, 2.5, 0.0])
    walkers = jnp.arange(6.0)
    state = _lighter(_State(walkers, jnp.log(weights), jnp.zeros(())))
    assert float(state.log_mean) == pytest.approx(np.log(8 / 6), abs=1e-6)
    drawn = [
        np.bincount(np.asarray(_resampled(state, jax.random.key(k)).walkers, int), minlength=6)
        for k in range(200)
    ]
    wanted = np.asarray(weights) * 6 / 8
    assert np.all(np.abs(np.array(drawn) - wanted) < 1)
    np.testing.assert_allclose(np.mean(drawn, axis=0), wanted, atol=4 * 0.5 / np.sqrt(200))
    even = _State(walkers, jnp.zeros(6), jnp.zeros(()))
    np.testing.assert_array_equal(_resampled(even, key).walkers, walkers)


def test_weights_that_have_degenerated_are_refused(key):
    """All at once at the first of two levels: a population is left with a point or two."""
    frozen = Potential(lambda t, x: -at(MIXTURE, GAME.dynamics.horizon).log_density(x))
    with pytest.raises(DegenerateWeights, match="`proposal=SequentialProposal"):
        potential_density(GAME, frozen, 160, key=key, proposal=SequentialProposal(2))


def test_mass_outside_of_what_is_drawn_is_refused(key):
    escape = lambda t, x: bumped(t, x) - 10.0 * jax.nn.relu(jnp.sqrt(x @ x + 1e-6) - 12.0) ** 2
    with pytest.raises(ValueError, match=r"times its mass at more than 1\.5 times"):
        potential_density(GAME, Potential(escape), 160, key=key, proposal=SequentialProposal(30))


def test_potentials_without_a_number_are_refused(key):
    holed = Potential(lambda t, x: jnp.where(t > 0.9, jnp.nan, bumped(t, x)))
    with pytest.raises(ValueError, match=r"not finite at 160 of 160 points"):
        potential_density(GAME, holed, 160, key=key, proposal=SequentialProposal(10))


def test_what_does_not_fit_is_refused(key):
    for bad in ({"levels": 0}, {"moves": 0}, {"populations": 3}):
        with pytest.raises(ValueError, match="`SequentialProposal` got"):
            SequentialProposal(**bad)
    linear = LinearNoising(-jnp.eye(2), jnp.eye(2))
    game = score_based(linear, Gaussian(jnp.zeros(2)))
    with pytest.raises(TypeError, match="`SequentialProposal` got a score-based game"):
        potential_density(
            game, Potential(lambda t, x: x @ x), 160, key=key, proposal=SequentialProposal(4)
        )


@pytest.mark.slow
def test_errors_by_populations_cover(covered):
    """Two errors hold the exact log Z in about 19 of 20 of a hundred runs."""
    covered(
        [
            potential_density(
                GAME, Potential(bumped), 640, key=jax.random.key(seed), proposal=PROPOSAL
            ).log_normaliser
            for seed in range(100)
        ],
        np.log(2.5),
    )
