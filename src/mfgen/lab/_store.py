"""The folder of a run: what is kept of an experiment, and how it survives a kill.

    spec.toml       the specification, with the settings that were filled in
    versions.json   of Python, libraries and device; a digest of the training data
    metrics.jsonl   one line for each record of the training, in order of steps
    trials.jsonl    the same of all trainings, where a weight was chosen from several
    checkpoints/    of the training (`mfgen.trainers._state`)
    model.eqx       the trained model, or the particles
    game.eqx        the game, where a part of it was trained too
    descent.npz     what particles went down: its estimates against time
    points.npz      measures that are means over points, at each point
    samples.npz     samples of the model, in original units
    certificate.json  how well the model solves its game
    summary.json    the measures, each with its standard error; written last: the run is finished
    SHA256SUMS      digests of the files above, made when the run is finished (`sha256sum -c`)
    figures/        pictures
    custom/         copies of the user's own components
    .lock           the process that writes the folder (`mfgen.lab._claims`)

Files are written under another name and then renamed, so a file is there whole or not at all;
records of the training alone grow line by line. They are cut back when a run is resumed: to the
checkpoint, which holds them too and gives back those that were lost, or to where the resumed
training begins.

The files of a finished run belong together. A flipped bit, a model of another run, the summary of
another seed: what is not as it was when the run was finished is refused by name.
"""

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar, cast

import equinox as eqx
import msgspec
import numpy as np

from mfgen import _file
from mfgen.data._arrays import read_arrays
from mfgen.lab import _kept, _spec, _toml
from mfgen.trainers._history import Progress

_RECORDS = "metrics.jsonl"
_SUMS = "SHA256SUMS"
_SEALED = (
    "spec.toml", "versions.json", _RECORDS, "trials.jsonl", "model.eqx", "game.eqx", "descent.npz",
    "points.npz", "samples.npz", "fields.npz", "profiles.json", "certificate.json",
)  # fmt: skip

AnyTree = TypeVar("AnyTree")


class RunFolder:
    """Reads and writes the files of one run.

    Arguments:
        path: the folder.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path).absolute()
        self.checkpoints, self.figures, self.custom, self.model = (
            self.path / name for name in ("checkpoints", "figures", "custom", "model.eqx")
        )
        self.place: os.stat_result | None = None  # of the folder, while it is claimed

    @property
    def is_run(self) -> bool:
        """Whether the folder holds a run, finished or not."""
        return (self.path / "spec.toml").is_file()

    @property
    def is_finished(self) -> bool:
        """Whether the run has been trained and judged."""
        return (self.path / "summary.json").is_file()

    def finish(self, summary: dict[str, Any]) -> None:
        """Writes the summary of a run, and the digests of all that belongs to it."""
        text = _kept.encode(summary) + "\n"
        self.check_place()
        self.reopen()
        sums = {name: _digest((self.path / name).read_bytes()) for name in self._sealed()}
        sums["summary.json"] = _digest(text.encode())
        self.write_text(_SUMS, "".join(f"{digest}  {name}\n" for name, digest in sums.items()))
        self.write_text("summary.json", text)

    def reopen(self) -> None:
        """Makes a finished run an unfinished one, before files of it are written again."""
        for name in ("summary.json", _SUMS):
            (self.path / name).unlink(missing_ok=True)

    def check(self, needed: Sequence[str] = ()) -> None:
        """Refuses a finished run with files that are not as they were when it was finished.

        A single measure is the product of specification, model and seed: a file that was altered,
        or put there from another run, makes a number that nobody computed.

        Arguments:
            needed: names of files that are refused where they are missing, if the run had them.

        Raises:
            ValueError: naming the first such file.
        """
        sums = self._sums() if self.is_finished and self.is_sealed else {}
        for name, digest in sums.items():
            file = self.path / name
            there = file.is_file()
            if (_digest(file.read_bytes()) != digest) if there else name in needed:
                raise ValueError(
                    f"`{file}` cannot be read (it {'was altered' if there else 'is missing'} since "
                    f"the run was finished), expected the file that {_SUMS} tells of: put it back "
                    "as it was, or remove it and make it again with `mfgen run ... --resume`."
                )

    def _sums(self) -> dict[str, str]:
        """The digest of each file."""
        file = self.path / _SUMS
        lines = file.read_bytes().decode(errors="replace").splitlines()
        sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
        inside = [name and name[0] != "/" and ".." not in Path(name).parts for name in sums]
        if "summary.json" not in sums or not all(inside):
            raise ValueError(
                f"`{file}` is damaged, expected a line for each file of the run: put it back as it "
                "was, or remove it, and the files are read without it."
            )
        return sums

    @property
    def is_sealed(self) -> bool:
        """Whether there are digests of the files of the run, as of a finished one."""
        return (self.path / _SUMS).is_file()

    @property
    def notice(self) -> str | None:
        """What is to be said of a finished run that was not sealed; `None` if it was."""
        why = "was finished by a version without digests: whether its files are as they were is"
        return None if self.is_sealed else f"{self.path} {why} not known"

    def experiment(self) -> _spec.Experiment:
        """The specification of the run.

        Raises:
            ValueError: if the folder holds no run, or a damaged one.
        """
        if not self.is_run:
            raise ValueError(
                f"`{self.path}` holds no run, expected a folder written by `mfgen run`: correct "
                "the path."
            )
        return _toml.read(self.path / "spec.toml")

    def summary(self) -> dict[str, Any]:
        """The summary of a finished run.

        Raises:
            ValueError: if the run is not finished, or its summary is damaged.
        """
        self.check()
        experiment = self.experiment()
        if not self.is_finished:
            raise ValueError(
                f"`{self.path}` holds a run that is not finished, expected a finished one: "
                "continue it with `mfgen run ... --resume`."
            )
        found = self.read_json("summary.json", _kept.Summary)
        wanted = {"spec": experiment.name, "data": experiment.data.name, "seed": experiment.seed}
        for field, value in wanted.items():
            if found[field] != value:
                raise ValueError(
                    f"`{self.path / 'summary.json'}` is of {field} = {found[field]}, expected "
                    f"{value} as in spec.toml: one of them is of another run; put back the right "
                    "one, or run the experiment again."
                )
        return found

    def read_json(self, name: str, kind: type = dict) -> Any:
        """The content of a JSON file of the folder, of the given kind; empty if there is none."""
        if not (self.path / name).is_file():
            return {}
        with self._readable(name, "a file written by `mfgen run`") as path:
            content = json.loads(path.read_text(encoding="utf-8"))
            msgspec.convert(content, kind)
            return content

    def profiles(self) -> dict[str, Any]:
        """The measures along the noise; empty if none were kept."""
        return self.read_json("profiles.json", _kept.Profiles)

    def records(self, name: str = _RECORDS) -> list[dict[str, Any]]:
        """The records of the training; a last line cut off by a kill is left out."""
        try:
            lines = (self.path / name).read_bytes().splitlines()
        except FileNotFoundError:
            return []
        records = []
        for line in lines:
            try:
                record = json.loads(line)
                msgspec.convert(record, Progress)
            except (ValueError, RecursionError):
                break
            records.append(record)
        return records

    def rewind(self, step: int, saved: Sequence[Progress] = ()) -> None:
        """Cuts the records back to those up to a step.

        Arguments:
            step: of the checkpoint that the run goes on from.
            saved: the records it holds: they are written where those of the folder were lost.
        """
        held = [record for record in self.records() if record["step"] <= step]
        saved = [record for record in saved if record.step > 0]  # what is measured at first is none
        if saved and [record["step"] for record in held] != [record.step for record in saved]:
            held = [asdict(record) for record in saved]
        self.write_records(held)

    def write_records(self, records: list[dict[str, Any]], name: str = _RECORDS) -> None:
        """Writes all records of the training, whole or not at all."""
        self.write_text(name, "".join(json.dumps(record) + "\n" for record in records))

    def append(self, record: dict[str, Any], name: str = _RECORDS) -> None:
        """Adds a record of the training."""
        self.check_place()
        with (self.path / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of an npz file of the folder; empty if there is none."""
        if not (self.path / name).is_file():
            return {}
        with self._readable(name, "arrays written by `mfgen run`") as path:
            return read_arrays(path)

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
        with self._readable(name, f"the {name[:-4]} of this run") as path:
            return eqx.tree_deserialise_leaves(path, like)

    @contextlib.contextmanager
    def _readable(self, name: str, wanted: str) -> Iterator[Path]:
        """While open, whatever a damaged file raises is told in the name of the file."""
        try:
            yield self.path / name
        except Exception as error:
            raise ValueError(
                f"`{self.path / name}` cannot be read ({error}), expected {wanted}: run the "
                "experiment again with --resume."
            ) from error

    def write_json(self, name: str, content: Any) -> None:
        """Writes a JSON file, whole or not at all."""
        self.write_text(name, _kept.encode(content) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Writes a text file, whole or not at all."""
        self.write_bytes(name, text.encode())

    def write_bytes(self, name: str, content: bytes) -> None:
        """Writes a file, whole or not at all."""
        self.check_place()
        write_whole(self.path / name, content)

    def _sealed(self) -> list[str]:
        """Names of the files that belong to a run, but for its summary."""
        own = [f.relative_to(self.path).as_posix() for f in sorted(self.custom.rglob("*.py"))]
        return [name for name in (*_SEALED, *own) if (self.path / name).is_file()]

    def check_place(self) -> None:
        """Refuses to write a run whose folder went, or is another one by now."""
        if self.place is None:
            return
        try:
            stays = os.path.samestat(self.place, self.path.stat()) and self.is_run
        except OSError:
            stays = False
        if not stays:
            raise ValueError(
                f"`run` found its folder {self.path} removed or replaced while it ran, expected it "
                "to stay: run the experiment again, and leave the folder until it ends."
            )


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file, whole or not at all, into a folder that is made where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _file.write_whole(path, content)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def fingerprint(experiment: _spec.Experiment, *contents: bytes) -> str:
    """A digest of a specification and of whatever else a run depends on."""
    digest = hashlib.sha256(_toml.write(experiment).encode())
    for content in contents:
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:16]
