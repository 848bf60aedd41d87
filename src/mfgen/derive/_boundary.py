"""Boundary conditions of a domain, in words and formulas, and a check of the costs of a game.

    circle of period p   U(t, x + p e_k) = U(t, x), rho(t, x + p e_k) = rho(t, x)
    wall                 dU/dx_k = 0,   b_k rho - (sigma_k^2/2) drho/dx_k = 0      (no flux)

On a circle a cost of the place has to be one function there. A jump is refused by `MFG`; a kink
where the circle closes is no error, but the value function is not smooth at that place either.
"""

import jax
import jax.numpy as jnp
import numpy as np

from mfgen.derive._probe import Probe
from mfgen.derive._verdict import Item, verdict
from mfgen.games._domain import own_functions
from mfgen.games._game import MFG
from mfgen.math._space import AbstractDomain

_KINK = 1e-2  # relative, of slopes at the two ends of a circle
_LOOK = 8


def boundary_lines(domain: AbstractDomain, form: str) -> list[tuple[str, str]]:
    """(what it is, formula) of the domain and of what holds where it ends."""
    if not domain.bounded:
        return []
    latex = form == "latex"
    name = lambda k: f"x_{k + 1}" if latex else f"x{k + 1}"
    element = {"latex": r" \in ", "unicode": " ∈ ", "ascii": " in "}[form]
    rho = {"latex": r"\rho", "unicode": "\N{GREEK SMALL LETTER RHO}", "ascii": "rho"}[form]
    d = {"latex": r"\partial", "unicode": "∂", "ascii": "d"}[form]
    places, circles, walls = [], [], []
    for k, (low, high) in enumerate(zip(domain.low, domain.high, strict=True)):
        if domain.periodic[k]:
            length = f"{high - low:.4g}"
            turned = rf"\mathbb{{R}} / {length}\,\mathbb{{Z}}" if latex else f"R/{length}Z"
            places.append(f"{name(k)}{element}{turned}")
            axis = f"e_{k + 1}" if latex else f"e{k + 1}"
            circles.append(f"U(t, x + {length} {axis}) = U(t, x)")
        elif domain.walled[k]:
            places.append(f"{name(k)}{element}[{low:.4g}, {high:.4g}]")
            end = rf"{d} U / {d} {name(k)} = 0" if latex else f"{d}U/{d}{name(k)} = 0"
            walls.append(end)
    found = [("domain", ", ".join(places))]
    if circles:
        also = rf"\text{{likewise }} {rho}" if latex else f"likewise {rho}"
        found.append(("on circles", ", ".join([*circles, also])))
    if walls:
        said = r"\text{no flux of } \rho" if latex else f"no flux of {rho}"
        found.append(("at walls", f"{', '.join(walls)}, {said}"))
    return found


def boundary(game: MFG, points: Probe) -> list[Item]:
    """Whether costs of the place are smooth where circles close; nothing in Euclidean space."""
    domain = game.domain
    if not domain.bounded:
        return []
    said = f"{domain}: " + "; ".join(
        part
        for part, there in (
            ("U and rho are periodic on circles", any(domain.periodic)),
            ("grad U . n = 0 and no flux at walls", any(domain.walled)),
        )
        if there
    )
    t, x, v = points.t[0], points.x[:_LOOK], points.v[0]
    costs = {"L": lambda x: game.lagrangian(t, x, v)}
    costs |= {
        name: one for cost in (game.terminal, game.interaction) for one, name in own_functions(cost)
    }
    kinks = []
    for axis in np.flatnonzero(domain.periodic):
        for name, cost in costs.items():
            bend = _bend(domain, int(axis), cost, x)
            if bend > _KINK:
                kinks.append(
                    f"{name} has a kink of {bend:.2g} of its slope where axis {axis} closes"
                )
    return [
        verdict(
            "costs fit the domain",
            not kinks,
            "; ".join([said, *kinks]),
            "U is as smooth as what is paid",
            "write costs in sin and cos of the angle",
        )
    ]


def _bend(domain: AbstractDomain, axis: int, cost, x) -> float:
    """The change of a slope from one end of a circle to the other, relative to the slopes."""
    side = domain.high[axis] - domain.low[axis]
    ends = domain.low[axis] + 1e-6 * side, domain.high[axis] - 1e-6 * side
    slope = lambda x: jnp.abs(jax.vmap(jax.grad(cost))(x)[:, axis])
    try:
        first, last = (jax.vmap(jax.grad(cost))(x.at[:, axis].set(end))[:, axis] for end in ends)
        # At some more places of the circle, for a slope that is zero at this one.
        size = max(float(jnp.max(slope(x.at[:, axis].add(part * side)))) for part in (0.1, 0.4))
    except Exception:  # what asks for a population is told of by other questions
        return 0.0
    size = max(size, float(jnp.max(jnp.abs(first)) + jnp.max(jnp.abs(last))))
    return float(jnp.max(jnp.abs(last - first))) / (size or 1.0)
