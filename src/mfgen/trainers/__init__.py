"""What learns or moves, in one loop: gradients, critics in turn, particles, rising weights."""

from mfgen._facade import facade as _facade

__getattr__, __dir__ = _facade(__name__, __file__)
