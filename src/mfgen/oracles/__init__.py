"""Games with exact answers, against which solvers, models and measures are tested."""

from mfgen._facade import facade as _facade

__getattr__, __dir__ = _facade(__name__, __file__)
