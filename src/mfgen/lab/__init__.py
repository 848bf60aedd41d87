"""Documents, runs as folders, comparisons and reports: what stands behind the command line."""

from mfgen._facade import facade as _facade

__getattr__, __dir__ = _facade(__name__, __file__)
