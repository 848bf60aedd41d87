"""A crowd at rest: everyone pays for the logarithm of the density, in a bowl.

    dX = v dt + sigma dW,    L = |v|^2 / 2 + b |x|^2 / 2,    I = g E log rho,    nu = sigma^2 / 2
    a = ( sqrt(g^2 + 4 nu^2 b) - g ) / (2 nu),    rho = N(0, nu / a) at all times,
    U = a |x|^2 / 2 + (T - t) kappa,    kappa = nu a d + g ( (d/2) log(a / (2 pi nu)) + 1 )

with M = E a |X|^2 / 2. The attraction -grad U balances diffusion, and a solves
a^2 / 2 + g a / (2 nu) = b / 2. The cost is E U(0, X) less the integral of E dI/drho - I = g.

Reference: D. A. Gomes, E. Pimentel, V. Voskanyan, "Regularity theory for mean-field game systems"
(2016), for logarithmic couplings.
"""

import math

import numpy as np

from mfgen.costs._cost import Kinetic, WithPotential
from mfgen.densities._gaussian import Gaussian
from mfgen.dynamics._dynamics import Integrator
from mfgen.functionals._functional import Entropy, Linear
from mfgen.games._game import MFG
from mfgen.oracles._base import Oracle, box, check_dim, exact


def logarithmic_coupling(
    dim: int = 1,
    aversion: float = 0.4,
    bowl: float = 0.9,
    diffusivity: float = 0.3,
    horizon: float = 2.0,
) -> Oracle:
    """A crowd that pays for its density, in a bowl: a stationary population.

    Arguments:
        dim: dimension of the space.
        aversion: g of the cost rate g E log rho.
        bowl: b > 0 of the cost rate b |x|^2 / 2.
        diffusivity: nu = sigma^2 / 2 > 0.
        horizon: T.
    """
    check_dim("logarithmic_coupling", dim)
    root = math.sqrt(aversion**2 + 4 * diffusivity**2 * bowl)
    steep = (root - aversion) / (2 * diffusivity)
    variance = diffusivity / steep
    logarithm = 0.5 * dim * math.log(1 / (2 * math.pi * variance)) + 1
    rate = diffusivity * steep * dim + aversion * logarithm
    value = lambda t, x: 0.5 * steep * x @ x + rate * (horizon - t)
    law = Gaussian(np.zeros(dim), variance)
    path = lambda t: Gaussian(np.zeros(dim), variance)
    game = MFG(
        Integrator(sigma=math.sqrt(2 * diffusivity), horizon=horizon),
        WithPotential(Kinetic(), lambda t, x: 0.5 * bowl * x @ x),
        Linear(lambda x: 0.5 * steep * x @ x),
        interaction=aversion * Entropy(),
        initial=law,
    )
    # E dI/drho exceeds I by the aversion.
    cost = 0.5 * dim * diffusivity + (rate - aversion) * horizon
    return Oracle(
        exact(game, value, path),
        cost,
        box(path, horizon),
        "oracle-logarithmic-coupling",
        "a crowd that pays for the logarithm of its density, in a bowl: it rests",
        "U = a|x|^2/2 + kappa (T - t), rho = N(0, nu/a), a = (sqrt(g^2 + 4 nu^2 b) - g) / (2 nu)",
        "D. A. Gomes, E. Pimentel, V. Voskanyan (2016), logarithmic couplings",
    )
