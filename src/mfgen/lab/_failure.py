"""What went wrong, in one line and an exit code.

A mistake of the user has code 2: its message was complete where it was raised, that of the
operating system is put into words here. Anything else, code 1, is a fault of mfgen.
"""

import errno
import os
import re
from pathlib import Path
from types import TracebackType

_PACKAGE = Path(__file__).parents[1]

# What is expected where the operating system refuses, and what to do about it.
_READABLE = ("a file that can be read", "change its permissions")
_REASONS = {
    errno.ENOENT: ("a file or folder that exists", "correct the path"),
    errno.ENOTDIR: ("a folder there", "choose another path"),
    errno.EISDIR: ("a file", "choose another path"),
    errno.EEXIST: ("a new name or a folder", "choose another path"),
    errno.ENAMETOOLONG: ("at most 255 bytes", "choose a shorter one"),
    errno.ELOOP: ("a path that ends", "correct the links"),
    errno.ENOSPC: ("room for a file", "free some, then use --resume"),
    errno.EFBIG: ("a smaller one", "raise the limit (`ulimit -f`)"),
    errno.EROFS: ("a place that can be written", "choose another --out"),
    errno.EMFILE: ("fewer", "raise the limit (`ulimit -n`)"),
    errno.ENOMEM: ("a run that fits", "lower its sizes"),
    errno.EACCES: ("a place that can be written", "change its permissions or --out"),
}
_OTHERWISE = ("a place that can be read and written", "choose another path")


def told(error: Exception) -> tuple[str, int]:
    """What is said of an exception that ended a command, in one line, and the exit code."""
    if isinstance(error, OSError) and error.errno is not None:
        return _of_the_system(error), 2
    if is_out_of_memory(error):
        return _of_memory(error), 2
    if _is_told(error):
        return str(error) or type(error).__name__, 2
    reason = f"{type(error).__name__}: {error}".strip(" .:\n")
    where = "set MFGEN_TRACEBACK=1 to see where, and please report it."
    return f"unexpected {reason}; {where}", 1


def _is_told(error: Exception) -> bool:
    if isinstance(error, (ValueError, TypeError, OSError, FloatingPointError)):
        return is_ours(error)
    # A path that did not arrive, another run's checkpoint; what compiled programs raise is longer.
    return re.match(r"`[^`\n]+`[^\n]+$", str(error)) is not None


def _of_the_system(error: OSError) -> str:
    path = _known(error.filename)
    code = errno.EACCES if error.errno == errno.EPERM else error.errno or 0
    unreadable = code == errno.EACCES and os.path.isfile(path) and not os.access(path, os.R_OK)
    expected, fix = _READABLE if unreadable else _REASONS.get(code, _OTHERWISE)
    subject = f"`{path}`" if path else "`mfgen` could not write"
    got = (error.strerror or "cannot be used").lower()
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
    amount = f" asking for {asked[0]}" if asked else ""
    if asked and asked[2] == "bytes" and float(asked[1]) >= 1e9:
        amount = f" asking for {float(asked[1]) / 1e9:,.1f} GB"
    return (
        f"`mfgen` ran out of memory{amount}, expected a run that fits: lower `batch_size`, the "
        "width of the model, or `samples` and `points` of [evaluation]."
    )


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
