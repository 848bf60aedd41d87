"""Run folders in the hands of several processes, and of a system that refuses."""

import resource
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
for kind, value in {limits}:
    resource.setrlimit(kind, (value, value))
from mfgen.__main__ import main
sys.exit(main())
"""


def begun(*arguments, limits=()):
    """A program in a process of its own, with limits of the system."""
    command = [sys.executable, "-c", PROGRAM.format(limits=list(limits)), *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


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
        reached(process, tmp_path / "run")
        yield process
        process.kill()


def test_a_second_process_is_refused_by_the_first_ones_number(going, ask, tmp_path):
    path, out = tmp_path / "spec.toml", tmp_path / "run"
    code, _, err = ask("run", path, "--out", out, "--resume")
    assert code == 2
    assert f"found process {going.pid} at work in {out}" in err.splitlines()[-1]
    assert going.poll() is None


def test_a_folder_that_goes_in_mid_run_is_an_error(going, tmp_path):
    (tmp_path / "run").rename(tmp_path / "gone")
    assert str(tmp_path / "run") in last_line(going)
    assert not (tmp_path / "run" / "summary.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("size", [4000, 70_000])
def test_a_file_that_the_system_refuses_is_one_line(tiny, tmp_path, size):
    path = tiny(tmp_path / "spec.toml", figures="true")
    process = begun(
        "run", path, "--out", tmp_path / "run", limits=[(int(resource.RLIMIT_FSIZE), size)]
    )
    assert "oo large" in last_line(process)
    assert not (tmp_path / "run" / "summary.json").exists()


@pytest.mark.slow
def test_a_run_needs_few_open_files(tiny, tmp_path):
    path = tiny(tmp_path / "spec.toml")
    limits = [(int(resource.RLIMIT_NOFILE), 20)]
    with begun("run", path, "--out", tmp_path / "run", limits=limits) as process:
        assert "Traceback" not in process.communicate(timeout=300)[1]
    assert process.returncode == 0
