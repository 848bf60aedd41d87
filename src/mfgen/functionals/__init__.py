"""Functionals of the population: interactions, terminal costs, their kernels, prescribed ends."""

from mfgen._facade import facade as _facade

__getattr__, __dir__ = _facade(__name__, __file__)
