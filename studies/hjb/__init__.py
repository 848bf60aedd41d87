"""The Hamilton-Jacobi-Bellman regulariser measured against the same models without it.

Importing the package leaves every process one thread, so that as many runs as there are cores go
side by side without disturbing each other. That has to come before JAX is imported.
"""

import os

for pool in ("OMP", "MKL", "OPENBLAS", "NUMEXPR"):
    os.environ[f"{pool}_NUM_THREADS"] = "1"
os.environ["XLA_FLAGS"] = (
    f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false "
    "intra_op_parallelism_threads=1"
)
