"""What went wrong, in one line and an exit code.

A mistake of the user has code 2: its message was complete where it was raised, that of the
operating system is put into words here. Anything else, code 1, is a fault of mfgen.
"""

import errno
import os
import re
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

_PACKAGE = Path(__file__).parents[1]

# What the operating system says, what it should be, what to do about it.
_REASONS = {
    errno.ENOENT: ("does not exist", "a file or folder that does", "correct the path"),
    errno.ENOTDIR: ("a part of this path is a file", "a folder there", "choose another path"),
    errno.EISDIR: ("is a folder", "a file", "choose another path"),
    errno.EEXIST: ("exists and is no folder", "a new name or a folder", "choose another path"),
    errno.ENAMETOOLONG: ("the name is too long", "at most 255 bytes", "choose a shorter one"),
    errno.ELOOP: ("its links lead in a circle", "a path that ends", "correct the links"),
    errno.ENOSPC: ("the disk is full", "room for a file", "free some, then use --resume"),
    errno.EFBIG: ("the file would be too large", "a smaller one", "raise the limit (`ulimit -f`)"),
    errno.EROFS: (
        "the disk is read-only",
        "a place that can be written",
        "choose another --out",
    ),
    errno.EMFILE: ("too many files are open", "fewer", "raise the limit (`ulimit -n`)"),
    errno.ENOMEM: ("there is too little memory", "a run that fits", "lower its sizes"),
}
_UNREADABLE = ("permission denied", "a file that can be read", "change its permissions")
_UNWRITABLE = (
    "permission denied",
    "a place that can be written",
    "choose another --out or change its permissions",
)


class Failure(NamedTuple):
    """A line for the user and the exit code."""

    line: str
    code: int


def told(error: Exception) -> Failure:
    """What is said of an exception that ended a command."""
    if isinstance(error, OSError) and error.errno is not None:
        return Failure(_of_the_system(error), 2)
    if is_out_of_memory(error):
        return Failure(_of_memory(error), 2)
    if _is_told(error):
        return Failure(str(error) or type(error).__name__, 2)
    reason = f"{type(error).__name__}: {error}".strip(" .:\n")
    return Failure(
        f"unexpected {reason}; set MFGEN_TRACEBACK=1 to see where, and please report it.", 1
    )


def _is_told(error: Exception) -> bool:
    if isinstance(error, (ValueError, TypeError, OSError, FloatingPointError)):
        return is_ours(error)
    # A path that did not arrive; what compiled programs raise has another form.
    return isinstance(error, RuntimeError) and re.match(r"`[^`\n]+`[^\n]+$", str(error)) is not None


def _of_the_system(error: OSError) -> str:
    path = _known(error.filename)
    if error.errno in (errno.EACCES, errno.EPERM):
        readable = not os.path.isfile(path) or os.access(path, os.R_OK)
        got, expected, fix = _UNWRITABLE if readable else _UNREADABLE
    else:
        said = (error.strerror or "cannot be used").lower()
        otherwise = (said, "a place that can be read and written", "choose another path")
        got, expected, fix = _REASONS.get(error.errno or 0, otherwise)
    subject = f"`{path}`" if path else "`mfgen` could not write"
    return f"{subject}: {got}, expected {expected}: {fix}."


def _known(path: object) -> str:
    """The path under the name the user knows: files are written under others and renamed."""
    text = os.fsdecode(path) if isinstance(path, (str, bytes)) else ""
    return re.sub(r"\.([^/]*)\.\d+\.partial$", r"\1", text)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether there was too little memory, for numpy or on the device.

    JAX says so by the word that its error begins with; in others' errors it may be anything.
    """
    of_jax = type(error).__name__ in ("JaxRuntimeError", "XlaRuntimeError")
    return isinstance(error, MemoryError) or (
        of_jax and str(error).startswith("RESOURCE_EXHAUSTED")
    )


def _of_memory(error: Exception) -> str:
    asked = re.search(r"([\d.]+) ?([KMGTP]i?B|bytes)", str(error))
    amount = f" asking for {_amount(float(asked[1]), asked[2])}" if asked else ""
    return (
        f"`mfgen` ran out of memory{amount}, expected a run that fits: lower `batch_size`, the "
        "width of the model, or `samples` and `points` of [evaluation]."
    )


def _amount(number: float, unit: str) -> str:
    gigabytes = number / 1e9
    return f"{gigabytes:,.1f} GB" if unit == "bytes" and gigabytes >= 1 else f"{number:g} {unit}"


def is_ours(error: BaseException) -> bool:
    """Whether the exception was raised by mfgen, whose messages are for the user.

    Such messages open with a name in backticks. Others count where they were raised in a file of
    mfgen, if that is known: JAX takes its own part out of a traceback, and leaves a note.
    """
    if str(error).startswith("`"):
        return True
    if any("JAX has removed" in note for note in getattr(error, "__notes__", ())):
        return False
    where = error.__traceback__
    return where is not None and _PACKAGE in Path(_last(where)).parents


def _last(where: TracebackType) -> str:
    while where.tb_next is not None:
        where = where.tb_next
    return where.tb_frame.f_code.co_filename
