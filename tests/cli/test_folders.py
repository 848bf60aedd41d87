"""Run folders in the hands of several processes, and of a system that refuses."""

import resource
import shutil
import subprocess
import sys

import pytest


def begun(*arguments, limits=()):
    """A program in a process of its own, with limits of the system."""

    def limit():
        for kind, value in limits:
            resource.setrlimit(kind, (value, value))

    command = [sys.executable, "-m", "mfgen", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=limit)


def last_line(process, title="tiny on gaussians8, seed 0: "):
    """The error of a process that must have failed: one line, and none but of progress before."""
    *progress, last = process.communicate(timeout=300)[1].splitlines()
    assert process.returncode == 2, last
    assert all(line.startswith(title) for line in progress), progress
    return last


@pytest.fixture
def going(tiny, reached, tmp_path):
    """A long run in a process of its own that has saved checkpoints."""
    path = tiny(tmp_path / "spec.toml", steps=1_000_000, every=20)
    with begun("run", path, "--out", tmp_path / "run") as process:
        reached(process, tmp_path / "run" / "checkpoints" / "200")
        yield process
        process.kill()


def test_a_second_process_is_refused_by_the_first_ones_number(going, refused, ask, tmp_path):
    arguments = ("run", tmp_path / "spec.toml", "--out", tmp_path / "run", "--resume")
    message = refused(*arguments)
    assert f"found process {going.pid} at work in {tmp_path / 'run'}" in message
    assert going.poll() is None


def test_a_folder_that_goes_in_mid_run_is_an_error(going, tmp_path):
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    assert str(tmp_path / "run") in last_line(going)
    assert not (tmp_path / "run" / "summary.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "value", "part"),
    [
        (resource.RLIMIT_NOFILE, 20, "oo many"),
        (resource.RLIMIT_FSIZE, 4000, "oo large"),
        (resource.RLIMIT_FSIZE, 70_000, "oo large"),
    ],
)
def test_what_the_system_refuses_is_one_line(tiny, tmp_path, kind, value, part):
    path = tiny(tmp_path / "spec.toml", figures="true")
    process = begun("run", path, "--out", tmp_path / "run", limits=[(kind, value)])
    assert part in last_line(process)
    assert not (tmp_path / "run" / "summary.json").exists()
