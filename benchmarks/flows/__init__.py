"""Normalizing flows beside those of other authors, and on real data."""

from benchmarks.harness.threads import one_core

one_core()  # before JAX or torch are imported
