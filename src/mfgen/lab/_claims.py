"""Whose a run folder is: taken for one run, by one process at a time.

The second process is refused by the first one's number, and a run that was killed leaves no lock. A
run is claimed when all about it has been checked, and is no run again if it fails before its first
record. The folder of what a solver found is held to less: it is new, or holds nothing else.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from mfgen import _file
from mfgen.lab import _toml
from mfgen.lab._spec import Experiment
from mfgen.lab._store import RunFolder

_BEGUN = ("metrics.jsonl", "trials.jsonl", "model.eqx", "summary.json")


@contextlib.contextmanager
def claimed(folder: RunFolder, experiment: Experiment, *, resume: bool) -> Iterator[None]:
    """Takes the folder for a run, or finds the same run in it, and keeps other processes out.

    A run that fails before there is anything to resume leaves no trace of itself.

    Raises:
        ValueError: if the folder holds anything else, or a finished run whose files are not as they
            were, or another process writes it; nothing in it is touched.
    """
    _check(folder, experiment, resume)
    made = not folder.path.exists()
    folder.path.mkdir(parents=True, exist_ok=True)
    try:
        with _file.owned(folder.path):
            _check(folder, experiment, resume)  # once more, now that nobody else can write it
            fresh = not folder.is_run
            try:
                _file.remove_partial(folder.path)
                if fresh:
                    folder.write_text("spec.toml", _toml.write(experiment))
                folder.place = folder.path.stat()
                yield
            except BaseException:
                if fresh and not _has_begun(folder):
                    _leave(folder, made)
                raise
            finally:
                folder.place = None
    except _file.Taken as taken:
        raise ValueError(
            f"`run` found process {taken.process or 'unknown'} at work in {folder.path}, "
            "expected a folder that nobody writes: wait for it to end, or choose another --out."
        ) from None


def check_results(owner: str, folder: Path, names: Sequence[str]) -> None:
    """Refuses a folder that holds anything but results of these names; it may not be there yet.

    Raises:
        ValueError: if it is a file, or holds anything else.
    """
    others = [name for name in _held(owner, folder) if name not in names]
    if others:
        raise ValueError(
            f"`{owner}` got the folder {folder}, which holds {min(others)!r}, expected a new one, "
            f"or one of `{owner}` itself: choose another --out."
        )


def check_place(owner: str, path: Path) -> None:
    """Refuses a file that no folder can hold, before anything is computed for it.

    Raises:
        ValueError: if what should be a folder is none, or cannot be written to.
    """
    above = next(place for place in path.absolute().parents if os.path.lexists(place))
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        got = "is a folder that cannot be written to" if above.is_dir() else "is no folder"
        raise ValueError(
            f"`{owner}` got --out {path}, where {above} {got}, expected a place that can be "
            "written: choose another --out."
        )


def _held(owner: str, folder: Path) -> list[str]:
    """The names in a folder, but for what a kill leaves; none if it is not there yet."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(
            f"`{owner}` got --out {folder}, which is {_file.kind(folder)}, expected a folder: "
            "choose another."
        )
    names = [f.name for f in folder.iterdir()] if folder.is_dir() else []
    return [name for name in names if name != _file.LOCK and not name.endswith(_file.PARTIAL)]


def _check(folder: RunFolder, experiment: Experiment, resume: bool) -> None:
    """Refuses a folder of anything but this run; nothing is touched."""
    held = _held("run", folder.path)
    if held and not folder.is_run:
        raise ValueError(
            f"`run` got the folder {folder.path}, which is not empty and holds no run, expected "
            "a new or empty one: choose another --out."
        )
    if not folder.is_run:
        return
    folder.check()
    changes = _toml.differences(folder.experiment(), experiment)
    if changes:
        raise ValueError(
            f"`run` found another run in {folder.path} ({changes[0]}), expected none or the "
            "same: choose another --out."
        )
    if not resume:
        raise ValueError(
            f"`run` found this run in {folder.path} already, expected a new folder: pass "
            "--resume to continue it, or choose another --out."
        )


def _has_begun(folder: RunFolder) -> bool:
    """Whether there is anything of the run beside what it was to be."""
    saved = any(path.is_file() for path in folder.checkpoints.rglob("*"))
    return saved or any((folder.path / name).is_file() for name in _BEGUN)


def _leave(folder: RunFolder, made: bool) -> None:
    """Removes what a claim and all that followed it have written."""
    for name in ("spec.toml", "versions.json"):
        (folder.path / name).unlink(missing_ok=True)
    for inner in (folder.custom, folder.checkpoints, *([folder.path] if made else [])):
        shutil.rmtree(inner, ignore_errors=True)
