"""Data that are an energy: no samples, training by energy, importance weights as the measure."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.density.gaussian import Gaussian
from mfgen.lab import evaluation, recipes, spec, toml
from mfgen.lab.catalogue import DATA, ENERGIES, METRICS
from mfgen.lab.samples import prepare
from mfgen.metrics.importance import effective_sample_size, log_normaliser, log_weights
from mfgen.zoo.posterior import breast_cancer_posterior

POSTERIOR = "breast-cancer-posterior"


@pytest.fixture(scope="module")
def posterior():
    return prepare(spec.Data(name=POSTERIOR), key=jax.random.key(0))


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
    from mfgen.lab.run import run

    experiment = recipes.experiment("boltzmann", POSTERIOR)
    experiment = spec.replace(
        experiment,
        training=spec.replace(experiment.training, steps=400),
        evaluation=spec.replace(
            experiment.evaluation,
            samples=2000,
            metrics=("effective_samples", "normaliser"),
            figures=False,
        ),
    )
    metrics = run(experiment, tmp_path / "run").summary["metrics"]
    assert metrics["effective_samples"]["value"] > 0.5
    found = metrics["normaliser"]
    assert found["standard_error"] < 0.03
    assert abs(found["value"] + 44.97) < 4 * np.hypot(found["standard_error"], 0.01)


def test_what_an_energy_is_judged_by_needs_no_samples():
    experiment = recipes.experiment("boltzmann", POSTERIOR)
    assert experiment.game.spread == 1.0
    assert recipes.experiment("boltzmann", "double-well").game.spread == 1.5
    wanted = evaluation.wanted(experiment)
    assert {"effective_samples", "normaliser", "transport_cost"} <= set(wanted)
    assert not {METRICS[name].needs for name in wanted} & {"truth", "held-out"}
    assert recipes.resolve(experiment, 31).training.early_stopping is False


@pytest.mark.parametrize("recipe", ["score-vp", "ot-flow", "flow-matching"])
def test_games_of_samples_are_refused(recipe):
    with pytest.raises(ValueError, match=r"an energy without samples.*the recipe boltzmann"):
        recipes.experiment(recipe, POSTERIOR)


def test_terms_of_samples_are_refused():
    experiment = recipes.experiment("boltzmann", POSTERIOR)
    for term in (spec.TransportCost(), spec.Denoising()):
        with pytest.raises(
            ValueError, match=f"`{type(term).__name__}` of samples .*which have none"
        ):
            spec.replace(experiment, objective=(*experiment.objective, term))


def test_an_energy_of_ones_own_needs_its_name_and_dimension():
    document = toml.encode(recipes.experiment("boltzmann", "double-well"))
    energy = {"type": "import", "path": "mine:bowl"}
    with pytest.raises(ValueError, match="got an `energy` with the data 'double-well'"):
        toml.decode(document | {"game": document["game"] | {"energy": energy}})
    with pytest.raises(ValueError, match="got no `energy` with the data 'energy'"):
        toml.decode(document | {"data": {"name": "energy", "dim": 2}})
    with pytest.raises(ValueError, match=r"got 'energy' without a dimension, expected `dim`"):
        toml.decode(document | {"data": {"name": "energy"}})


def test_energies_are_listed_as_data():
    assert {"energy", POSTERIOR} == set(ENERGIES)
    assert DATA[POSTERIOR].dim == 31
