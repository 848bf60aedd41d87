"""Speed of mfgen beside other libraries, on one thread.

Importing the package leaves the process one core and every thread pool one thread. That has to
come before JAX or torch are imported, so it is done here and nowhere else.
"""

import os
import sys

THREADS = 1

if sys.platform == "linux":
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
for pool in ("OMP", "MKL", "OPENBLAS", "NUMEXPR"):
    os.environ[f"{pool}_NUM_THREADS"] = str(THREADS)
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false"
