"""A command as a process: interrupts, and streams that are closed, full or read by nobody.

Ctrl-C ends it from its first line on, before anything that takes time is imported. What it says
goes to the standard output; where that cannot be written to, the program ends with one line and
code 2, but for the reader of a pipe who went away: that is no mistake, and the code is 0. Streams
that were closed before the program began are opened on nothing, or the first file that is opened
later would take their place.
"""

import errno
import os
import sys
from collections.abc import Callable

from mfgen.lab import _interrupt


def run(command: Callable[[], int]) -> int:
    """Runs the command of a process, which may print and exit, and returns its exit code."""
    _interrupt.from_now_on()
    for descriptor in range(3):
        _open(descriptor)
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    try:
        if sys.stdout is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        code = _ended(command)
        sys.stdout.flush()
    except BrokenPipeError:
        code = 0
    except OSError as error:
        code = _lost(error)
    _silence()
    return code


def _ended(command: Callable[[], int]) -> int:
    try:
        return command()
    except SystemExit as stop:  # the page of `--help`
        return int(stop.code or 0)


def _lost(error: OSError) -> int:
    why = (error.strerror or str(error)).lower()
    line = f"error: `mfgen` cannot write to its standard output ({why}), expected a place for it"
    try:
        sys.stderr.write(f"{line}: send it elsewhere.\n")
        sys.stderr.flush()
    except OSError:
        pass
    return 2


def _open(descriptor: int) -> None:
    """Opens a standard stream on nothing where it is closed."""
    try:
        os.fstat(descriptor)
    except OSError:
        found = os.open(os.devnull, os.O_RDWR)
        if found != descriptor:
            os.dup2(found, descriptor)
            os.close(found)


def _silence() -> None:
    """Sends what is still unwritten nowhere: Python writes it once more when it ends, and tells."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, AttributeError):
            if stream is not None:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
