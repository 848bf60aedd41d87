"""The memory that something will take, asked for before it is begun.

A size that does not fit ends a process in the allocator of some library, minutes later and without
a name; compared with what is free it is refused at once, with the number.
"""

import os
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")


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


def shown(size: int | float) -> str:
    """A number of bytes in words."""
    for unit, power in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= power:
            return f"{size / power:,.3g} {unit}" if size < 1e15 else f"{size / power:.1e} {unit}"
    return f"{size:.0f} bytes"
