"""Ctrl-C ends the program with one line, whenever it comes; embedded, it is left to the caller."""

import os
import signal
import subprocess
import sys

from mfgen import cli
from mfgen.lab import _listing

LINE = "error: interrupted: continue a run with --resume.\n"

# The tests may themselves run where Ctrl-C is ignored, which a program inherits.
PROGRAM = """
import gc, os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from mfgen import cli
from mfgen.lab import _listing
{more}
sys.exit(cli.main())
"""

# Ctrl-C in a place where Python drops the exception.
IN_THE_COLLECTOR = """
def press(phase, info):
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(100):
        pass
names = _listing.names
def interrupted():
    gc.callbacks.append(press)
    gc.collect()
    return names()
_listing.names = interrupted
"""


def program(*arguments, more=""):
    return [sys.executable, "-c", PROGRAM.format(more=more), *map(str, arguments)]


def test_it_is_not_lost_in_the_garbage_collector():
    done = subprocess.run(
        program("list", more=IN_THE_COLLECTOR), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", LINE)


def test_it_shows_the_cursor_of_a_terminal_again():
    ours, its = os.openpty()
    done = subprocess.run(program("list", more=IN_THE_COLLECTOR), stderr=its, check=False)
    said = os.read(ours, 1000).decode()
    os.close(ours)
    os.close(its)
    assert done.returncode == 130
    assert said.startswith("\r\x1b[2K\x1b[?25herror: interrupted")


def test_it_ends_a_run_between_checkpoints_with_one_line(tiny, reached, tmp_path):
    path = tiny(tmp_path / "spec.toml", steps=100_000, every=20)
    command = program("run", path, "--out", tmp_path / "run")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        reached(process, tmp_path / "run")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    # A machine that takes its time gets lines on the progress as well, each led by the title.
    *progress, last = err.splitlines(keepends=True)
    assert (process.returncode, last) == (130, LINE)
    assert all(line.startswith("tiny on gaussians8, seed 0: ") for line in progress)


def test_embedded_it_is_an_exception_of_the_caller(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(_listing, "names", interrupted)
    before = signal.getsignal(signal.SIGINT)
    assert cli.main(["list"]) == 130
    assert capsys.readouterr().err == LINE
    assert signal.getsignal(signal.SIGINT) is before


def test_the_former_answer_to_it_is_restored(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["mfgen", "list"])
    before = signal.getsignal(signal.SIGINT)
    assert cli.main() == 0
    assert signal.getsignal(signal.SIGINT) is before
