"""Particles followed under a control: trajectories, samplers, likelihoods, solutions."""

from mfgen._facade import facade as _facade

__getattr__, __dir__ = _facade(__name__, __file__)
