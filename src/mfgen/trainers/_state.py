"""The state of a training run, and its checkpoints on disk.

The state is all that the next step depends on: parameters, their running average, the optimiser's
moments and the step number. Random numbers are drawn from the run's key and the step, so a run
resumed from a checkpoint repeats the uninterrupted one bit for bit.

A checkpoint is one file, called by its step and renamed into its place when all of it is on disk,
so a run killed while saving leaves the earlier ones whole:

    sha256 of what follows / header, a line of JSON / leaves of the state, by Equinox

The header keeps the step, the run's fingerprint and settings (a checkpoint of another run or of
another step is refused) and the history so far. By the digest a damaged one is recognised before
anything of it is used.

A save returns when all is on disk. Whatever the system refuses (a folder that cannot be written to,
a full disk, no more open files) is one `CheckpointError` with its words; what was saved stays.
"""

import hashlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import equinox as eqx
from jaxtyping import Array, Float, Int, PyTree

from mfgen import _check, _file
from mfgen.trainers._history import History
from mfgen.trainers._settings import first_change

_TRIAL = 65536  # bytes that a folder must have room for before a run begins

State = TypeVar("State", bound=Any)  # any pytree of arrays with a `step`


class TrainState(eqx.Module):
    """Parameters, running average, best average so far, optimiser state and step number."""

    parameters: PyTree
    average: PyTree
    best: PyTree
    best_loss: Float[Array, ""]
    optimiser: PyTree
    step: Int[Array, ""]


class CheckpointError(Exception):
    """A checkpoint that cannot be used or written: of another run, damaged, or no place for it."""


class Checkpoints:
    """Checkpoints of one run in one folder.

    Arguments:
        directory: the folder; made if it is not there.
        every: steps from one checkpoint to the next.
        keep: how many of the latest are kept.
        fingerprint: names the run; a checkpoint with another fingerprint is refused.

    Raises:
        CheckpointError: if the folder cannot be made or written to.
    """

    def __init__(
        self, directory: str | Path, *, every: int = 500, keep: int = 2, fingerprint: str = ""
    ):
        if not isinstance(directory, str | os.PathLike):
            raise TypeError(
                f"`Checkpoints` got a directory of type `{type(directory).__name__}`, expected a "
                'path: pass Checkpoints("folder").'
            )
        if every < 1 or keep < 1:
            raise ValueError(
                f"`Checkpoints` got every = {every} and keep = {keep}, expected both at least 1: "
                "pass every=500, keep=2."
            )
        self.directory = Path(directory).absolute()
        self.every, self.keep = every, keep
        self.fingerprint = fingerprint
        self.settings: Mapping[str, Any] = {}
        self.owner = "fit"  # the public name that errors about the run speak of
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            _file.remove_partial(self.directory)
            _file.write_whole(self._trial, bytes(_TRIAL))
            self._trial.unlink()
        except OSError as error:
            raise self._refused(error) from None

    @property
    def latest(self) -> int | None:
        """The step of the latest checkpoint, or `None`."""
        return max(self._steps(), default=None)

    def path(self, step: int) -> Path:
        """The file of the checkpoint of a step."""
        return self.directory / str(step)

    def branch(self, name: str) -> "Checkpoints":
        """Checkpoints of a part of the run, in a folder of that name inside this one.

        The name must not be a number: those are the checkpoints themselves.
        """
        return Checkpoints(
            self.directory / name,
            every=self.every,
            keep=self.keep,
            fingerprint=f"{self.fingerprint}/{name}",
        )

    def save(self, state: Any, history: History) -> None:
        """Writes a checkpoint, whole or not at all, of a pytree of arrays with a `step`.

        Raises:
            CheckpointError: if it cannot be written.
        """
        step = int(state.step)
        header = {
            "step": step,
            "fingerprint": self.fingerprint,
            "settings": dict(self.settings),
            **history.to_document(),
        }
        content = io.BytesIO()
        content.write(json.dumps(header).encode() + b"\n")
        eqx.tree_serialise_leaves(content, state)
        whole = content.getvalue()
        try:
            _file.write_whole(self.path(step), _digest(whole) + whole)
        except OSError as error:
            raise self._refused(error) from None
        self._forget()

    def _forget(self) -> None:
        """Removes all checkpoints but the latest ones."""
        try:
            for old in sorted(self._steps())[: -self.keep]:
                self.path(old).unlink()
        except OSError as error:
            raise self._refused(error) from None

    def history(self) -> History:
        """The records that the latest checkpoint holds; none if there is no checkpoint.

        Raises:
            CheckpointError: if it is of another run, or damaged.
        """
        step = self.latest
        return History() if step is None else History.of_document(self._read(step)[0])

    def restore(self, template: State) -> tuple[State, History]:
        """The latest checkpoint, in the structure of `template`.

        Raises:
            CheckpointError: if there is none, it is of another run, or it is damaged.
        """
        step = self.latest
        if step is None:
            raise CheckpointError(
                f"`Checkpoints` found no checkpoint in {self.directory}, expected one to resume "
                "from: start the run without resuming."
            )
        header, leaves = self._read(step)
        change = first_change(header["settings"], self.settings)
        if change is not None:
            name, now, before = change
            raise CheckpointError(
                f"`{self.owner}` got {name} = {now} for a run that was begun with {before} "
                f"({self.directory}), expected the same: pass what the run was begun with, or "
                "begin anew in another folder."
            )
        try:
            state = eqx.tree_deserialise_leaves(io.BytesIO(leaves), template)
        except Exception as error:  # of NumPy and Equinox, for arrays of other shapes
            raise self._damaged(step, _check.reason(error)[:200]) from error
        self._forget()  # a kill may have come between the last one and that
        return state, History.of_document(header)

    @property
    def _trial(self) -> Path:
        return self.directory / ".trial"

    def _steps(self) -> list[int]:
        try:
            names = [path.name for path in self.directory.iterdir()]
        except OSError:  # of a folder that went; what is written next says so
            return []
        return [int(name) for name in names if name.isascii() and name.isdigit()]

    def _read(self, step: int) -> tuple[dict[str, Any], bytes]:
        """The header of a checkpoint of this run, and the bytes of its leaves."""
        if self.path(step).is_dir():
            raise CheckpointError(
                f"`Checkpoints` found a checkpoint of mfgen 0.1 in {self.path(step)}, expected a "
                "file: resume the run with that version, or begin anew in another folder."
            )
        try:
            content = self.path(step).read_bytes()
        except OSError as error:
            raise self._refused(error) from None
        digest, whole = content[:_DIGITS], content[_DIGITS:]
        if digest != _digest(whole):
            raise self._damaged(step, "it is cut off or altered")
        line, _, leaves = whole.partition(b"\n")
        header = json.loads(line)
        if header["step"] != step:
            raise self._damaged(step, f"it is that of step {header['step']}, renamed")
        if header["fingerprint"] != self.fingerprint:
            raise CheckpointError(
                f"`Checkpoints` found a checkpoint of another run in {self.directory} (fingerprint "
                f"{header['fingerprint']!r}, expected {self.fingerprint!r}): resume with the "
                "specification and seed it was made with, or choose another folder."
            )
        return header, leaves

    def _refused(self, error: OSError) -> CheckpointError:
        return CheckpointError(
            f"`Checkpoints` got the folder {self.directory} ({error.strerror or error}), expected "
            "one that can be written to: choose another folder, or see to this one. What was saved "
            "before is whole."
        )

    def _damaged(self, step: int, reason: str) -> CheckpointError:
        return CheckpointError(
            f"`Checkpoints` could not read the checkpoint of step {step} in {self.directory} "
            f"({reason}), expected a whole one of this run: remove the file {step} there to resume "
            "from an earlier one."
        )


def begin(
    checkpoints: Checkpoints,
    state: State,
    history: History,
    resume: bool,
    steps: int,
    settings: Mapping[str, Any],
    owner: str = "fit",
) -> tuple[State, History]:
    """The first state of a run: the latest checkpoint if it is resumed, else what is given.

    Arguments:
        checkpoints: of the run.
        state, history: of a run that begins anew.
        resume: whether it is to be resumed.
        steps: the number of steps the run is to have.
        settings: what it depends on (`mfgen.trainers._settings`), kept with its checkpoints.
        owner: the public name that errors speak of.

    Raises:
        CheckpointError: if there is a checkpoint and the run is not resumed, or it is of no use:
            damaged, of a run with other settings, or of one that has gone further.
    """
    checkpoints.settings, checkpoints.owner = settings, owner
    if checkpoints.latest is None:
        return state, history
    if not resume:
        raise CheckpointError(
            f"`{owner}` got a folder that holds a run already ({checkpoints.directory}, step "
            f"{checkpoints.latest}), expected an empty one: pass resume=True to continue it, or "
            "choose another folder."
        )
    state, history = checkpoints.restore(state)
    if state.step > steps:
        raise CheckpointError(
            f"`{owner}` got steps = {steps} for a run that has done {state.step} already "
            f"({checkpoints.directory}), expected at least as many: pass steps={state.step}, or "
            "begin anew in another folder."
        )
    return state, history


_DIGITS = 65


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode() + b"\n"
