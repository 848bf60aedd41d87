"""Generative models declared as games."""
