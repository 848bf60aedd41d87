"""Every flow recipe by its name: trained, resumed, sampled and scored as a run."""

import math

import pytest

from mfgen.lab import _recipes, _run

FLOWS = [
    name
    for name, document in _recipes.documents().items()
    if document["game"].get("dynamics", {}).get("type") == "Integrator"
    and "type" not in document["training"]
]
FEW = ("cnf", "ot-flow")  # a control and a potential
NAMES = [
    pytest.param(name, marks=[] if name in FEW else [pytest.mark.slow], id=name) for name in FLOWS
]
METRICS = ["log_likelihood", "transport_cost", "inverse_error"]


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_a_run(name, tmp_path):
    made = _recipes.experiment(name, "double-well" if name == "boltzmann" else "gaussians8")
    training = {"steps": 4, "batch_size": 32, "every": 2, "checkpoint_every": 2}
    judged = {"samples": 64, "points": 64, "metrics": METRICS, "figures": name == "ot-flow"}
    tiny = made.changed(
        {
            "data.samples": 256,
            "training": {**made.document["training"], **training},
            "evaluation": judged,
        }
    )
    done = _run.run(tiny, tmp_path / "run")
    measures = done.folder.summary()["metrics"]
    assert set(METRICS) <= set(measures)
    assert all(math.isfinite(measures[metric]["value"]) for metric in METRICS)
    assert measures["inverse_error"]["value"] < 1e-3
    # What was kept is the model itself: it is judged alike when it is read again.
    again = _run.run(tiny, tmp_path / "run", resume=True).folder.summary()["metrics"]
    assert again == measures
