"""The scheme of Jordan, Kinderlehrer and Otto on a lattice, with transport made smooth by entropy.

    rho_(k+1) = argmin over rho of  F(rho) + S_gamma(rho, rho_k) / (2 h)

    W_gamma(rho, q) = min over couplings of E|X - Y|^2 + gamma KL(coupling || dx dy)
    S_gamma(rho, q) = W_gamma(rho, q) - (W_gamma(rho, rho) + W_gamma(q, q)) / 2

Steps with W_gamma itself are blurred: where F = 0 each adds gamma / 2 to the variance of every
coordinate. The symmetric term takes that away: S_gamma is convex in rho, at least zero, and zero at
rho = q only, so that F does not rise from step to step and a minimum of F is a point of rest. Of
W2^2 it misses a part of order gamma^2, relative to the widths of both laws, so that densities have
to be wider than a few cells. As h, gamma -> 0 the steps follow the gradient flow d rho/dt =
div(rho grad dF/drho), with an error of order h.

On the line `mfgen.solvers._jko` takes W2 itself.

References:
    G. Peyré, "Entropic approximation of Wasserstein gradient flows" (2015), arXiv 1502.06216.
    J. Feydy et al., "Interpolating between optimal transport and MMD using Sinkhorn divergences"
    (2019), arXiv 1810.08278 (S_gamma).
    L. Chizat et al., "Faster Wasserstein distance estimation with the Sinkhorn divergence" (2020),
    arXiv 2006.08172 (its error).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from mfgen.densities._grid import GridDensity, nodal
from mfgen.dynamics._dynamics import positive
from mfgen.functionals._functional import AbstractFunctional
from mfgen.math._count import count
from mfgen.math._lattice import Lattice
from mfgen.solvers._pointwise import Field, slopes
from mfgen.solvers._scaling import Step, begun, proximal

# What a logarithm may fall below its largest where scalings begin.
_FAINT = 80.0


class GridJKO(NamedTuple):
    """The densities of a gradient flow, step by step.

    Attributes:
        densities: the first one included, `steps + 1` of them.
        energies: F of each, `[steps + 1]`.
        mismatches: the mass by which the marginals of a step's plans miss theirs, `[steps]`.
        iterations: of each step, `[steps]`.
        converged: of each step, whether its mismatch came within the tolerance, `[steps]`.
    """

    densities: tuple[GridDensity, ...]
    energies: Float[Array, "laws"]
    mismatches: Float[Array, "steps"]
    iterations: Int[Array, "steps"]
    converged: Bool[Array, "steps"]


def jko_grid(
    functional: AbstractFunctional,
    start: GridDensity,
    *,
    step: float,
    steps: int,
    entropy: float,
    iterations: int = 1000,
    tolerance: float = 1e-6,
    symmetric: bool = True,
    callback: Callable[[int, float], Any] | None = None,
) -> GridJKO:
    """Minimising movements of a local functional, from a density on a lattice.

    Arguments:
        functional: F, convex along mixtures and local: `Entropy()`, `PorousMedium(2.0)`,
            `KL(target)`, `Linear(f)` and sums of such.
        start: the first density, such as `nodal(lattice, mass)`, in a box that will hold all mass.
        step: h, in units of the flow's time.
        steps: the number of steps.
        entropy: gamma, a squared length, at least twice the square of a cell's width.
        iterations: at most, of a step; they grow like the larger root of h and the variance, over
            that of gamma.
        tolerance: of the mismatch, a mass.
        symmetric: whether the symmetric term is taken; without it each step blurs by gamma / 2.
        callback: called with the steps taken and F.

    Raises:
        TypeError: if F is not local.
        ValueError: for settings out of range, a periodic lattice, or an F that is not convex.
        FloatingPointError: if F is not finite at a density, with the steps taken.

    Computed in double precision, whatever precision the caller works in.
    """
    lattice, wanted = start.lattice, start.mass.dtype
    for name, number in (("step", step), ("tolerance", tolerance), ("entropy", entropy)):
        positive("jko_grid", name, number)
    for name, size in (("steps", steps), ("iterations", iterations)):
        count("jko_grid", name, size)
    _check(lattice, entropy)
    with jax.enable_x64(True):
        scale, variance, least = (
            jnp.asarray(number, float) for number in (2 * step / entropy, entropy / 2, tolerance)
        )
        one = Step(functional, scale, variance, symmetric, least, jnp.asarray(iterations))
        density = jnp.log(jnp.asarray(start.mass, jnp.float64)) - np.log(lattice.volume)
        faint = jnp.maximum(density, jnp.max(density) - _FAINT)
        _check_convex(functional, lattice, faint)
        state = begun(one, lattice, faint)
        masses, energies = [], [_energy(functional, lattice, density, 0)]
        ends = []
        for index in range(steps):
            state = proximal(one, lattice, density, state)
            density = state.density
            masses.append(np.asarray(jnp.exp(density) * lattice.volume))
            energies.append(_energy(functional, lattice, density, index + 1))
            ends.append((float(state.mismatch), int(state.turns)))
            if callback is not None:
                callback(index + 1, energies[-1])
    laws = tuple(nodal(lattice, jnp.asarray(mass, wanted)) for mass in masses)
    mismatches, turns = zip(*ends, strict=True)
    return GridJKO(
        (nodal(lattice, start.mass), *laws),
        jnp.asarray(energies, wanted),
        jnp.asarray(mismatches, wanted),
        jnp.asarray(turns),
        jnp.asarray(mismatches) <= tolerance,
    )


def _check(lattice: Lattice, entropy: float) -> None:
    if any(lattice.periodic):
        raise ValueError(
            "`jko_grid` got a periodic lattice, expected walls: pass boundary='no-flux' and a box "
            "around all mass."
        )
    least = 2 * max(lattice.spacing) ** 2
    if entropy < (1 - 1e-6) * least:
        raise ValueError(
            f"`jko_grid` got entropy = {entropy:.3g}, expected at least twice the square of a "
            f"cell's width, {least:.3g}: a narrower kernel falls between the cells."
        )


def _check_convex(functional: AbstractFunctional, lattice: Lattice, density: Field) -> None:
    curvature = slopes(functional, lattice, density)[1]
    if bool(jnp.any(curvature < 0)):
        raise ValueError(
            f"`jko_grid` got `{type(functional).__name__}`, whose variation falls where the "
            "density grows, expected a functional that is convex along mixtures."
        )


def _energy(functional: AbstractFunctional, lattice: Lattice, density: Field, steps: int) -> float:
    value = float(functional.value(nodal(lattice, jnp.exp(density) * lattice.volume)))
    if not np.isfinite(value):
        raise FloatingPointError(
            f"`jko_grid` got {value} for `{type(functional).__name__}` after {steps} steps, "
            "expected a finite value: let the box lie where the target has mass."
        )
    return value
