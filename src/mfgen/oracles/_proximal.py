"""The regularised Wasserstein proximal as a game, and its kernel.

    dX = v dt + sqrt(2 beta) dW,    L = |v|^2 / 2,    M = E V(X),   V = -2 beta log pi

With U = -2 beta log phi the HJB equation is dt phi + beta lap phi = 0, phi(T) = pi, hence

    phi(t) = pi * G_{2 beta (T - t)},
    rho(t, x) = phi(t, x) int G_{2 beta t}(x - y) rho_0(y) / phi(0, y) dy

and rho(T, x) = int K(x|y) rho_0(y) dy with the kernel

    K(x|y) = pi(x) G_{2 beta T}(x - y) / (pi * G_{2 beta T})(y).

Here pi is a mixture of normal laws with diagonal covariances, and rho_0 is phi(0, .) times a normal
density g, normalised: then rho(t) is phi(t, .) times g * G_{2 beta t}, a mixture again,

    N(x; m, A) N(x; n, B) = N(m; n, A + B) N(x; (m B + n A) / (A + B), A B / (A + B)).

References:
    W. Li, S. Liu, S. Osher, "A kernel formula for regularized Wasserstein proximal operators"
    (2023), arXiv 2301.10301.
    B. J. Zhang et al. (2024), arXiv 2402.06162.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from mfgen.costs._cost import Kinetic
from mfgen.densities._gaussian import GaussianMixture
from mfgen.dynamics._dynamics import Integrator, positive
from mfgen.functionals._functional import Linear
from mfgen.games._game import MFG
from mfgen.oracles._base import Oracle, box, check_dim, exact, integral

_WEIGHTS = np.array([0.35, 0.65])
_REST = 0.6


def wasserstein_proximal_kernel(dim: int = 1, beta: float = 0.2, horizon: float = 1.0) -> Oracle:
    """The regularised Wasserstein proximal of V = -2 beta log pi, for a mixture pi of two laws.

    Arguments:
        dim: dimension of the space.
        beta: half the variance of the noise per unit of time, positive.
        horizon: T, the step of the proximal.
    """
    check_dim("wasserstein_proximal_kernel", dim)
    positive("wasserstein_proximal_kernel", "beta", beta)
    plane = min(dim, 2)
    game, value, path = _parts(dim, beta, horizon)
    cost = _cost(*_parts(plane, beta, horizon))
    if dim > plane:  # the other coordinates are alike, and independent of these
        cost += (dim - plane) * _cost(*_parts(1, beta, horizon, alone=True))
    return Oracle(
        exact(game, value, path),
        cost,
        box(path, horizon),
        "oracle-wasserstein-proximal",
        "the regularised Wasserstein proximal of -log pi, for a mixture pi of two normal laws",
        "U = -2 beta log (pi * G_{2 beta (T - t)}), K(x|y) = pi(x) G(x - y) / (pi * G)(y)",
        "W. Li, S. Liu, S. Osher (2023), arXiv 2301.10301",
    )


def target(dim: int = 1) -> GaussianMixture:
    """pi: two normal laws in the first two coordinates, the others N(0, 0.6)."""
    return GaussianMixture(_WEIGHTS, *_components(dim))


def _components(dim: int, alone: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Means and variances `[2, dim]` of pi; `alone` for one of the further coordinates."""
    means, variances = np.zeros((2, dim)), np.full((2, dim), _REST)
    if not alone:
        plane = min(dim, 2)
        means[:, :plane] = np.array([[-1.0, 0.5], [0.8, -0.4]])[:, :plane]
        variances[:, :plane] = np.array([[0.2, 0.4], [0.35, 0.25]])[:, :plane]
    return means, variances


def _parts(dim: int, beta: float, horizon: float, alone: bool = False):
    """The game, its value and its density path."""
    means, variances = _components(dim, alone)
    # g, a little aside
    centre, width = (0.0 if alone else 0.3 * (-1.0) ** np.arange(dim)) + np.zeros(dim), 0.8
    pi = GaussianMixture(_WEIGHTS, means, variances)

    def path(t):
        """phi(t) times g * G_{2 beta t}, normalised."""
        wide, narrow = variances + 2 * beta * (horizon - t), width + 2 * beta * t
        both = wide + narrow
        logs = np.log(_WEIGHTS) - 0.5 * jnp.sum(
            jnp.log(both) + (means - centre[None, :]) ** 2 / both, axis=1
        )
        places = (means * narrow + centre[None, :] * wide) / both
        return GaussianMixture(jax.nn.softmax(logs), places, wide * narrow / both)

    def value(t, x):
        noised = pi.noised(1.0, jnp.sqrt(2 * beta * (horizon - t)))
        return -2 * beta * noised.log_density(x)

    game = MFG(
        Integrator(sigma=float(np.sqrt(2 * beta)), horizon=horizon),
        Kinetic(),
        Linear(lambda x: -2 * beta * pi.log_density(x)),
        initial=path(0.0),
    )
    return game, value, path


def _cost(game: MFG, value: Callable, path: Callable) -> float:
    """E U(0, X) by quadrature."""
    first = path(0.0)
    return integral(first, lambda x: value(0.0, x))
