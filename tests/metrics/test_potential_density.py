"""The density of a potential against quadrature and exact laws; what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Gaussian, GaussianMixture
from mfgen.dynamics import VE, VP
from mfgen.metrics import (
    DegenerateWeights,
    Estimate,
    kl,
    one_evaluation_kl,
    one_evaluation_log_likelihood,
    potential_density,
)
from mfgen.metrics._escape import outside, peak_outside
from mfgen.models import Potential, VectorField
from mfgen.simulate import (
    AnnealedProposal,
    FlowProposal,
    Hutchinson,
    OneShot,
    SequentialProposal,
    estimate_log_prob,
    log_prob,
)
from mfgen.zoo import score_based

NOISING = VP(beta_max=9.1)
TARGET = GaussianMixture([0.3, 0.7], [[1.0, 0.5], [-0.5, -1.0]], [0.3, 0.2])
GAME = score_based(NOISING, TARGET)
LAST = TARGET.noised(NOISING.signal(NOISING.start), NOISING.noise(NOISING.start))
ANNEALED = AnnealedProposal(40, 1)
PROPOSALS = {
    "flow": FlowProposal(),
    "annealed": ANNEALED,
    "sequential": SequentialProposal(40, 1),
}


def exact(t, x):
    s = NOISING.horizon - t
    return -TARGET.noised(NOISING.signal(s), NOISING.noise(s)).log_density(x)


def skew(t, x):
    """Exact at the noisy end, and at the other a law of another shape that is not normalised."""
    end = t / GAME.dynamics.horizon
    return exact(t, x) + end * (1.3 + 0.3 * jnp.sin(3 * x[0]) + 0.1 * x @ x)


def lattice():
    """Points of a square beyond which there is next to nothing, and the area of a cell."""
    line = np.linspace(-6.0, 6.0, 301)
    grid = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    return jnp.asarray(grid, jnp.float32), (line[1] - line[0]) ** 2


def integral(energy):
    """log int exp(-U), by the rule of equal weights."""
    grid, area = lattice()
    return float(np.log(np.exp(-at_all(energy, grid)).sum() * area))


def divergence(energy):
    """KL(LAST || exp(-U) / Z), by the same rule."""
    grid, area = lattice()
    truth, values = at_all(LAST.log_density, grid), at_all(energy, grid)
    return float(np.sum(np.exp(truth) * (truth + values)) * area + integral(energy))


def at_all(function, points):
    return np.asarray(jax.jit(jax.vmap(function))(points), np.float64)


EXACT, SKEW = Potential(exact), Potential(skew)


def test_an_exact_potential_is_normalised(key, within):
    """By the flow every weight is one, but for the error of its steps."""
    law = potential_density(GAME, EXACT, 256, key=key)
    assert abs(float(law.log_normaliser.value)) < 2e-3
    assert float(law.log_normaliser.standard_error) < 1e-3
    assert float(law.effective_fraction.value) > 0.999
    annealed = potential_density(GAME, EXACT, 1024, key=key, proposal=ANNEALED)
    within(annealed.log_normaliser, 0.0)
    assert float(annealed.log_normaliser.standard_error) < 0.05


@pytest.mark.parametrize("name", PROPOSALS)
def test_the_normaliser_is_that_of_quadrature(name, key, within):
    law = potential_density(GAME, SKEW, 2000, key=key, proposal=PROPOSALS[name])
    wanted = integral(lambda x: skew(GAME.dynamics.horizon, x))
    within(law.log_normaliser, wanted)
    assert abs(wanted) > 1 > 20 * float(law.log_normaliser.standard_error)
    points, weights = law.particles()
    places, _ = lattice()
    heights = np.exp(-at_all(lambda x: skew(GAME.dynamics.horizon, x), places))
    mean = heights @ np.asarray(places) / heights.sum()
    spread = np.sqrt((np.asarray(weights)[:, None] ** 2 * (np.asarray(points) - mean) ** 2).sum(0))
    assert np.all(np.abs(np.asarray(law.moments()[0]) - mean) < 4 * spread)


def test_a_constant_is_taken_out(key):
    plain, lifted = (
        potential_density(GAME, Potential(lambda t, x, c=c: exact(t, x) + c), 256, key=key)
        for c in (0.0, 7.0)
    )
    shift = float(plain.log_normaliser.value) - float(lifted.log_normaliser.value)
    assert shift == pytest.approx(7.0, abs=1e-4)
    x = TARGET.sample(5, key=key)
    np.testing.assert_allclose(lifted.log_prob(x), plain.log_prob(x), atol=1e-4)


def test_log_prob_takes_the_normaliser(key):
    law, x = potential_density(GAME, SKEW, 500, key=key), TARGET.sample(6, key=key)
    found = estimate_log_prob(GAME, SKEW, x, method=law.method)
    np.testing.assert_allclose(found.value, law.log_prob(x), atol=1e-5)
    np.testing.assert_allclose(found.standard_error, float(law.log_normaliser.standard_error))
    bare = log_prob(GAME, SKEW, x, method=OneShot())
    np.testing.assert_allclose(bare - found.value, float(law.log_normaliser.value), atol=1e-5)
    value, gradient = law.value_and_gradient(x[0])
    np.testing.assert_allclose(value, found.value[0], atol=1e-5)
    wanted = -jax.grad(lambda x: skew(GAME.dynamics.horizon, x))(x[0])
    np.testing.assert_allclose(gradient, wanted, rtol=1e-4)
    with pytest.raises(ValueError, match="`OneShot` got log_normaliser = nan"):
        OneShot(float("nan"))


def test_the_divergence_is_that_of_quadrature(key, within):
    """Its error is below that of the plain mean, and holds the one of log Z that is left."""
    end, x = GAME.dynamics.horizon, LAST.sample(3000, key=jax.random.key(5))
    law = potential_density(GAME, SKEW, 300, key=key)
    plain, found = kl(LAST, law.log_prob(x), x), one_evaluation_kl(LAST, law, x)
    whole = np.hypot(float(plain.standard_error), float(law.log_normaliser.standard_error))
    assert float(found.standard_error) < 0.2 * whole
    wanted = divergence(lambda x: skew(end, x))
    within(found, wanted)
    assert wanted > 0.02


def test_the_divergence_of_the_truth_is_zero(key):
    law = potential_density(GAME, EXACT, 256, key=key)
    found = one_evaluation_kl(LAST, law, LAST.sample(500, key=key))
    assert abs(float(found.value)) < 1e-5
    holed = Potential(lambda t, x: exact(t, x) + jnp.where(x[0] > 3.2, jnp.inf, 0.0))
    law = potential_density(GAME, holed, 100, key=key)
    assert one_evaluation_kl(LAST, law, jnp.array([[3.4, 0.0], [0.0, 0.0]])).value == np.inf


def test_mass_that_no_sample_of_the_truth_sees_counts(key):
    """A fifth of the model's mass lies in a mode that the truth has not: KL = -log 0.8."""
    both = GaussianMixture([0.8, 0.2], [[-2.0, 0.0], [2.5, 0.0]], [0.05, 0.05])
    game, alone = score_based(NOISING, both), Gaussian([-2.0, 0.0], 0.05)
    at = lambda t, law: law.noised(
        *(f(NOISING.horizon - t) for f in (NOISING.signal, NOISING.noise))
    )
    law = potential_density(game, Potential(lambda t, x: -at(t, both).log_density(x)), 200, key=key)
    last = at(game.dynamics.horizon, alone)
    found = one_evaluation_kl(last, law, last.sample(500, key=key))
    assert float(found.value) == pytest.approx(-np.log(0.8), abs=0.01)


def test_the_likelihood_holds_the_error_of_the_normaliser(key):
    law, x = potential_density(GAME, SKEW, 300, key=key), LAST.sample(300, key=jax.random.key(5))
    values = np.asarray(law.log_prob(x), np.float64)
    found = one_evaluation_log_likelihood(law, x, log_jacobian=-2.0)
    assert float(found.value) == pytest.approx(values.mean() - 2.0, abs=1e-6)
    squares = values.var(ddof=1) / 300 + float(law.log_normaliser.standard_error) ** 2
    assert float(found.standard_error) == pytest.approx(squares**0.5, rel=1e-5)


def test_points_resampled_follow_the_density(key, within):
    law = potential_density(GAME, SKEW, 2000, key=key)
    drawn = np.asarray(law.sample(4000, key=jax.random.key(1)))
    mean, covariance = law.moments()
    spread = np.sqrt(np.diag(np.asarray(covariance)) / 4000)
    assert np.all(np.abs(drawn.mean(axis=0) - np.asarray(mean)) < 4 * spread)


def test_degenerate_weights_are_refused(key):
    sharp = Potential(lambda t, x: exact(t, x) + 300.0 * t**8 * (x[0] - 1.0) ** 2)
    frozen = Potential(lambda t, x: sharp(jnp.asarray(GAME.dynamics.horizon), x))
    with pytest.raises(DegenerateWeights, match=r"a fraction 0\.0\d+.*at least 0\.05") as refusal:
        # Untempered: every level has the last potential, far from the reference.
        potential_density(GAME, frozen, 200, key=key, proposal=AnnealedProposal(2, 1))
    assert float(refusal.value.effective_fraction.value) < 0.05
    assert isinstance(refusal.value.log_normaliser, Estimate)


def test_populations_tell_what_the_flow_does_not(key, within):
    """A potential that closes in faster than its own flow follows."""
    end = GAME.dynamics.horizon
    squeezed = Potential(lambda t, x: exact(t, x) + 60.0 * (t / end) ** 12 * (x[0] - 0.3) ** 2)
    with pytest.raises(DegenerateWeights, match="`proposal=SequentialProposal"):
        potential_density(GAME, squeezed, 400, key=key)
    proposal = SequentialProposal(60, 2)
    law = potential_density(GAME, squeezed, 800, key=key, proposal=proposal)
    within(law.log_normaliser, integral(lambda x: squeezed(jnp.asarray(end), x)))
    assert float(law.log_normaliser.standard_error) < 0.1


def test_potentials_that_escape_are_refused(key):
    """exp(-U) falls where the data are, and rises without bound far from them."""
    escape = lambda t, x: exact(t, x) - 10.0 * jax.nn.relu(jnp.sqrt(x @ x + 1e-6) - 8.0) ** 2
    with pytest.raises(ValueError, match=r"times its mass at more than 1\.5 times"):
        potential_density(GAME, Potential(escape), 200, key=key)


def test_potentials_that_escape_in_few_directions_are_told(key):
    """About one axis of twenty, where no point lies: scaled points do not see it."""
    target = Gaussian(jnp.zeros(20))
    game = score_based(NOISING, target)
    plain = lambda t, x: 0.5 * x @ x + 10 * jnp.log(2 * jnp.pi)
    narrow = lambda t, x: plain(t, x) - jax.nn.relu(x[0] - 6.0) ** 2
    law = potential_density(game, Potential(plain), 100, key=key)
    assert peak_outside(law.log_density, law.drawn)[0] == 0.0
    hidden = lambda x: -narrow(0.0, x)
    assert outside(hidden, law.drawn)[0] < 0.01
    assert peak_outside(hidden, law.drawn)[0] == pytest.approx(1.0)
    with pytest.warns(UserWarning, match=r"lower somewhere at (8|32) times .* expected higher"):
        potential_density(game, Potential(narrow), 100, key=key)


def test_potentials_that_are_not_finite_are_refused(key):
    holed = Potential(lambda t, x: jnp.where(x[0] > 0.5, jnp.inf, 0.0) + exact(t, x))
    with pytest.raises(ValueError, match=r"not finite at \d+ of 200 points"):
        potential_density(GAME, holed, 200, key=key)


def test_points_far_outside_are_told(key):
    law = potential_density(GAME, EXACT, 200, key=key)
    with pytest.warns(UserWarning, match=r"got 1 of 2 points that lie up to 26\.\d times as far"):
        law.log_prob(jnp.array([[0.0, 0.0], [50.0, 50.0]]))


def test_what_has_no_density_is_refused(key):
    with pytest.raises(TypeError, match="`potential_density` got a model `VectorField`"):
        potential_density(GAME, VectorField(lambda t, x: x), key=key)
    with pytest.raises(ValueError, match="`potential_density` got n = 10"):
        potential_density(GAME, EXACT, 10, key=key)
    with pytest.raises(ValueError, match="`FlowProposal` got the divergence `Hutchinson`"):
        FlowProposal(divergence=Hutchinson(2))
    with pytest.raises(ValueError, match="`AnnealedProposal` got levels = 0"):
        AnnealedProposal(0)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROPOSALS)
def test_errors_of_the_normaliser_cover(name, covered):
    """Two errors hold log Z in 19 of 20 runs, the errors of both proposals."""
    wanted = integral(lambda x: skew(GAME.dynamics.horizon, x))
    proposal = PROPOSALS[name]
    covered(
        [
            potential_density(
                GAME, SKEW, 600, key=jax.random.key(seed), proposal=proposal
            ).log_normaliser
            for seed in range(200)
        ],
        wanted,
    )


def test_ve_games_anneal_too(key, within):
    """Their points shrink with the noise, three hundred times."""
    noising = VE()
    game = score_based(noising, Gaussian([0.5, -0.2], [0.4, 0.9]))
    law = lambda t: Gaussian([0.5, -0.2], [0.4, 0.9]).noised(
        1.0, noising.noise(noising.horizon - t)
    )
    potential = Potential(lambda t, x: 2.0 - law(t).log_density(x))
    found = potential_density(game, potential, 500, key=key, proposal=ANNEALED)
    within(found.log_normaliser, -2.0)
    assert float(found.effective_fraction.value) > 0.5


@pytest.mark.slow
def test_errors_of_the_divergence_cover(covered):
    """Over samples of the truth and over draws for log Z, both anew; the truth is their mean."""
    estimates = []
    for seed in range(200):
        keys = jax.random.split(jax.random.key(seed))
        law = potential_density(GAME, SKEW, 600, key=keys[0])
        estimates.append(one_evaluation_kl(LAST, law, LAST.sample(600, key=keys[1])))
    wanted = divergence(lambda x: skew(GAME.dynamics.horizon, x))
    covered(estimates, wanted)
