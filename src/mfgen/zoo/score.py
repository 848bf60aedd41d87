"""Score-based generative models as a mean-field game.

    dX = [f(t, X) + sigma(t) v] dt + sigma(t) dW,   rho(0) = the noised data
    L  = |v|^2 / 2 - div f,    I = 0,    M(rho) = -E_rho[log pi]   (cross-entropy)

with f minus the noising drift. M is linear in rho, so the Hamilton-Jacobi-Bellman equation
decouples from the Fokker-Planck equation and is solved exactly by the Hopf-Cole transform

    U(t, x) = -log eta(S - t, x),      v* = sigma grad log eta,

eta(s, .) being the data pi noised up to time s. The first density of the game is the Gaussian with
the first two moments of the noised data at s = S. The game stops at s = `start` of the noising;
if the target can be noised exactly the terminal cost is that of eta(start, .).

Reference: B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534, section 4.2.
"""

import jax.numpy as jnp

from mfgen import _check
from mfgen.density.base import AbstractDensity, AbstractNoisable
from mfgen.density.gaussian import Gaussian
from mfgen.density.labels import Labelled, LabelledPoints
from mfgen.problem.cost import ScoreLagrangian
from mfgen.problem.functional import CrossEntropy
from mfgen.problem.game import MFG
from mfgen.problem.noising import AbstractNoising, TimeReversal


def score_based(noising: AbstractNoising, target: AbstractDensity) -> MFG:
    """The game whose solution is the score-based model of `target` under `noising`.

    Arguments:
        noising: `VP()`, `VE()` or `SubVP()`.
        target: the data, an `Empirical(points)` or a density that is known exactly.

    Returns:
        The game, with the reference Gaussian at the noisy end as its initial density.

    Raises:
        TypeError: for a target with labels, which noise would move.
    """
    _check.of_kind("score_based", "noising", noising, AbstractNoising, "pass `VP()` or `VE()`")
    fix = "wrap data as `Empirical(points)`"
    _check.of_kind("score_based", "target", target, AbstractDensity, fix)
    if isinstance(target, (LabelledPoints, Labelled)):
        raise TypeError(
            f"`score_based` got a target with labels, `{type(target).__name__}`, expected points "
            "alone: noise would move the labels too. Make a game for each label, or a flow from "
            "the labelled points, such as `flow_matching`, whose labels are at rest."
        )
    dynamics = TimeReversal(noising)
    return MFG(
        dynamics,
        ScoreLagrangian(dynamics),
        CrossEntropy(_at_start(noising, target)),
        initial=reference(noising, target),
    )


def reference(noising: AbstractNoising, target: AbstractDensity) -> Gaussian:
    """N(alpha m, (alpha^2 c^2 + sigma^2) I) at the noisy end, m and c the moments of the target."""
    mean, covariance = target.moments()
    spread = jnp.trace(covariance) / target.dim
    signal, noise = noising.signal(noising.horizon), noising.noise(noising.horizon)
    variance = jnp.square(signal) * spread + jnp.square(noise)
    return Gaussian(signal * mean, variance * jnp.eye(target.dim))


def _at_start(noising: AbstractNoising, target: AbstractDensity) -> AbstractDensity:
    if isinstance(target, AbstractNoisable):
        return target.noised(noising.signal(noising.start), noising.noise(noising.start))
    return target
