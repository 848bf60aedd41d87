"""Refusal of sizes that do not fit into memory, before anything is computed.

A size that does not fit ends a process in the allocator of some library, minutes later and without
a name; compared with what is free it is refused at once, with the number.
"""

import os
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_NUMBER = 4  # bytes
_DEEPEST = 1000  # layers, which are compiled one by one


def free() -> float:
    """Bytes that can be taken now; infinite where the system does not say."""
    try:
        for line in _MEMINFO.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024.0 * int(line.split()[1])
    except (OSError, ValueError):
        pass
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return float("inf")


def refuse(said: str, size: int | float, fix: str) -> None:
    """Raises a `ValueError` if there is no room for so many bytes.

    Arguments:
        said: how the error begins, such as "`Grid` got points = 1000000000".
        size: bytes that will be taken at a time.
        fix: what to do about it.
    """
    room = free()
    if size > room:
        raise ValueError(
            f"{said}, which takes {shown(size)} of memory, expected at most the {shown(room)} that "
            f"are free: {fix}."
        )


def refuse_numbers(owner: str, numbers: int, **sizes: int) -> None:
    """Raises a `ValueError` in the name of `owner` if there is no room for so many numbers.

    Arguments:
        owner: the public name that was given the sizes.
        numbers: that are kept in memory; what is computed of them may need more.
        sizes: what their number follows from, by name.
    """
    got = " and ".join(f"{name} = {value}" for name, value in sizes.items())
    refuse(f"`{owner}` got {got}", _NUMBER * numbers, f"lower {' or '.join(sizes)}")


def refuse_network(owner: str, inputs: int, width: int, depth: int) -> None:
    """Raises a `ValueError` for a network without room, or of more layers than can be compiled."""
    if depth > _DEEPEST:
        raise ValueError(
            f"`{owner}` got depth = {depth}, expected at most {_DEEPEST} layers: pass depth=3."
        )
    weights = width * (inputs + width * max(depth - 1, 0))
    refuse_numbers(owner, weights, width=width, depth=depth)


def shown(size: int | float) -> str:
    """A number of bytes in words."""
    for unit, power in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= power:
            return f"{size / power:,.3g} {unit}" if size < 1e15 else f"{size / power:.1e} {unit}"
    return f"{size:.0f} bytes"
