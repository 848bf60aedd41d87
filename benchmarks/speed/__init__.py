"""Speed of mfgen beside other libraries, on one thread."""

from benchmarks.harness.threads import one_core

one_core()  # before JAX or torch are imported
