"""Compiled programs are kept between commands.

Most of the time of a command that only asks is that of compiling small programs, tens or hundreds
of them, so these are kept too.
"""

import os
import warnings

import jax

_SECONDS = 0.02  # of compiling: less than that is not worth a file


def keep() -> None:
    """Keeps compiled programs, in the user's cache unless the environment says where.

    Where that cannot be written to, they are not kept, rather than each being warned about.
    """
    name = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if name is None:
        home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        name = os.path.join(home, "mfgen", "jax")
    # A cache that cannot be written, as on a full disk, is no matter either.
    warnings.filterwarnings("ignore", ".*persistent compilation cache")
    jax.config.update("jax_compilation_cache_dir", name if name and _is_writable(name) else None)
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", _SECONDS)


def _is_writable(folder: str) -> bool:
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)
