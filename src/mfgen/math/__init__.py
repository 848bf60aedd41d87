"""Derivatives, lattices and other mathematics that the rest stands on."""

from mfgen._facade import facade as _facade

__getattr__, __dir__ = _facade(__name__, __file__)
