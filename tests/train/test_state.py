"""Checkpoints: whole, of the right run, or refused without touching anything."""

import hashlib
from pathlib import Path

import jax.numpy as jnp
import pytest

from mfgen.train.history import History, Progress
from mfgen.train.state import CheckpointError, Checkpoints, TrainState

RECORD = Progress(5, 10, {"loss": 1.5}, None, 0.1, 2.0)


def state(value):
    parameters = {"weight": jnp.full((3, 2), value), "bias": jnp.zeros(2)}
    return TrainState(
        parameters, parameters, parameters, jnp.asarray(1.0), (jnp.asarray(2),), jnp.asarray(5)
    )


@pytest.fixture
def saved(tmp_path):
    checkpoints = Checkpoints(tmp_path, fingerprint="run-a")
    checkpoints.save(state(1.25), History([RECORD]))
    checkpoints.wait()
    return tmp_path


def contents(folder: Path):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_round_trip(saved):
    restored, history = Checkpoints(saved, fingerprint="run-a").restore(state(0.0))
    assert jnp.array_equal(restored.parameters["weight"], jnp.full((3, 2), 1.25))
    assert int(restored.step) == 5
    assert history.records == [RECORD]
    assert history.milliseconds_per_step == 2.0


def test_a_checkpoint_of_another_run_is_refused(saved):
    before = contents(saved)
    with pytest.raises(CheckpointError, match="another run"):
        Checkpoints(saved, fingerprint="run-b").restore(state(0.0))
    assert contents(saved) == before


def test_every_truncated_or_altered_array_file_is_refused(saved):
    before = contents(saved)
    for path in sorted((saved / "5" / "state").rglob("*")):
        if not path.is_file() or path.parent.name != "d" or path.stat().st_size == 0:
            continue
        whole = path.read_bytes()
        for broken in (whole[: len(whole) // 2], bytes(255 - byte for byte in whole)):
            path.write_bytes(broken)
            with pytest.raises(CheckpointError, match="remove the folder 5"):
                Checkpoints(saved, fingerprint="run-a").restore(state(0.0))
        path.write_bytes(whole)
    assert contents(saved) == before


def test_an_unfinished_save_is_not_seen(saved):
    (saved / "9.orbax-checkpoint-tmp-1").mkdir()
    assert Checkpoints(saved).latest == 5


def test_an_empty_folder_cannot_be_restored(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint"):
        Checkpoints(tmp_path).restore(state(0.0))


@pytest.mark.parametrize("settings", [{"every": 0}, {"keep": 0}])
def test_settings_out_of_range_are_refused(tmp_path, settings):
    with pytest.raises(ValueError, match="pass every=500"):
        Checkpoints(tmp_path, **settings)
