"""Everyone moves the same way: the game with a plane for its terminal cost.

    dX = v dt + sigma dW,    L = L(v),    M = E q.X
    U(t, x) = q.x - (T - t) H(q),    v* = argmax_v { -q.v - L(v) }

grad U = q everywhere, so v* is constant and N(m, s^2) becomes N(m + v* t, s^2 + sigma^2 t).
"""

import jax.numpy as jnp
import numpy as np

from mfgen.costs._cost import Kinetic
from mfgen.costs._lagrangian import AbstractLagrangian
from mfgen.densities._gaussian import Gaussian
from mfgen.derive._hamiltonian import hamiltonian, optimal_control
from mfgen.dynamics._dynamics import Integrator
from mfgen.functionals._functional import Linear
from mfgen.games._game import MFG
from mfgen.oracles._base import Oracle, box, check_dim, check_homogeneous, exact

_VARIANCE = 0.36


def translation(
    dim: int = 1,
    lagrangian: AbstractLagrangian | None = None,
    sigma: float = 0.5,
    horizon: float = 1.0,
) -> Oracle:
    """A plane wave, for any cost of speed and any constant noise.

    Arguments:
        dim: dimension of the space.
        lagrangian: a cost that depends on v alone; `Kinetic()` by default.
        sigma: the diffusion, zero or more.
        horizon: T.

    Raises:
        ValueError: a Lagrangian that depends on time or place.
    """
    check_dim("translation", dim)
    q = 0.8 * (-0.7) ** np.arange(dim)
    mean = np.linspace(-0.5, 0.5, dim) if dim > 1 else np.array([-0.5])
    game = MFG(
        Integrator(sigma=sigma, horizon=horizon),
        lagrangian or Kinetic(),
        Linear(lambda x: jnp.asarray(q, x.dtype) @ x),
        initial=Gaussian(mean, _VARIANCE),
    )
    check_homogeneous("translation", game, dim)
    origin, slope = jnp.zeros(dim), jnp.asarray(q, float)
    energy = float(hamiltonian(game, 0.0, origin, slope))
    speed = np.asarray(optimal_control(game, 0.0, origin, slope))
    value = lambda t, x: jnp.asarray(q, x.dtype) @ x - (horizon - t) * energy
    path = lambda t: Gaussian(mean + t * speed, _VARIANCE + sigma**2 * t)
    return Oracle(
        exact(game, value, path),
        float(q @ mean - horizon * energy),
        box(path, horizon),
        "oracle-translation",
        "a plane wave: everyone moves the same way, for any cost of speed and any noise",
        "U = q.x - (T - t) H(q), v* constant, rho(t) = N(m + v* t, s^2 + sigma^2 t)",
        "method of characteristics",
    )
