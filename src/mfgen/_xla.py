"""Settings of the compiler for CPUs, without which programs may stand still, crash or err.

The order of operations. XLA orders a CPU program so that as many as possible run side by side. In
programs of many small products (the mixture of a `KernelPotential` in 20 or 50 dimensions, say) the
workers of its pool can then all come to wait for each other: the process stands still with idle
threads. Measured with jaxlib 0.10.2 on two cores, three of seven runs stood still with that order
and none of ten with the sequential one, which costs no time in any program of mfgen that was
measured.

Sums. From jaxlib 0.10.2 on, XLA hands sums of products to the kernels of another library, YNNPACK,
whose first releases there write where they must not: the gradient of a mean of kernels over 1,024
particles ends the process with a segmentation fault, and the last row of
`vmap(lambda x: sum((A @ x) ** 2))` over 32,769 rows is wrong by a per cent, without a word. XLA's
own kernels for sums are asked for instead; products of matrices are not touched. In no training or
sampling of mfgen that was measured are they slower.
References: github.com/jax-ml/jax/issues/39257 (crashes), 39103 (wrong results).

The settings are read when JAX first computes. A program that computes before it imports mfgen is
warned, and sets them itself: `XLA_FLAGS=--xla_cpu_experimental_ynn_fusion_type=-reduce`, and
`--xla_cpu_enable_concurrency_optimized_scheduler=false`. A value that the user has set stays.
Releases of jaxlib that may not know a name are left alone, as XLA ends a process for a name that it
does not know.
"""

import os
import sys
import warnings

_ORDER = "xla_cpu_enable_concurrency_optimized_scheduler"
_SUMS = "xla_cpu_experimental_ynn_fusion_type"
# The first release that nobody has looked at.
_UNKNOWN_FROM = (0, 12)


def version(name: str) -> str:
    """The release of a distribution, read off the folder that its installer leaves on the path.

    `importlib.metadata`, which is asked where there is none, takes longer to import than all else
    that stands before the first line of a program that imports mfgen.
    """
    for place in sys.path:
        try:
            found = os.listdir(place or ".")
        except OSError:
            continue
        for entry in found:
            if entry.startswith(f"{name}-") and entry.endswith(".dist-info"):
                return entry.removeprefix(f"{name}-").removesuffix(".dist-info")
    from importlib import metadata

    return metadata.version(name)


def order_sequentially() -> None:
    """Asks XLA for the sequential order of operations on CPUs, unless the user has chosen."""
    _choose(_ORDER, "false")


def sum_natively() -> None:
    """Asks XLA for its own sums on CPUs, unless the user has chosen.

    Warns if JAX has computed on a CPU already: then it is too late.
    """
    if _choose(_SUMS, "-reduce") and _has_computed():
        warnings.warn(
            "`mfgen` got imported after JAX had computed, too late to keep XLA from kernels that "
            "crash and sum wrongly on CPUs: import mfgen before the first computation, or set "
            f"XLA_FLAGS=--{_SUMS}=-reduce.",
            stacklevel=2,
        )


def _choose(name: str, value: str) -> bool:
    """Sets a flag; whether it had to be."""
    flags = os.environ.get("XLA_FLAGS", "")
    release = tuple(int(part) for part in version("jaxlib").split(".")[:2])
    if name in flags or release >= _UNKNOWN_FROM:
        return False
    os.environ["XLA_FLAGS"] = f"{flags} --{name}={value}".strip()
    return True


def _has_computed() -> bool:
    """Whether JAX has a CPU for its default device already; JAX is not imported for it."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    begun = getattr(bridge, "backends_are_initialized", lambda: False)
    return begun() and sys.modules["jax"].default_backend() == "cpu"


# On import, since it has to come before the first computation of the process.
order_sequentially()
sum_natively()
