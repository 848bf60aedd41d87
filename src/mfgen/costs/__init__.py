"""Lagrangians L(t, x, v): costs of the control, of the place and of the score."""

from mfgen._facade import facade as _facade

__getattr__, __dir__ = _facade(__name__, __file__)
