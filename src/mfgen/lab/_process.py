"""A command as a process: interrupts, and streams that are closed, full or read by nobody.

Ctrl-C ends it from its first line on, before anything that takes time is imported. Python turns it
into an exception in whatever runs at that moment: in a destructor or a callback of the garbage
collector it is dropped and the program goes on, elsewhere libraries report it at length. Here the
signal ends the process itself. Nothing is lost by that: every file of a run is there whole or not
at all, and its records are cut back when the run is resumed.

What the command says
goes to the standard output; where that cannot be written to, the program ends with one line and
code 2, but for the reader of a pipe who went away: that is no mistake, and the code is 0. Streams
that were closed before the program began are opened on nothing, or the first file that is opened
later would take their place.
"""

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator

INTERRUPTED = "interrupted: continue a run with --resume."
INTERRUPT = 130  # the exit code
_CLEAR = b"\r\x1b[2K\x1b[?25h"  # the line of the progress bar is cleared, the cursor shown again


def run(command: Callable[[], int]) -> int:
    """Runs the command of a process, which may print, and returns its exit code."""
    _hear_ctrl_c()
    for descriptor in range(3):
        _open(descriptor)
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    try:
        if sys.stdout is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        code = command()
        sys.stdout.flush()
    except BrokenPipeError:
        code = 0
    except OSError as error:
        code = _lost(error)
    _silence()
    return code


@contextlib.contextmanager
def ended_by_ctrl_c() -> Iterator[None]:
    """While open, Ctrl-C ends the process."""
    former = signal.getsignal(signal.SIGINT)
    _hear_ctrl_c()
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is not former:
            signal.signal(signal.SIGINT, former)


def _hear_ctrl_c() -> None:
    """Ctrl-C ends the process; for a caller that ignores it, as `nohup` does, it still does not."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        with contextlib.suppress(ValueError):  # of a thread, which may not say so for the process
            signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, frame: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    # Written past Python's buffers: the signal may have come while they were being written to.
    with contextlib.suppress(OSError):
        os.write(2, (_CLEAR if os.isatty(2) else b"") + f"error: {INTERRUPTED}\n".encode())
    os._exit(INTERRUPT)


def _lost(error: OSError) -> int:
    why = (error.strerror or str(error)).lower()
    line = f"error: `mfgen` cannot write to its standard output ({why}), expected a place for it"
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{line}: send it elsewhere.\n")
        sys.stderr.flush()
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
