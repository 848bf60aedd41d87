"""What training minimises: a game's own cost, its equations, likelihoods and matchings."""

from mfgen._facade import facade as _facade

__getattr__, __dir__ = _facade(__name__, __file__)
