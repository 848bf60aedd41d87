"""What a training run must remember, and how it is kept on disk.

The state is all that the next step depends on: parameters, their running average, the optimiser's
moments and the step number. Random numbers are drawn from the run's key and the step, so a run
resumed from a checkpoint repeats the uninterrupted one bit for bit.

Checkpoints are written by Orbax: each is complete in a folder of its own, which gets its name only
when all is written, so a run killed while saving leaves the earlier ones whole. A header keeps the
run's fingerprint and settings (a checkpoint of another run is refused), a digest of the arrays and
the history so far. By the digest and the seal (`mfgen.trainers.seal`) a damaged one is recognised.

A save returns when all is on disk. Whatever the system refuses (a folder that cannot be written to,
a full disk, no more open files) is one `CheckpointError` with its words; what was saved stays.
"""

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from mfgen import _check
from mfgen.trainers import seal
from mfgen.trainers.history import History
from mfgen.trainers.quiet import quiet
from mfgen.trainers.settings import first_change

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
            seal.try_place(self.directory)
            self._orbax, self._manager = _manager(self.directory, keep)
        except OSError as error:
            raise self._refused(error) from None

    @property
    def latest(self) -> int | None:
        """The step of the latest complete checkpoint, or `None`."""
        return self._manager.latest_step()

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
        step, leaves = int(state.step), jax.tree.leaves(state)
        header = {
            "fingerprint": self.fingerprint,
            "settings": dict(self.settings),
            "digest": _digest(leaves),
            **history.to_document(),
        }
        arguments = self._orbax.args.Composite(
            state=self._orbax.args.StandardSave(_named(leaves)),
            header=self._orbax.args.JsonSave(header),
        )
        try:
            seal.try_place(self.directory, sum(np.asarray(leaf).nbytes for leaf in leaves))
            with quiet():
                self._manager.save(step, args=arguments)
            folder = self.directory / str(step)
            if folder.is_dir():
                seal.seal(folder)
            seal.forget_missing(self.directory)
        except Exception as error:  # Orbax and its storage layer raise many kinds
            with contextlib.suppress(OSError):
                for partial in self.directory.glob(f"{step}.orbax-checkpoint-tmp*"):
                    shutil.rmtree(partial, ignore_errors=True)
            raise self._refused(error) from None

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
        changed = seal.broken(self.directory / str(step))
        if changed is not None:
            raise self._damaged(step, f"its file {changed} is missing, cut off or altered")
        header = self._read(step, header=self._orbax.args.JsonRestore())["header"]
        if header["fingerprint"] != self.fingerprint:
            raise CheckpointError(
                f"`Checkpoints` found a checkpoint of another run in {self.directory} (fingerprint "
                f"{header['fingerprint']!r}, expected {self.fingerprint!r}): resume with the "
                "specification and seed it was made with, or choose another folder."
            )
        change = first_change(header.get("settings", {}), self.settings)
        if change is not None:
            name, now, before = change
            raise CheckpointError(
                f"`{self.owner}` got {name} = {now} for a run that was begun with {before} "
                f"({self.directory}), expected the same: pass what the run was begun with, or "
                "begin anew in another folder."
            )
        leaves, structure = jax.tree.flatten(template)
        wanted = self._orbax.args.StandardRestore(_named(leaves))
        found = self._read(step, state=wanted)["state"]
        restored = [found.get(_name(index), leaf) for index, leaf in enumerate(leaves)]
        if _digest(restored) != header["digest"]:
            raise self._damaged(step, "its arrays do not match their digest")
        return jax.tree.unflatten(structure, restored), History.of_document(header)

    def wait(self) -> None:
        """Returns when everything saved so far is on disk: at once, as `save` waits for it."""

    def close(self) -> None:
        """Frees the folder."""
        self._manager.close()

    def _read(self, step: int, **items: Any) -> dict[str, Any]:
        try:
            with quiet():
                return dict(self._manager.restore(step, args=self._orbax.args.Composite(**items)))
        except Exception as error:  # as above
            if _words(error) in _PASSING:
                raise self._refused(error) from None
            raise self._damaged(step, _check.reason(error)[:200]) from error

    def _refused(self, error: Exception) -> CheckpointError:
        return CheckpointError(
            f"`Checkpoints` got the folder {self.directory} ({_words(error)}), expected one that "
            "can be written to: choose another folder, or see to this one. What was saved before "
            "is whole."
        )

    def _damaged(self, step: int, reason: str) -> CheckpointError:
        return CheckpointError(
            f"`Checkpoints` could not read the checkpoint of step {step} in {self.directory} "
            f"({reason}), expected a complete one of this run: remove the folder {step} there to "
            "resume from an earlier one."
        )


def _manager(directory: Path, keep: int) -> tuple[Any, Any]:
    # Imported here: Orbax takes as long to import as the rest of the library.
    import orbax.checkpoint as orbax

    # Saved at once: threads that save in the background outlive a failure and hold the process.
    options = orbax.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=False)
    with quiet():
        return orbax, orbax.CheckpointManager(directory, options=options)


def begin(
    checkpoints: Checkpoints,
    state: State,
    history: History,
    resume: bool,
    steps: int,
    settings: Mapping[str, Any],
    owner: str = "fit",
) -> tuple[State, History]:
    """Where a run begins: at the latest checkpoint if it is resumed, else at what is given.

    Arguments:
        checkpoints: of the run.
        state, history: of a run that begins anew.
        resume: whether it is to be resumed.
        steps: the number of steps the run is to have.
        settings: what it depends on (`mfgen.trainers.settings`), kept with its checkpoints.
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


def _named(leaves: list) -> dict[str, Array]:
    """Arrays by name but for empty ones, which Orbax refuses and which hold nothing."""
    arrays = ((_name(index), jnp.asarray(leaf)) for index, leaf in enumerate(leaves))
    return {name: array for name, array in arrays if array.size}


def _name(index: int) -> str:
    return f"leaf_{index:04d}"


# What passes by itself or by the user's doing, and says nothing about the files.
_PASSING = {
    os.strerror(number)
    for number in (errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EACCES, errno.EPERM, errno.EIO)
}


def _words(error: Exception) -> str:
    """What the operating system said, however deep below; else the first line of the error."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, OSError) and below.strerror:
            return below.strerror
        below = below.__cause__ or below.__context__
    known = (os.strerror(number) for number in errno.errorcode)
    found = [words for words in known if words in str(error)]
    return max(found, key=len) if found else _check.reason(error)[:200]


def _digest(leaves: list) -> str:
    digest = hashlib.sha256()
    for leaf in leaves:
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()
