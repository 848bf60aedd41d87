"""Methods from a declared game to its value and its density, on grids and by particles."""

from mfgen._facade import facade as _facade

__getattr__, __dir__ = _facade(__name__, __file__)
