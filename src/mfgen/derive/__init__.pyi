"""Derived from a declared game: Hamiltonian, equations, and a check that it is well posed."""

from mfgen.derive._check import check as check
from mfgen.derive._hamiltonian import drift as drift
from mfgen.derive._hamiltonian import hamiltonian as hamiltonian
from mfgen.derive._hamiltonian import optimal_control as optimal_control
from mfgen.derive._residual import fokker_planck as fokker_planck
from mfgen.derive._residual import hjb as hjb
from mfgen.derive._residual import terminal as terminal
from mfgen.derive._symbols.equations import equations as equations
