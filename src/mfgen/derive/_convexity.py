"""Is the Lagrangian convex in v, and does it grow faster than linearly?

    convex         L((v + w) / 2) <= (L(v) + L(w)) / 2, with < for v != w if strictly
                   (grad L(v) - grad L(w)).(v - w) >= 0, with > likewise
    superlinear    L(v) / |v| -> infinity, or L infinite beyond some speed

Values are compared up to their own rounding. What a place costs drowns the cost of speed in it, and
is not in the slopes; so where values cannot tell, the slopes are asked, up to their own rounding.

Convexity makes the Hamiltonian's v* a maximiser rather than a stationary point, strictness makes it
unique, growth makes H finite for every costate.

Reference: R. T. Rockafellar, "Convex analysis" (1970), sections 12, 13 and 26.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mfgen.derive._probe import Probe
from mfgen.derive._verdict import Item, reason, verdict
from mfgen.games._game import MFG

CONVEX, SINGLE, GROWTH = "L is convex in v", "v* is unique", "L grows faster than |v|"
_BOOK = "Rockafellar 1970, section 26"
_LAB = "Zhang & Katsoulakis 2023, arXiv 2304.13534"
_ROUNDING = 64 * float(np.finfo(np.float64).eps)
_TURNED = 1e-9  # of the size of the slopes: they may be derivatives of something computed
_SIZES = (1.0, 1e4, 1e8)
_FREE = (
    "any control is optimal where grad U = 0 and none anywhere else: many minimisers, as in a "
    "plain normalizing flow; "
)


def convexity(game: MFG, probe: Probe) -> list[Item]:
    """Convexity of L at pairs of velocities, and whether it is strict."""

    def values(t, x, v, w):
        cost = lambda v: game.lagrangian(t, x, v)
        (first, there), (second, here) = (jax.value_and_grad(cost)(end) for end in (v, w))
        size = (jnp.linalg.norm(there) + jnp.linalg.norm(here)) * jnp.linalg.norm(v - w)
        found = (first, second, cost(0.5 * (v + w)), jnp.vdot(there - here, v - w), size)
        return jnp.stack(found), cost(jnp.zeros_like(v))

    try:
        computed, rest = eqx.filter_jit(jax.vmap(values))(probe.t, probe.x, probe.v, probe.w)
    except Exception as error:  # the cost is the user's, and says in its own words what is wrong
        why = f"L could not be computed: {reason(error)}"
        return [verdict(CONVEX, None, why, _BOOK), verdict(SINGLE, None, why, _BOOK)]
    first, second, middle, rise, steep = np.asarray(computed).T
    inside = np.isfinite(first) & np.isfinite(second)
    if not inside.any():
        why = "L is infinite or not a number at every velocity tried"
        return [verdict(CONVEX, None, why, _BOOK), verdict(SINGLE, None, why, _BOOK)]
    with np.errstate(invalid="ignore"):
        excess = np.where(inside, middle - 0.5 * (first + second), -np.inf)
        rounding = _ROUNDING * (np.abs(first) + np.abs(second))
    excess = np.where(inside & ~np.isfinite(middle), np.inf, excess)
    sloped = inside & np.isfinite(rise) & np.isfinite(steep)
    unclear = inside & (np.abs(excess) <= rounding)
    above = (inside & (excess > rounding)) | (unclear & sloped & (rise < -_TURNED * steep))
    rest = np.where(np.isfinite(rest), rest, 0.0)
    if above.any():
        worst = int(np.argmax(np.where(above, excess / (rounding + 1e-300), -np.inf)))
        place, low = _words(probe, worst), rest[worst]
        evidence = (
            f"between two velocities, {place}, L is {middle[worst] - low:.4g} in the middle, above "
            f"the mean {0.5 * (first[worst] + second[worst]) - low:.4g} of the ends; {above.sum()} "
            f"of {inside.sum()} pairs are such"
        )
        repair = "replace L by its convex hull, or add a multiple of |v|^2 that outweighs it"
        return [
            verdict(CONVEX, False, evidence, _BOOK, repair),
            verdict(SINGLE, None, "L is not convex", _BOOK),
        ]
    held = f"L in the middle is at most the mean of the ends for all {inside.sum()} pairs"
    convex = verdict(CONVEX, True, held, _BOOK)
    flat = unclear & (~sloped | (rise <= _ROUNDING * steep))
    if not flat.any():
        gap = float(np.min((rise / np.maximum(steep, 1e-300))[sloped], initial=1.0))
        said = f"its slope rises by at least {gap:.2g} of its size between all {inside.sum()} pairs"
        return [convex, verdict(SINGLE, True, f"L is strictly convex: {said}", _BOOK)]
    worst = int(np.argmax(flat))
    evidence = f"between two velocities, {_words(probe, worst)}, L is a straight line"
    if not np.any(first[inside] - rest[inside]) and not np.any(second[inside] - rest[inside]):
        evidence = _FREE + evidence
    repair = "add a cost of speed, `Kinetic(0.1)`: the W2 regularisation makes the minimiser unique"
    return [convex, verdict(SINGLE, False, evidence, _LAB, repair)]


def growth(game: MFG, probe: Probe) -> Item:
    """L(v) / |v| at ever larger speeds."""
    cost = game.lagrangian
    sizes = [probe.speed * size for size in _SIZES]

    def ratios(t, x, v):
        direction = v / jnp.linalg.norm(v)
        rest = cost(t, x, jnp.zeros_like(v))
        rest = jnp.where(jnp.isfinite(rest), rest, 0.0)
        return jnp.stack([(cost(t, x, size * direction) - rest) / size for size in sizes])

    some = slice(0, 32)
    try:
        computed = eqx.filter_jit(jax.vmap(ratios))(probe.t[some], probe.x[some], probe.v[some])
    except Exception as error:  # the cost is the user's
        why = f"L could not be computed: {reason(error)}"
        return verdict(GROWTH, None, why, _BOOK)
    slow, fast, fastest = np.asarray(computed).T
    at = [
        f"{size:.0e}".replace("e+0", "e").replace("e+", "e").replace("e-0", "e-") for size in sizes
    ]
    bounded = ~np.isfinite(fastest)
    with np.errstate(invalid="ignore"):
        late, early = fastest - fast, fast - slow
        grows = bounded | ((late > 0.25 * np.abs(early)) & (late > 1e-6 * np.abs(fast)))
    if grows.all():
        if bounded.any():
            evidence = f"L is infinite at the speed {at[2]}: speeds are bounded, or dear"
        else:
            evidence = (
                f"L / |v| rises from {np.median(slow):.3g} at |v| = {at[0]} to "
                f"{np.median(fast):.3g} at {at[1]} and {np.median(fastest):.3g} at {at[2]}"
            )
        return verdict(GROWTH, True, evidence, _BOOK)
    worst = int(np.argmin(grows))
    evidence = (
        f"L / |v| is {fast[worst]:.3g} at |v| = {at[1]} and {fastest[worst]:.3g} at {at[2]}, in "
        f"one of {32 - grows.sum()} directions of 32: H is infinite at steep costates"
    )
    repair = "add a cost of speed such as `Kinetic(0.1)`, or bound it by `Relativistic(c)`"
    return verdict(GROWTH, False, evidence, _BOOK, repair)


def _words(probe: Probe, index: int) -> str:
    v, w = (np.array2string(np.asarray(a)[index], precision=3) for a in (probe.v, probe.w))
    place = np.array2string(np.asarray(probe.x)[index], precision=3, threshold=6)
    return f"v = {v} and w = {w} at t = {float(probe.t[index]):.3g}, x = {place}"
