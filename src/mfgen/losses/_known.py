"""A density of which a path knows the logarithm where the particle is, and nothing else.

log rho(t, x(t)) = log rho(0, x(0)) - log |det dx(t)/dx(0)|
"""

import equinox as eqx

from mfgen._types import Scalar
from mfgen.densities._base import AbstractEvaluable


class KnownDensity(AbstractEvaluable):
    """A density whose logarithm is known at the one place where it is asked for.

    Arguments:
        dim: the dimension.
        owner: who knows it, for errors.
        value: log rho there.

    Raises (when asked for anything else):
        TypeError: in the name of the owner.
    """

    dim: int = eqx.field(static=True)
    owner: str = eqx.field(static=True)
    value: Scalar

    def log_density(self, x):
        return self.value

    def sample(self, n, *, key):
        raise self._unknown()

    def moments(self):
        raise self._unknown()

    def particles(self):
        raise self._unknown()

    def _unknown(self) -> TypeError:
        return TypeError(
            f"`{self.owner}` knows rho along its paths, not samples of it, expected costs that "
            "need the density alone, such as `KL(reference)`."
        )
