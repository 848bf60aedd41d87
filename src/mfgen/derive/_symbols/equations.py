"""A game's own equations, with its Lagrangian, Hamiltonian and costs written out by SymPy.

    H(t, x, p) = -p.a + L*(t, x, -g^T p),      v* = argmax_v { -p.(g v) - L }
    HJB   -dt U + r U + H(t, x, grad U) - tr(D Hess U) = dI/drho,   U(T) = dM/drho(rho(T))
    FP     dt rho + div( rho (a + g v*) ) - tr(D Hess rho) = 0,     rho(0) = rho_0

with D = sigma sigma^T / 2. The formulas come from the game's own code, whoever wrote it
(`tracing.py`). A Legendre transform in closed form is believed after it has agreed with
the numeric Hamiltonian at random points; otherwise H stands as the supremum that it is.

Reference: B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534, section 2.
"""

from collections.abc import Callable

import jax
import numpy as np
import sympy as sp

from mfgen import _check
from mfgen.densities._base import densities
from mfgen.derive._symbols.functionals import Place, read
from mfgen.derive._symbols.legendre import Transform, legendre
from mfgen.derive._symbols.number import Expression, number
from mfgen.derive._symbols.page import Equations, Parts, spread
from mfgen.derive._symbols.proof import disagreement
from mfgen.derive._symbols.tracing import Formula, formula
from mfgen.games._game import MFG

_DEFAULT_DIM = 2
_LONG = 3  # operations in a diffusion that gets a name


def equations(game: MFG, dim: int | None = None) -> Equations:
    """The equations of a game, with its own costs substituted.

    Arguments:
        game: the game.
        dim: the dimension of the space; that of a density in the game if absent, else 2.

    Returns:
        The equations. A part without a formula, such as a network, is an undefined function and
        `notes` says why.

    Raises:
        ValueError: for a dimension below 1, or another than that of the game's initial density.

    Example:

        derived = equations(MFG(Integrator(), Kinetic(), KL(target)))
        print(derived)               # ... -∂U/∂t + |∇U|²/2 = 0 ...
        derived.hamiltonian          # p1**2/2 + p2**2/2
    """
    _check.of_kind("equations", "game", game, MFG, "pass MFG(...), or `solution.game`")
    dim = _dimension(game, dim)
    t = sp.Symbol("t", real=True)
    x, p = _vector("x", dim), _vector("p", dim)
    dynamics = game.dynamics
    free = formula("a", dynamics.free, t, x, size=dim)
    gain, _ = _map("g", dynamics.gain, t, dim)
    gain = gain if isinstance(gain, sp.Matrix) else gain * sp.eye(dim)
    width = gain.cols
    v = _vector("v", width)
    sigma, unknown = _map("sigma", dynamics.diffusion, t, dim)
    cost = formula("L", game.lagrangian, t, x, v)
    notes = [note for note in (free.note, unknown, cost.note) if note]
    q = _vector("q", width)
    transform = legendre(cost.scalar, v, q)
    shorthand = _shorthand(gain, sigma)
    pull = sp.Add(*[a * b for a, b in zip(free.value, p, strict=True)])
    full = Parts(sp.Function("H", real=True)(t, *x, *p), None, gain, sigma)
    if transform is not None:
        believed = _derived(transform, q, p, gain, pull, sigma)
        error = disagreement(game, believed.hamiltonian, t, x, p)
        if error is None:
            full = believed
        else:
            notes.append(f"A formula for H was found and not believed: {error}.")
            transform = None
    if transform is None:
        notes.append(_why(cost, v))
    named = {expression: symbol for symbol, expression in shorthand}
    short = gain.applyfunc(lambda entry: named.get(entry, entry))
    sigma_short = sigma if isinstance(sigma, sp.Matrix) else named.get(sigma, sigma)
    brief = full if transform is None else _derived(transform, q, p, short, pull, sigma_short)
    symbols = (t, x, v, p)
    return _assembled(
        game, symbols, free, cost, full, brief._replace(sigma=sigma_short), shorthand, notes
    )


def _derived(
    transform: Transform, q, p, gain: sp.Matrix, pull: Expression, sigma: Expression
) -> Parts:
    """H and v* at the slope q = -g^T p."""
    at = dict(zip(q, -(gain.T * sp.Matrix(p)), strict=True))
    put = lambda part: part.subs(at, simultaneous=True)
    return Parts(put(transform.value) - pull, tuple(map(put, transform.argmax)), gain, sigma)


def _shorthand(gain: sp.Matrix, sigma: Expression) -> tuple[tuple[sp.Symbol, Expression], ...]:
    """Names for a diffusion and a gain that are too long to stand in the equations."""
    found = {}
    for name, part in (("sigma", sigma), ("g", gain[0, 0])):
        if not isinstance(part, sp.Matrix) and sp.count_ops(part) >= _LONG:
            found.setdefault(part, sp.Symbol(name, positive=True))
    return tuple((symbol, part) for part, symbol in found.items())


def _assembled(
    game: MFG, symbols, free: Formula, cost: Formula, full: Parts, brief: Parts, shorthand, notes
) -> Equations:
    t, x, v, p = symbols
    horizon = number(float(game.dynamics.horizon))
    u, rho = sp.Function("U", real=True), sp.Function("rho", positive=True)
    value, density = u(t, *x), rho(t, *x)
    met: list[tuple[str, object]] = []
    interaction = read(game.interaction, Place("I", x, density, met))
    terminal = read(game.terminal, Place("M", x, rho(horizon, *x), met))
    gradient = dict(zip(p, [sp.diff(value, entry) for entry in x], strict=True))
    diffusion = lambda f: sp.Add(*[c * sp.diff(f, x[i], x[j]) for i, j, c in spread(full, len(x))])
    energy = full.hamiltonian.subs(gradient, simultaneous=True)
    discount = number(float(game.discount))
    hjb = -sp.diff(value, t) + discount * value + energy - diffusion(value)
    control = full.control
    if control is None:
        control = [sp.Function(f"v_{i + 1}", real=True)(t, *x) for i in range(len(v))]
    steered = (full.gain * sp.Matrix(control)).subs(gradient, simultaneous=True)
    velocity = [a + s for a, s in zip(free.value, steered, strict=True)]
    flux = sp.Add(*[sp.diff(density * b, entry) for b, entry in zip(velocity, x, strict=True)])
    first = sp.Function("rho_0", positive=True)(*x)
    equal = lambda left, right: sp.Eq(left, right, evaluate=False)
    return Equations(
        dim=len(x),
        horizon=horizon,
        discount=discount,
        t=t,
        x=x,
        v=v,
        p=p,
        value=value,
        density=density,
        drift=tuple(free.value),
        gain=full.gain,
        sigma=full.sigma,
        lagrangian=cost.scalar,
        hamiltonian=full.hamiltonian,
        control=full.control,
        hjb=equal(hjb, interaction.variation),
        fokker_planck=equal(sp.diff(density, t) + flux - diffusion(density), 0),
        terminal=equal(u(horizon, *x), terminal.variation),
        initial=equal(rho(0, *x), first),
        interaction=interaction,
        terminal_cost=terminal,
        brief=brief,
        shorthand=shorthand,
        notes=tuple(dict.fromkeys([*notes, *interaction.notes, *terminal.notes])),
        title=_title(game, len(x)),
        domain=game.domain,
    )


def _dimension(game: MFG, dim: int | None) -> int:
    own = [law.dim for law in densities(game)]
    if dim is None:
        return own[0] if own else _DEFAULT_DIM
    if dim < 1 or (own and dim != own[0]):
        raise ValueError(
            f"`equations` got dim = {dim}, expected {own[0] if own else 'a number of at least 1'}: "
            "leave dim out to take that of the game."
        )
    return dim


def _map(
    name: str, function: Callable, t: sp.Symbol, dim: int
) -> tuple[Expression | sp.Matrix, str | None]:
    """A number, or a matrix on all coordinates, and why it is a name if it is one."""
    shape = jax.eval_shape(function, 0.5).shape
    found = formula(name, function, t, size=int(np.prod(shape)) if shape else 0)
    if not shape:
        return found.scalar, found.note
    entries = sp.Matrix(*shape, list(found.value.reshape(-1)))
    return sp.Matrix(sp.kronecker_product(entries, sp.eye(dim // shape[0]))), found.note


def _why(cost: Formula, v: tuple[sp.Symbol, ...]) -> str:
    if not cost.scalar.free_symbols & set(v):
        return (
            "L does not depend on v: H is infinite unless g^T p = 0, any control is optimal where "
            "grad U = 0 and none anywhere else; a cost of speed such as `Kinetic(0.1)` repairs it."
        )
    return "H is left as the supremum over v: no closed form was found; it is computed numerically."


def _title(game: MFG, dim: int) -> str:
    parts = (type(game.dynamics).__name__, type(game.lagrangian).__name__)
    return f"The game of {' and '.join(parts)} in dimension {dim}"


def _vector(name: str, size: int) -> tuple[sp.Symbol, ...]:
    return tuple(sp.Symbol(f"{name}{i + 1}", real=True) for i in range(size))
