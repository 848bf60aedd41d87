"""A formula for the Hamiltonian against the numeric one, at random points.

    formula(t, x, p) = H(t, x, p) = -p.a + q.v* - L(t, x, v*),   v* = argmax

What depends on p is compared by the differences H(t, x, p) - H(t, x, 0), from which costs of the
place drop out: a deep bowl would hide a wrong speed. What does not is compared at p = 0, unless
undefined functions are in it, such as a potential that is a network, which have no numbers.
"""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import sympy as sp
from sympy.core.function import AppliedUndef

from mfgen.derive._hamiltonian import hamiltonian
from mfgen.derive._symbols.number import Expression
from mfgen.games._game import MFG

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
        except Exception as error:  # the cost is the user's, and may have no maximum
            return f"the numeric Hamiltonian raised `{type(error).__name__}`"
        try:
            resting = np.asarray(compute(t_, x_, 0 * p_))
        except Exception:
            resting = np.full_like(expected, np.nan)
    hidden = sorted(formula.atoms(AppliedUndef), key=str)
    rest = formula.subs(dict.fromkeys(p, 0), simultaneous=True)
    if np.isnan(resting).any() or rest.has(sp.nan, sp.zoo):  # by a formula that divides by |p|
        pairs = [(formula, expected)]
    else:
        pairs = [(formula - rest, expected - resting)] + [(rest, resting)] * (not hidden)
    rows = np.column_stack([times, places, costates])
    for expression, wanted in pairs:
        expression = expression.xreplace({part: sp.Dummy() for part in hidden})
        if expression.free_symbols - {t, *x, *p}:
            return "it holds functions that are not known"
        try:
            evaluate = sp.lambdify([t, *x, *p], expression, "numpy")
            found = np.array([evaluate(*row) for row in rows], dtype=complex)
        except Exception as error:
            return f"it could not be evaluated: `{type(error).__name__}`"
        error = np.abs(found - wanted)
        worst = int(np.argmax(np.where(np.isnan(error), np.inf, error)))
        rounding = 1e-12 * (np.abs(expected) + np.nan_to_num(np.abs(resting)))
        if not np.all(error <= _TOLERANCE * np.abs(wanted).max() + rounding):
            return f"it is {found[worst]:.4g} where the game's own is {wanted[worst]:.4g}"
    return None
