"""Arrays from the files of NumPy: `.npy` and `.npz`, as plain numbers and never as code.

    npy     magic, version, a header that gives type, order and shape, the values
    npz     a zip of npy files

A header is text that Python reads; a flipped bit makes anything of it. So all that it says is
compared with the bytes that follow before any array is made: another shape, or values that were cut
off, are told as what they are, and nothing is taken that the file does not hold.
"""

import io
import math
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from mfgen import _check
from mfgen.data._checksum import read_content
from mfgen.math import _memory

_GROWTH, _SMALL = 100, 2**26  # as in `mfgen.data._checksum`
_HEADER = 100_000  # characters


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Return the arrays of a `.npz` file by name; the one of a `.npy` file has the name "".

    Raises:
        OSError: if it cannot be read.
        ValueError: if it holds no plain arrays.
    """
    return arrays(path, read_content(path))


def arrays(path: str | Path, content: bytes) -> dict[str, np.ndarray]:
    """Return the arrays in the content of a file.

    Raises:
        ValueError: if they are damaged, of Python objects, or would not fit into memory.
    """
    try:
        if not content.startswith(b"PK"):
            return {"": _array(content)}
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            size = sum(member.file_size for member in members)
            if size > max(_SMALL, _GROWTH * len(content)):
                raise ValueError(f"it unpacks to {_memory.shown(size)}, more than {_GROWTH} times")
            _memory.refuse("it is packed", size, "pass a part of it")
            return {
                member.filename.removesuffix(".npy"): _array(archive.read(member))
                for member in members
            }
    except Exception as error:  # of whatever reads a header that was altered
        raise ValueError(
            f"`{path}` holds no plain arrays of numbers ({_check.reason(error)[:200]}): fetch it "
            "again, or save it as an array of floats."
        ) from None


def _array(content: bytes) -> np.ndarray:
    stream = io.BytesIO(content)
    if not content.startswith(b"\x93NUMPY"):
        raise ValueError(f"it begins with {content[:6]!r}, no file of NumPy")
    version: Any = np.lib.format.read_magic(stream)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version == (3, 0):  # the same as the second, in UTF-8: for names of fields alone
        raise ValueError("records with fields, expected numbers alone")
    if version not in read:
        raise ValueError(f"version {version} of the format, expected (1, 0) or (2, 0)")
    with warnings.catch_warnings(action="ignore"):  # Python's own, on what an altered header says
        shape, columnwise, dtype = read[version](stream, max_header_size=_HEADER)
    if dtype.hasobject:
        raise ValueError("Python objects, which are never loaded")
    start, wanted = stream.tell(), math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or len(content) - start != wanted:
        raise ValueError(
            f"{len(content) - start} bytes of values for shape {shape} of {dtype}, which has "
            f"{wanted}"
        )
    values = np.frombuffer(content, dtype, offset=start) if wanted else np.zeros(0, dtype)
    return values.reshape(shape, order="F" if columnwise else "C")
