"""Run folders written by hand: what readers of runs are tested on, without training."""

import numpy as np
import pytest

from mfgen.lab import RunFolder, _recipes, _rules, _toml
from mfgen.lab._comparison import is_regularised
from mfgen.metrics import Estimate


def _write_run(path, experiment, metrics, *, ms_per_step=2.0, pictures=True):
    """Writes a finished run with the given measures, in the layout of `mfgen.lab._store`."""
    dim = _rules.dimension(experiment.data)
    folder = RunFolder(path)
    folder.write_text("spec.toml", _toml.write(experiment))
    rng = np.random.default_rng(experiment.seed)
    terms = ["DenoisingScoreMatching", *(["HJB"] if is_regularised(experiment) else [])]
    for step in range(100, 1100, 100):
        loss = {term: 1 + 3 * np.exp(-step / 300) + 0.05 * rng.normal() for term in terms}
        folder.append(
            {
                "step": step,
                "steps": 1000,
                "terms": loss,
                "validation": None,
                "seconds": step / 100.0,
                "milliseconds_per_step": ms_per_step,
            }
        )
    folder.write_json("versions.json", {"python": "3.11", "jax": "0.10"})
    folder.write_json("profiles.json", {})
    if pictures:
        _write_pictures(folder, dim, rng)
    summary = {
        "spec": experiment.name,
        "data": experiment.data.name,
        "seed": experiment.seed,
        "steps": 1000,
        "best_step": None,
        "wall_seconds": 10.0,
        "evaluation_seconds": 2.0,
        "ms_per_step": ms_per_step,
        "parameters": 1234,
        "metrics": {name: Estimate(*pair)._asdict() for name, pair in metrics.items()},
        "skipped": {},
    }
    folder.write_json("summary.json", summary)
    return folder


def _write_pictures(folder, dim, rng):
    names = [f"x{index}" for index in range(dim)]
    samples, data = rng.normal(size=(2, 300, dim))
    folder.write_arrays(
        "samples.npz", {"samples": samples, "data": data, "columns": np.array(names)}
    )
    ratio = np.geomspace(0.03, 10, 12)
    band = {"value": list(1 / ratio), "standard_error": list(0.1 / ratio)}
    folder.write_json("profiles.json", {"noise_ratio": list(ratio), "hjb": band, "score": band})
    if dim == 2:
        folder.write_arrays("fields.npz", _fields())


@pytest.fixture(scope="session")
def write_run():
    """The function that writes a run by hand."""
    return _write_run


def _fields():
    grid = np.stack(np.meshgrid(np.linspace(-3, 3, 40), np.linspace(-3, 3, 40)), axis=-1)
    density = np.exp(-0.5 * np.sum(grid**2, axis=-1)) / (2 * np.pi)
    return {
        "noise_ratio": np.asarray(0.3),
        "extent": np.array([-3.0, 3.0, -3.0, 3.0]),
        "model_density": 0.9 * density,
        "truth_density": density,
        "model_score": -grid[::4, ::4],
        "truth_score": -grid[::4, ::4],
    }


@pytest.fixture(scope="session")
def hand_written(tmp_path_factory):
    """Runs of score-vp with and without HJB: two seeds on gaussians8, one on digits."""
    place = tmp_path_factory.mktemp("runs")
    folders = []
    for data, seeds in (("gaussians8", (0, 1)), ("digits", (0,))):
        for name, factor in (("score-vp", 1.0), ("score-vp-hjb", 0.5)):
            for seed in seeds:
                experiment = _recipes.experiment(name, data).changed({"seed": seed})
                measures = {
                    "kl": (0.04 * factor * (1 + 0.1 * seed), 0.001),
                    "hjb_residual": (8.0 * factor, 0.2),
                    "energy_distance": (0.003, 0.002),
                }
                if data == "digits":
                    measures.pop("kl")
                    measures["log_likelihood"] = (-100 - 2 * factor, 0.3)
                folder = _write_run(
                    place / f"{name}-{data}-{seed}", experiment, measures, ms_per_step=3 - factor
                )
                folders.append(folder.path)
    return folders
