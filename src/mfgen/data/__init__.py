"""Real data sets as arrays, checked as they are read."""

from mfgen._facade import facade as _facade

__getattr__, __dir__ = _facade(__name__, __file__)
