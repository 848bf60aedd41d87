"""Which ways of training a declared game has, and why not the others."""

from mfgen._facade import facade as _facade

__getattr__, __dir__ = _facade(__name__, __file__)
