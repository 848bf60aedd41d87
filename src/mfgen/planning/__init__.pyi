"""Which ways of training a declared game has, and why not the others."""

from mfgen.planning._needs import Need as Need
from mfgen.planning._planner import Plan as Plan
from mfgen.planning._planner import plan as plan
from mfgen.planning._training import train as train
from mfgen.planning._ways import WAYS as WAYS
from mfgen.planning._ways import Way as Way
