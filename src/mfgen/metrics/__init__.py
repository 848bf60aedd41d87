"""Measures of quality, each with its standard error."""
