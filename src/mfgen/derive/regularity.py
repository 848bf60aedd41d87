"""Is the Hamiltonian finite, attained by the game's control, and smooth? Is there noise?

    finite      H(t, x, p) < infinity for every p
    attained    H + p.(a + g v) + L(t, x, v) >= 0 for every v, with v* = argmax
    smooth      v* continuous in p: H is differentiable, with dH/dp = -(a + g v*)
    noise       sigma > 0: the HJB equation is parabolic; sigma = 0: of first order

Where v* jumps H has a kink (a speed limit gives the eikonal equation, H = c |p|), and particles
switch between velocities.

Reference: M. Bardi, I. Capuzzo-Dolcetta, "Optimal control and viscosity solutions of
Hamilton-Jacobi-Bellman equations" (1997).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mfgen.derive.hamiltonian import hamiltonian, optimal_control
from mfgen.derive.probe import Probe
from mfgen.derive.verdict import Item, answer
from mfgen.problem.game import MFG

FINITE, ATTAINED = "H is finite", "v* attains H"
SMOOTH, NOISE = "H is smooth", "the noise is as declared"
_BOOK = "Bardi & Capuzzo-Dolcetta 1997"
_LAB = "Zhang & Katsoulakis 2023, arXiv 2304.13534"
_VELOCITIES = 48
_STEPS = (1e-2, 1e-12)  # around p = 0
_AROUND = (1e-2, 1e-7)  # around other costates


def finiteness(game: MFG, probe: Probe) -> list[Item]:
    """H at costates of all sizes, and whether any velocity tried does better than v*."""

    def values(t, x, p):
        energy = hamiltonian(game, t, x, p)
        gain, free = game.dynamics.gain(t), game.dynamics.free(t, x)

        def gap(v):
            steered = gain @ v if gain.ndim == 2 else gain * v
            worth = -jnp.vdot(p, free + steered) - game.lagrangian(t, x, v)
            return jnp.where(jnp.isfinite(worth), worth - energy, -jnp.inf)

        return energy, jnp.max(jax.vmap(gap)(probe.v[:_VELOCITIES]))

    try:
        computed = eqx.filter_jit(jax.vmap(values))(probe.t, probe.x, probe.p)
        energy, excess = (np.asarray(part) for part in computed)
    except Exception as error:  # the cost is the user's, and says in its own words what is wrong
        words = " ".join(str(error).split("\n")[0].split())[:300]
        repair = (
            "add a cost of speed, `Kinetic(0.1)`: the W2 regularisation gives every costate a "
            "finite H"
        )
        evidence = f"H is infinite, or not found, at some costate with |p| from .01 to 10: {words}"
        if "NoCost" in words:
            evidence = f"H is infinite unless grad U = 0: {words}"
        return [
            answer(FINITE, False, evidence, _LAB, repair),
            answer(ATTAINED, None, "there is no H to attain"),
        ]
    infinite = ~np.isfinite(energy)
    if infinite.any():
        worst = int(np.argmax(infinite))
        size = float(jnp.linalg.norm(probe.p[worst]))
        evidence = (
            f"H is {energy[worst]} at {infinite.sum()} of {probe.number} costates, one of them "
            f"with |p| = {size:.3g}"
        )
        repair = "let L grow faster than |v| in every direction: add `Kinetic(0.1)`"
        return [
            answer(FINITE, False, evidence, _LAB, repair),
            answer(ATTAINED, None, "there is no H to attain"),
        ]
    evidence = (
        f"H lies in [{energy.min():.4g}, {energy.max():.4g}] at {probe.number} costates with |p| "
        "from .01 to 10"
    )
    finite = answer(FINITE, True, evidence, _LAB)
    relative = excess / (1e-6 + np.abs(energy))
    worst = int(np.argmax(relative))
    if relative[worst] > 1e-6:
        evidence = (
            f"a velocity earns {excess[worst]:.3g} more than v* where H = {energy[worst]:.3g}, at "
            f"{(relative > 1e-6).sum()} of {probe.number} costates"
        )
        repair = "correct `argmax` of the Lagrangian, or leave it out: it is computed then"
        return [finite, answer(ATTAINED, False, evidence, _BOOK, repair)]
    evidence = (
        f"none of {_VELOCITIES} velocities earns more than v* at any of {probe.number} costates"
    )
    return [finite, answer(ATTAINED, True, evidence, _BOOK)]


def smoothness(game: MFG, probe: Probe) -> Item:
    """How far v* moves when the costate moves by ever less, around zero and around others."""
    count = 32
    t, x, p = probe.t[:count], probe.x[:count], probe.p[:count]
    along = p / jnp.linalg.norm(p, axis=1, keepdims=True)
    centres = (jnp.zeros_like(p), p)
    steps = (_STEPS, tuple(jnp.linalg.norm(p, axis=1, keepdims=True) * s for s in _AROUND))

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
        except (
            Exception
        ) as error:  # the cost is the user's, and says in its own words what is wrong
            words = " ".join(str(error).split())[:300]
            return answer(SMOOTH, None, f"v* could not be computed: {words}", _BOOK)
        if not (np.isfinite(coarse).all() and np.isfinite(fine).all()):
            return answer(SMOOTH, None, f"v* is not a number near {name}", _BOOK)
        share = np.where(fine > 1e-9, fine / np.maximum(coarse, 1e-300), 0.0)
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
        return answer(SMOOTH, False, evidence, _BOOK, repair)
    evidence = (
        f"v* moves as little as wanted with the costate, at {2 * count} places, p = 0 included"
    )
    return answer(SMOOTH, True, evidence, _BOOK)


def noise(game: MFG) -> Item:
    """sigma against what the dynamics declares."""
    times = game.dynamics.horizon * jnp.linspace(0.01, 0.99, 25)
    sigma = np.asarray(jax.vmap(game.dynamics.diffusion)(times))
    declared = game.dynamics.deterministic
    if not np.isfinite(sigma).all() or (sigma < 0).any():
        evidence = f"sigma is {sigma[~(sigma >= 0)][0]:.3g} at some of 25 times"
        repair = "return a finite number of at least zero from `diffusion`"
        return answer(NOISE, False, evidence, _BOOK, repair)
    if declared and sigma.max() > 0:
        evidence = f"`deterministic` is true, but sigma reaches {sigma.max():.3g}"
        return answer(NOISE, False, evidence, _BOOK, "let `deterministic` return False")
    if not declared and sigma.min() == 0:
        evidence = f"sigma is zero at {(sigma == 0).sum()} of 25 times: the equation degenerates"
        repair = (
            "keep sigma positive, or stop the game before it vanishes; if it is zero at all times, "
            "let `deterministic` return True"
        )
        return answer(NOISE, False, evidence, _BOOK, repair)
    if declared:
        evidence = (
            "sigma = 0: the HJB equation is of first order, and U has kinks where characteristics "
            "cross (viscosity solutions)"
        )
        return answer(NOISE, True, evidence, _BOOK)
    evidence = f"sigma lies in [{sigma.min():.3g}, {sigma.max():.3g}]: the equations are parabolic"
    return answer(NOISE, True, evidence, _BOOK)
