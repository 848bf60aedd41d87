"""What follows from a declared game: its Hamiltonian, its equations, and what is wrong with it."""

from mfgen._facade import facade as _facade

__getattr__, __dir__ = _facade(__name__, __file__)
