"""Gradient flows beside exact solutions, and on real data."""

from benchmarks.harness.threads import one_core

one_core()  # before JAX is imported
