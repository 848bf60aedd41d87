"""Documents, runs as folders, comparisons and reports: what stands behind the command line."""

from mfgen.lab._case import Case as Case
from mfgen.lab._case import assemble as assemble
from mfgen.lab._run import load as load
from mfgen.lab._run import run as run
from mfgen.lab._spec import Experiment as Experiment
from mfgen.lab._store import RunFolder as RunFolder
