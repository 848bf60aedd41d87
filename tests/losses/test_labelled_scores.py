"""Score-based games with labels, held against Gaussians of which each label has its own.

eta(s, . | y) = N(alpha m_y, (alpha^2 c_y^2 + sigma^2) I) and U(t, x, y) = -log eta(S - t, x | y).
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.losses.tilted import is_flat, slopes

import mfgen as mg
from mfgen.derive import hjb
from mfgen.losses._noised import noised
from mfgen.models import score_field, score_potential
from mfgen.models._precondition import precondition
from mfgen.simulate import Langevin, denoised

KEY = jax.random.key(0)
NOISING = mg.VP()
MEANS = jnp.array([[1.5, 0.0], [-0.5, 1.0]])
WIDTHS = jnp.array([0.3, 0.6])


def exact_law(t, z):
    s = NOISING.horizon - t
    mean, width = z[2:] @ MEANS, z[2:] @ WIDTHS
    signal, noise = NOISING.signal(s), NOISING.noise(s)
    spread = (signal * width) ** 2 + noise**2
    gap = z[:2] - signal * mean
    return 0.5 * gap @ gap / spread + jnp.log(2 * jnp.pi * spread)


EXACT = mg.models.Potential(exact_law)


def draw(n, *, key):
    classes = jnp.arange(n) % 2
    points = MEANS[classes] + WIDTHS[classes][:, None] * jax.random.normal(key, (n, 2))
    return mg.densities.labelled(points, mg.densities.one_hot(classes, 2))


@pytest.fixture(scope="module")
def game():
    rows = draw(2000, key=KEY)
    return mg.score_based(NOISING, mg.densities.LabelledPoints(rows[:, :2], rows[:, 2:]))


def test_the_value_function_is_minus_the_conditional_log_density(game, x64):
    z = jnp.array([0.4, -0.3, 0.0, 1.0])
    for t in (0.2, 0.9):
        assert abs(hjb(game, EXACT, None, jnp.asarray(t), z)) < 1e-9
    off = mg.models.Potential(lambda t, z: 1.01 * exact_law(t, z))
    assert abs(hjb(game, off, None, jnp.asarray(0.2), z)) > 1e-2


def test_noise_moves_points_and_no_labels(game):
    rows = draw(64, key=KEY)
    found = noised(NOISING, mg.losses.LogUniform(), rows, key=KEY, fixed=2)
    alone = noised(NOISING, mg.losses.LogUniform(), rows[:, :2], key=KEY)
    np.testing.assert_array_equal(found.y[:, :2], alone.y)
    np.testing.assert_array_equal(found.y[:, 2:], rows[:, 2:])


@pytest.mark.parametrize(
    "loss",
    [
        mg.losses.DenoisingScoreMatching(),
        mg.losses.DenoisingScoreMatching(control_variate=0.5),
        mg.losses.ImplicitScoreMatching(),
        mg.losses.SlicedScoreMatching(),
    ],
    ids=["denoising", "control variate", "implicit", "sliced"],
)
def test_losses_are_least_at_the_score_given_the_label(game, loss):
    assert is_flat(slopes(game, EXACT, loss, draw, labels=2))
    # With the labels exchanged the same field is not the score.
    swapped = lambda n, *, key: draw(n, key=key)[:, jnp.array([0, 1, 3, 2])]
    if isinstance(loss, mg.losses.DenoisingScoreMatching):
        assert not is_flat(slopes(game, EXACT, loss, swapped, labels=2), 8.0)


def test_residuals_of_the_exact_value_vanish_as_losses(game):
    rows = draw(32, key=KEY)
    assert mg.losses.HJB(points=None)(game, EXACT, rows, key=KEY) < 1e-5
    off = mg.models.Potential(lambda t, z: 1.1 * exact_law(t, z))
    assert mg.losses.HJB(points=None)(game, off, rows, key=KEY) > 1e-2
    assert mg.losses.ScoreHJB(points=None)(game, EXACT, rows, key=KEY) < 1e-4


@pytest.mark.parametrize("method", ["flow", "one_shot"])
def test_log_densities_are_those_given_the_label(game, method):
    rows = draw(16, key=KEY)
    wanted = [-exact_law(game.dynamics.horizon, row) for row in rows]
    # The reference is the Gaussian of all points, and its mean off by the signal at the noisy end.
    np.testing.assert_allclose(
        mg.log_prob(game, EXACT, rows, method=method),
        wanted,
        atol=0.03 if method == "flow" else 1e-4,
    )


@pytest.mark.parametrize(
    "method",
    [
        mg.simulate.EulerMaruyama(60),
        mg.simulate.StochasticHeun(40),
        mg.simulate.ProbabilityFlow(),
        mg.simulate.PredictorCorrector(60),
        mg.simulate.MetropolisAdjusted(mg.simulate.EulerMaruyama(20), steps=60),
        mg.simulate.Tempered(40, 2),
        Langevin(300, 0.01),
    ],
    ids=lambda method: type(method).__name__,
)
def test_samplers_draw_the_points_of_a_label(game, method):
    found = mg.sample_given(game, EXACT, mg.densities.one_hot(0, 2), 600, key=KEY, method=method)
    if not isinstance(method, Langevin):
        np.testing.assert_allclose(found.mean(axis=0), MEANS[0], atol=4 * 0.3 / 600**0.5)
    np.testing.assert_allclose(found.std(axis=0), 0.3, rtol=0.12)


def test_tweedies_formula_leaves_the_label(game):
    z = jnp.array([0.7, 0.2, 0.0, 1.0])
    signal, noise = NOISING.signal(NOISING.start), NOISING.noise(NOISING.start)
    gain = signal * 0.36 / (signal**2 * 0.36 + noise**2)
    wanted = MEANS[1] + gain * (z[:2] - signal * MEANS[1])
    clean = denoised(game, EXACT, z)
    np.testing.assert_allclose(clean[:2], wanted, rtol=1e-4)
    np.testing.assert_array_equal(clean[2:], z[2:])


def test_networks_see_the_label_and_have_no_score_along_it(game):
    z = jnp.array([0.3, -0.2, 0.0, 1.0])
    other = z.at[2:].set(jnp.array([1.0, 0.0]))
    field = score_field(game, key=KEY, width=8, depth=1)
    assert np.all(field.costate(0.4, z)[2:] == 0)
    for model in (field, score_potential(game, key=KEY, width=8, depth=1, inner=True)):
        assert np.any(model.costate(0.4, z)[:2] != model.costate(0.4, other)[:2])
    with pytest.raises(TypeError, match="density estimates know no labels"):
        precondition(game)


class TestGuidance:
    law = mg.densities.LabelledPoints(
        draw(90, key=KEY)[:, :2], draw(90, key=KEY)[:, 2:], unlabelled=0.25
    )

    def test_unlabelled_rows_are_added(self):
        assert self.law.rows.shape == (120, 4)
        assert (np.asarray(self.law.labels[90:]) == 0).all()
        points = set(map(tuple, np.asarray(self.law.rows[:90, :2]).tolist()))
        assert (
            len({tuple(row) for row in np.asarray(self.law.rows[90:, :2]).tolist()} & points) == 30
        )

    def test_the_label_is_counted_more(self):
        game = mg.score_based(NOISING, self.law)

        # All points as one Gaussian: the label of zeros.
        def value(t, z):
            s = NOISING.horizon - t
            spread = (NOISING.signal(s) * 1.0) ** 2 + NOISING.noise(s) ** 2
            free = 0.5 * z[:2] @ z[:2] / spread + jnp.log(2 * jnp.pi * spread)
            return jnp.where(jnp.any(z[2:] > 0), exact_law(t, z), free)

        model, z = mg.models.Potential(value), jnp.array([0.3, -0.2, 1.0, 0.0])
        guided = mg.models.Guided(model, 2.0, 2)
        wanted = 3 * model.costate(0.5, z) - 2 * model.costate(0.5, z.at[2:].set(0))
        np.testing.assert_allclose(guided.costate(0.5, z)[:2], wanted[:2], rtol=1e-5)
        np.testing.assert_allclose(
            guided.control(game, 0.5, z), -game.dynamics.of_points.gain(0.5) * wanted[:2], rtol=1e-5
        )
        draws = [
            mg.sample_given(game, model, mg.densities.one_hot(0, 2), 200, key=KEY, guidance=w)
            for w in (0.0, 2.0)
        ]
        plain, typical = (np.asarray(x) for x in draws)
        assert typical[:, 0].mean() > plain[:, 0].mean() + 0.05
        assert np.all(typical.std(axis=0) < plain.std(axis=0))
        with pytest.raises(TypeError, match="follow no density"):
            mg.log_prob(game, guided, self.law.rows[:2])

    def test_with_exact_scores_samples_are_drawn_away_from_other_labels_and_together(self):
        """s_w = grad log( rho(x) P(y | x)^(1 + w) ) with rho the mixture, and none leaves the data.

        Half of the data have each label, so that P(y | x) = rho(x | y) / (2 rho(x)).
        """
        game = mg.score_based(NOISING, self.law)
        of = lambda t, z, label: -exact_law(t, z.at[2:].set(jnp.eye(2)[label]))
        free = lambda t, z: jnp.logaddexp(of(t, z, 0), of(t, z, 1)) - jnp.log(2.0)
        value = lambda t, z: jnp.where(jnp.any(z[2:] > 0), exact_law(t, z), -free(t, z))
        model, z = mg.models.Potential(value), jnp.array([0.3, -0.2, 1.0, 0.0])

        def typical(z):  # of label 0
            posterior = of(0.5, z, 0) - jnp.logaddexp(of(0.5, z, 0), of(0.5, z, 1))
            return free(0.5, z) + 3 * posterior

        guided = mg.models.Guided(model, 2.0, 2)
        np.testing.assert_allclose(guided.costate(0.5, z)[:2], -jax.grad(typical)(z)[:2], rtol=1e-4)
        draw = lambda w: np.asarray(
            mg.sample_given(game, model, mg.densities.one_hot(0, 2), 400, key=KEY, guidance=w)
        )
        plain, typical = draw(0.0), draw(2.0)
        away = np.asarray(MEANS[0] - MEANS[1])
        assert (typical @ away).mean() > (plain @ away).mean() + 4 * (plain @ away).std() / 20
        assert np.all(typical.std(axis=0) < plain.std(axis=0))
        assert np.linalg.norm(typical - np.asarray(MEANS)[:1], axis=1).max() < 5 * 0.3

    def test_what_cannot_be_guided_is_refused(self, game):
        with pytest.raises(ValueError, match=r"unlabelled=0\.1"):
            mg.sample_given(game, EXACT, mg.densities.one_hot(0, 2), 5, key=KEY, guidance=1.0)
        with pytest.raises(ValueError, match="stand for no label"):
            mg.densities.LabelledPoints(
                jnp.ones((3, 1)), jnp.array([[0.0], [1.0], [2.0]]), unlabelled=0.1
            )
        with pytest.raises(ValueError, match=r"unlabelled = 1\.5"):
            mg.densities.LabelledPoints(jnp.ones((2, 1)), jnp.eye(2), unlabelled=1.5)


@pytest.mark.slow
def test_a_trained_model_draws_each_label_and_guides():
    """Eight Gaussians, each a label: within .01 of its own, ED; guided ones closer together."""
    law = mg.densities.eight_gaussians()
    points = law.sample(20_000, key=KEY)
    angle = jnp.round(jnp.arctan2(points[:, 1], points[:, 0]) / (jnp.pi / 4)).astype(int) % 8
    data = mg.densities.LabelledPoints(points, mg.densities.one_hot(angle, 8), unlabelled=0.1)
    game = mg.score_based(mg.VP(), data)
    model = score_field(game, key=KEY)
    model, _ = mg.fit(
        game, model, mg.losses.DenoisingScoreMatching(), data.rows, steps=4000, key=KEY
    )
    from mfgen.metrics import energy_distance

    for label in (0, 3):
        mine = points[angle == label]
        found = mg.sample_given(game, model, mg.densities.one_hot(label, 8), 2000, key=KEY)
        assert energy_distance(found, mine).value < 0.01
        guided = mg.sample_given(
            game, model, mg.densities.one_hot(label, 8), 2000, key=KEY, guidance=2.0
        )
        assert np.asarray(guided).std(axis=0).mean() < np.asarray(mine).std(axis=0).mean()
    free = mg.sample_given(game, model, jnp.zeros(8), 4000, key=KEY)
    assert energy_distance(free, points[:4000]).value < 0.01
