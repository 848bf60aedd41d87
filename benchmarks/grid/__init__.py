"""Solvers on grids against exact games and a peer."""

from benchmarks.harness.threads import one_core

one_core()  # before JAX or torch are imported
