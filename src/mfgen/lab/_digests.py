"""The digests of a finished run: one file for all the others, as `sha256sum` writes and checks it.

    SHA256SUMS      a line for each file: its sha256, two spaces, its name

A single measure is the product of specification, model and seed: a file that was altered, or put
there from another run, makes a number that nobody computed. So it is refused, by name.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from mfgen import _file

NAME = "SHA256SUMS"


def are_kept(folder: Path) -> bool:
    """Whether the folder has digests."""
    return (folder / NAME).is_file()


def keep(folder: Path, names: Sequence[str], coming: Mapping[str, bytes]) -> None:
    """Writes the digests of files in a folder, and of some that will be written after it."""
    sums = {name: _digest((folder / name).read_bytes()) for name in names}
    sums |= {name: _digest(content) for name, content in coming.items()}
    lines = "".join(f"{digest}  {name}\n" for name, digest in sums.items())
    _file.write_whole(folder / NAME, lines.encode())


def check(folder: Path, needed: Sequence[str] = ()) -> None:
    """Refuses a folder that has digests and files that do not match them.

    Arguments:
        folder: of a finished run.
        needed: names of files that are refused where they are missing, if the run had them.

    Raises:
        ValueError: naming the first such file.
    """
    for name, digest in _read(folder).items():
        try:
            matches, got = _digest((folder / name).read_bytes()) == digest, "it was altered"
        except FileNotFoundError:
            matches, got = name not in needed, "it is missing"
        if not matches:
            raise ValueError(
                f"`{folder / name}` cannot be read ({got} since the run was finished), expected "
                f"the file that {NAME} tells of: put it back as it was, or remove it and make it "
                "again with `mfgen run ... --resume`."
            )


def _read(folder: Path) -> dict[str, str]:
    """The digest of each file; none if none were kept."""
    if not are_kept(folder):
        return {}
    lines = (folder / NAME).read_bytes().decode(errors="replace").splitlines()
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    if "summary.json" not in sums or not all(_is_inside(name) for name in sums):
        raise ValueError(
            f"`{folder / NAME}` is damaged, expected a line for each file of the run: put it back "
            "as it was, or remove it, and the files are read without it."
        )
    return sums


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
