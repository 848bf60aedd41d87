"""Solvers: from a declared game to its value function and its density."""
