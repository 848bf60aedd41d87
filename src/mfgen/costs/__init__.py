"""What moving costs: Lagrangians L(t, x, v), by the speed, the place and the score."""

from mfgen._facade import facade as _facade

__getattr__, __dir__ = _facade(__name__, __file__)
