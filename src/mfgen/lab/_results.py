"""The folder of what a solver found: new, or one that holds nothing else."""

from collections.abc import Sequence
from pathlib import Path

from mfgen import _file


def check(owner: str, folder: Path, names: Sequence[str]) -> None:
    """Refuses a folder that holds anything but results of these names; it may not be there yet.

    Raises:
        ValueError: if it is a file, or holds anything else.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(
            f"`{owner}` got --out {folder}, which is {_file.kind(folder)}, expected a folder: "
            "choose another."
        )
    others = [f.name for f in folder.iterdir() if f.name not in names] if folder.is_dir() else []
    if [name for name in others if not name.endswith(_file.PARTIAL)]:
        raise ValueError(
            f"`{owner}` got the folder {folder}, which holds {min(others)!r}, expected a new one, "
            f"or one of `{owner}` itself: choose another --out."
        )
