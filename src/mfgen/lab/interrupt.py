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
import threading
from collections.abc import Iterator

MESSAGE = "interrupted: continue a run with --resume."
CODE = 130

_CLEAR = b"\r\x1b[2K\x1b[?25h"  # the line of the progress bar is cleared, the cursor shown again


@contextlib.contextmanager
def ends_the_program() -> Iterator[None]:
    """While open, Ctrl-C ends the process; a caller that ignores it, as `nohup` does, still may."""
    if not _is_ours():
        yield
        return
    former = signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


def _is_ours() -> bool:
    here = threading.current_thread() is threading.main_thread()
    return here and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _end(number: int, frame: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    # Written past Python's buffers: the signal may have come while they were being written to.
    with contextlib.suppress(OSError):
        os.write(2, (_CLEAR if os.isatty(2) else b"") + f"error: {MESSAGE}\n".encode())
    os._exit(CODE)
