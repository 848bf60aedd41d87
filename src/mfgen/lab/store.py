"""The folder of a run: what is kept of an experiment, and how it survives a kill.

    spec.toml       the specification, with the settings that were filled in
    versions.json   of Python, libraries and device; a digest of the training data
    metrics.jsonl   one line for each record of the training, in order of steps
    trials.jsonl    the same of all trainings, where a weight was chosen from several
    checkpoints/    of the training (`mfgen.trainers.state`)
    model.eqx       the trained model, or the particles
    game.eqx        the game, where a part of it was trained too
    descent.npz     what particles went down: its estimates against time
    points.npz      measures that are means over points, at each point
    samples.npz     samples of the model, in original units
    certificate.json  how well the model solves its game
    summary.json    the measures, each with its standard error; written last: the run is finished
    figures/        pictures
    custom/         copies of the user's own components

Files are written under another name and then renamed, so a file is there whole or not at all;
records of the training alone grow line by line, and are cut back when a run is resumed: to the
checkpoint, or to where the resumed training begins.
"""

import hashlib
import io
import json
import os
import zlib
from pathlib import Path
from typing import Any, TypeVar, cast
from zipfile import BadZipFile

import equinox as eqx
import numpy as np

from mfgen.lab import kept, spec, toml
from mfgen.trainers.history import Progress

_RECORDS = "metrics.jsonl"

AnyTree = TypeVar("AnyTree")


class RunFolder:
    """Reads and writes the files of one run.

    Arguments:
        path: the folder.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path).absolute()

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def figures(self) -> Path:
        return self.path / "figures"

    @property
    def custom(self) -> Path:
        return self.path / "custom"

    @property
    def model(self) -> Path:
        return self.path / "model.eqx"

    @property
    def is_run(self) -> bool:
        """Whether the folder holds a run, finished or not."""
        return (self.path / "spec.toml").is_file()

    @property
    def is_finished(self) -> bool:
        """Whether the run has been trained and judged."""
        return (self.path / "summary.json").is_file()

    def claim(self, experiment: spec.Experiment, *, resume: bool) -> None:
        """Takes the folder for a run, or finds the same run in it.

        Raises:
            ValueError: if the folder holds anything else; nothing in it is touched.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(
                f"`run` got --out {self.path}, which is a file, expected a folder: choose another."
            )
        if self.is_run:
            self._check_same(experiment, resume)
        elif self.path.is_dir() and any(f.suffix != ".partial" for f in self.path.iterdir()):
            raise ValueError(
                f"`run` got the folder {self.path}, which is not empty and holds no run, expected "
                "a new or empty one: choose another --out."
            )
        else:
            self.path.mkdir(parents=True, exist_ok=True)
            self.write_text("spec.toml", toml.write(experiment))

    def experiment(self) -> spec.Experiment:
        """The specification of the run.

        Raises:
            ValueError: if the folder holds no run, or a damaged one.
        """
        if not self.is_run:
            raise ValueError(
                f"`{self.path}` holds no run, expected a folder written by `mfgen run`: correct "
                "the path."
            )
        return toml.read(self.path / "spec.toml")

    def summary(self) -> dict[str, Any]:
        """The summary of a finished run.

        Raises:
            ValueError: if the run is not finished, or its summary is damaged.
        """
        self.experiment()
        if not self.is_finished:
            raise ValueError(
                f"`{self.path}` holds a run that is not finished, expected a finished one: "
                "continue it with `mfgen run ... --resume`."
            )
        return self.read_json("summary.json", kept.Summary)

    def read_json(self, name: str, kind: type = dict) -> Any:
        """The content of a JSON file of the folder, of the given kind."""
        try:
            return kept.check(json.loads((self.path / name).read_text(encoding="utf-8")), kind)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"`{self.path / name}` cannot be read ({error}), expected a file written by "
                "`mfgen run`: run the experiment again with --resume."
            ) from error

    def profiles(self) -> dict[str, Any]:
        """The measures along the noise; empty if none were kept."""
        if not (self.path / "profiles.json").is_file():
            return {}
        return self.read_json("profiles.json", kept.Profiles)

    def records(self, name: str = _RECORDS) -> list[dict[str, Any]]:
        """The records of the training; a last line cut off by a kill is left out."""
        try:
            lines = (self.path / name).read_bytes().splitlines()
        except FileNotFoundError:
            return []
        records = []
        for line in lines:
            try:
                records.append(kept.check(json.loads(line), Progress))
            except ValueError:
                break
        return records

    def rewind(self, step: int) -> None:
        """Cuts the records back to those up to a step."""
        self.write_records([record for record in self.records() if record["step"] <= step])

    def write_records(self, records: list[dict[str, Any]], name: str = _RECORDS) -> None:
        """Writes all records of the training, whole or not at all."""
        self.write_text(name, "".join(json.dumps(record) + "\n" for record in records))

    def append(self, record: dict[str, Any], name: str = _RECORDS) -> None:
        """Adds a record of the training."""
        with (self.path / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of an npz file of the folder; empty if there is none."""
        path = self.path / name
        if not path.is_file():
            return {}
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                return {key: archive[key] for key in archive.files}
        except (OSError, ValueError, EOFError, MemoryError, BadZipFile, zlib.error) as error:
            raise ValueError(
                f"`{path}` cannot be read ({error}), expected arrays written by `mfgen run`: run "
                "the experiment again with --resume."
            ) from error

    def write_arrays(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        """Writes an npz file, whole or not at all."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **cast(Any, arrays))
        self.write_bytes(name, buffer.getvalue())

    def write_leaves(self, name: str, tree: Any) -> None:
        """Writes the arrays of a model or another tree, whole or not at all."""
        buffer = io.BytesIO()
        eqx.tree_serialise_leaves(buffer, tree)
        self.write_bytes(name, buffer.getvalue())

    def read_leaves(self, name: str, like: AnyTree) -> AnyTree:
        """The tree with the arrays of a file.

        Raises:
            ValueError: for a file that does not hold such a tree.
        """
        try:
            return eqx.tree_deserialise_leaves(self.path / name, like)
        except Exception as error:  # a damaged file shows itself in many ways
            raise ValueError(
                f"`{self.path / name}` cannot be read ({error}), expected the {name[:-4]} of this "
                "run: run the experiment again with --resume."
            ) from error

    def write_json(self, name: str, content: Any) -> None:
        """Writes a JSON file, whole or not at all."""
        self.write_text(name, kept.encode(content) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Writes a text file, whole or not at all."""
        self.write_bytes(name, text.encode())

    def write_bytes(self, name: str, content: bytes) -> None:
        """Writes a file, whole or not at all."""
        write_whole(self.path / name, content)

    def _check_same(self, experiment: spec.Experiment, resume: bool) -> None:
        changes = toml.differences(self.experiment(), experiment)
        if changes:
            raise ValueError(
                f"`run` found another run in {self.path} ({changes[0]}), expected none or the "
                "same: choose another --out."
            )
        if not resume:
            raise ValueError(
                f"`run` found this run in {self.path} already, expected a new folder: pass "
                "--resume to continue it, or choose another --out."
            )


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file under another name and renames it: the file is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def fingerprint(experiment: spec.Experiment, *contents: bytes) -> str:
    """A digest of a specification and of whatever else a run depends on."""
    digest = hashlib.sha256(toml.write(experiment).encode())
    for content in contents:
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:16]
