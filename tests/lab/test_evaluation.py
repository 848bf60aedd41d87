"""Measures of models whose quality is known: exact ones are judged perfect, in the right units."""

import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.costs import Kinetic
from mfgen.densities import Gaussian
from mfgen.dynamics import Integrator
from mfgen.functionals import CrossEntropy
from mfgen.games import MFG
from mfgen.lab import RunFolder, _arrays, _context, _measures, _recipes, assemble
from mfgen.lab._context import Context, NotApplicable
from mfgen.lab._imports import Imports
from mfgen.models import Potential, VectorField

NONE = Imports()
SMALL = {
    "samples": 300,
    "points": 100,
    "sampler": {"type": "StochasticHeun", "steps": 40},
    "likelihood": {"integrator": {"steps": 15}},
}


def judged(known, **settings):
    """The same, with other settings of the evaluation, another game or another model."""
    parts = {name: settings.pop(name) for name in ("game", "model") if name in settings}
    case = known.case._replace(**parts)
    if settings:
        changes = {"evaluation": SMALL | settings}
        made = assemble(case.experiment.changed(changes))
        case = case._replace(evaluation=made.evaluation)
    return Judged(case)


class Judged(Context):
    """A context that remembers its case."""

    def __init__(self, case):
        super().__init__(case)
        self.case = case


def measure(name, context):
    return _measures.measure(_measures.METRICS[name], context)[0]


def pointwise(name, context):
    return _measures.measure(_measures.METRICS[name], context)[1]


def exact_potential(game, law):
    noising = game.dynamics.noising

    def value(t, x):
        s = noising.horizon - t
        return -law.noised(noising.signal(s), noising.noise(s)).log_density(x)

    return Potential(value)


@pytest.fixture(scope="module")
def known():
    """The exact potential of 8 Gaussians, judged."""
    changes = {"data.samples": 200, "evaluation": SMALL, "seed": 7, "game.noising": {"type": "VP"}}
    case = assemble(_recipes.experiment("score-vp").changed(changes))
    return Judged(case._replace(model=exact_potential(case.game, case.samples.noisable)))


def test_the_exact_model_of_known_data_is_perfect(known):
    measured = {name: measure(name, known) for name in _measures.check(known, NONE)}
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
    other = judged(known, against="end")
    errors = {
        against: measure("one_shot_error", case).value
        for against, case in (("data", known), ("end", other))
    }
    assert errors["end"] < 1e-4 < errors["data"]
    assert abs(measure("kl", other).value) < 2e-3
    # The points are of the noised law, so the log-density they are compared with must be too.
    for case in (known, other):
        at_points = pointwise("kl", case).mean()
        assert measure("kl", case).value == pytest.approx(at_points, abs=1e-6)


def test_likelihoods_of_real_data_are_in_original_units(tmp_path):
    rng = np.random.default_rng(3)
    mean, deviation = np.array([5.0, -200.0]), np.array([0.1, 30.0])
    path = tmp_path / "table.npy"
    np.save(path, mean + deviation * rng.normal(size=(2000, 2)))
    changes = {"data": {"name": "table", "path": str(path)}, "evaluation": SMALL}
    made = assemble(_recipes.experiment("score-vp").changed(changes))
    samples, game = made.samples, made.game
    # The Gaussian of the training data's moments, noised, is a model whose quality is known.
    model = exact_potential(game, Gaussian(*game.terminal.target.moments()))
    case = Judged(made._replace(model=model))
    measured = measure("log_likelihood", case)
    x = samples.original(samples.test[: SMALL["points"]])
    exact = -0.5 * ((x - mean) / deviation) ** 2 - np.log(deviation) - 0.5 * np.log(2 * np.pi)
    # The fitted moments differ from the true ones by their sampling error, 1 / sqrt(1600).
    assert measured.value == pytest.approx(exact.sum(axis=1).mean(), abs=0.05)
    assert measure("one_shot_gap", case).value < 0.01
    found = measure("one_evaluation_likelihood", case)
    assert found.value == pytest.approx(measured.value, abs=0.01)
    assert abs(measure("c2st", case).value - 0.5) < 0.15
    with pytest.raises(NotApplicable, match="density of the data is not known"):
        measure("kl", case)


def test_the_density_of_a_potential_is_normalised_first(known):
    """A constant in U changes neither of its measures, as no other measure of U is blind to."""
    lifted = Potential(lambda t, x: known.trained(t, x) + 3.0)
    case = judged(known, model=lifted, against="end")
    found = measure("one_evaluation_kl", case)
    assert abs(found.value) < 4 * found.standard_error + 1e-4
    assert measure("effective_part", case).value > 0.99
    assert measure("one_shot_error", case).value == pytest.approx(3.0, abs=1e-3)


def test_a_density_without_a_normaliser_is_left_out_with_its_weights(known):
    """A potential that is too steep at the end: few of the flow's points have its weight."""
    end = known.game.dynamics.horizon
    steep = Potential(lambda t, x: known.trained(t, x) * (1 + 30 * (t == end)))
    case = judged(known, model=steep)
    with pytest.raises(NotApplicable, match="importance weights that have degenerated"):
        measure("one_evaluation_kl", case)
    assert 0 < measure("effective_part", case).value < 0.2


def test_populations_normalise_where_flows_are_dear(known, monkeypatch):
    """Here in any dimension; the exact potential has divergence zero."""
    monkeypatch.setattr(_context, "_AXES", 0)
    case = judged(known, against="end")
    found = measure("one_evaluation_kl", case)
    assert case.law.drawn.populations > 1
    assert abs(found.value) < 4 * found.standard_error + 1e-4


def test_what_needs_a_value_function_is_left_out_for_vector_fields(known):
    model = VectorField(known.trained.costate)
    case = judged(known, model=model)
    for name in ("one_evaluation_kl", "one_shot_error", "one_shot_gap", "hjb_residual"):
        with pytest.raises(NotApplicable, match="no value function"):
            measure(name, case)
    assert measure("score_error", case).value < 1e-6


def test_likelihoods_can_be_those_of_one_evaluation(known):
    case = judged(known, likelihood={"type": "OneShot"})
    assert np.array_equal(case.log_densities, known.one_shot)
    assert measure("kl", case).value == pytest.approx(measure("kl", known).value, abs=0.01)
    for name in ("one_evaluation_kl", "effective_part", "one_shot_gap"):
        with pytest.raises(NotApplicable, match="likelihoods are those of one evaluation"):
            measure(name, case)
    field = VectorField(known.trained.costate)
    case = judged(known, model=field, likelihood={"type": "OneShot"})
    with pytest.raises(NotApplicable, match="no value function"):
        measure("kl", case)


def test_what_needs_a_score_is_left_out_for_other_games(known):
    game = MFG(Integrator(), Kinetic(), CrossEntropy(known.samples.target))
    model = Potential(lambda t, x: jnp.sum(x))
    case = judged(known, game=game, model=model)
    for name, reason in {
        "kl": "no first density",
        "one_shot_error": "not score-based",
        "score_error": "not score-based",
        "hjb_residual": "no noising",
        "energy_distance": "no first density",
    }.items():
        with pytest.raises(NotApplicable, match=reason):
            measure(name, case)


def test_only_what_the_data_allow_is_wanted(known):
    real = Context(assemble(_recipes.experiment("score-gmm", "iris")))
    assert "kl" in _measures.check(known, NONE)
    assert "log_likelihood" not in _measures.check(known, NONE)
    assert "kl" not in _measures.check(real, NONE)
    assert "log_likelihood" in _measures.check(real, NONE)
    assert list(_measures.check(judged(known, metrics=["mmd", "kl"]), NONE)) == ["kl", "mmd"]
    with pytest.raises(ValueError, match=r"`evaluation.metrics\[0\]` got 'kll'.*did you mean `kl`"):
        _measures.check(judged(known, metrics=["kll"]), NONE)


def test_the_arrays_of_the_exact_model_match_the_truth(known, tmp_path):
    folder = RunFolder(tmp_path)
    _arrays.keep(folder, known)
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
    assert pointwise("mmd", known) is None
    for name in ("kl", "one_shot_error", "one_shot_gap"):
        values, measured = pointwise(name, known), measure(name, known)
        assert values.shape == (SMALL["points"],)
        assert values.mean() == pytest.approx(measured.value, abs=1e-6)
        assert values.std(ddof=1) / 10 == pytest.approx(measured.standard_error, rel=1e-4)


def test_paths_that_do_not_arrive_leave_measures_out_and_keep_the_model(known):
    hurried = {"integrator": {"type": "Adaptive", "tolerance": 1e-6, "max_steps": 1}}
    other = judged(known, sampler={"type": "ProbabilityFlow", **hurried}, likelihood=hurried)
    for name, owner in (("kl", "log_prob"), ("mmd", "sample")):
        with pytest.raises(NotApplicable, match=rf"^`{owner}` stopped at game time"):
            measure(name, other)
