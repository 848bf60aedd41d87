"""Is the Lagrangian convex in v, and does it grow faster than linearly?

    convex         L((v + w) / 2) <= (L(v) + L(w)) / 2, with < for v != w if strictly
    superlinear    L(v) / |v| -> infinity, or L infinite beyond some speed

Convexity makes the Hamiltonian's v* a maximiser rather than a stationary point, strictness makes it
unique, growth makes H finite for every costate.

Reference: R. T. Rockafellar, "Convex analysis" (1970), sections 12, 13 and 26.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mfgen.derive.probe import Probe
from mfgen.derive.verdict import Item, answer
from mfgen.problem.game import MFG

CONVEX, SINGLE, GROWTH = "L is convex in v", "v* is unique", "L grows faster than |v|"
_BOOK = "Rockafellar 1970, section 26"
_LAB = "Zhang & Katsoulakis 2023, arXiv 2304.13534"
_ROUNDING = 1e-10
_SIZES = (1.0, 1e4, 1e8)
_FREE = (
    "any control is optimal where grad U = 0 and none anywhere else: many minimisers, as in a "
    "plain normalizing flow; "
)


def convexity(game: MFG, probe: Probe) -> list[Item]:
    """Convexity of L at pairs of velocities, and whether it is strict."""
    cost = game.lagrangian

    def values(t, x, v, w):
        rest = cost(t, x, jnp.zeros_like(v))
        rest = jnp.where(jnp.isfinite(rest), rest, 0.0)
        ends = jnp.stack([cost(t, x, v), cost(t, x, w), cost(t, x, 0.5 * (v + w))]) - rest
        return ends, jnp.abs(rest)

    computed = eqx.filter_jit(jax.vmap(values))(probe.t, probe.x, probe.v, probe.w)
    (first, second, middle), rest = np.moveaxis(np.asarray(computed[0]), 1, 0), computed[1]
    inside = np.isfinite(first) & np.isfinite(second)
    with np.errstate(invalid="ignore"):
        excess = np.where(inside, middle - 0.5 * (first + second), -np.inf)
        rounding = _ROUNDING * (np.abs(first) + np.abs(second)) + 1e-14 * np.asarray(rest)
    excess = np.where(inside & ~np.isfinite(middle), np.inf, excess)
    if not inside.any():
        why = "L is infinite or not a number at every velocity tried"
        return [answer(CONVEX, None, why, _BOOK), answer(SINGLE, None, why, _BOOK)]
    above = inside & (excess > rounding)
    if above.any():
        worst = int(np.argmax(np.where(above, excess / (rounding + 1e-300), -np.inf)))
        place = _words(probe, worst)
        evidence = (
            f"between two velocities, {place}, L is {middle[worst]:.4g} in the middle, above the "
            f"mean {0.5 * (first[worst] + second[worst]):.4g} of the ends; {above.sum()} of "
            f"{inside.sum()} pairs are such"
        )
        repair = "replace L by its convex hull, or add a multiple of |v|^2 that outweighs it"
        return [
            answer(CONVEX, False, evidence, _BOOK, repair),
            answer(SINGLE, None, "L is not convex", _BOOK),
        ]
    held = f"L in the middle is at most the mean of the ends for all {inside.sum()} pairs"
    convex = answer(CONVEX, True, held, _BOOK)
    apart = np.linalg.norm(np.asarray(probe.v - probe.w), axis=1) > 1e-6
    flat = inside & apart & (excess >= -rounding)
    if not flat.any():
        gap = float(np.min(-excess[inside & apart]))
        said = f"the midpoint is cheaper by at least {gap:.2g} for all {inside.sum()} pairs"
        return [convex, answer(SINGLE, True, f"L is strictly convex: {said}", _BOOK)]
    worst = int(np.argmax(flat))
    evidence = f"between two velocities, {_words(probe, worst)}, L is a straight line"
    if np.allclose(first[inside], 0) and np.allclose(second[inside], 0):
        evidence = _FREE + evidence
    repair = "add a cost of speed, `Kinetic(0.1)`: the W2 regularisation makes the minimiser unique"
    return [convex, answer(SINGLE, False, evidence, _LAB, repair)]


def growth(game: MFG, probe: Probe) -> Item:
    """L(v) / |v| at ever larger speeds."""
    cost = game.lagrangian

    def ratios(t, x, v):
        direction = v / jnp.linalg.norm(v)
        rest = cost(t, x, jnp.zeros_like(v))
        return jnp.stack([(cost(t, x, size * direction) - rest) / size for size in _SIZES])

    some = slice(0, 32)
    computed = eqx.filter_jit(jax.vmap(ratios))(probe.t[some], probe.x[some], probe.v[some])
    slow, fast, fastest = np.asarray(computed).T
    bounded = ~np.isfinite(fastest)
    with np.errstate(invalid="ignore"):
        late, early = fastest - fast, fast - slow
        grows = bounded | ((late > 0.25 * np.abs(early)) & (late > 1e-6 * np.abs(fast)))
    if grows.all():
        if bounded.any():
            evidence = f"L is infinite at the speed {_SIZES[2]:.0e}: speeds are bounded, or dear"
        else:
            evidence = (
                f"L / |v| rises from {np.median(slow):.3g} at |v| = 1 to {np.median(fast):.3g} at "
                f"1e4 and {np.median(fastest):.3g} at 1e8"
            )
        return answer(GROWTH, True, evidence, _BOOK)
    worst = int(np.argmin(grows))
    evidence = (
        f"L / |v| is {fast[worst]:.3g} at |v| = 1e4 and {fastest[worst]:.3g} at 1e8, in one "
        f"of {32 - grows.sum()} directions of 32: H is infinite at steep costates"
    )
    repair = "add a cost of speed such as `Kinetic(0.1)`, or bound it by `Relativistic(c)`"
    return answer(GROWTH, False, evidence, _BOOK, repair)


def _words(probe: Probe, index: int) -> str:
    v, w = (np.array2string(np.asarray(a)[index], precision=3) for a in (probe.v, probe.w))
    place = np.array2string(np.asarray(probe.x)[index], precision=3, threshold=6)
    return f"v = {v} and w = {w} at t = {float(probe.t[index]):.3g}, x = {place}"
