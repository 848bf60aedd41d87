"""Probability densities: exact, empirical, toy."""
