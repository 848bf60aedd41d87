"""Differential operators, Legendre transforms and chunked means."""
