"""Time of `import mfgen` beside that of the libraries it stands on.

Each import runs in a fresh interpreter, which reports the processor time and the wall time of the
import alone. The first time of each is not kept: it writes the byte code and fills the file cache.
"""

import subprocess
import sys
from functools import partial

from benchmarks.harness.timing import Measure, Sample

BASE = ("jax", "equinox", "diffrax")
_PROGRAM = """
import time
cpu, wall = time.process_time(), time.perf_counter()
import {names}
print(time.process_time() - cpu, time.perf_counter() - wall)
"""


def imports() -> dict[str, Measure]:
    """Measures of the two imports."""
    measures = {"mfgen": partial(_imported, "mfgen"), "base": partial(_imported, *BASE)}
    for measure in measures.values():
        measure()
    return measures


def _imported(*names: str) -> Sample:
    program = _PROGRAM.format(names=", ".join(names))
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    if run.returncode != 0:
        raise RuntimeError(f"import of {', '.join(names)} failed:\n{run.stderr}")
    return Sample(*map(float, run.stdout.split()))
