"""Data that are an energy: no samples, training by energy, importance weights as the measure."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.densities import Gaussian
from mfgen.lab import _measures, _recipes, assemble
from mfgen.lab._context import Context
from mfgen.lab._imports import Imports
from mfgen.metrics import effective_sample_size, log_normaliser, log_weights
from mfgen.zoo import breast_cancer_posterior
from mfgen.zoo._catalogue import DATA, ENERGIES
from mfgen.zoo._named_data import Data
from mfgen.zoo._samples import prepare

POSTERIOR = "breast-cancer-posterior"


@pytest.fixture(scope="module")
def posterior():
    return prepare(Data(name=POSTERIOR), key=jax.random.key(0))


def test_the_posterior_is_given_where_its_laplace_approximation_is_standard(posterior):
    assert posterior.is_energy
    assert posterior.truth is posterior.noisable is None
    assert posterior.test.shape == posterior.validation.shape == (0, 31)
    origin = jnp.zeros(31)
    slope = jax.grad(posterior.energy.log_density)
    curvature = jax.hessian(posterior.energy.log_density)
    assert jnp.max(jnp.abs(slope(origin))) < 0.02
    np.testing.assert_allclose(curvature(origin), -jnp.eye(31), atol=0.02)
    # In original units it is the posterior itself, and the map goes there and back.
    z = np.asarray(posterior.train[:3])
    x = posterior.original(z)
    np.testing.assert_allclose(posterior.scaling.apply(x), z, atol=1e-3)
    exact = jax.vmap(breast_cancer_posterior(0.5).log_density)(jnp.asarray(x))
    found = jax.vmap(posterior.energy.log_density)(jnp.asarray(z)) + posterior.scaling.log_jacobian
    np.testing.assert_allclose(found, exact, rtol=1e-4)


@pytest.mark.slow
def test_log_z_of_the_posterior_is_known_by_its_laplace_approximation(posterior, key):
    """Independent of any training: -44.97 +- .01, with a fifth of the samples effective."""
    reference = Gaussian(jnp.zeros(31), jnp.ones(31))
    points = reference.sample(20_000, key=key)
    logs = log_weights(posterior.energy, reference.log_density, points)
    found = log_normaliser(logs)
    assert abs(found.value + 44.97) < 4 * np.hypot(found.standard_error, 0.01)
    assert 0.1 < effective_sample_size(logs) < 0.5


@pytest.mark.slow
def test_a_flow_trained_by_energy_betters_the_approximation(tmp_path):
    from mfgen.lab import run

    experiment = _recipes.experiment("boltzmann", POSTERIOR)
    judged = {"samples": 2000, "metrics": ["effective_samples", "normaliser"], "figures": False}
    experiment = experiment.changed({"training.steps": 400, "evaluation": judged})
    metrics = run(experiment, tmp_path / "run").summary["metrics"]
    assert metrics["effective_samples"]["value"] > 0.5
    found = metrics["normaliser"]
    assert found["standard_error"] < 0.03
    assert abs(found["value"] + 44.97) < 4 * np.hypot(found["standard_error"], 0.01)


def test_what_an_energy_is_judged_by_needs_no_samples():
    case = assemble(_recipes.experiment("boltzmann", POSTERIOR))
    assert case.experiment.chosen["game.initial.deviation"] == 1.0
    toy = assemble(_recipes.experiment("boltzmann", "double-well").changed({"data.samples": 50}))
    assert toy.experiment.chosen["game.initial.deviation"] == 1.5
    wanted = _measures.check(Context(case), Imports())
    assert {"effective_samples", "normaliser", "transport_cost"} <= set(wanted)
    assert not {measure.needs for measure in wanted.values()} & {"truth", "held-out"}
    assert case.experiment.training.early_stopping is False


@pytest.mark.parametrize("recipe", ["score-vp", "ot-flow", "mmd-flow"])
def test_games_of_samples_are_refused(recipe):
    with pytest.raises(ValueError, match=r"^`game\..*without samples.*the recipe boltzmann"):
        assemble(_recipes.experiment(recipe, POSTERIOR))


def test_terms_of_samples_are_refused():
    experiment = _recipes.experiment("boltzmann", POSTERIOR)
    terms = [*experiment.document["objective"], {"type": "PathLikelihood"}]
    wanted = "^`objective`: `fit` got no data for an objective that is evaluated on them"
    with pytest.raises(ValueError, match=wanted):
        assemble(experiment.changed({"objective": terms}))


def test_an_energy_needs_its_dimension_and_a_density():
    experiment = _recipes.experiment("boltzmann", "double-well")
    with pytest.raises(ValueError, match=r"got 'energy' without its dim, expected `dim`"):
        experiment.changed({"data": {"name": "energy"}})
    made = experiment.changed({"data": {"name": "energy", "dim": 2}})
    with pytest.raises(ValueError, match=r"`game.terminal.target` got 'energy', .*name a density"):
        assemble(made)
    own = {"type": "double_well", "dim": 2}
    case = assemble(made.changed({"game.terminal.target": own}))
    assert case.samples.is_energy
    assert case.game.terminal.goal.dim == 2


def test_energies_are_listed_as_data():
    assert {"energy", POSTERIOR} == set(ENERGIES)
    assert DATA[POSTERIOR].dim == 31
