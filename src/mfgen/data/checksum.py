"""Reading a file, compressed or not, together with the sha256 of its content.

The digest is that of the RAW bytes: compressing a file again changes the `.gz` file and not its
content.
"""

import gzip
import hashlib
import zlib
from pathlib import Path


def read_content(path: str | Path, *, sha256: str | None = None) -> bytes:
    """Return the content of a file, decompressed if its name ends in `.gz`.

    **Arguments:**

    - `path`: the file.
    - `sha256`: the digest that the raw content must have, in hexadecimal; None to skip the check.

    **Raises:** `FileNotFoundError` if there is no file; `ValueError` if it is empty, not a whole
    gzip stream, or has another digest.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"`{path}` is not a file: check the path.")
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            content = stream.read()
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
