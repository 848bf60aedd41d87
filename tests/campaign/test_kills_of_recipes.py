"""Runs of every recipe that die, and go on: they end with the same bits as one that did not.

Each dies by SIGKILL twice: between two of the steps by which it writes its folder (a file opened,
renamed, removed; a folder made), which are counted in a run that is left alone, and at an instant
of the time that one took. Processes are forked from one that has imported everything, and programs
are compiled once for all, so that a run is a few seconds.
"""

import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.campaign import documents
from tests.campaign.test_kills import bits, whole

from mfgen import cli
from mfgen.lab import _toml

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

RECIPES = sorted(set(documents.bases()) - set(documents.OWN))
_IMPORTED = ["mfgen.lab._commands", "mfgen.lab._document", "mfgen.zoo._catalogue"]
_WRITES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod")
_WIDTHS = {"ot_flow_potential": 8, "control_field": 8, "score_potential": 8}
_ENDED = 0


def document(recipe: str) -> dict[str, Any]:
    """The recipe, as small as it can be with several checkpoints."""
    made = documents.bases()[recipe]
    model, training = made.get("model", {}), made["training"]
    steps = 0 if "estimate" in model.get("type", "") or recipe == "score-proximal" else 12
    made["training"] = training | {"steps": steps, "every": 2, "checkpoint_every": 4}
    if model.get("type") in _WIDTHS:
        model["width"] = _WIDTHS[model["type"]]
    if training.get("type") == "Particles":
        made["training"] |= {"start": 20, "step": 0.1 * training["step"]}  # few of them go astray
    elif "flow" in training:
        made["training"]["flow"] = training["flow"] | {"batch_size": 8}
    else:
        made["training"]["batch_size"] = 8
    made["evaluation"]["metrics"] = ["energy_distance"]
    return made


def died(arguments: list[str], counted: Path | None, limit: int | None) -> None:
    """Runs a command in this process, which dies after so many steps of writing.

    Arguments:
        arguments: of `mfgen`.
        counted: the file that is told how many there were.
        limit: the step that this process does not see the end of.
    """
    out, steps = arguments[arguments.index("--out") + 1], 0

    def seen(event: str, details: tuple[Any, ...]) -> None:
        nonlocal steps
        writes = event in _WRITES or (event == "open" and details[2] & (os.O_WRONLY | os.O_RDWR))
        if not writes or not str(details[0]).startswith(out):
            return
        steps += 1
        if steps == limit:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(seen)
    sys.stderr = sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    code = cli.main(arguments)
    if counted is not None:
        counted.write_text(str(steps))
    os._exit(code)


class Runs:
    """Runs of one document in processes forked from one."""

    def __init__(self, spec: Path, place: Path):
        self.spec, self.place = spec, place
        self.forked = multiprocessing.get_context("forkserver")
        self.forked.set_forkserver_preload(_IMPORTED)

    def run(
        self, name: str, *, limit: int | None = None, seconds: float | None = None
    ) -> tuple[int | None, int, float]:
        """A run, new or resumed: its exit code, how often it wrote, and how long it took."""
        counted = self.place / f"{name}.count"
        arguments = ["run", str(self.spec), "--resume", "--out", str(self.place / name)]
        process = self.forked.Process(target=died, args=(arguments, counted, limit))
        began = time.monotonic()
        process.start()
        process.join(seconds)
        if process.is_alive():
            process.kill()
        process.join(600)
        written = int(counted.read_text()) if counted.exists() else 0
        return process.exitcode, written, time.monotonic() - began


@pytest.fixture(scope="module", autouse=True)
def compiled(tmp_path_factory):
    """A cache that keeps small programs too."""
    kept = {"JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"}
    former = {name: os.environ.get(name) for name in kept}
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.02"
    yield
    for name, value in former.items():
        os.environ.pop(name)
        if value is not None:
            os.environ[name] = value


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_run_that_dies_goes_on_to_the_same_bits(recipe, tmp_path):
    spec = tmp_path / "spec.toml"
    spec.write_text(_toml.dumps(document(recipe)))
    runs, rng = Runs(spec, tmp_path), random.Random(recipe)
    code, writes, _ = runs.run("whole")
    assert code == _ENDED
    assert writes > 10
    # Programs are compiled by now.
    at = rng.randrange(2, writes + 1)
    code, _, spent = runs.run("run", limit=at)
    assert code == -signal.SIGKILL, f"step {at} of {writes} was not met"
    whole(tmp_path / "run")
    second, _, _ = runs.run("run", seconds=rng.uniform(0.1, 1.0) * spent)
    assert second in (_ENDED, -signal.SIGKILL)
    whole(tmp_path / "run")
    if (tmp_path / "run" / "summary.json").exists():
        assert bits(tmp_path / "run") == bits(tmp_path / "whole")
        shutil.rmtree(tmp_path / "run")
        runs.run("run", limit=writes - 1)
    code, _, _ = runs.run("run")
    print(f"{recipe}: killed at write {at} of {writes}, then {second}")  # noqa: T201
    assert code == _ENDED
    assert bits(tmp_path / "run") == bits(tmp_path / "whole")
    names = [
        sorted(path.relative_to(folder) for path in folder.rglob("*"))
        for folder in (tmp_path / "run", tmp_path / "whole")
    ]
    assert names[0] == names[1]
