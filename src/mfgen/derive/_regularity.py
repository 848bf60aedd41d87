"""Is the Hamiltonian finite, attained by the game's control, and smooth?

    finite      H(t, x, p) < infinity for every p: L grows faster than |v|, or bounds the speed
    attained    H + p.(a + g v) + L(t, x, v) >= 0 for every v, with v* = argmax
    smooth      v* continuous in p: H is differentiable, with dH/dp = -(a + g v*)

Where v* jumps H has a kink (a speed limit gives the eikonal equation, H = c |p|), and particles
switch between velocities. Earnings are compared as q.v - (L(v) - L(0)), without what the place
costs, which is the same for every velocity.

Reference: M. Bardi, I. Capuzzo-Dolcetta, "Optimal control and viscosity solutions of
Hamilton-Jacobi-Bellman equations" (1997).
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from mfgen._types import Scalar
from mfgen.derive._convexity import growth
from mfgen.derive._hamiltonian import hamiltonian, optimal_control, slope
from mfgen.derive._probe import Probe
from mfgen.derive._verdict import Item, Verdict, reason, verdict
from mfgen.games._game import MFG

FINITE, ATTAINED = "H is finite", "v* attains H"
SMOOTH = "H is smooth"
_BOOK = "Bardi & Capuzzo-Dolcetta 1997"
_LAB = "Zhang & Katsoulakis 2023, arXiv 2304.13534"
_VELOCITIES = 48
_FAST = (1e4, 1e8)
_STEPS = (1e-2, 1e-12)  # around p = 0
_AROUND = (1e-2, 1e-7)  # around other costates


def finiteness(game: MFG, probe: Probe) -> list[Item]:
    """H at costates of all sizes, and whether any velocity tried does better than v*."""
    grows = growth(game, probe)
    try:
        compute = eqx.filter_jit(jax.vmap(_earnings(game, probe)))
        found = jax.tree.map(np.asarray, compute(probe.t, probe.x, probe.p))
    except Exception as error:  # the cost is the user's, and says in its own words what is wrong
        said = reason(error)
        if grows.status is Verdict.HOLDS:
            # Not found is not infinite: the growth of L is what H is finite by.
            return [
                verdict(FINITE, True, f"{grows.evidence}; `argmax` did not find v*", _LAB),
                verdict(ATTAINED, None, f"v* could not be computed: {said}", _BOOK),
            ]
        evidence = (
            "H is infinite, or not found, at some costate with |p| from "
            f"{0.01 * probe.slope:.3g} to {10 * probe.slope:.3g}: {said}"
        )
        if "NoCost" in said:
            evidence = f"H is infinite unless grad U = 0: {said}"
        return _infinite(evidence)
    # On the edge of a bounded set of controls rounding decides whether v* is inside.
    edge = ~np.isfinite(found.worth) & np.isfinite(found.inner)
    worth = np.where(edge, found.inner, found.worth)
    nowhere = ~np.isfinite(worth) & ~found.allowed
    endless = (found.fastest > found.fast) & (found.fastest > worth + found.size)
    infinite = nowhere | endless | (worth == np.inf)
    if grows.status is not Verdict.HOLDS:
        infinite |= ~np.isfinite(worth)
    if infinite.any():
        worst = int(np.argmax(infinite))
        size = float(jnp.linalg.norm(probe.p[worst]))
        value = np.inf if endless[worst] else found.energy[worst]
        evidence = (
            f"H is {value} at {infinite.sum()} of {probe.number} costates, one of them "
            f"with |p| = {size:.3g}"
        )
        return _infinite(evidence)
    outside = ~np.isfinite(worth)
    if outside.any():
        size = float(jnp.linalg.norm(probe.p[int(np.argmax(outside))]))
        evidence = (
            f"L(v*) is infinite or not a number at {outside.sum()} of {probe.number} costates, one "
            f"of them with |p| = {size:.3g}, though other velocities have a finite cost there"
        )
        repair = "let `argmax` return a velocity at which L is finite"
        return [
            verdict(FINITE, True, grows.evidence, _LAB),
            verdict(ATTAINED, False, evidence, _BOOK, repair),
        ]
    energy = np.where(edge, 0.0, found.energy)
    evidence = (
        f"H lies in [{energy.min():.4g}, {energy.max():.4g}] at {probe.number} costates with |p| "
        f"from {0.01 * probe.slope:.3g} to {10 * probe.slope:.3g}"
    )
    finite = verdict(FINITE, True, grows.evidence if edge.any() else evidence, _LAB)
    excess = found.best - worth
    relative = excess / np.maximum(found.size, 1e-300)
    relative = np.where(excess > 1e-13 * np.abs(energy), relative, 0.0)
    worst = int(np.argmax(relative))
    if relative[worst] > 1e-6:
        evidence = (
            f"a velocity earns {excess[worst]:.3g} more than v* where v* earns {worth[worst]:.3g}, "
            f"at {(relative > 1e-6).sum()} of {probe.number} costates"
        )
        repair = "correct `argmax` of the Lagrangian, or leave it out: it is computed then"
        return [finite, verdict(ATTAINED, False, evidence, _BOOK, repair)]
    evidence = (
        f"none of {_VELOCITIES} velocities earns more than v* at any of {probe.number} costates"
    )
    if edge.any():
        evidence += (
            f"; at {edge.sum()} of them L(v*) is infinite by rounding only: let `argmax` stay "
            "inside by some 1e-12 of the speed"
        )
    return [finite, verdict(ATTAINED, True, evidence, _BOOK)]


class _Earned(NamedTuple):
    """At one costate: H, and what velocities earn, q.v - L(v) + L(0).

    `worth` is that of v*, `inner` of a velocity just below it, `best` of all that are tried,
    `fast` and `fastest` of very high ones; `size` is how large the terms are, `allowed` whether
    any velocity has a finite cost.
    """

    energy: Scalar
    worth: Scalar
    inner: Scalar
    best: Scalar
    fast: Scalar
    fastest: Scalar
    size: Scalar
    allowed: Bool[Array, ""]


def _earnings(game: MFG, probe: Probe):
    def compute(t, x, p) -> _Earned:
        q = slope(game, t, p)
        cost = lambda v: game.lagrangian(t, x, v)
        v, rest = optimal_control(game, t, x, p), cost(jnp.zeros_like(q))
        rest = jnp.where(jnp.isfinite(rest), rest, 0.0)
        worth = lambda v: jnp.vdot(q, v) - (cost(v) - rest)
        tried = lambda vs: jnp.nan_to_num(jax.vmap(worth)(vs), nan=-jnp.inf, posinf=jnp.inf)
        best = jnp.max(tried(probe.v[:_VELOCITIES]))
        steep = jnp.linalg.norm(q)
        ahead = jnp.concatenate([q[None] / jnp.where(steep > 0, steep, 1.0), probe.v[:8]])
        ahead = ahead / jnp.maximum(jnp.linalg.norm(ahead, axis=1, keepdims=True), 1e-300)
        fast, fastest = (jnp.max(tried(probe.speed * size * ahead)) for size in _FAST)
        return _Earned(
            hamiltonian(game, t, x, p), worth(v), worth((1 - 1e-9) * v), best, fast, fastest,
            jnp.abs(jnp.vdot(q, v)) + jnp.nan_to_num(jnp.abs(cost(v) - rest), posinf=0.0),
            jnp.isfinite(cost(jnp.zeros_like(q))) | jnp.isfinite(best),
        )  # fmt: skip

    return compute


def _infinite(evidence: str) -> list[Item]:
    repair = (
        "add a cost of speed, `Kinetic(0.1)`: the W2 regularisation gives every costate a finite H"
    )
    return [
        verdict(FINITE, False, evidence, _LAB, repair),
        verdict(ATTAINED, None, "there is no H to attain"),
    ]


def smoothness(game: MFG, probe: Probe) -> Item:
    """How far v* moves when the costate moves by ever less, around zero and around others."""
    count = 32
    t, x, p = probe.t[:count], probe.x[:count], probe.p[:count]
    along = p / jnp.linalg.norm(p, axis=1, keepdims=True)
    centres = (jnp.zeros_like(p), p)
    steps = (
        tuple(probe.slope * s for s in _STEPS),
        tuple(jnp.linalg.norm(p, axis=1, keepdims=True) * s for s in _AROUND),
    )

    @eqx.filter_jit
    def moved(t, x, low, high):
        control = jax.vmap(lambda t, x, p: optimal_control(game, t, x, p))
        return jnp.linalg.norm(control(t, x, high) - control(t, x, low), axis=1)

    worst, where = 0.0, ""
    for centre, sizes, name in zip(centres, steps, ("p = 0", "another costate"), strict=True):
        try:
            coarse, fine = (
                np.asarray(moved(t, x, centre - size * along, centre + size * along))
                for size in sizes
            )
        except Exception as error:  # the cost is the user's
            return verdict(SMOOTH, None, f"v* could not be computed: {reason(error)}", _BOOK)
        if not (np.isfinite(coarse).all() and np.isfinite(fine).all()):
            return verdict(SMOOTH, None, f"v* is not a number near {name}", _BOOK)
        share = np.where(fine > 1e-9 * probe.speed, fine / np.maximum(coarse, 1e-300), 0.0)
        index = int(np.argmax(share))
        if share[index] > worst:
            worst = float(share[index])
            where = f"around {name} v* moves by {coarse[index]:.3g} and still by {fine[index]:.3g}"
    if worst > 0.5:
        evidence = f"{where} when the costate moves by ever less: v* jumps, and H has a kink"
        repair = (
            "a speed limit that is smooth, `Relativistic(c)`, instead of a hard one; or a cost of "
            "speed inside it"
        )
        return verdict(SMOOTH, False, evidence, _BOOK, repair)
    evidence = (
        f"v* moves as little as wanted with the costate, at {2 * count} places, p = 0 included"
    )
    return verdict(SMOOTH, True, evidence, _BOOK)
