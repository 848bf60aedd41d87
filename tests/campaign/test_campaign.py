"""Many files that something happened to: each is read as it was meant, or refused in one line.

Each campaign prints how its cases ended; run with `-s` to see the counts.
"""

import contextlib
import gzip
import io
import os
import shutil

import numpy as np
import pytest
from tests.campaign.mutations import mutated
from tests.campaign.tally import Refused, Tally

from mfgen import cli
from mfgen.data import table

pytestmark = pytest.mark.slow

RUN = """
name = "tiny"
[data]
name = "gaussians8"
samples = 200
[game]
type = "score_based"
target = "data"
noising = { type = "VP", beta_max = 9.1 }
[model]
type = "score_potential"
width = 8
depth = 1
frequencies = 4
[[objective]]
type = "DenoisingScoreMatching"
[training]
steps = 20
batch_size = 16
every = 5
checkpoint_every = 10
[evaluation]
samples = 40
points = 20
sampler = { type = "StochasticHeun", steps = 5 }
likelihood = { integrator = { steps = 4 } }
metrics = ["kl"]
figures = false
"""


def written(save, *arrays, **named):
    content = io.BytesIO()
    save(content, *arrays, **named)
    return content.getvalue()


def idx(array):
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def data_files():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 3))
    lines = "\n".join(",".join(f"{value:.4f}" for value in row) for row in rows)
    named = f"a,b,c\n{lines}\n".encode()
    return {
        "named.csv": named,
        "plain.csv": lines.encode(),
        "tabs.csv": named.replace(b",", b"\t"),
        "packed.csv.gz": gzip.compress(named, mtime=0),
        "one.npy": written(np.save, rows),
        "packed.npy.gz": gzip.compress(written(np.save, rows), mtime=0),
        "one.npz": written(np.savez_compressed, x=rows),
        "images-idx3": idx(rng.integers(0, 255, (40, 4, 4), dtype=np.uint8)),
    }


def test_data_files(tmp_path):
    files, tally = data_files(), Tally("data files")
    names = list(files)

    def attempt(seed):
        name, other = names[seed % len(names)], names[(seed * 7 + 3) % len(names)]
        path = tmp_path / name
        path.write_bytes(mutated(files[name], seed, files[other]))
        read = table(path)
        parts = (read.train, read.validation, read.test)
        if not all(np.isfinite(part).all() for part in parts) or read.train.std() == 0:
            return "values that are no data"
        return None

    tally.run(range(200), attempt)
    print(tally)  # noqa: T201
    assert not tally.bad, str(tally)


def asked(*arguments):
    """The output of a command; raises what it refuses."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main([str(argument) for argument in arguments])
    if code == 2:
        raise Refused(err.getvalue())
    assert code == 0, f"exit {code}: {err.getvalue()}"
    return out.getvalue()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two finished runs of one specification with two seeds."""
    place = tmp_path_factory.mktemp("runs")
    (place / "spec.toml").write_text(RUN)
    folders = [place / "0", place / "1"]
    for seed, folder in enumerate(folders):
        asked("run", place / "spec.toml", "--seed", seed, "--out", folder)
    return folders


def drawn(folder):
    """The samples that a run gives."""
    out = folder / "drawn.npz"
    out.unlink(missing_ok=True)
    asked("sample", folder, "-n", 4, "--out", out)
    with np.load(out) as found:
        return found["samples"].tobytes()


def test_run_folders(runs, tmp_path):
    """What a finished run says does not change: it is the same, or the run is refused."""
    folder, tally = tmp_path / "run", Tally("run folders")
    whole, other = runs
    kept = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    shutil.copytree(whole, folder)
    said, samples = asked("compare", folder, "--json"), drawn(folder)

    def attempt(seed):
        shutil.rmtree(folder)
        shutil.copytree(whole, folder)
        name = kept[seed % len(kept)]
        if seed % 7 == 0:
            os.remove(folder / name)
        else:
            content = mutated((whole / name).read_bytes(), seed, (other / name).read_bytes())
            (folder / name).write_bytes(content)
        if asked("compare", folder, "--json") != said:
            return f"{name}: another comparison"
        return f"{name}: other samples" if drawn(folder) != samples else None

    tally.run(range(200), attempt)
    print(tally)  # noqa: T201
    assert not tally.bad, str(tally)


def test_runs_that_are_resumed(runs, tmp_path):
    """A run that goes on from what was damaged ends as if nothing had been, or is refused."""
    folder, tally = tmp_path / "run", Tally("resumed runs")
    whole, other = runs
    left = ["metrics.jsonl", "checkpoints/10", "checkpoints/20", "spec.toml", "versions.json"]
    model = (whole / "model.eqx").read_bytes()

    def attempt(seed):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        for name in ("summary.json", "SHA256SUMS", "model.eqx"):
            os.remove(folder / name)
        name = left[seed % len(left)]
        if seed % 3 == 0 and name != "spec.toml":
            os.remove(folder / name)
        else:
            content = mutated((whole / name).read_bytes(), seed, (other / name).read_bytes())
            (folder / name).write_bytes(content)
        asked("run", tmp_path / "spec.toml", "--seed", 0, "--out", folder, "--resume")
        if (folder / "model.eqx").read_bytes() != model:
            return f"{name}: another model"
        steps = len((folder / "metrics.jsonl").read_text().splitlines())
        return None if steps == 4 else f"{name}: {steps} records"

    (tmp_path / "spec.toml").write_text(RUN)
    tally.run(range(20), attempt)
    print(tally)  # noqa: T201
    assert not tally.bad, str(tally)
