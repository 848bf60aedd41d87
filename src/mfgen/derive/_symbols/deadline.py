"""A time limit for SymPy, which may think about an equation for ever.

The limit is looked at where Python functions are entered, through the interpreter's own hook for
profilers. Unlike a signal this works in every thread, and unlike a second process it starts at
once; a hook that was there before (a profiler's) is put back. What counts is the thread's time on
the processor, so that a busy machine gives the same answers as an idle one.
"""

import itertools
import sys
import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

_EVERY = 32


class _Late(BaseException):
    """Not an `Exception`, so that no handler inside SymPy takes it for an answer."""


def within(seconds: float, compute: Callable[[], Result]) -> Result | None:
    """What `compute()` returns, or `None` if it has not returned after so much processor time.

    Limits may be nested: the inner one looks after the outer one as well.
    """
    end, before, calls = time.thread_time() + seconds, sys.getprofile(), itertools.count()
    clock = time.thread_time
    # The clock costs more than the count. An expression, since it runs at every call: whatever is
    # put around functions of this library, such as type checks, would multiply SymPy's time.
    late = lambda: not next(calls) % _EVERY and clock() > end and _stop()
    look = lambda frame, event, argument: late()
    if before is not None:
        look = lambda frame, event, argument: (late(), before(frame, event, argument))
    try:
        sys.setprofile(look)
        try:
            return compute()
        finally:
            sys.setprofile(before)
    except _Late:
        # If the outer limit has passed as well, its next look says so.
        return None


def _stop():
    raise _Late
