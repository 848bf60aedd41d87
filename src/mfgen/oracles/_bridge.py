"""The Schrödinger bridge between normal laws, stated as a game with a linear terminal cost.

    dX = v dt + sigma dW,   L = |v|^2 / (2 sigma^2)
    rho(0) = N(m_0, s_0^2),   rho(T) = N(m_1, s_1^2)

With U = -log phi the HJB equation is the heat equation  dt phi + (sigma^2/2) lap phi = 0. The
multiplier of the constraint is a parabola U(T, x) = a x^2 / 2 - b x - e, and so is U at any time:

    U = (a x^2 - 2 b x - b^2 sigma^2 (T - t)) / (2 D) + log(D) / 2 - e,    D = 1 + a sigma^2 (T - t)

Coordinate by coordinate, with S = sigma^2 T and C = ( sqrt(4 s_0^2 s_1^2 + S^2) - S ) / 2, the
covariance of X_0 and X_T,

    mean (1 - t/T) m_0 + (t/T) m_1,
    variance (1 - t/T)^2 s_0^2 + (t/T)^2 s_1^2 + (t/T) (1 - t/T) (2 C + S),
    a = (S - s_1^2 + C) / (S s_1^2),    b = a m_1 + (m_1 - m_0) / S.

The terminal cost of the game is this parabola with e chosen so that its mean under rho(T) is zero:
then the cost of the game is the action of the bridge, E int |v|^2 / (2 sigma^2) dt, which is the
relative entropy of the paths to those of m_0 + s_0 N + sigma W.

Reference: C. Bunne, Y.-P. Hsieh, M. Cuturi, A. Krause, "The Schrödinger bridge between Gaussian
measures has a closed form" (2023), arXiv 2202.05722.
"""

import jax.numpy as jnp
import numpy as np

from mfgen.costs._cost import Kinetic
from mfgen.densities._gaussian import Gaussian
from mfgen.dynamics._dynamics import Integrator, positive
from mfgen.functionals._functional import Linear
from mfgen.games._game import MFG
from mfgen.oracles._base import Oracle, box, check_dim, exact


def gaussian_bridge(dim: int = 1, sigma: float = 0.8, horizon: float = 1.0) -> Oracle:
    """The bridge from a normal law to another; `target` is the law at the end.

    For the game with the end prescribed, replace the terminal cost by `Prescribed(target)`.

    Arguments:
        dim: dimension of the space.
        sigma: the diffusion, positive.
        horizon: T.
    """
    check_dim("gaussian_bridge", dim)
    positive("gaussian_bridge", "sigma", sigma)
    index, noise = np.arange(dim), sigma**2 * horizon
    first, last = -1.0 * 0.7**index, 0.8 * (-0.6) ** index
    before, after = (0.5 + 0.1 * index) ** 2, (0.9 / (1 + 0.3 * index)) ** 2
    shared = 0.5 * (np.sqrt(4 * before * after + noise**2) - noise)
    curvature = (noise - after + shared) / (noise * after)
    offset = curvature * last + (last - first) / noise
    mean_price = float(np.sum(0.5 * curvature * (last**2 + after) - offset * last))
    target = Gaussian(last, after)

    def value(t, x):
        a, b = jnp.asarray(curvature, x.dtype), jnp.asarray(offset, x.dtype)
        left = sigma**2 * (horizon - t)
        scale = 1 + a * left
        parabola = 0.5 * (a * x * x - 2 * b * x - b * b * left) / scale
        return jnp.sum(parabola + 0.5 * jnp.log(scale)) - mean_price

    def path(t):
        part = t / horizon
        mean = (1 - part) * first + part * last
        ends = (1 - part) ** 2 * before + part**2 * after
        return Gaussian(mean, ends + part * (1 - part) * (2 * shared + noise))

    game = MFG(
        Integrator(sigma=sigma, horizon=horizon),
        Kinetic(1 / sigma**2),
        Linear(lambda x: value(horizon, x)),
        initial=Gaussian(first, before),
    )
    scale = 1 + curvature * noise
    parabola = curvature * (first**2 + before) - 2 * offset * first - offset**2 * noise
    return Oracle(
        exact(game, value, path),
        float(np.sum(0.5 * parabola / scale + 0.5 * np.log(scale))) - mean_price,
        box(path, horizon),
        "oracle-gaussian-bridge",
        "the Schrödinger bridge between two normal laws, with its multiplier as terminal cost",
        "rho(t) normal, variance (1-u)^2 s_0^2 + u^2 s_1^2 + u (1-u) (2 C + sigma^2 T), u = t/T",
        "C. Bunne et al. (2023), arXiv 2202.05722",
        target,
    )
