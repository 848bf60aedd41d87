"""Probability laws: exact ones, samples, energies, and the toys of the field."""

from mfgen._facade import facade as _facade

__getattr__, __dir__ = _facade(__name__, __file__)
