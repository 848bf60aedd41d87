"""Experiments as data: specifications, runs, figures and reports."""
