"""Trainable models: potentials, control fields, critics, and estimates by kernels."""

from mfgen._facade import facade as _facade

__getattr__, __dir__ = _facade(__name__, __file__)
