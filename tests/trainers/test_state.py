"""Checkpoints: whole, of the right run, or refused without touching anything."""

import contextlib
import hashlib
import resource
import shutil
import threading
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import pytest

from mfgen.trainers import CheckpointError, Checkpoints, History, Progress
from mfgen.trainers._state import TrainState

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


def test_every_truncated_or_altered_checkpoint_is_refused(saved, capfd):
    whole = (saved / "5").read_bytes()
    places = [*range(0, len(whole), 97), len(whole) - 1]
    flipped = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in places]
    for broken in (*flipped, b"", whole[:-1], whole[: len(whole) // 2], whole + b"x"):
        (saved / "5").write_bytes(broken)
        with pytest.raises(CheckpointError, match=r"step 5 in .* \(it is cut off or altered\)"):
            Checkpoints(saved, fingerprint="run-a").restore(state(0.0))
        assert (saved / "5").read_bytes() == broken
    assert capfd.readouterr() == ("", "")


def test_a_checkpoint_that_was_renamed_to_another_step_is_refused(saved):
    (saved / "5").rename(saved / "7")
    with pytest.raises(CheckpointError, match=r"step 7 .* \(it is that of step 5, renamed\)"):
        Checkpoints(saved, fingerprint="run-a").history()


def test_a_state_of_other_shapes_is_refused(saved):
    other = eqx.tree_at(lambda s: s.parameters["bias"], state(0.0), jnp.zeros(3))
    with pytest.raises(CheckpointError, match="could not read the checkpoint of step 5"):
        Checkpoints(saved, fingerprint="run-a").restore(other)


def test_a_checkpoint_of_the_former_format_is_refused_by_the_version_that_reads_it(saved):
    (saved / "9").mkdir()
    with pytest.raises(CheckpointError, match=r"of mfgen 0\.1 in .*9, expected a file"):
        Checkpoints(saved, fingerprint="run-a").restore(state(0.0))


def test_the_latest_are_kept_and_tell_their_records(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2, fingerprint="run-a")
    assert checkpoints.history().records == []
    for step in (5, 6, 10):
        saving = eqx.tree_at(lambda s: s.step, state(1.25), jnp.asarray(step))
        checkpoints.save(saving, History([RECORD] * step))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["10", "6"]
    assert checkpoints.path(10).is_file()
    assert checkpoints.history().records == [RECORD] * 10


def test_checkpoints_that_a_kill_left_go_when_the_run_goes_on(tmp_path):
    for step in (5, 6, 10):  # killed before the first was removed
        saving = eqx.tree_at(lambda s: s.step, state(1.25), jnp.asarray(step))
        Checkpoints(tmp_path, keep=3).save(saving, History([RECORD]))
    Checkpoints(tmp_path, keep=2).restore(state(0.0))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["10", "6"]


def test_what_a_kill_left_of_a_save_is_not_seen_and_goes(saved):
    (saved / ".9.4194305.partial").write_bytes(b"half")  # of no process: numbers end before
    assert Checkpoints(saved).latest == 5
    assert [path.name for path in saved.iterdir()] == ["5"]


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
        (resource.RLIMIT_FSIZE, 20_000, "File too large"),  # room for all but the arrays
        (resource.RLIMIT_NOFILE, 0, "Too many open files"),
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
