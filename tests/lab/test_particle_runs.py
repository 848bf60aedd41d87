"""Recipes of gradient flows by their names: run, judged, read again, sampled, drawn."""

import math
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfgen.lab import RunFolder, _comparison, _figures, _recipes, _report, _run, _wording, assemble

TRAINED = ("w1w2-flow", "jko", "discounted-flow")
CLOUDS = ("langevin", "svgd", "gradient-flow", "mmd-flow", "generative-particles")
METRICS = ["kl", "energy_distance", "mmd", "transport_cost"]
CRITIC = {"width": 8, "depth": 1}
SMALL = {
    "generative-particles": {
        "training.flow.first_steps": 10,
        "training.flow.critic": CRITIC,
        "training.flow.critic_steps": 1,
        "training.flow.batch_size": 16,
        "game.functional.critic.width": 8,
    },
    "jko": {"training.blocks": 2, "model.width": 8, "training.flow.batch_size": 16},
    "w1w2-flow": {
        "game.terminal.critic.width": 8,
        "training.critic.steps": 1,
        "training.critic.batch_size": 16,
        "training.flow.batch_size": 16,
        "model.width": 8,
    },
    "discounted-flow": {"training.batch_size": 16, "model.width": 8},
}


def tiny(name, data="gaussians8", metrics=METRICS, **changes):
    judged = {"samples": 48, "points": 16, "figures": False}
    cloud = {"training.start": 48} if name in CLOUDS else {}
    return _recipes.experiment(name, data).changed(
        {
            **({"data.samples": 64} if data == "gaussians8" else {}),
            **SMALL.get(name, {}),
            **cloud,
            "training.steps": 4,
            "training.every": 2,
            "evaluation": judged | ({} if metrics is None else {"metrics": list(metrics)}),
            **changes,
        }
    )


@pytest.fixture(scope="module")
def langevin(tmp_path_factory):
    experiment = tiny("langevin", metrics=None, **{"evaluation.figures": True})
    return _run.run(experiment, tmp_path_factory.mktemp("particles") / "run")


@pytest.mark.parametrize("name", [*CLOUDS, *TRAINED])
def test_a_recipe_is_a_run(name, tmp_path):
    experiment = tiny(name)
    heard = []
    watcher = _run.Watcher(record=heard.append)
    done = _run.run(experiment, tmp_path / "run", watcher=watcher)
    assert [progress.step for progress in heard] == [2, 4]
    summary = done.folder.summary()
    assert all(math.isfinite(kept["value"]) for kept in summary["metrics"].values())
    assert {"energy_distance", "mmd"} <= set(summary["metrics"])
    if name in CLOUDS:
        # What needs a density or a control is refused with the reason.
        assert set(summary["skipped"]) == {"kl", "transport_cost"}
        assert all("no control" in reason for reason in summary["skipped"].values())
        assert {"first", "last", "rise"} <= set(summary["descent"])
        assert done.case.model.shape == (48, 2)
    else:
        assert summary["metrics"]["transport_cost"]["value"] >= 0
        assert (summary["descent"] is None) == (name == "w1w2-flow")
    # What was kept is what was made: it is judged alike when it is read again, and not moved.
    again = _run.run(experiment, tmp_path / "run", resume=True, watcher=watcher)
    assert len(heard) == 2
    assert again.summary["metrics"] == summary["metrics"]
    drawn = _run.sample(_run.load(tmp_path / "run"), 20, seed=1)
    assert drawn.shape == (20, 2)
    assert np.isfinite(drawn).all()


@pytest.mark.parametrize("name", ["langevin", "generative-particles", "jko"])
def test_a_run_that_is_stopped_goes_on_where_it_was_saved(name, tmp_path):
    changes = {"training.steps": 8, "training.every": 2, "training.checkpoint_every": 3}
    experiment = tiny(name, metrics=(), **changes)
    whole = _run.run(experiment, tmp_path / "whole")

    class Interrupt(Exception):
        pass

    def stop(progress):
        if progress.step == 8:
            raise Interrupt

    with pytest.raises(Interrupt):
        _run.run(experiment, tmp_path / "cut", watcher=_run.Watcher(record=stop))
    heard = []
    watcher = _run.Watcher(record=lambda progress: heard.append(progress.step))
    cut = _run.run(experiment, tmp_path / "cut", resume=True, watcher=watcher)
    assert heard[-1] == 8
    assert len(heard) < 4
    assert [record["step"] for record in cut.folder.records()] == [2, 4, 6, 8]
    leaves = [jax.tree.leaves(eqx.filter(made.case.model, eqx.is_array)) for made in (whole, cut)]
    for one, other in zip(*leaves, strict=True):
        np.testing.assert_array_equal(one, other)
    energies = [made.folder.arrays("descent.npz")["energies"] for made in (whole, cut)]
    np.testing.assert_array_equal(*energies)


def test_the_critic_of_a_flow_is_kept_with_its_game(tmp_path):
    done = _run.run(tiny("w1w2-flow", metrics=()), tmp_path / "run")
    loaded = _run.load(tmp_path / "run")
    point = jnp.array([0.5, -0.2])
    trained = done.case.game.terminal.variation(None, point)
    assert loaded.case.game.terminal.variation(None, point) == trained
    (tmp_path / "run" / "game.eqx").write_bytes(b"no game")
    with pytest.raises(ValueError, match=r"game\.eqx` cannot be read \(it was altered since"):
        _run.load(tmp_path / "run")


def test_samples_are_different_particles_and_no_more_than_there_are(langevin):
    loaded = _run.load(langevin.folder.path)
    particles = loaded.case.samples.original(loaded.case.model)
    every = _run.sample(loaded, 48, seed=3)
    np.testing.assert_allclose(np.sort(every, axis=0), np.sort(particles, axis=0), rtol=1e-6)
    assert not np.array_equal(_run.sample(loaded, 5, seed=0), _run.sample(loaded, 5, seed=1))
    with pytest.raises(ValueError, match=r"`sample` got n = 49 of a run with 48 particles.*start"):
        _run.sample(loaded, 49, seed=0)


def test_all_measures_of_samples_are_given_and_no_others(langevin):
    """Real data and toys by `needs`; a toy's training samples are seen by no Langevin particle."""
    found = set(langevin.summary["metrics"])
    assert found == {"energy_distance", "mmd", "sliced_w2", "w2", "memorisation"}
    assert "no control" in langevin.summary["skipped"]["kl"]


def test_what_went_down_is_drawn_and_told(langevin):
    folder = langevin.folder
    assert {"descent", "samples"} <= set(_figures.draw([folder]))
    assert "losses" not in _figures.draw([folder])
    page = _report.render(_comparison.read([folder.path]))
    assert "One panel for each functional." in page
    assert f"langevin, seed 0: {_wording.descent(langevin.summary['descent'])}." in page
    told = {"functional": "F", "first": 2.0, "last": 0.5, "standard_error": 0.1, "time": 3.0}
    assert _wording.descent(told | {"rise": 0.0}) == (
        "F went from 2 to 0.50 ± 0.10 in a time of 3; it never rose from a record to the next"
    )
    assert "largest rise from a record to the next was 1.2 stand" in _wording.descent(
        told | {"rise": 1.234}
    )


def test_particles_that_leave_end_the_run_and_their_records_stay(tmp_path):
    changes = {"training.step": 2.0, "training.steps": 100, "training.every": 1}
    experiment = tiny("langevin", **changes)
    folder = RunFolder(tmp_path / "run")
    for resume in (False, True):  # there is nothing to go on from: it starts anew
        with pytest.raises(FloatingPointError, match="not finite after") as error:
            _run.run(experiment, folder.path, resume=resume)
        found = re.search(r"after (\d+) steps", str(error.value))
        assert found is not None
        last = int(found[1])
        assert last > 1
        assert [record["step"] for record in folder.records()] == list(range(1, last))
        assert not folder.is_finished


@pytest.mark.parametrize("name", ["langevin", "svgd", "gradient-flow"])
def test_a_flow_to_a_density_needs_one(name, tmp_path):
    with pytest.raises(ValueError, match=r"`game.functional.target` got 'energy', but the law of"):
        _run.run(tiny(name, "iris"), tmp_path / "run")


def test_steps_that_cannot_be_shared_out_are_refused(tmp_path):
    with pytest.raises(ValueError, match="steps = 5 for 2 blocks, expected a multiple: take 6"):
        _run.run(tiny("jko", **{"training.steps": 5}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_in_coordinates_of_an_energy_the_first_density_is_standard():
    experiment = _recipes.experiment("svgd", "breast-cancer-posterior")
    case = assemble(experiment)
    np.testing.assert_allclose(case.game.initial.moments()[1], np.eye(31), atol=1e-6)
