"""What a training run must remember, and how it is kept on disk.

The state is all that the next step depends on: parameters, their running average, the optimiser's
moments and the step number. Random numbers are drawn from the run's key and the step, so a run
resumed from a checkpoint repeats the uninterrupted one bit for bit.

Checkpoints are written by Orbax: each is complete in a folder of its own, which gets its name only
when all is written, so a run killed while saving leaves the earlier ones whole. A header keeps the
run's fingerprint (a checkpoint of another run is refused), a digest of the arrays and the history
so far. By the digest and the seal (`mfgen.train.seal`) a damaged one is recognised.
"""

import hashlib
import logging
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from mfgen.train import seal
from mfgen.train.history import History


class TrainState(eqx.Module):
    """Parameters, running average, best average so far, optimiser state and step number."""

    parameters: PyTree
    average: PyTree
    best: PyTree
    best_loss: Float[Array, ""]
    optimiser: PyTree
    step: Int[Array, ""]


class CheckpointError(Exception):
    """A checkpoint that cannot be used: of another run, or damaged."""


class Checkpoints:
    """Checkpoints of one run in one folder.

    Arguments:
        directory: the folder; made if it is not there.
        every: steps from one checkpoint to the next.
        keep: how many of the latest are kept.
        fingerprint: names the run; a checkpoint with another fingerprint is refused.
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
        # Imported here: Orbax takes as long to import as the rest of the library.
        import orbax.checkpoint as orbax

        logging.getLogger("absl").setLevel(logging.ERROR)
        self._orbax = orbax
        self._manager = orbax.CheckpointManager(
            self.directory, options=orbax.CheckpointManagerOptions(max_to_keep=keep)
        )
        self._unsealed: list[int] = []

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

    def save(self, state: TrainState, history: History) -> None:
        """Writes a checkpoint in the background; the run may go on meanwhile."""
        self.wait()
        leaves = jax.tree.leaves(state)
        header = {
            "fingerprint": self.fingerprint,
            "digest": _digest(leaves),
            **history.to_document(),
        }
        self._manager.save(
            int(state.step),
            args=self._orbax.args.Composite(
                state=self._orbax.args.StandardSave(_named(leaves)),
                header=self._orbax.args.JsonSave(header),
            ),
        )
        self._unsealed.append(int(state.step))

    def restore(self, template: TrainState) -> tuple[TrainState, History]:
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
        leaves, structure = jax.tree.flatten(template)
        wanted = self._orbax.args.StandardRestore(_named(leaves))
        found = self._read(step, state=wanted)["state"]
        restored = [found.get(_name(index), leaf) for index, leaf in enumerate(leaves)]
        if _digest(restored) != header["digest"]:
            raise self._damaged(step, "its arrays do not match their digest")
        return jax.tree.unflatten(structure, restored), History.of_document(header)

    def wait(self) -> None:
        """Returns when everything saved so far is on disk."""
        self._manager.wait_until_finished()
        while self._unsealed:
            folder = self.directory / str(self._unsealed.pop())
            if folder.is_dir():
                seal.seal(folder)
        seal.forget_missing(self.directory)

    def close(self) -> None:
        """Waits for what is being written and frees the folder."""
        self.wait()
        self._manager.close()

    def _read(self, step: int, **items: Any) -> dict[str, Any]:
        try:
            return dict(self._manager.restore(step, args=self._orbax.args.Composite(**items)))
        except Exception as error:  # Orbax and its storage layer raise many kinds
            raise self._damaged(step, str(error).splitlines()[0][:200]) from error

    def _damaged(self, step: int, reason: str) -> CheckpointError:
        return CheckpointError(
            f"`Checkpoints` could not read the checkpoint of step {step} in {self.directory} "
            f"({reason}), expected a complete one of this run: remove the folder {step} there to "
            "resume from an earlier one."
        )


def begin(
    checkpoints: Checkpoints, state: TrainState, history: History, resume: bool
) -> tuple[TrainState, History]:
    """Where a run begins: at the latest checkpoint if it is resumed, else at what is given.

    Raises:
        CheckpointError: if there is a checkpoint and the run is not resumed, or it is of no use.
    """
    if checkpoints.latest is None:
        return state, history
    if not resume:
        raise CheckpointError(
            f"`fit` got a folder that holds a run already ({checkpoints.directory}, step "
            f"{checkpoints.latest}), expected an empty one: pass resume=True to continue it, or "
            "choose another folder."
        )
    return checkpoints.restore(state)


def _named(leaves: list) -> dict[str, Array]:
    """Arrays by name but for empty ones, which Orbax refuses and which hold nothing."""
    arrays = ((_name(index), jnp.asarray(leaf)) for index, leaf in enumerate(leaves))
    return {name: array for name, array in arrays if array.size}


def _name(index: int) -> str:
    return f"leaf_{index:04d}"


def _digest(leaves: list) -> str:
    digest = hashlib.sha256()
    for leaf in leaves:
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()
