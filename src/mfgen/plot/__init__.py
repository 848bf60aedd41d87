"""Figures: of solutions and their certificates, and of runs."""

from mfgen._facade import facade as _facade

__getattr__, __dir__ = _facade(__name__, __file__)
