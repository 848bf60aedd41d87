"""Files that are there whole or not at all: written beside their place, then renamed."""

import contextlib
import os
from pathlib import Path

PARTIAL = ".partial"


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file of an existing folder, whole or not at all.

    Raises:
        OSError: what the system refuses; the file is then as it was.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        error.filename, error.filename2 = str(path), None  # the name that the caller knows
        raise
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def remove_partial(folder: Path) -> None:
    """Removes what programs that were killed while they wrote into a folder have left there."""
    for partial in folder.rglob(f".*{PARTIAL}"):
        number = partial.name.removesuffix(PARTIAL).rpartition(".")[2]
        if not (number.isdigit() and _is_running(int(number))):
            partial.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
