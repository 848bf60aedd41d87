"""Fixtures of the command line: a specification that runs in a second, and commands asked."""

import re
import time

import pytest

from mfgen import cli

TINY = """
name = "{name}"
[data]
name = "gaussians8"
samples = 200
[game]
type = "score_based"
target = "data"
noising = {{ type = "VP", beta_max = 9.1 }}
[model]
type = "score_potential"
width = 8
depth = 1
frequencies = 4
[[objective]]
type = "DenoisingScoreMatching"
{more}
[training]
steps = {steps}
batch_size = 16
every = {every}
checkpoint_every = {every}
[evaluation]
samples = 40
points = 20
sampler = {{ type = "StochasticHeun", steps = 5 }}
likelihood = {{ integrator = {{ steps = 4 }} }}
metrics = {metrics}
figures = {figures}
"""


def _tiny(path, *, name="tiny", more="", steps=20, every=10, metrics="[]", figures="false"):
    """Writes a specification that runs in a second."""
    path.write_text(
        TINY.format(
            name=name, more=more, steps=steps, every=every, metrics=metrics, figures=figures
        ),
        encoding="utf-8",
    )
    return str(path)


@pytest.fixture(scope="session")
def tiny():
    """The function that writes a tiny specification."""
    return _tiny


@pytest.fixture
def ask(capsys):
    """Runs a command and returns its exit code, standard output and standard error."""

    def run(*arguments):
        capsys.readouterr()
        code = cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def refused(ask):
    """Runs a command that must fail as a user's mistake, and returns its one line."""

    def run(*arguments):
        code, out, err = ask(*arguments)
        assert code == 2
        assert out == ""
        # On a slow machine the stage that goes on is told before.
        *stages, line = err.splitlines(keepends=True)
        assert line.startswith("error: ")
        assert line.endswith("\n")
        assert all(re.search(r", seed \d+: \w+$", stage.rstrip("\n")) for stage in stages), err
        return line

    return run


@pytest.fixture
def reached():
    """Waits until a process, a run, has been saved after 200 steps or more.

    Any of its checkpoints will do: one goes when later ones come, perhaps before it is looked for.
    """

    def wait(process, folder):
        deadline = time.monotonic() + 300
        saved = lambda: [int(path.name) for path in (folder / "checkpoints").glob("[0-9]*")]
        while max(saved(), default=0) < 200:
            assert process.poll() is None, "the run ended before it could be stopped"
            assert time.monotonic() < deadline
            time.sleep(0.02)

    return wait
