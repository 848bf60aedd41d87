"""Seals of checkpoints: digests of all files of a folder, kept beside it.

A checkpoint is a tree of files in the format of its storage library, which may trust what it reads
or complain from several threads at once about a file that was cut off. The seal is written once a
checkpoint is complete and compared before anything of it is read. A checkpoint whose run was killed
before it was sealed has none, and is judged by its content alone.
"""

import contextlib
import hashlib
import json
import os
from pathlib import Path

_SUFFIX = ".sha256"
_TRIAL, _FILES = 65536, 32  # bytes written besides the arrays, and files open, in a trial


def seal(folder: Path) -> None:
    """Writes the digests of the files in `folder` into a file beside it, whole or not at all."""
    place = _beside(folder)
    partial = place.with_name(place.name + ".partial")
    partial.write_text(json.dumps(_digests(folder), indent=0), encoding="utf-8")
    os.replace(partial, place)


def broken(folder: Path) -> str | None:
    """The first file of `folder` that is not as it was sealed; `None` if all are, or no seal."""
    place = _beside(folder)
    if not place.is_file():
        return None
    try:
        sealed = json.loads(place.read_text(encoding="utf-8"))
    except ValueError:
        return place.name
    found = _digests(folder)
    changed = [name for name, digest in sealed.items() if found.get(name) != digest]
    return changed[0] if changed else None


def forget_missing(parent: Path) -> None:
    """Removes the seals in `parent` whose folder is there no more."""
    for place in parent.glob(f"*{_SUFFIX}"):
        if not place.with_suffix("").is_dir():
            place.unlink()


def try_place(folder: Path, size: int = 0) -> None:
    """Raises the `OSError` that writing `size` bytes into `folder` would, before they are written.

    The storage library writes from several threads, which do not take it well when they may not.
    """
    trial = folder / f".trial.{os.getpid()}.partial"
    with contextlib.ExitStack() as opened:
        opened.callback(trial.unlink, missing_ok=True)
        file = opened.enter_context(trial.open("wb"))
        file.write(bytes(_TRIAL))
        file.flush()
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, _TRIAL + size)
        os.fsync(file.fileno())
        for _ in range(_FILES):
            opened.callback(os.close, os.dup(file.fileno()))


def _beside(folder: Path) -> Path:
    return folder.with_name(folder.name + _SUFFIX)


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }
