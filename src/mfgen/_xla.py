"""One setting of the compiler for CPUs, without which large programs may never return.

XLA orders the operations of a CPU program so that as many as possible run side by side. In programs
of many small products (the mixture of a `KernelPotential` in 20 or 50 dimensions, say) the workers
of its pool can then all come to wait for each other: the process stands still with idle threads.
Measured with jaxlib 0.10.2 on two cores, three of seven runs stood still with that order and none
of ten with the sequential one, which costs no time in any program of mfgen that was measured.

The setting is read when JAX first computes. A program that computes before it imports mfgen sets it
itself: `XLA_FLAGS=--xla_cpu_enable_concurrency_optimized_scheduler=false`. A value that the user
has set stays. Releases of jaxlib that may not know the name are left alone, as XLA ends a process
for a name that it does not know.
"""

import os
from importlib.metadata import version

_NAME = "xla_cpu_enable_concurrency_optimized_scheduler"
# The first release that nobody has looked at.
_UNKNOWN_FROM = (0, 12)


def order_sequentially() -> None:
    """Asks XLA for the sequential order of operations on CPUs, unless the user has chosen."""
    flags = os.environ.get("XLA_FLAGS", "")
    release = tuple(int(part) for part in version("jaxlib").split(".")[:2])
    if _NAME not in flags and release < _UNKNOWN_FROM:
        os.environ["XLA_FLAGS"] = f"{flags} --{_NAME}=false".strip()


# On import, since it has to come before the first computation of the process.
order_sequentially()
