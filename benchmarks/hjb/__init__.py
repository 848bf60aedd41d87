"""The Hamilton-Jacobi-Bellman regulariser measured against the same models without it."""
