"""A game's equations in symbols, read from its functions with SymPy.

tracing, rules, moves    a function of JAX as a formula, one rule for each primitive
functionals              I and M, and their first variations, in words of the field
legendre, proof          the Hamiltonian of a cost, held against numbers before it is believed
text, page               formulas as they are read
number, deadline         numbers as they are written; a limit on what SymPy may think
"""
