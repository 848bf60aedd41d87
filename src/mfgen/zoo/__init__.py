"""Generative models declared as games, and the parts that their documents name."""

from mfgen._facade import facade as _facade

__getattr__, __dir__ = _facade(__name__, __file__)
