"""Checkpoints: whole, of the right run, or refused without touching anything."""

import contextlib
import hashlib
import re
import resource
import shutil
import threading
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import pytest

from mfgen.trainers.history import History, Progress
from mfgen.trainers.state import CheckpointError, Checkpoints, TrainState

RECORD = Progress(5, 10, {"loss": 1.5}, None, 0.1, 2.0)


def state(value):
    empty = jnp.zeros((0, 2))  # such as the frequencies of a trunk without any
    parameters = {"weight": jnp.full((3, 2), value), "bias": jnp.zeros(2), "empty": empty}
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
    assert restored.parameters["empty"].shape == (0, 2)
    assert int(restored.step) == 5
    assert history.records == [RECORD]
    assert history.milliseconds_per_step == 2.0


def test_a_checkpoint_of_another_run_is_refused(saved):
    before = contents(saved)
    with pytest.raises(CheckpointError, match="another run"):
        Checkpoints(saved, fingerprint="run-b").restore(state(0.0))
    assert contents(saved) == before


def test_every_truncated_altered_or_missing_file_is_refused(saved, capfd):
    """By the seal, before the storage library reads anything: nothing else is printed."""
    before = contents(saved)
    files = [path for path in (saved / "5").rglob("*") if path.is_file()]
    for path in files:
        whole = path.read_bytes()
        for broken in (whole[: len(whole) // 2], bytes(255 - byte for byte in whole), None):
            if broken is None:
                path.unlink()
            else:
                path.write_bytes(broken)
            with pytest.raises(CheckpointError, match=f"{path.name} is missing, cut off or"):
                Checkpoints(saved, fingerprint="run-a").restore(state(0.0))
        path.write_bytes(whole)
    assert len(files) > 5
    assert contents(saved) == before
    assert capfd.readouterr() == ("", "")


def test_without_its_seal_a_checkpoint_is_judged_by_its_arrays(saved):
    """As if the run had been killed before the seal was written."""
    (saved / "5.sha256").unlink()
    assert Checkpoints(saved, fingerprint="run-a").restore(state(0.0))[1].records == [RECORD]
    header = saved / "5" / "header" / "metadata"
    found = re.search('"digest": *"([0-9a-f]{64})"', header.read_text())
    header.write_text(header.read_text().replace(found[1], 64 * "0"))
    with pytest.raises(CheckpointError, match="its arrays do not match their digest"):
        Checkpoints(saved, fingerprint="run-a").restore(state(0.0))


def test_a_damaged_seal_is_refused_and_old_seals_go_with_their_checkpoints(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=1, fingerprint="run-a")
    for step in (5, 6):
        saving = eqx.tree_at(lambda s: s.step, state(1.25), jnp.asarray(step))
        checkpoints.save(saving, History([RECORD]))
    checkpoints.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["6", "6.sha256"]
    (tmp_path / "6.sha256").write_text("{")
    with pytest.raises(CheckpointError, match=r"6\.sha256 is missing, cut off or altered"):
        Checkpoints(tmp_path, fingerprint="run-a").restore(state(0.0))


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


@contextlib.contextmanager
def limited(kind, value):
    """At most so much of a resource of the process."""
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))


def test_a_folder_that_cannot_be_made_is_refused_before_anything(tmp_path):
    file = tmp_path / "checkpoints"
    file.write_text("a file")
    with pytest.raises(CheckpointError, match=f"the folder {file} \\(File exists\\)"):
        Checkpoints(file)
    with pytest.raises(CheckpointError, match=r"part.*Not a directory"):
        Checkpoints(file / "part")
    with limited(resource.RLIMIT_FSIZE, 100), pytest.raises(CheckpointError, match="too large"):
        Checkpoints(tmp_path / "full")
    assert file.read_text() == "a file"
    assert list((tmp_path / "full").iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (resource.RLIMIT_FSIZE, 1000, "File too large"),
        (resource.RLIMIT_FSIZE, 80_000, "File too large"),  # room for all but the arrays
        (resource.RLIMIT_NOFILE, 12, "Too many open files"),
    ],
)
def test_what_the_system_refuses_is_one_error_and_what_was_saved_stays(
    saved, kind, value, words, capfd
):
    checkpoints = Checkpoints(saved, fingerprint="run-a")
    before, threads = contents(saved), threading.active_count()
    large = state(0.0)
    for name in ("parameters", "average"):
        noise = jnp.sin(jnp.arange(4000.0) ** 2)  # which cannot be compressed
        large = eqx.tree_at(lambda s, n=name: getattr(s, n)["bias"], large, noise)
    large = eqx.tree_at(lambda s: s.step, large, jnp.asarray(9))
    with limited(kind, value), pytest.raises(CheckpointError, match=rf"{saved} \({words}\)"):
        checkpoints.save(large, History([RECORD]))
    assert capfd.readouterr() == ("", "")
    assert contents(saved) == before
    assert [path.name for path in saved.iterdir() if path.is_dir()] == ["5"]
    assert threading.active_count() <= threads
    checkpoints.save(large, History([RECORD]))
    assert Checkpoints(saved, fingerprint="run-a").latest == 9


def test_a_folder_that_goes_in_mid_run_is_one_error(saved, capfd):
    checkpoints = Checkpoints(saved)
    shutil.rmtree(saved)
    with pytest.raises(CheckpointError, match="No such file or directory"):
        checkpoints.save(state(0.0), History([RECORD]))
    saved.write_text("a file")
    with pytest.raises(CheckpointError, match="Not a directory"):
        checkpoints.save(state(0.0), History([RECORD]))
    assert capfd.readouterr() == ("", "")
