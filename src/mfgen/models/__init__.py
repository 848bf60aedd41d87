"""Representations of value functions and vector fields."""
