"""Numbers computed on the host while something else is being traced.

What a program is, must be known before it is compiled: whether a game has some property is decided
by numbers, at points drawn once. A function may be asked in the middle of a trace, where anything
it computes would become part of the traced program. Traces belong to threads, so that in a thread
of its own a function computes numbers, whoever asks.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import jax

Answer = TypeVar("Answer")


def in_double(function: Callable[..., Answer], *arguments) -> Answer:
    """`function(*arguments)` in double precision, outside all traces; what it raises is raised."""

    def run() -> Answer:
        with jax.enable_x64(True):
            return function(*arguments)

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()
