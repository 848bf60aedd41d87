"""Ctrl-C: ends the program at once, with one line.

Python turns Ctrl-C into an exception in whatever runs at that moment. In a destructor or a callback
of the garbage collector that exception is dropped and the program goes on; elsewhere libraries
report it at length. Here the signal ends the process itself. Nothing is lost by that: every file of
a run is there whole or not at all, and its records are cut back when the run is resumed.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

MESSAGE = "interrupted: continue a run with --resume."
CODE = 130

_CLEAR = b"\r\x1b[2K\x1b[?25h"  # the line of the progress bar is cleared, the cursor shown again


def from_now_on() -> None:
    """Ctrl-C ends the process; for a caller that ignores it, as `nohup` does, it still does not."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        with contextlib.suppress(ValueError):  # of a thread, which may not say so for the process
            signal.signal(signal.SIGINT, _end)


@contextlib.contextmanager
def ends_the_program() -> Iterator[None]:
    """The same while it is open."""
    former = signal.getsignal(signal.SIGINT)
    from_now_on()
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is not former:
            signal.signal(signal.SIGINT, former)


def _end(number: int, frame: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    # Written past Python's buffers: the signal may have come while they were being written to.
    with contextlib.suppress(OSError):
        os.write(2, (_CLEAR if os.isatty(2) else b"") + f"error: {MESSAGE}\n".encode())
    os._exit(CODE)
