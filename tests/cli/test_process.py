"""The process of the program: light until JAX is needed, and at peace with what it is given."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import mfgen

LIGHT = """
import sys
from mfgen import cli
try:
    cli.main({arguments})
except SystemExit:
    pass
print(sorted({{"jax", "numpy", "scipy", "sympy", "equinox"}} & set(sys.modules)), file=sys.stderr)
"""


def started(*arguments, **streams):
    """A program in a process of its own."""
    return subprocess.Popen([sys.executable, "-m", "mfgen", *arguments], text=True, **streams)


@pytest.mark.parametrize("arguments", [["--version"], ["-h"], ["run", "-h"], ["list"]])
def test_nothing_heavy_is_imported_before_it_is_needed(arguments):
    program = [sys.executable, "-c", LIGHT.format(arguments=arguments)]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
    assert "mfgen" in done.stdout


def test_every_public_name_is_there_and_a_wrong_one_is_not():
    assert {"MFG", "fit", "metrics"} <= set(dir(mfgen))
    assert mfgen.__version__
    for name in mfgen.__all__:
        assert getattr(mfgen, name) is getattr(mfgen, name)
    assert not hasattr(mfgen, "MGF")


@pytest.mark.parametrize("arguments", [["--version"], ["-h"], ["list", "--json"]])
def test_an_output_that_cannot_be_written_is_one_line(arguments):
    with open("/dev/full", "w") as full:
        process = started(*arguments, stdout=full, stderr=subprocess.PIPE)
        err = process.communicate(timeout=60)[1]
    assert (process.returncode, err.count("\n")) == (2, 1)
    assert "cannot write to its standard output (no space left on device)" in err


def test_a_reader_that_went_away_is_no_mistake():
    process = started("list", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=60) == 0


@pytest.mark.parametrize(
    ("closed", "arguments", "code"),
    [
        (">&-", "list", 2),
        ("2>&-", "list", 0),
        ("2>&-", "show nothing", 2),
        ("<&- >&- 2>&-", "-h", 2),
    ],
)
def test_streams_that_are_closed_are_no_fault(closed, arguments, code):
    command = f"{sys.executable} -m mfgen {arguments} {closed}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == (closed == ">&-")


# Whoever runs the tests may ignore Ctrl-C, which a program inherits.
HEARING = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from mfgen.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize("seconds", [0.15, 0.3, 1.0])
def test_an_interrupt_while_it_imports_is_one_line(seconds, tmp_path):
    command = [sys.executable, "-c", HEARING, "run", "score-vp", "--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    begun = time.monotonic()
    while _seconds(process.pid) < seconds:
        assert time.monotonic() - begun < 60
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err == "error: interrupted: continue a run with --resume.\n"


def _seconds(pid):
    """Processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
