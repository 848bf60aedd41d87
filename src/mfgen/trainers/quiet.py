"""Silence of the storage library: its failures are raised here, and told once.

It logs each with the traceback of every thread that met it, and leaves halves of coroutines behind,
of which Python warns when they are thrown away.
"""

import contextlib
import gc
import logging
import sys
import traceback
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Nothing is logged by absl, nor said of what cannot be raised, unless the body succeeds."""
    logger = logging.getLogger("absl")
    level, hook = logger.level, sys.unraisablehook
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    except BaseException as error:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            sys.unraisablehook = lambda unraisable: None
            _let_go(error)
            gc.collect()
        raise
    finally:
        logger.setLevel(level)
        sys.unraisablehook = hook


def _let_go(error: BaseException | None) -> None:
    """Clears the frames of an error and of those it came from, which hold the halves."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
