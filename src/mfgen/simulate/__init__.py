"""Trajectories: samplers and likelihoods."""
