"""The declaration of a game: dynamics, Lagrangian, functionals."""
