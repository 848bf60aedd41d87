"""Fixtures shared by every test: a fixed key, and float64 for identities that are exact.

Compilation takes most of the time of this suite, so compiled functions are kept on disk from one
run to the next.
"""

import gc
import os
from pathlib import Path

import jax
import jaxlib
import pytest

# Traced programs are many small objects that live on: looking through them all again and again
# costs more than what it frees.
gc.set_threshold(100_000, 20, 100)

MAPPINGS, MANY = Path("/proc/self/maps"), 20_000
# The older emitters compile the programs of this suite in half the time. A flag that a library does
# not know ends the process, so it is given to the one that it was tried with.
OLDER_EMITTERS = {"0.10": "--xla_cpu_use_fusion_emitters=false"}

jax.config.update("jax_numpy_rank_promotion", "raise")
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    cache = Path(__file__).parents[1] / ".jax_cache"
    jax.config.update("jax_compilation_cache_dir", str(cache))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def pytest_configure(config):
    """Leaves most optimisations out where no test trains for long, in started programs as well.

    For all of a run, from before the first module is read: programs that are optimised otherwise
    round otherwise, and some tests compare bits with those of another process.
    """
    if config.option.markexpr == "not slow":
        os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
        flags = os.environ.get("XLA_FLAGS", "")
        emitters = OLDER_EMITTERS.get(jaxlib.__version__.rpartition(".")[0], "")
        os.environ["XLA_FLAGS"] = f"{emitters} {flags}".strip()
        jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(scope="module", autouse=True)
def forgotten_programs():
    """Drops compiled programs after a file, once there are many.

    Each holds a few mappings of memory, of which a process has 65,530 on Linux: past them the
    compiler crashes, far from the test that took them.
    """
    yield
    if MAPPINGS.exists() and len(MAPPINGS.read_bytes().splitlines()) > MANY:
        jax.clear_caches()


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield
