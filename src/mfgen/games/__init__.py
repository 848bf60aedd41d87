"""The declaration of a mean-field game, its domains and its labels."""

from mfgen._facade import facade as _facade

__getattr__, __dir__ = _facade(__name__, __file__)
