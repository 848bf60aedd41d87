"""Runs: the same numbers however they are cut, and nothing saved is lost or overwritten."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.lab import RunFolder, _run, _toml, assemble
from mfgen.lab._imports import Imports
from mfgen.trainers import CheckpointError, NonFiniteError

TINY = {
    "name": "tiny",
    "data": {"name": "gaussians8", "samples": 200},
    "game": {"type": "score_based", "target": "data", "noising": {"type": "VP", "beta_max": 9.1}},
    "model": {"type": "score_potential", "width": 8, "depth": 1, "frequencies": 4},
    "objective": [{"type": "DenoisingScoreMatching"}, {"type": "HJB", "points": 8}],
    "training": {"steps": 20, "batch_size": 16, "every": 5, "checkpoint_every": 10},
    "evaluation": {"metrics": [], "figures": False},
}


def tiny(**changes):
    return _toml.decode(TINY | changes)


def steps(folder):
    return [record["step"] for record in RunFolder(folder).records()]


class Stop(Exception):
    """Raised by a watcher in the place of a kill."""


def stop_at(step):
    def record(progress):
        if progress.step == step:
            raise Stop

    return _run.Watcher(record=record)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run."""
    return _run.run(tiny(), tmp_path_factory.mktemp("whole") / "run")


def test_a_run_writes_its_folder(whole):
    folder = whole.folder
    assert folder.experiment() == assemble(tiny()).experiment
    assert steps(folder.path) == [5, 10, 15, 20]
    summary = folder.summary()
    assert summary["steps"] == 20
    assert summary["seed"] == 0
    assert summary["spec"] == "tiny"
    assert summary["wall_seconds"] > 0
    assert summary["ms_per_step"] > 0
    assert summary["parameters"] == sum(
        leaf.size
        for leaf in jax.tree.leaves(whole.case.model)
        if jnp.issubdtype(leaf.dtype, jnp.floating)
    )
    versions = json.loads((folder.path / "versions.json").read_text())
    assert versions["jax"] == jax.__version__
    assert not list(folder.path.rglob("*.partial"))


@pytest.mark.parametrize("step", [5, 15])
def test_a_run_that_was_stopped_ends_like_one_that_was_not(whole, tmp_path, step):
    # Step 5 is before the first checkpoint, step 15 after it.
    out = tmp_path / "run"
    with pytest.raises(Stop):
        _run.run(tiny(), out, watcher=stop_at(step))
    assert not RunFolder(out).is_finished
    _run.run(tiny(), out, resume=True)
    assert steps(out) == [5, 10, 15, 20]
    assert (out / "model.eqx").read_bytes() == whole.folder.model.read_bytes()
    terms = [[r["terms"] for r in RunFolder(path).records()] for path in (out, whole.folder.path)]
    assert terms[0] == terms[1]


def test_a_finished_run_is_judged_again_and_not_trained(whole, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(whole.folder.path, out)
    (out / "summary.json").unlink()
    again = _run.run(tiny(), out, resume=True)
    assert steps(out) == [5, 10, 15, 20]
    assert (out / "model.eqx").read_bytes() == whole.folder.model.read_bytes()
    kept = ("parameters", "steps", "wall_seconds", "ms_per_step")
    assert {k: again.summary[k] for k in kept} == {k: whole.summary[k] for k in kept}


def test_the_seed_changes_the_run(whole, tmp_path):
    other = _run.run(tiny(seed=1), tmp_path / "run")
    assert (other.folder.path / "model.eqx").read_bytes() != whole.folder.model.read_bytes()


def test_checkpoints_of_another_run_are_refused_and_kept(whole, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(Stop):
        _run.run(tiny(seed=1), out, watcher=stop_at(5))
    shutil.rmtree(out / "checkpoints")
    shutil.copytree(whole.folder.checkpoints, out / "checkpoints")
    with pytest.raises(CheckpointError, match="checkpoint of another run"):
        _run.run(tiny(seed=1), out, resume=True)
    assert (out / "checkpoints" / "20").is_file()


def test_a_damaged_checkpoint_is_refused_by_name(whole, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(whole.folder.path, out)
    file = out / "checkpoints" / "20"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(CheckpointError, match="could not read the checkpoint of step 20"):
        _run.run(tiny(), out, resume=True)


def test_a_training_that_diverges_stops_with_the_term_and_keeps_its_checkpoint(tmp_path):
    wild = TINY["training"] | {"learning_rate": 1e30, "clip": 1e30, "checkpoint_every": 1}
    with pytest.raises(NonFiniteError, match="at step"):
        _run.run(tiny(training=wild), tmp_path / "run")
    assert not RunFolder(tmp_path / "run").is_finished


def test_a_trained_model_is_loaded_and_sampled_in_original_units(whole):
    loaded = _run.load(whole.folder.path)
    for one, other in zip(
        jax.tree.leaves(loaded.case.model), jax.tree.leaves(whole.case.model), strict=True
    ):
        assert jnp.array_equal(one, other)
    samples = _run.sample(loaded, 30, seed=0)
    assert samples.shape == (30, 2)
    assert np.array_equal(samples, _run.sample(loaded, 30, seed=0))
    assert not np.array_equal(samples, _run.sample(loaded, 30, seed=1))
    # The data have a spread of 2 in original units; an untrained model is their Gaussian.
    assert 1.2 < samples.std() < 2.8


def test_a_damaged_model_is_refused(whole, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(whole.folder.path, out)
    (out / "model.eqx").write_bytes(b"cut")
    with pytest.raises(ValueError, match=r"model\.eqx` cannot be read"):
        _run.load(out)


def test_own_components_are_copied_and_are_part_of_the_run(tmp_path):
    source = (
        "from mfgen.losses._matching import DenoisingScoreMatching\n"
        "def matching():\n    return DenoisingScoreMatching()\n"
    )
    (tmp_path / "mine.py").write_text(source, encoding="utf-8")
    own = tiny(objective=[{"type": "mine:matching"}])
    with pytest.raises(ValueError, match="pass --allow-import"):
        _run.run(own, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    imports = Imports([tmp_path], allowed=True)
    with pytest.raises(Stop):
        _run.run(own, tmp_path / "run", imports=imports, watcher=stop_at(15))
    assert (tmp_path / "run" / "custom" / "mine.py").read_text() == source
    (tmp_path / "mine.py").write_text(source + "# changed\n", encoding="utf-8")
    with pytest.raises(CheckpointError, match="checkpoint of another run"):
        _run.run(own, tmp_path / "run", imports=imports, resume=True)


def test_bad_data_are_refused_before_the_folder_is_made(tmp_path):
    np.save(tmp_path / "bad.npy", np.full((10, 2), np.nan))
    data = {"name": "table", "path": str(tmp_path / "bad.npy")}
    with pytest.raises(ValueError, match=r"nan|NaN"):
        _run.run(tiny(data=data), tmp_path / "run")
    assert not (tmp_path / "run").exists()
