"""Measures of models whose quality is known: exact ones are judged perfect, in the right units."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.density.gaussian import Gaussian
from mfgen.lab import arrays, evaluation, recipes, spec
from mfgen.lab.samples import prepare
from mfgen.lab.store import RunFolder
from mfgen.models.base import Potential, VectorField
from mfgen.problem.cost import Kinetic
from mfgen.problem.dynamics import Integrator
from mfgen.problem.functional import CrossEntropy
from mfgen.problem.game import MFG
from mfgen.problem.noising import VP
from mfgen.zoo.score import score_based

KEY = jax.random.key(7)
SMALL = spec.Evaluation(
    samples=300,
    points=100,
    sampler=spec.StochasticHeun(steps=40),
    likelihood=spec.FlowLikelihood(
        integrator=spec.RungeKutta(steps=15), divergence=spec.ExactDivergence()
    ),
)


def exact_potential(game, law):
    noising = game.dynamics.noising

    def value(t, x):
        s = noising.horizon - t
        return -law.noised(noising.signal(s), noising.noise(s)).log_density(x)

    return Potential(value)


def known_experiment():
    return spec.replace(recipes.experiment("score-vp"), evaluation=SMALL)


@pytest.fixture(scope="module")
def known():
    """The exact potential of 8 Gaussians, judged."""
    experiment = known_experiment()
    samples = prepare(spec.Data(name="gaussians8", samples=200), key=KEY)
    game = score_based(VP(), samples.target)
    model = exact_potential(game, samples.noisable)
    return evaluation.Case(experiment, samples, game, model, key=KEY)


def test_the_exact_model_of_known_data_is_perfect(known):
    measured = {
        name: evaluation.measure(name, known) for name in evaluation.wanted(known_experiment())
    }
    # The model is the law noised to ratio .03, so a small divergence remains.
    assert abs(measured["kl"].value) < 4 * measured["kl"].standard_error + 0.01
    assert measured["one_shot_error"].value < 0.05
    assert measured["one_shot_gap"].value < 0.02
    assert measured["score_error"].value < 1e-6
    assert measured["hjb_residual"].value < 1e-2
    for name in ("energy_distance", "mmd"):
        assert abs(measured[name].value) < 4 * measured[name].standard_error
    assert "log_likelihood" not in measured
    assert "c2st" not in measured


def test_at_the_end_of_the_game_the_exact_model_has_no_error_at_all(known):
    settings = spec.replace(SMALL, against="end")
    experiment = spec.replace(known_experiment(), evaluation=settings)
    judged = evaluation.Case(experiment, known.samples, known.game, known.trained, key=KEY)
    errors = {
        against: evaluation.measure("one_shot_error", case).value
        for against, case in (("data", known), ("end", judged))
    }
    assert errors["end"] < 1e-4 < errors["data"]
    assert abs(evaluation.measure("kl", judged).value) < 2e-3
    # The points are of the noised law, so the log-density they are compared with must be too.
    for case in (known, judged):
        at_points = evaluation.pointwise("kl", case).mean()
        assert evaluation.measure("kl", case).value == pytest.approx(at_points, abs=1e-6)


def test_likelihoods_of_real_data_are_in_original_units(tmp_path):
    rng = np.random.default_rng(3)
    mean, deviation = np.array([5.0, -200.0]), np.array([0.1, 30.0])
    path = tmp_path / "table.npy"
    np.save(path, mean + deviation * rng.normal(size=(2000, 2)))
    data = spec.Data(name="table", path=str(path))
    experiment = spec.replace(recipes.experiment("score-vp"), data=data, evaluation=SMALL)
    samples = prepare(data, key=KEY)
    game = score_based(VP(), samples.target)
    # The Gaussian of the training data's moments, noised, is a model whose quality is known.
    model = exact_potential(game, Gaussian(*game.terminal.target.moments()))
    case = evaluation.Case(experiment, samples, game, model, key=KEY)
    measured = evaluation.measure("log_likelihood", case)
    x = samples.original(samples.test[: SMALL.points])
    exact = -0.5 * ((x - mean) / deviation) ** 2 - np.log(deviation) - 0.5 * np.log(2 * np.pi)
    # The fitted moments differ from the true ones by their sampling error, 1 / sqrt(1600).
    assert measured.value == pytest.approx(exact.sum(axis=1).mean(), abs=0.05)
    assert evaluation.measure("one_shot_gap", case).value < 0.01
    assert abs(evaluation.measure("c2st", case).value - 0.5) < 0.15
    with pytest.raises(evaluation.NotApplicable, match="density of the data is not known"):
        evaluation.measure("kl", case)


def test_what_needs_a_value_function_is_left_out_for_vector_fields(known):
    model = VectorField(known.trained.costate)
    case = evaluation.Case(known_experiment(), known.samples, known.game, model, key=KEY)
    for name in ("one_shot_error", "one_shot_gap", "hjb_residual"):
        with pytest.raises(evaluation.NotApplicable, match="no value function"):
            evaluation.measure(name, case)
    assert evaluation.measure("score_error", case).value < 1e-6


def test_likelihoods_can_be_those_of_one_evaluation(known):
    settings = spec.replace(SMALL, likelihood=spec.OneShot())
    experiment = spec.replace(known_experiment(), evaluation=settings)
    case = evaluation.Case(experiment, known.samples, known.game, known.trained, key=KEY)
    assert np.array_equal(case.log_densities, known.one_shot)
    assert evaluation.measure("kl", case).value == pytest.approx(
        evaluation.measure("kl", known).value, abs=0.01
    )
    with pytest.raises(evaluation.NotApplicable, match="likelihoods are those of one evaluation"):
        evaluation.measure("one_shot_gap", case)
    field = VectorField(known.trained.costate)
    case = evaluation.Case(experiment, known.samples, known.game, field, key=KEY)
    with pytest.raises(evaluation.NotApplicable, match="no value function"):
        evaluation.measure("kl", case)


def test_what_needs_a_score_is_left_out_for_other_games(known):
    game = MFG(Integrator(), Kinetic(), CrossEntropy(known.samples.target))
    model = Potential(lambda t, x: jnp.sum(x))
    case = evaluation.Case(known_experiment(), known.samples, game, model, key=KEY)
    for name, reason in {
        "kl": "no first density",
        "one_shot_error": "not score-based",
        "score_error": "not score-based",
        "hjb_residual": "no noising",
        "energy_distance": "no first density",
    }.items():
        with pytest.raises(evaluation.NotApplicable, match=reason):
            evaluation.measure(name, case)


def test_only_what_the_data_allow_is_wanted():
    toy = evaluation.wanted(recipes.experiment("score-vp"))
    real = evaluation.wanted(recipes.experiment("score-vp", "iris"))
    assert "kl" in toy
    assert "kl" not in real
    assert "log_likelihood" in real
    assert "log_likelihood" not in toy
    chosen = spec.Evaluation(metrics=("mmd", "kl"))
    named = spec.replace(recipes.experiment("score-vp"), evaluation=chosen)
    assert evaluation.wanted(named) == ["kl", "mmd"]


def test_the_arrays_of_the_exact_model_match_the_truth(known, tmp_path):
    folder = RunFolder(tmp_path)
    arrays.keep(folder, known)
    fields = folder.arrays("fields.npz")
    # The density is normalised in original units: its integral over the drawn box is one.
    left, right, bottom, top = fields["extent"]
    rows, columns = fields["truth_density"].shape
    cell = (right - left) * (top - bottom) / ((rows - 1) * (columns - 1))
    assert fields["truth_density"].sum() * cell == pytest.approx(1.0, abs=0.02)
    assert np.allclose(fields["model_score"], fields["truth_score"], atol=1e-3)
    highest = fields["truth_density"].max()
    assert np.abs(fields["model_density"] - fields["truth_density"]).max() < 0.1 * highest
    samples = folder.arrays("samples.npz")
    assert samples["samples"].shape == samples["data"].shape == (300, 2)
    assert samples["columns"].tolist() == ["x0", "x1"]
    profiles = folder.profiles()
    assert max(profiles["hjb"]["value"]) < 0.05
    assert max(profiles["score"]["value"]) < 1e-5
    assert profiles["noise_ratio"] == sorted(profiles["noise_ratio"])


def test_measures_over_points_are_the_means_of_what_is_kept(known):
    assert evaluation.pointwise("mmd", known) is None
    for name in ("kl", "one_shot_error", "one_shot_gap"):
        values, measured = evaluation.pointwise(name, known), evaluation.measure(name, known)
        assert values.shape == (SMALL.points,)
        assert values.mean() == pytest.approx(measured.value, abs=1e-6)
        assert values.std(ddof=1) / 10 == pytest.approx(measured.standard_error, rel=1e-4)


def test_paths_that_do_not_arrive_leave_measures_out_and_keep_the_model(known):
    hurried = spec.Adaptive(tolerance=1e-6, max_steps=1)
    settings = spec.replace(
        SMALL,
        sampler=spec.ProbabilityFlow(integrator=hurried),
        likelihood=spec.FlowLikelihood(integrator=hurried, divergence=spec.ExactDivergence()),
    )
    experiment = spec.replace(known_experiment(), evaluation=settings)
    judged = evaluation.Case(experiment, known.samples, known.game, known.trained, key=KEY)
    for name, owner in (("kl", "log_prob"), ("mmd", "sample")):
        with pytest.raises(evaluation.NotApplicable, match=rf"^`{owner}` stopped at game time"):
            evaluation.measure(name, judged)
