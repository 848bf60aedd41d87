"""A formula for the Hamiltonian against the numeric one, at random points.

    formula(t, x, p) = H(t, x, p) = -p.a + q.v* - L(t, x, v*),   v* = argmax

Undefined functions in the formula, such as a potential that is a network, have no numbers; then the
differences H(t, x, p) - H(t, x, 0) are compared, from which costs of the place drop out.
"""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import sympy as sp
from sympy.core.function import AppliedUndef

from mfgen.derive.hamiltonian import hamiltonian
from mfgen.derive.symbol_number import Expression
from mfgen.problem.game import MFG

_POINTS = 6
_TOLERANCE = 2e-5  # numbers of a game may be in single precision


def disagreement(
    game: MFG, formula: Expression, t: sp.Symbol, x: Sequence[sp.Symbol], p: Sequence[sp.Symbol]
) -> str | None:
    """`None` if the formula agrees with the game's Hamiltonian, else a clause that says how not."""
    rng = np.random.default_rng(2)
    times = game.dynamics.horizon * rng.uniform(0.1, 0.9, _POINTS)
    places = rng.normal(size=(_POINTS, len(x)))
    costates = rng.normal(size=(_POINTS, len(x))) * np.geomspace(0.2, 3, _POINTS)[:, None]
    with jax.enable_x64(True):
        t_, x_, p_ = (jnp.asarray(a) for a in (times, places, costates))
        compute = eqx.filter_jit(jax.vmap(lambda t, x, p: hamiltonian(game, t, x, p)))
        try:
            expected = np.asarray(compute(t_, x_, p_))
            hidden = sorted(formula.atoms(AppliedUndef), key=str)
            if hidden:
                expected = expected - np.asarray(compute(t_, x_, jnp.zeros_like(p_)))
        except Exception as error:  # the cost is the user's, and may have no maximum
            return f"the numeric Hamiltonian raised `{type(error).__name__}`"
    if hidden:
        formula = formula - formula.subs(dict.fromkeys(p, 0), simultaneous=True)
        formula = formula.xreplace({part: sp.Dummy() for part in hidden})
    if formula.free_symbols - {t, *x, *p}:
        return "it holds functions that are not known"
    evaluate = sp.lambdify([t, *x, *p], formula, "numpy")
    found = np.array(
        [evaluate(*row) for row in np.column_stack([times, places, costates])], dtype=complex
    )
    error = np.abs(found - expected)
    worst = int(np.argmax(np.where(np.isnan(error), np.inf, error)))
    if np.all(error <= _TOLERANCE * (1 + np.abs(expected))):
        return None
    return f"it is {found[worst]:.4g} where the game's own is {expected[worst]:.4g}"
