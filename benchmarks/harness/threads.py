"""One thread, or one core, for what is timed.

Libraries read it when they first compute, torch when it is imported, so the `__init__` of a folder
of races calls `one_core`; no other folder does, since whatever imports it would lose its cores.
"""

import os
import sys

THREADS = 1


def one_thread() -> None:
    """Leaves this process and those it starts one thread each, so that runs go side by side."""
    for pool in ("OMP", "MKL", "OPENBLAS", "NUMEXPR"):
        os.environ[f"{pool}_NUM_THREADS"] = str(THREADS)
    flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}"


def one_core() -> None:
    """Leaves this process one core and one thread, on the processor alone."""
    if sys.platform == "linux":
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.environ["JAX_PLATFORMS"] = "cpu"
    one_thread()
