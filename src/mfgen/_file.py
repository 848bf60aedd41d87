"""Files that are there whole or not at all, and folders that one process writes at a time."""

import codecs
import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

PARTIAL = ".partial"
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
LOCK = ".lock"


class Taken(Exception):
    """A folder that another process writes; `process` is its number, empty if not known."""

    def __init__(self, process: str):
        super().__init__(process)
        self.process = process


_KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def kind(path: Path) -> str:
    """What there is at a path, in words, links followed.

    Raises:
        OSError: if there is nothing, or it cannot be looked at.
    """
    return _KINDS.get(stat.S_IFMT(path.stat().st_mode), "no file")


def read_text(path: Path, most: int = 1_000_000) -> str:
    """The text of a file that people write: in UTF-8, or in UTF-16 as `>` writes it on Windows.

    Raises:
        OSError: if there is nothing that can be read.
        ValueError: for what is no file, larger than `most` bytes, or no text.
    """
    if kind(path) != "a file":
        raise ValueError(f"`{path}` is {kind(path)}, expected a file: correct the path.")
    size = path.stat().st_size
    if size > most:
        raise ValueError(
            f"`{path}` has {size:,} bytes, expected a text of at most {most:,}: name another file."
        )
    content = path.read_bytes()
    try:
        return content.decode("utf-16" if content[:2] in _UTF16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"`{path}` is no text ({error}): save it in UTF-8.") from None


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


@contextlib.contextmanager
def owned(folder: Path) -> Iterator[None]:
    """The folder is this process's own while it is open, or until the process dies.

    The system forgets the lock of a process that is gone; its file, which names the process, is
    then taken over. Where there are no locks, as on some network disks, nothing is locked.

    Raises:
        Taken: if another process, or another part of this one, writes the folder.
    """
    file = _locked(folder / LOCK)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            (folder / LOCK).unlink(missing_ok=True)
        file.close()


def _locked(path: Path) -> IO[str]:
    while True:
        try:
            file = path.open("a+", encoding="utf-8")
        except OSError as error:
            error.filename = str(path.parent)
            raise
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with file:
                file.seek(0)
                raise Taken(file.read(20).strip()) from None
        except (ImportError, OSError):
            return file
        # The former owner may have removed the file since it was opened here.
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            return file
        file.close()


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
