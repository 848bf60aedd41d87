"""How particles move: dX = (free(t, X) + gain v) dt + diffusion dW, and the noisings."""

from mfgen._facade import facade as _facade

__getattr__, __dir__ = _facade(__name__, __file__)
