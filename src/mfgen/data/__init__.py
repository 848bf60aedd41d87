"""Real data sets as arrays."""
