"""Reading a file, compressed or not, together with the sha256 of its content.

The digest is that of the RAW bytes: compressing a file again changes the `.gz` file and not its
content.

What is no file (a folder, a pipe that nobody writes, a device without an end) is refused before it
is opened, and what would not fit into memory before it is read. A compressed file says how long its
content is; data of measurement shrink to a tenth at best, so one that grows a hundredfold is not
unpacked.
"""

import gzip
import hashlib
import os
import zlib
from pathlib import Path

from mfgen import _file
from mfgen.math import _memory

_COPIES = 6  # of its content, in bytes, that a table takes on the way to a data set
_GROWTH, _SMALL = 100, 2**26  # times that a file may grow in unpacking, and what it may be anyway
_PART = 2**20


def read_content(path: str | Path, *, sha256: str | None = None) -> bytes:
    """Return the content of a file, decompressed if its name ends in `.gz`.

    Arguments:
        path: the file.
        sha256: the digest that the raw content must have, in hexadecimal; None to skip the check.

    Raises:
        OSError: such as `FileNotFoundError`, if there is no file that can be read.
        ValueError: if it is empty, no file, too large, not a whole gzip stream, or has another
            digest.
    """
    path = Path(path)
    size = file_size(path)
    _memory.refuse(
        f"`{path}` has {_memory.shown(size)} of data", _COPIES * size, "pass a part of it"
    )
    try:
        content = _unpacked(path, size) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"`{path}` is not a whole gzip file ({error}): fetch it again.") from error
    if not content:
        raise ValueError(f"`{path}` is empty: fetch it again.")
    digest = hashlib.sha256(content).hexdigest()
    if sha256 is not None and digest != sha256.lower():
        raise ValueError(
            f"`{path}` has content of sha256 {digest}, expected {sha256}: fetch the file again, or "
            "correct the digest if this is the version you mean."
        )
    return content


def file_size(path: Path) -> int:
    """Return the size of a file, or refuse what is none.

    Raises:
        OSError: if there is nothing that can be read.
        ValueError: for what is no file.
    """
    try:
        found = _file.kind(path)
    except ValueError as error:  # of a name with a zero byte
        raise ValueError(f"`{path}` is no path ({error}): correct it.") from None
    except FileNotFoundError:
        raise FileNotFoundError(f"`{path}` is not a file: check the path.") from None
    if found != "a file":
        raise ValueError(f"`{path}` is {found}, expected a file: name the file with the data.")
    return path.stat().st_size


def _unpacked(path: Path, size: int) -> bytes:
    """The content of a gzip file, unless it is far larger than the file."""
    most = max(_SMALL, _GROWTH * size)
    with path.open("rb") as stream:
        stream.seek(-min(4, size), os.SEEK_END)
        told = int.from_bytes(stream.read(), "little")  # the size of what was packed last
    _memory.refuse(f"`{path}` unpacks to much", _COPIES * min(told, most), "pass a part of it")
    parts, unpacked = [], 0
    with gzip.open(path, "rb") as stream:
        while part := stream.read(_PART):
            unpacked += len(part)
            if unpacked > most:
                raise ValueError(
                    f"`{path}` has {_memory.shown(size)} and unpacks to more than "
                    f"{_memory.shown(most)}, expected at most {_GROWTH} times as much: unpack it "
                    "yourself if that is what you mean."
                )
            if told <= most:  # else it is looked through, and nothing is kept
                parts.append(part)
    return b"".join(parts)
