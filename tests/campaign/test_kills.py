"""Runs that are killed at any instant, and go on: they end with the same bits as one that was not.

A run of each family is killed again and again, by SIGKILL, SIGTERM and Ctrl-C, while it imports,
compiles, trains, writes, is judged, and when it is done. Programs are compiled once, for all.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

KILLS = int(os.environ.get("MFGEN_KILLS", "7"))  # of each family: 63 in all
SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
_SMALL = (
    "training.every=20 training.checkpoint_every=40 "
    "evaluation.samples=100 evaluation.points=50 evaluation.figures=false "
    'evaluation.metrics=["energy_distance"]'
)
FAMILIES = {
    "score-vp-hjb": "training.steps=600 training.batch_size=32 data.samples=300 model.width=16",
    "ot-flow": "training.steps=200 training.batch_size=16 data.samples=300 model.width=8",
    "flow-matching": "training.steps=600 training.batch_size=32 data.samples=300",
    "discounted-flow": "training.steps=200 training.batch_size=16 model.width=8",
    "w1w2-flow": "training.steps=120 training.flow.batch_size=16 data.samples=300 model.width=8",
    "jko": "training.steps=240 training.flow.batch_size=16 data.samples=300 model.width=8",
    "langevin": "training.steps=600 training.start=100",
    "generative-particles": "training.steps=120 training.start=100 data.samples=300",
    "boltzmann": "training.steps=200 training.batch_size=16 model.width=8",
}
_ENERGETIC = ("discounted-flow", "langevin", "boltzmann")
TIMES = ("seconds", "milliseconds_per_step")
INTERRUPTED = "error: interrupted: continue a run with --resume."


def begun(recipe: str, out: Path, cache: Path) -> subprocess.Popen:
    """A run in a process of its own, new or resumed."""
    data = "double-well" if recipe in _ENERGETIC else "gaussians8"
    changes = [*_SMALL.split(), *FAMILIES[recipe].split()]
    options = [word for change in changes for word in ("--set", change)]
    command = [sys.executable, "-m", "mfgen", "run", recipe, "--data", data, "--out", str(out)]
    return subprocess.Popen(
        [*command, "--resume", *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache)},
    )


def ended(recipe: str, out: Path, cache: Path) -> float:
    """How long a run took that was left alone."""
    began = time.monotonic()
    process = begun(recipe, out, cache)
    said = process.communicate(timeout=900)[1]
    assert process.returncode == 0, said
    return time.monotonic() - began


def killed(process: subprocess.Popen, number: signal.Signals, seconds: float) -> str | None:
    """How a process ended that got a signal after a time; `None` if it had ended by itself."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
    said = process.communicate(timeout=60)[1].splitlines()
    if process.returncode == 0:
        return None
    # Before the interpreter reads a line the signal itself ends it, which a shell calls 130 too.
    if number is signal.SIGINT and (process.returncode, said) != (-number, []):
        assert process.returncode == 130, (process.returncode, said)
        assert said[-1] == INTERRUPTED, said
    elif number is not signal.SIGINT:
        assert process.returncode == -number, (process.returncode, said)
    return number.name


def whole(folder: Path) -> None:
    """Nothing under a name of its own is half: what says that a run is done comes last."""
    names = {path.name for path in folder.rglob("*")} if folder.exists() else set()
    for sealed, needed in (("SHA256SUMS", "summary.json"), ("summary.json", "model.eqx")):
        assert sealed not in names or needed in names, names


def bits(folder: Path) -> dict[str, object]:
    """The model, and the records without the times that they took."""
    kept = folder / "metrics.jsonl"  # runs of no steps have none
    lines = kept.read_text().splitlines() if kept.exists() else []
    records = [
        {name: value for name, value in json.loads(line).items() if name not in TIMES}
        for line in lines
    ]
    return {"model": (folder / "model.eqx").read_bytes(), "records": records}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return Path(os.environ.get("JAX_COMPILATION_CACHE_DIR") or tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize("recipe", FAMILIES)
def test_a_run_that_is_killed_goes_on_to_the_same_bits(recipe, cache, tmp_path):
    rng, counts, out = random.Random(recipe), Counter(), tmp_path / "run"
    seconds = ended(recipe, tmp_path / "whole", cache)
    for number in range(KILLS):
        process = begun(recipe, out, cache)
        how = killed(process, SIGNALS[number % 3], rng.uniform(0.02, 0.9) * seconds)
        counts[how or "ended before"] += 1
        whole(out)
        if how is None:  # programs are compiled by now: the next ones go sooner, and anew
            seconds *= 0.7
            assert bits(out) == bits(tmp_path / "whole")
            shutil.rmtree(out)
    ended(recipe, out, cache)
    print(recipe, dict(counts))  # noqa: T201
    assert bits(out) == bits(tmp_path / "whole")
    names = [sorted(p.name for p in path.rglob("*")) for path in (out, tmp_path / "whole")]
    assert names[0] == names[1]
