"""Score-based games of normal laws and their mixtures: the Hopf-Cole transform.

    dX = [f + sigma v] dt + sigma dW,   L = |v|^2 / 2 - div f,   M = -E log eta(s_0, X)
    U(t, x) = -log eta(S - t, x),       v* = sigma grad log eta

eta(s, .) being the data noised up to s, a mixture again. Started from eta(S, .) the population is
eta(S - t, .) at time t, and the game costs the entropy of eta(S, .).

Started from another law, the population has another density, but v* and U are the same: they do not
depend on the density. For data N(m, c) coordinate by coordinate, the transition of the reversed
process is that of Y_s given Y_S,

    X_t given X_0 = x  ~  N( m_s + r (x - m_S),  V_s - r^2 V_S ),
    r = (alpha_S / alpha_s) V_s / V_S,

and the cost of any control v is  J(v) = E U(0, X_0) + (1/2) E int |v - v*|^2 dt.

References:
    Y. Song et al. (2021), arXiv 2011.13456.
    B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534, section 4.
"""

import math

import numpy as np

from mfgen.costs._cost import ScoreLagrangian
from mfgen.densities._gaussian import Gaussian, GaussianMixture
from mfgen.dynamics._noising import VP, AbstractNoising, TimeReversal
from mfgen.functionals._functional import CrossEntropy
from mfgen.games._game import MFG
from mfgen.oracles._base import Oracle, Vector, box, check_dim, exact, integral

# Coordinates beyond the second are independent of the others, up to a reflection of the space.
_REST = 0.4
_REFERENCE = "B. J. Zhang, M. A. Katsoulakis (2023), arXiv 2304.13534, section 4.2"


def hopf_cole(dim: int = 1, noising: AbstractNoising | None = None) -> Oracle:
    """A mixture of two normal laws as data, the population started from the noised data.

    Arguments:
        dim: dimension of the space.
        noising: `VP()` by default, `VE()`, `SubVP()`.
    """
    check_dim("hopf_cole", dim)
    noising = noising or VP()
    dynamics = TimeReversal(noising)
    eta = _noised(noising, _mixture(dim))
    path = lambda t: eta(dynamics.noising_time(t))
    value = lambda t, x: -path(t).log_density(x)
    game = MFG(
        dynamics,
        ScoreLagrangian(dynamics),
        CrossEntropy(eta(noising.start)),
        initial=eta(noising.horizon),
    )
    plane = min(dim, 2)
    first = _noised(noising, _mixture(plane))(noising.horizon)
    entropy = integral(first, lambda x: -first.log_density(x))
    signal, noise = float(noising.signal(noising.horizon)), float(noising.noise(noising.horizon))
    rest = math.log(2 * math.pi * math.e * (signal**2 * _REST + noise**2))
    return Oracle(
        exact(game, value, path),
        entropy + 0.5 * (dim - plane) * rest,
        box(path, dynamics.horizon),
        "oracle-hopf-cole",
        "a score-based model of a mixture of two normal laws, whose score is exact",
        "U = -log eta(S - t, x), eta(s) = sum_k w_k N(alpha m_k, alpha^2 C_k + sigma^2 I)",
        _REFERENCE,
    )


def cost_identity(dim: int = 1, variance: float = 0.3) -> Oracle:
    """The score-based game of data N(1.5, variance), started from N(0, 1).

    The noising is variance-preserving with beta = 1 up to S = 2, which is short: the population
    misses the data. In one dimension with variance 0.3 the game costs 1.590.

    Arguments:
        dim: dimension of the space; every coordinate alike.
        variance: of the data, not their standard deviation.
    """
    check_dim("cost_identity", dim)
    noising = VP(beta_min=1.0, beta_max=1.0, horizon=2.0)
    dynamics = TimeReversal(noising)
    data = Gaussian(np.full(dim, 1.5), variance)
    eta = _noised(noising, data)
    horizon = noising.horizon

    def path(t):
        s = dynamics.noising_time(t)
        now, first = eta(s), eta(horizon)
        spread, widest = (law.covariance.variances[0] for law in (now, first))
        ratio = noising.signal(horizon) / noising.signal(s) * spread / widest
        return Gaussian(now.mean - ratio * first.mean, spread + ratio**2 * (1 - widest))

    game = MFG(
        dynamics,
        ScoreLagrangian(dynamics),
        CrossEntropy(eta(noising.start)),
        initial=Gaussian(np.zeros(dim), 1.0),
    )
    signal, noise = (float(part(horizon)) for part in (noising.signal, noising.noise))
    spread = signal**2 * variance + noise**2
    return Oracle(
        exact(game, lambda t, x: -eta(horizon - t).log_density(x), path),
        0.5 * dim * (math.log(2 * math.pi * spread) + (1 + (1.5 * signal) ** 2) / spread),
        box(path, dynamics.horizon),
        "oracle-cost-identity",
        "a score-based model of a normal law, started from N(0, 1) a little too early",
        "J(v) = E U(0, X_0) + E int |v - v*|^2 dt / 2, U = -log eta(S - t, x)",
        _REFERENCE,
    )


def _noised(noising: AbstractNoising, law):
    return lambda s: law.noised(noising.signal(s), noising.noise(s))


def _mixture(dim: int) -> GaussianMixture:
    """Two normal laws in the first two coordinates, the rest N(0, c I), then reflected."""
    plane = min(dim, 2)
    means, covariances = np.zeros((2, dim)), np.zeros((2, dim, dim)) + _REST * np.eye(dim)
    means[:, :plane] = np.array([[-0.9, 0.6], [1.1, -0.2]])[:, :plane]
    full = np.array([[[0.36, 0.15], [0.15, 0.3]], [[0.25, 0.0], [0.0, 0.5]]])
    covariances[:, :plane, :plane] = full[:, :plane, :plane]
    mirror = _mirror(dim)
    return GaussianMixture([0.4, 0.6], means @ mirror, mirror @ covariances @ mirror)


def _mirror(dim: int) -> np.ndarray:
    """The reflection that sends the first axis to the diagonal, none in one dimension."""
    if dim == 1:
        return np.eye(1)
    normal: Vector = np.full(dim, -1 / np.sqrt(dim))
    normal[0] += 1
    return np.eye(dim) - 2 * np.outer(normal, normal) / (normal @ normal)
