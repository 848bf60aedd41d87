"""What follows from a game: Hamiltonian, optimal control, residuals of its equations."""
