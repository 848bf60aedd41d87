"""A normalizing flow between normal laws: kinetic energy and a Kullback-Leibler terminal cost.

    dX = v dt,   L = (k/2) |v|^2,   M = lambda KL(rho(T) || N(a, b^2)),   rho(0) = N(m_0, s_0^2)

Coordinate by coordinate the optimal map is affine, N(m_0, s_0^2) -> N(m_1, s_1^2), along straight
lines: m and s are linear in t, and v* = m' + (s'/s) (x - m). With k' = k / T

    m_1 = (k' m_0 + lambda a / b^2) / (k' + lambda / b^2),
    s_1 > 0 solves  (lambda / b^2 + k') s^2 - k' s_0 s - lambda = 0,
    U = -k ( m' y + (s'/s) y^2 / 2 ) + (T - t) k m'^2 / 2 + constant,      y = x - m(t),

and the constant is what U(T) = lambda (log rho(T) - log pi + 1) asks for. A soft terminal cost
leaves rho(T) different from the target.

References:
    D. Onken et al., "OT-Flow" (2021), arXiv 2006.00104.
    R. Jordan, D. Kinderlehrer, F. Otto, "The variational formulation of the Fokker-Planck equation"
    (1998): with k = 1/h and T = 1 this is a step h of their scheme.
"""

import jax.numpy as jnp
import numpy as np

from mfgen.costs._cost import Kinetic
from mfgen.densities._gaussian import Gaussian
from mfgen.dynamics._dynamics import Integrator
from mfgen.functionals._functional import KL
from mfgen.games._game import MFG
from mfgen.oracles._base import Oracle, box, check_dim, exact


def terminal_divergence(
    dim: int = 1, weight: float = 1.0, divergence: float = 1.0, horizon: float = 1.0
) -> Oracle:
    """A normalizing flow with kinetic energy from N(2, 1/4) to N(0, 1), in one dimension.

    In more dimensions the further coordinates have other means and deviations.

    Arguments:
        dim: dimension of the space.
        weight: k > 0 of the kinetic energy.
        divergence: lambda > 0, the weight of the Kullback-Leibler divergence.
        horizon: T.
    """
    check_dim("terminal_divergence", dim)
    index = np.arange(dim)
    first, deviation = 2.0 * (-0.5) ** index, 0.5 + 0.2 * index
    mean, spread = 0.0 + 0.3 * index, 1.0 / (1 + 0.25 * index)
    target = Gaussian(mean, spread**2)
    pull, keep = divergence / spread**2, weight / horizon
    last = (keep * first + pull * mean) / (keep + pull)
    root = np.sqrt((keep * deviation) ** 2 + 4 * divergence * (keep + pull))
    end = (keep * deviation + root) / (2 * (keep + pull))
    drift, growth = (last - first) / horizon, (end - deviation) / horizon
    constant = np.sum(np.log(spread / end) + 0.5 * ((last - mean) / spread) ** 2)
    constant = divergence * float(1 + constant)

    def value(t, x):
        y = x - jnp.asarray(first + drift * t, x.dtype)
        rate = jnp.asarray(growth / (deviation + growth * t), x.dtype)
        left = horizon - t
        paid = 0.5 * weight * float(drift @ drift) * left
        return paid + constant - weight * jnp.sum((drift + 0.5 * rate * y) * y)

    path = lambda t: Gaussian(first + drift * t, (deviation + growth * t) ** 2)
    game = MFG(
        Integrator(horizon=horizon),
        Kinetic(weight),
        divergence * KL(target),
        initial=Gaussian(first, deviation**2),
    )
    kinetic = 0.5 * keep * np.sum((last - first) ** 2 + (end - deviation) ** 2)
    ratio = (end / spread) ** 2
    remaining = 0.5 * np.sum(ratio - 1 - np.log(ratio) + ((last - mean) / spread) ** 2)
    return Oracle(
        exact(game, value, path),
        float(kinetic + divergence * remaining),
        box(path, horizon),
        "oracle-terminal-divergence",
        "a normalizing flow with kinetic energy and a Kullback-Leibler terminal cost",
        "rho(t) = N((1 - t/T) m_0 + (t/T) m_1, ((1 - t/T) s_0 + (t/T) s_1)^2), straight lines",
        "D. Onken et al., OT-Flow (2021), arXiv 2006.00104",
        target,
    )
