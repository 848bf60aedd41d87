"""One proximal step of a local functional in transport with entropy, by scalings in turn.

    argmin over rho of  F(rho) + S_gamma(rho, q) / (2 h),      S = gamma / 2,   lambda = 2 h / gamma

G* is the smoothing by a normal density of variance S in each coordinate. The plan from q to rho is
psi(x) G(x - y) phi(y), that from rho to itself a(x) G(x - y) a(y), and at the minimum

    psi (G*phi) = q,      phi (G*psi) = rho,      a (G*a) = rho,
    log rho + lambda dF/drho(rho) = log(a G*psi) + kappa,

the last in each cell by itself (`mfgen.solvers._pointwise`). kappa is the multiplier of the mass,
which would come to one by itself, but in lambda turns.

The equations are solved in turn, those of psi and phi with over-relaxation, log phi <- (1 - w) log
phi + w (...): where errors fall by 1 - g in a turn they fall by w - 1 with w = 2 / (1 + sqrt g).
For normal laws the slowest mode has g = S / h + S / var(q). w is brought back towards one where
the mismatch grows. At first a = sqrt(rho), which is right to first order in gamma: a itself changes
by factors, and would be slow to grow where it is nearly zero, beyond a front.

References:
    L. Chizat, G. Peyré, B. Schmitzer, F.-X. Vialard, "Scaling algorithms for unbalanced transport
    problems" (2016), arXiv 1607.05816.
    A. Thibault, L. Chizat, C. Dossal, N. Papadakis, "Overrelaxed Sinkhorn-Knopp algorithm for
    regularized optimal transport" (2017), arXiv 1711.01851.
    H. Janati, M. Cuturi, A. Gramfort, "Debiased Sinkhorn barycenters" (2020), arXiv 2006.02575 (the
    iteration for a).
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from mfgen._types import Scalar
from mfgen.functionals._functional import AbstractFunctional
from mfgen.math._heat import smooth
from mfgen.math._lattice import Lattice
from mfgen.solvers._pointwise import Field, pointwise

# What the mismatch may grow by over its least, before over-relaxation is reduced.
_GROWTH = 10.0
# The mismatch down to which a = sqrt(rho).
_ROUGH = 1e-3
# The mismatch at which over-relaxation begins.
_NEAR = 0.3


class Scalings(NamedTuple):
    """A plan from q to rho, and one from rho to itself.

    Attributes:
        density: log rho, `[*points]`.
        phi: log phi.
        smoothed: log G*phi, as log psi = log q - `smoothed` has it.
        own: log a.
        kappa: the multiplier of the mass.
        relaxation: w.
        mismatch, least: the mass by which marginals miss theirs, now and at best.
        refined: whether a is found by turns yet.
        turns: taken.
    """

    density: Field
    phi: Field
    smoothed: Field
    own: Field
    kappa: Scalar
    relaxation: Scalar
    mismatch: Scalar
    least: Scalar
    refined: Bool[Array, ""]
    turns: Int[Array, ""]


class Step(NamedTuple):
    """The problem of one proximal step, and when it ends.

    Attributes:
        functional: F.
        scale: lambda.
        variance: S.
        symmetric: whether a is computed, else it is one.
        tolerance: of the mismatch.
        turns: at most.
    """

    functional: AbstractFunctional
    scale: Scalar
    variance: Scalar
    symmetric: bool
    tolerance: Scalar
    turns: Int[Array, ""]


def begun(step: Step, lattice: Lattice, density: Field) -> Scalings:
    """The scalings of a step that stays where it is, as for F = 0: phi = a, about sqrt(rho)."""
    own = 0.5 * density if step.symmetric else jnp.zeros_like(density)
    one, none = jnp.asarray(1.0), jnp.asarray(0.0)
    return Scalings(
        density, own, own, own, none, one, none, none, jnp.asarray(False), none.astype(int)
    )


@eqx.filter_jit
def proximal(step: Step, lattice: Lattice, before: Field, state: Scalings) -> Scalings:
    """The scalings of a step from log q = `before`, and the density it leads to.

    Arguments:
        step: what is minimised.
        lattice: the cells.
        before: log q, normalised; may be minus infinity.
        state: where to begin, such as those of the step before.
    """
    heat = lambda logarithm: smooth(lattice, logarithm, 1.0, step.variance)
    differ = lambda found, meant: (
        0.5 * lattice.volume * jnp.sum(jnp.abs(jnp.exp(found) - jnp.exp(meant)))
    )

    def turn(state: Scalings) -> Scalings:
        w = jnp.where(state.mismatch < _NEAR, state.relaxation, 1.0)
        smoothed = heat(state.phi)
        leaving = before - state.smoothed + smoothed
        excess = jnp.log(jnp.sum(jnp.exp(leaving)) * lattice.volume)
        old, smoothed = state.phi - excess, smoothed - excess
        missed = [differ(leaving - excess, before)]
        relaxed = (1 - w) * state.smoothed + w * smoothed
        arriving = heat(before - relaxed)
        goal = state.own + arriving + state.kappa
        found = pointwise(step.functional, lattice, goal, step.scale, state.density)
        density, pull, solved = found
        missed.append(jnp.where(solved, differ(old + arriving, density), jnp.inf))
        mass = jnp.exp(density) * lattice.volume
        whole, give = jnp.sum(mass), 1 / (1 + step.scale * pull)
        more = -jnp.log(whole) * whole / jnp.sum(mass * give)
        density = density + more * give
        density = density - jnp.log(jnp.sum(jnp.exp(density)) * lattice.volume)
        phi = (1 - w) * old + w * (density - arriving)
        own, refined = state.own, state.refined
        if step.symmetric:
            within = heat(own)
            missed.append(jnp.where(refined, differ(own + within, density), 0.0))
            own = 0.5 * (density + jnp.where(refined, own - within, 0.0))
        mismatch = jnp.max(jnp.stack(missed))
        begins = ~refined & (mismatch <= jnp.maximum(step.tolerance, _ROUGH))
        mismatch = jnp.where(begins, jnp.inf, mismatch)
        worse = mismatch > _GROWTH * state.least
        w = jnp.where(worse & ~begins, 0.5 * (1 + state.relaxation), state.relaxation)
        least = jnp.where(begins, jnp.inf, jnp.minimum(mismatch, state.least))
        kappa, turns, refined = state.kappa + more, state.turns + 1, refined | begins
        return Scalings(density, phi, relaxed, own, kappa, w, mismatch, least, refined, turns)

    infinite = jnp.asarray(jnp.inf)
    going = lambda state: (state.mismatch > step.tolerance) & (state.turns < step.turns)
    first = state._replace(
        smoothed=heat(state.phi),
        kappa=jnp.asarray(0.0),
        relaxation=_relaxation(step, lattice, before),
        mismatch=infinite,
        least=infinite,
        refined=jnp.asarray(not step.symmetric),
        turns=jnp.asarray(0),
    )
    return jax.lax.while_loop(going, turn, first)


def _relaxation(step: Step, lattice: Lattice, before: Field) -> Scalar:
    """w for the slowest mode, that of the widest direction."""
    mass = jnp.exp(before).ravel() * lattice.volume
    places = jnp.asarray(lattice.nodes(), before.dtype).reshape(-1, lattice.dim)
    middle = mass @ places
    widest = jnp.max(mass @ jnp.square(places - middle[None]))
    gap = 1 / step.scale + step.variance / widest
    return 2 / (1 + jnp.sqrt(jnp.minimum(gap, 1.0)))
