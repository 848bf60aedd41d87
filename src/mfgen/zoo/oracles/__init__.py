"""Games with exact answers, against which solvers, models and measures are tested."""
