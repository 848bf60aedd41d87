"""Derived from a declared game: Hamiltonian, equations, and a check that it is well posed."""

from mfgen._facade import facade as _facade

__getattr__, __dir__ = _facade(__name__, __file__)
